"""A little of `make fuzz` within `make test`, and that a run is what it says it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from tests.fuzz.__main__ import TARGETS, main
from tests.fuzz.runner import run_target, share_out
from tests.fuzz.target import Target

_SMOKE_CASES = 1_000
_SEED = 4  # any; a fixed one, so that `make test` does the same each time


@pytest.mark.parametrize(
    ("target", "cases"),
    share_out(TARGETS, _SMOKE_CASES),
    ids=[target.name for target in TARGETS],
)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_no_bad_input_breaks_a_promise(target: Target, cases: int) -> None:
    """What the world may send, drawn at random, has one of six outcomes, and shows no secret."""
    run = run_target(target, cases, _SEED)
    if run.broken is not None:
        pytest.fail(f"{run.broken.error!r}\n{run.broken.example}")
    assert run.passed >= cases
    assert len(run.endings) >= 2, "every case ends the same way: it proves little"


def test_a_seed_draws_the_same_cases_again() -> None:
    """Else a broken promise could not be reproduced."""
    drawn: list[list[int]] = []
    for seed in (7, 7, 8):
        cases: list[int] = []
        run_target(Target("numbers", 1, st.integers(), _noting(cases)), 50, seed)
        drawn.append(cases)
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def _noting(cases: list[int]) -> Callable[[int], str]:
    def check(case: int) -> str:
        cases.append(case)
        return "noted"

    return check


def test_a_small_target_is_drawn_again_until_its_cases_are_through() -> None:
    """Drawing stops when all has been seen; the count that is printed must be true."""
    assert run_target(Target("coin", 1, st.booleans(), str), 50, 1).passed == 50


def test_the_last_line_is_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """CI and people read the counts and the seed from what is printed."""
    assert main(["--cases", "300", "--seed", "9", "--target", "records"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "seed 9" in lines[0]
    assert lines[-1].endswith(" passed, 0 failed")
