"""Runs targets: so many cases, from one seed, each counted by how it ended.

A broken promise ends the run. What is printed then is the smallest case that hypothesis could find,
and the command that finds it again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import Target

__all__ = ["Broken", "Run", "run_target", "share_out"]

_SHRINKING = (Phase.generate, Phase.shrink)


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was broken: by which case, and how."""

    error: BaseException

    @property
    def example(self) -> str:
        """The shrunk case, as hypothesis writes it."""
        return "\n".join(getattr(self.error, "__notes__", [])) or "(no example was kept)"


@dataclass(slots=True)
class Run:
    """One target's run."""

    target: Target
    passed: int = 0
    cpu_seconds: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)
    broken: Broken | None = None


def run_target(target: Target, cases: int, seed_number: int, *, shrink: bool = True) -> Run:
    """Run one target until its cases are through or a promise is broken."""
    run = Run(target)
    began_at = time.process_time()
    # hypothesis ends a round early once it has seen all that a small strategy can draw.
    rounds = 0
    while run.passed < cases and run.broken is None:
        left, passed_before = cases - run.passed, run.passed
        try:
            _judge(run, left, seed_number + rounds, _SHRINKING if shrink else _SHRINKING[:1])()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a case raises breaks a promise
            run.broken = Broken(error)
        assert run.broken or run.passed > passed_before, f"{target.name} draws no case"
        rounds += 1
    run.cpu_seconds = time.process_time() - began_at
    return run


def _judge(run: Run, cases: int, seed_number: int, phases: Sequence[Phase]) -> Callable[[], None]:
    def judge(case: Any) -> None:  # noqa: ANN401 - what the target draws
        ending = run.target.check(case)
        run.passed += 1
        run.endings[ending] += 1

    test: Callable[[], None] = seed(seed_number)(
        settings(
            max_examples=cases,
            database=None,  # nothing but the seed decides what is drawn
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )(given(run.target.cases)(judge))
    )
    return test


def share_out(targets: Iterable[Target], cases: int) -> list[tuple[Target, int]]:
    """Return how many cases each target gets, at least one, together at least `cases`."""
    known = list(targets)
    whole = sum(target.share for target in known)
    return [(target, -(-cases * target.share // whole)) for target in known]
