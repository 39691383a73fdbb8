"""IAM's decision on one request, for the conditions that our policies use, and no others.

It follows "Policy evaluation logic" and "IAM JSON policy elements: Condition operators" of the IAM
user guide: an explicit Deny wins; a condition holds when each of its operators holds for each of
its keys; a key that the request does not have fails a positive operator and satisfies a negated one
or one that ends in IfExists. Whatever it does not know, it refuses to judge (LookupError), so that
a policy that is written later cannot pass unread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALLOWED", "DENIED", "NOT_ALLOWED", "Request", "decide", "listed"]

ALLOWED, DENIED, NOT_ALLOWED = "allowed", "denied", "not allowed"
_KNOWN_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what, on what; `keys` are the condition keys that AWS would fill in."""

    action: str
    resource: str
    keys: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None  # the AWS service that calls, where it is one


def decide(statements: Iterable[Mapping[str, Any]], request: Request) -> str:
    """Return ALLOWED, DENIED (explicitly) or NOT_ALLOWED by these statements."""
    effects = {s["Effect"] for s in statements if _applies(s, request)}
    if "Deny" in effects:
        return DENIED
    return ALLOWED if "Allow" in effects else NOT_ALLOWED


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - a policy's one-or-many
    """Return one or many as many."""
    return value if isinstance(value, list) else [value]


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    if unknown := statement.keys() - _KNOWN_ELEMENTS:
        raise LookupError(f"this small evaluator does not know {unknown}")
    return (
        _is_principal(statement.get("Principal"), request)
        and any(_like(a.lower(), request.action.lower()) for a in listed(statement["Action"]))
        and any(_like(r, request.resource) for r in listed(statement["Resource"]))
        and all(
            _holds(operator, key, expected, request.keys)
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
    )


def _is_principal(principal: Any, request: Request) -> bool:  # noqa: ANN401 - a policy's JSON
    # A role's own policy names no principal: it is the role's.
    if principal is None or principal == "*":
        return True
    if set(principal) == {"Service"}:
        return request.service in listed(principal["Service"])
    if set(principal) == {"AWS"}:
        named = listed(principal["AWS"])
        return "*" in named or request.keys.get("aws:PrincipalArn") in named
    raise LookupError(f"this small evaluator does not know the principal {principal}")


def _holds(operator: str, key: str, expected: Any, keys: Mapping[str, str]) -> bool:  # noqa: ANN401 - as above
    actual = {name.lower(): value for name, value in keys.items()}.get(key.lower())
    values = [str(value) for value in listed(expected)]
    if operator == "Null":
        return (actual is None) == (values == ["true"])
    plain = operator.removesuffix("IfExists")
    matches: dict[str, Callable[[str, str], bool]] = {
        "StringEquals": lambda pattern, value: pattern == value,
        "StringNotEquals": lambda pattern, value: pattern == value,
        "StringLike": _like,
        "ArnEquals": _like,  # for ARNs IAM takes Equals and Like for the same
        "ArnLike": _like,
        "ArnNotEquals": _like,
        "Bool": lambda pattern, value: pattern.lower() == value.lower(),
    }
    if plain not in matches:
        raise LookupError(f"this small evaluator does not know {operator}")
    if actual is None:
        return "Not" in plain or plain != operator
    found = any(matches[plain](value, actual) for value in values)
    return not found if "Not" in plain else found


def _like(pattern: str, text: str) -> bool:
    """Match as IAM does: `*` is any number of characters, slashes and colons too; `?` is one."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
