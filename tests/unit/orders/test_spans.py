"""Sets of numbers as runs, held to Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.spans import Spans

NUMBERS = st.sets(st.integers(-30, 60))


@given(NUMBERS, NUMBERS)
def test_runs_answer_as_sets_do(some: set[int], others: set[int]) -> None:
    """Union, difference, membership, count and order are those of the numbers."""
    ours, theirs = Spans.of(some), Spans.of(others)
    assert set((ours | theirs).oldest_first()) == some | others
    assert set((ours - theirs).oldest_first()) == some - others
    assert list(ours.newest_first()) == sorted(some, reverse=True)
    assert len(ours) == len(some)
    assert {number for number in range(-31, 62) if number in ours} == some


@given(NUMBERS, NUMBERS)
def test_a_set_has_one_form(some: set[int], others: set[int]) -> None:
    """However it came about, equal sets are equal runs, apart and ascending, also through text."""
    either = Spans.of(some) - Spans.of(others)
    assert either == Spans.of(some - others)
    gaps = zip(either.runs, either.runs[1:], strict=False)
    assert all(last + 1 < first for (_, last), (first, _) in gaps)
    positive = Spans.of(number + 100 for number in some)
    assert Spans.from_text(positive.to_text()) == positive


def test_a_run_backwards_is_none_of_ours() -> None:
    """Text that nobody here wrote is refused, not guessed at."""
    with pytest.raises(ValueError, match="back"):
        Spans.from_text("5-3")
