"""`make fuzz N=50000 SEED=1 [TARGET=name]`: says what ran; ends at the first broken promise."""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from collections.abc import Sequence

from hypothesis.errors import HypothesisWarning

from tests.fuzz.doors import TARGETS as DOORS
from tests.fuzz.runner import Run, run_target, share_out
from tests.fuzz.transport import TARGETS as TRANSPORT
from tests.fuzz.whole import TARGETS as WHOLE

__all__ = ["TARGETS", "main"]

TARGETS = (*DOORS, *TRANSPORT, *WHOLE)
_MOST_ENDINGS = 8


def main(arguments: Sequence[str]) -> int:
    """Run all targets, or one; returns the process's exit status."""
    asked = _parse(arguments)
    warnings.filterwarnings("ignore", category=HypothesisWarning)  # of large examples
    chosen = [target for target in TARGETS if asked.target in {None, target.name}]
    plan = [(t, n) for t, n in share_out(TARGETS, asked.cases) if t in chosen]
    _say(f"{asked.cases} cases over {len(TARGETS)} targets, seed {asked.seed}")
    began_at, passed, failed = time.monotonic(), 0, 0
    for target, cases in plan:
        run = run_target(target, cases, asked.seed)
        passed += run.passed
        _tell(run)
        if run.broken is not None:
            failed = 1
            _tell_broken(run, asked.cases, asked.seed)
            break
    seconds, cpu_seconds = time.monotonic() - began_at, time.process_time()
    _say(f"seed {asked.seed}, {seconds:.0f} s ({cpu_seconds:.0f} s of CPU)")
    _say(f"{passed} passed, {failed} failed")
    return failed


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000, help="over all targets")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed if not given")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], default=None)
    asked = parser.parse_args(arguments)
    if asked.seed is None:
        asked.seed = random.randrange(1 << 32)  # noqa: S311 - no secret depends on it
    return asked


def _tell(run: Run) -> None:
    common = run.endings.most_common()
    shown = ", ".join(f"{count} {name}" for name, count in common[:_MOST_ENDINGS])
    more = f", {len(common) - _MOST_ENDINGS} more kinds" if len(common) > _MOST_ENDINGS else ""
    spent = f"{run.passed:>6} cases {run.cpu_seconds:>6.1f} CPU s"
    _say(f"  {run.target.name:<10} {spent}: {shown}{more}")


def _tell_broken(run: Run, cases: int, seed_number: int) -> None:
    assert run.broken is not None
    _say(f"\n{run.target.name}: a promise is broken: {run.broken.error!r}"[:2_000])
    _say(run.broken.example[:4_000])
    _say(f"again: make fuzz N={cases} SEED={seed_number} TARGET={run.target.name}\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # CI shows how far a long run is


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
