"""`make lake N=10000 HISTORIES=1000 SEED=1`: random tables, and random histories of revisions.

It ends at the first cell that is lost without a word, and at the first that is not current.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from random import Random

from tests.lake.current import run_histories
from tests.lake.judge import Lake
from tests.lake.tables import draw_history

__all__ = ["main", "run_tables"]

_HISTORIES_A_LAKE = 100  # in one database, which takes longer to open than a table to load


def run_tables(tables: int, seed: int, only: int | None = None) -> Counter[str]:
    """Judge histories until so many tables were loaded or raised, or just one by its number."""
    endings: Counter[str] = Counter()
    numbers = itertools.count() if only is None else iter([only])
    for some in iter(lambda: list(itertools.islice(numbers, _HISTORIES_A_LAKE)), []):
        with closing(Lake()) as lake:
            for number in some:
                history = draw_history(Random(f"{seed}.{number}"))  # noqa: S311 - sample tables
                try:
                    endings.update(lake.judge(history))
                except Exception as error:
                    error.add_note(f"again: make lake SEED={seed} ONLY={number}")
                    error.add_note("\n".join(f"{e.format}: {e.content!r:.600}" for e in history))
                    raise
                if endings.total() >= tables:
                    return endings
    return endings


def main(arguments: Sequence[str]) -> int:
    """Run them and say what became of them; an exception ends it with the history that broke.

    With `only` no history of revisions is run.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.lake", description=__doc__)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--histories", type=int, default=1_000, help="of revisions")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed if not given")
    parser.add_argument("--only", type=int, default=None, help="one history, by its number")
    asked = parser.parse_args(arguments)
    seed = Random().randrange(1 << 32) if asked.seed is None else asked.seed  # noqa: S311 - no secret
    logging.disable(logging.WARNING)  # each widened column says so
    sys.stdout.write(f"{asked.tables} tables, {asked.histories} histories, seed {seed}\n")
    sys.stdout.flush()
    endings = run_tables(asked.tables, seed, asked.only)
    told = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    sys.stdout.write(f"{told}; {time.process_time():.0f} s of CPU\n")
    histories = 0 if asked.only is not None else asked.histories
    exports = run_histories(histories, seed)
    sys.stdout.write(
        f"{histories} histories of {exports} exports; {time.process_time():.0f} s of CPU\n"
    )
    sys.stdout.write(f"{endings.total() + histories} passed, 0 failed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
