"""`make kills N=100 SEED=…`: prints its counts and its seed; the last line says passed and failed.

Exit code 1 at the first broken promise, with the story of that job and its log.
"""

from __future__ import annotations

import argparse
import resource
import secrets
import sys
import time
from dataclasses import dataclass

from local.cloud import PROJECT_FOLDER
from tests.kills.breakage import BREAKAGES, NONE
from tests.kills.diary import Diary
from tests.kills.report import say, story, summary
from tests.kills.rounds import BrokenPromise, Round, run_round
from tests.kills.time_outs import time_outs_round

__all__ = ["main"]

# Not the demo's: the runtimes' whole output stays in its logs/ until the next run.
_STATE_FOLDER = PROJECT_FOLDER / ".local" / "kills"
_LIVE = 8  # jobs at once: two cores carry their copies and cold starts with time to spare
_LEASE_SECONDS = 6  # instead of 45: what is waited for is a lease, a hundred times


def sigkill_round(kills: int) -> Round:
    """Return the round in which runtimes are killed at any moment."""
    return Round(
        title="SIGKILL at any moment",
        lease_seconds=_LEASE_SECONDS,
        kills=kills,
        live=_LIVE,
        deadline_seconds=60 + 6.0 * kills,
        environment={"LEASE_SECONDS": str(_LEASE_SECONDS)},
    )


@dataclass
class _Tally:
    """Deaths that were survived as promised, and those that were not."""

    passed: int = 0
    failed: int = 0

    def add(self, diaries: list[Diary]) -> None:
        self.passed += sum(diary.kills for diary in diaries)


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds; return the exit code."""
    options = _parse(arguments)
    breakage = BREAKAGES.get(options.break_, NONE)
    rounds = [sigkill_round(options.kills)]
    if breakage is not NONE:
        say(f"deliberately broken: {breakage.what}")
    elif options.time_outs:
        rounds.append(time_outs_round())
    tally = _Tally()
    say(f"seed {options.seed}")
    for wanted in rounds:
        if not _run(wanted, options, tally):
            break
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(f"\npeak memory of the embedded cloud {peak_mib} MiB; seed {options.seed}")
    say(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


def _run(wanted: Round, options: argparse.Namespace, tally: _Tally) -> bool:
    began = time.monotonic()
    say(f"\n{wanted.title}")
    try:
        breakage = BREAKAGES.get(options.break_, NONE)
        done = run_round(wanted, options.seed, _STATE_FOLDER, breakage)
    except BrokenPromise as broken:
        tally.add(broken.done)
        tally.failed += max(1, broken.diary.kills)
        say(summary(broken.done, wanted.terms))
        say(f"\nBROKEN: {broken}\n{story(broken.diary, wanted.terms)}")
        return False
    tally.add(done)
    say(summary(done, wanted.terms))
    say(f"{time.monotonic() - began:.0f} s")
    return True


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="at least so many SIGKILLs")
    parser.add_argument("--seed", default="", help="as a run printed it")
    parser.add_argument(
        "--break", dest="break_", choices=["", *BREAKAGES], default="", help="must fail then"
    )
    # Its judge does not know yet that a run of 30 s is given up in time, with parts just begun.
    parser.add_argument("--time-outs", action="store_true", help="and the round of time-outs")
    options = parser.parse_args(arguments)
    if options.kills < 1:
        parser.error("--kills must be above zero")
    options.seed = options.seed or secrets.token_hex(4)
    return options


if __name__ == "__main__":
    sys.exit(main())
