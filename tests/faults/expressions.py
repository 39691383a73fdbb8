"""DynamoDB's expressions, as far as we and Powertools send them; an unknown one fails loudly.

Values are DynamoDB's own: `{"S": "text"}`. Documents: Amazon DynamoDB Developer Guide, "Condition
and filter expressions", "Update expressions", "Reserved words".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from tests.faults.chaos import Violation

__all__ = ["ExpressionError", "Names", "condition_holds", "updated"]

Item = Mapping[str, Any]
_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+-]|[#:]?[A-Za-z_][A-Za-z0-9_]*)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class ExpressionError(Violation):
    """An expression that DynamoDB would refuse, or that this evaluator does not know."""


@cache
def _reserved() -> frozenset[str]:
    text = files("moto").joinpath("dynamodb/parsing/reserved_keywords.txt").read_text()
    return frozenset(text.split())


@cache
def _tokens(expression: str) -> tuple[str, ...]:
    tokens, position = [], 0
    while position < len(expression.rstrip()):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ExpressionError(f"cannot read {expression[position:]!r}")
        tokens.append(match[1])
        position = match.end()
    return tuple(tokens)


@dataclass
class Names:
    """The names and values of one statement; DynamoDB refuses those that nothing uses."""

    names: Mapping[str, str]
    values: Mapping[str, Any]
    used: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, statement: Mapping[str, Any]) -> Names:
        """Read them from a statement."""
        return cls(
            statement.get("ExpressionAttributeNames") or {},
            statement.get("ExpressionAttributeValues") or {},
        )

    def name(self, token: str) -> str:
        """Return the attribute that a token names."""
        if token.startswith("#"):
            self.used.add(token)
            return self.names[token]
        if token.upper() in _reserved():
            raise ExpressionError(f"{token!r} is a reserved word")
        return token

    def value(self, token: str) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
        """Return the value that a token stands for."""
        self.used.add(token)
        return self.values[token]

    def check(self) -> None:
        """Raise where something is not used."""
        unused = ({*self.names} | {*self.values}) - self.used
        if unused:
            raise ExpressionError(f"not used in any expression: {sorted(unused)}")


@dataclass
class _Reader:
    """Reads one expression from its left to its right, evaluating on the way."""

    tokens: tuple[str, ...]
    names: Names
    item: Item
    position: int = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise ExpressionError(f"expected {expected!r}, found {token!r} in {self.tokens}")
        self.position += 1
        return token

    def accepts(self, word: str) -> bool:
        if self.peek().upper() == word:
            self.position += 1
            return True
        return False

    # --- conditions ---

    def either(self) -> bool:
        holds = self.both()
        while self.accepts("OR"):
            holds = self.both() or holds
        return holds

    def both(self) -> bool:
        holds = self.single()
        while self.accepts("AND"):
            holds = self.single() and holds
        return holds

    def single(self) -> bool:
        if self.accepts("NOT"):
            return not self.single()
        if self.accepts("("):
            holds = self.either()
            self.take(")")
            return holds
        if self.peek() in {"attribute_not_exists", "attribute_exists"}:
            wanted = self.take() == "attribute_exists"
            self.take("(")
            name = self.names.name(self.take())
            self.take(")")
            return (name in self.item) == wanted
        return self.comparison()

    def comparison(self) -> bool:
        left = self.operand()
        compare = _COMPARISONS.get(self.take())
        if compare is None:
            raise ExpressionError(f"unknown comparison in {self.tokens}")
        right = self.operand()
        if left is None or right is None:
            # What is not there equals nothing, and differs from everything.
            return compare is _COMPARISONS["<>"]
        if [*left] != [*right]:
            return compare is _COMPARISONS["<>"]
        return compare(_plain(left), _plain(right))

    def operand(self) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
        token = self.take()
        if token == "if_not_exists":
            return self._if_not_exists()
        if token.startswith(":"):
            return self.names.value(token)
        return self.item.get(self.names.name(token))

    def _if_not_exists(self) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
        self.take("(")
        name = self.names.name(self.take())
        self.take(",")
        otherwise = self.operand()
        self.take(")")
        return self.item.get(name, otherwise)

    # --- updates ---

    def update(self) -> dict[str, Any]:
        after = dict(self.item)
        while self.peek():
            clause = self.take().upper()
            act = {"SET": self._set, "REMOVE": self._remove, "ADD": self._add}.get(clause)
            if act is None:
                raise ExpressionError(f"unknown clause {clause!r}")
            act(after)
            while self.accepts(","):
                act(after)
        return after

    def _set(self, after: dict[str, Any]) -> None:
        name = self.names.name(self.take())
        self.take("=")
        value = self.operand()
        while self.peek() in {"+", "-"}:
            sign = 1 if self.take() == "+" else -1
            value = {"N": str(Decimal(value["N"]) + sign * Decimal(self.operand()["N"]))}
        if value is None:
            raise ExpressionError(f"{name} is set to an attribute that is not there")
        after[name] = value

    def _remove(self, after: dict[str, Any]) -> None:
        after.pop(self.names.name(self.take()), None)

    def _add(self, after: dict[str, Any]) -> None:
        name = self.names.name(self.take())
        value = self.names.value(self.take())
        before = self.item.get(name, {"N": "0"})
        after[name] = {"N": str(Decimal(before["N"]) + Decimal(value["N"]))}


def condition_holds(expression: str | None, names: Names, item: Item | None) -> bool:
    """Tell whether a condition holds for an item (None: there is none)."""
    if expression is None:
        return True
    reader = _Reader(_tokens(expression), names, item or {})
    holds = reader.either()
    if reader.peek():
        raise ExpressionError(f"cannot read on at {reader.peek()!r} in {expression!r}")
    return holds


def updated(expression: str, names: Names, item: Item) -> dict[str, Any]:
    """Return what an update makes of an item."""
    return _Reader(_tokens(expression), names, item).update()


def _plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of whichever type it is
    ((kind, inner),) = value.items()
    if kind == "N":
        return Decimal(inner)
    if kind in {"S", "BOOL"}:
        return inner
    raise ExpressionError(f"cannot compare values of type {kind}")
