"""The small evaluator decides as IAM's documentation says, and refuses what it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.iam import ALLOWED, DENIED, NOT_ALLOWED, Request, decide

PUT = Request("s3:PutObject", "arn:aws:s3:::b/a/k", {"aws:PrincipalArn": "arn:aws:iam::1:role/r"})


def allow(**elements: Any) -> dict[str, Any]:  # noqa: ANN401 - a policy's JSON
    """Return a statement that allows everything, but for elements."""
    return {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", **elements}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, ALLOWED),
        ({"Action": "s3:Put*"}, ALLOWED),
        ({"Action": ["s3:GetObject", "S3:putobject"]}, ALLOWED),
        ({"Action": "s3:GetObject"}, NOT_ALLOWED),
        ({"Resource": "arn:aws:s3:::b/*"}, ALLOWED),
        ({"Resource": "arn:aws:s3:::b/?/k"}, ALLOWED),
        ({"Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/c/*"]}, NOT_ALLOWED),
        ({"Principal": {"AWS": "arn:aws:iam::1:role/r"}}, ALLOWED),
        ({"Principal": {"AWS": ["arn:aws:iam::1:role/other"]}}, NOT_ALLOWED),
        ({"Principal": {"Service": "events.amazonaws.com"}}, NOT_ALLOWED),
    ],
)
def test_principals_actions_and_resources_match_as_in_iam(
    elements: dict[str, Any], expected: str
) -> None:
    """Actions without regard to case, resources with it; wildcards cross slashes."""
    assert decide([allow(**elements)], PUT) == expected


@pytest.mark.parametrize(
    ("operator", "expected", "value", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", None, False),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", "a", None, True),
        ("StringLikeIfExists", "a*", "abc", True),
        ("StringLikeIfExists", "a*", "xabc", False),
        ("StringLikeIfExists", "a*", None, True),
        ("ArnEquals", "arn:*", "arn:aws", True),
        ("ArnNotEquals", "arn:x", None, True),
        ("ArnNotEquals", "arn:x", "arn:x", False),
        ("Bool", "true", "true", True),
        ("Bool", "true", "false", False),
        ("Bool", "false", None, False),
        ("Null", "true", None, True),
        ("Null", "true", "*", False),
        ("Null", "false", "*", True),
    ],
)
def test_condition_operators_hold_as_in_iam(
    operator: str, expected: str | list[str], value: str | None, *, holds: bool
) -> None:
    """With the key there, and with a request that has none."""
    request = Request("a:B", "r", {} if value is None else {"x:Key": value})
    statement = allow(Condition={operator: {"x:key": expected}})
    assert decide([statement], request) == (ALLOWED if holds else NOT_ALLOWED)


def test_a_deny_wins() -> None:
    """Whatever else allows."""
    assert decide([allow(), allow(Effect="Deny"), allow()], PUT) == DENIED
    assert decide([], PUT) == NOT_ALLOWED


@pytest.mark.parametrize(
    "elements",
    [
        {"NotAction": "x"},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "2026"}}},
        {"Principal": {"Federated": "x"}},
    ],
)
def test_what_is_not_known_is_not_judged(elements: dict[str, Any]) -> None:
    """A policy that says more than this reads must not pass."""
    with pytest.raises(LookupError, match="does not know"):
        decide([allow(**elements)], PUT)
