"""Threads: a copy's workers, the heartbeat, the alarm clock. No other module starts threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["after", "every", "run_in_threads"]

# An interrupted worker ends in milliseconds. One that does not is left behind: it is a daemon, its
# connections are shut, and what it does can no longer count.
_GRACE_SECONDS = 2.0


def run_in_threads(
    tasks: Sequence[Callable[[], None]],
    *,
    seconds_left: Callable[[], float],
    interrupt: Callable[[], None],
) -> Sequence[BaseException]:
    """Run the tasks at once and return what they raised, the first error first.

    Returns when all have ended. The first error, or no seconds left, calls `interrupt`, which is to
    make the tasks end soon.
    """
    errors: list[BaseException] = []
    changed = threading.Condition()
    running = len(tasks)

    def run(task: Callable[[], None]) -> None:
        nonlocal running
        error: BaseException | None = None
        try:
            task()
        except BaseException as raised:  # noqa: BLE001 - handed to the caller, who raises it
            error = raised
        with changed:
            running -= 1
            if error is not None:
                errors.append(error)
            changed.notify()

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    with changed:
        changed.wait_for(lambda: bool(errors) or not running, timeout=max(0.0, seconds_left()))
        if running:
            interrupt()
            changed.wait_for(lambda: not running, timeout=_GRACE_SECONDS)
    return errors


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` in the background, at once and then every `seconds`, until the block ends.

    `act` must not raise. A call that is under way at the end is waited for, but not for long.
    """
    ended = threading.Event()

    def beat() -> None:
        while True:
            act()
            if ended.wait(seconds):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_GRACE_SECONDS)


@contextmanager
def after(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` in another thread once so many seconds have passed, unless the block has ended."""
    timer = threading.Timer(max(0.0, seconds), act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
