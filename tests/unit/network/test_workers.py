"""The workers of a copy and the heartbeat beside it."""

from __future__ import annotations

import threading
import time

from archiver.network.workers import every, run_in_threads


def test_tasks_run_at_once_and_all_are_waited_for() -> None:
    """Each needs the other to be running: one after the other they would never end."""
    meet = threading.Barrier(3, timeout=5)
    errors = run_in_threads(
        [meet.wait] * 3,  # type: ignore[list-item] # its number is of no interest
        seconds_left=lambda: 30,
        interrupt=lambda: None,
    )
    assert errors == []


def test_the_first_error_interrupts_the_others_and_comes_first() -> None:
    """What the others raise because of the interruption stands behind it."""
    interrupted = threading.Event()

    def fail() -> None:
        raise KeyError("first")

    def hold() -> None:
        assert interrupted.wait(5)
        raise ValueError("because of it")

    errors = run_in_threads([hold, fail], seconds_left=lambda: 30, interrupt=interrupted.set)
    assert [type(error) for error in errors] == [KeyError, ValueError]


def test_when_time_is_up_the_tasks_are_interrupted_and_none_is_waited_for_long() -> None:
    """A task that hangs in a socket is left behind: the invocation has an end."""
    interrupted, released = threading.Event(), threading.Event()
    began = time.monotonic()
    errors = run_in_threads(
        [lambda: released.wait(30)],  # type: ignore[list-item] # likewise
        seconds_left=lambda: -1,
        interrupt=interrupted.set,
    )
    took = time.monotonic() - began
    released.set()
    assert interrupted.is_set()
    assert errors == []
    assert took < 20  # the grace is 2 s; the task would have taken 30


def test_the_heartbeat_beats_at_once_and_again_until_the_block_ends() -> None:
    """The first beat does not wait for its time: a kill in the first second counts too."""
    beats: list[float] = []
    twice = threading.Event()

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 2:
            twice.set()

    with every(0.01, beat):
        assert twice.wait(5)
    ended = len(beats)
    assert ended >= 2
    time.sleep(0.05)
    assert len(beats) == ended
