"""The simulated DynamoDB refuses what DynamoDB refuses, and guesses at nothing it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.expressions import ExpressionError, Names, condition_holds, updated

ITEM: dict[str, Any] = {"id": {"S": "a"}, "attempts": {"N": "2"}, "status": {"S": "INPROGRESS"}}


def names(**values: Any) -> Names:  # noqa: ANN401 - DynamoDB's own nested type
    """Return names and values as a statement has them."""
    return Names({"#s": "status"}, {f":{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("attribute_not_exists(absent)", True),
        ("attribute_exists(absent) OR attempts = :two", True),
        ("attempts < :two", False),
        ("NOT attempts < :two AND #s = :word", True),
        ("(attempts > :two OR #s <> :word) AND attribute_exists(id)", False),
        ("absent < :two", False),
        ("absent <> :two", True),
        ("attempts = :word", False),
    ],
)
def test_conditions_mean_what_they_mean_in_dynamodb(condition: str, holds: bool) -> None:  # noqa: FBT001 - the table's
    """AND binds before OR; what is not there equals nothing; types are compared, too."""
    values = names(two={"N": "2"}, word={"S": "INPROGRESS"})
    assert condition_holds(condition, values, ITEM) is holds


def test_an_update_sets_adds_and_removes() -> None:
    """Every clause works on the item as it was before."""
    values = names(one={"N": "1"}, later={"S": "x"})
    after = updated(
        "SET copied = attempts, kept = if_not_exists(attempts, :one), made = :later "
        "REMOVE #s ADD attempts :one",
        values,
        ITEM,
    )
    assert after == {
        "id": {"S": "a"},
        "attempts": {"N": "3"},
        "copied": {"N": "2"},
        "kept": {"N": "2"},
        "made": {"S": "x"},
    }


@pytest.mark.parametrize(
    "condition",
    [
        "status = :two",
        "size(attempts) > :two",
        "attempts BETWEEN :two AND :two",
        "attempts =",
        "a.b",
    ],
)
def test_what_it_does_not_know_fails_loudly(condition: str) -> None:
    """A reserved word, a function, an operator, half an expression, a path."""
    with pytest.raises(ExpressionError):
        condition_holds(condition, names(two={"N": "2"}), ITEM)


def test_a_value_that_nothing_uses_is_refused() -> None:
    """DynamoDB answers ValidationException to it."""
    values = names(two={"N": "2"})
    assert condition_holds("attempts = :two", values, ITEM)
    with pytest.raises(ExpressionError, match="#s"):
        values.check()
