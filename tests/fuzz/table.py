"""A DynamoDB table in memory: items, conditions and updates, as far as the archiver writes them.

The expressions are read by their grammar (DynamoDB Developer Guide, "Condition and filter
expressions", "Update expressions"), so that a new statement needs nothing new here. What is not
read raises AssertionError: it must not pass for a condition that holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.fuzz.limits import check_call, refusal

__all__ = ["FakeDynamoDb"]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+-]|[#:]?\w+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CLAUSES = {"SET", "ADD", "REMOVE"}


@dataclass
class FakeDynamoDb:
    """Stands behind the client of any table; all items have `id` as their key."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    meta: Any = None

    def get_item(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Return an item."""
        check_call("dynamodb", "GetItem", asked)
        item = self.items.get(asked["Key"]["id"]["S"])
        return {} if item is None else {"Item": dict(item)}

    def batch_get_item(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Return items, by table."""
        check_call("dynamodb", "BatchGetItem", asked)
        found = {
            name: [self.items[key["id"]["S"]] for key in of["Keys"] if key["id"]["S"] in self.items]
            for name, of in asked["RequestItems"].items()
        }
        return {"Responses": found, "UnprocessedKeys": {}}

    def put_item(self, **statement: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Write an item."""
        check_call("dynamodb", "PutItem", statement)
        return self._write_one("PutItem", {"Put": statement})

    def update_item(self, **statement: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Change an item."""
        check_call("dynamodb", "UpdateItem", statement)
        return self._write_one("UpdateItem", {"Update": statement})

    def delete_item(self, **statement: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Remove an item."""
        check_call("dynamodb", "DeleteItem", statement)
        return self._write_one("DeleteItem", {"Delete": statement})

    def _write_one(self, operation: str, write: Mapping[str, Any]) -> dict[str, Any]:
        (statement,) = write.values()
        if not self._holds(statement):
            item = self.items.get(_id_of(statement))
            raise refusal(operation, "ConditionalCheckFailedException", Item=item)
        before = self.items.get(_id_of(statement))
        self._apply(write)
        told = statement.get("ReturnValues") == "ALL_OLD" and before is not None
        return {"Attributes": before} if told else {}

    def _holds(self, statement: Mapping[str, Any]) -> bool:
        text = statement.get("ConditionExpression")
        item = self.items.get(_id_of(statement), {})
        return text is None or _Expression(text, statement, item).condition()

    def _apply(self, write: Mapping[str, Any]) -> None:
        ((kind, statement),) = write.items()
        key = _id_of(statement)
        if kind == "Put":
            self.items[key] = dict(statement["Item"])
        elif kind == "Delete":
            self.items.pop(key, None)
        elif kind == "Update":
            item = dict(self.items.get(key, {"id": {"S": key}}))
            _Expression(statement["UpdateExpression"], statement, item).update()
            self.items[key] = item
        else:
            assert kind == "ConditionCheck", kind


def _id_of(statement: Mapping[str, Any]) -> str:
    return str((statement.get("Key") or statement["Item"])["id"]["S"])


class _Expression:
    """Reads one expression from left to right, over one item."""

    def __init__(self, text: str, statement: Mapping[str, Any], item: dict[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)
        assert "".join(self._tokens) == "".join(text.split()), f"cannot read {text!r}"
        self._names = statement.get("ExpressionAttributeNames", {})
        self._values = statement.get("ExpressionAttributeValues", {})
        self._item = item

    def condition(self) -> bool:
        """Return whether the whole holds."""
        holds = self._either()
        assert not self._tokens, self._tokens
        return holds

    def update(self) -> None:
        """Change the item."""
        clause = ""
        while self._tokens:
            if self._tokens[0] in _CLAUSES:
                clause = self._next()
            self._change(clause)
            if self._tokens and self._tokens[0] == ",":
                self._next()

    def _change(self, clause: str) -> None:
        name = self._name()
        if clause == "REMOVE":
            self._item.pop(name, None)
        elif clause == "ADD":
            before = Decimal(self._item.get(name, {"N": "0"})["N"])
            self._item[name] = {"N": str(before + Decimal(self._operand()["N"]))}
        else:
            assert clause == "SET", clause
            assert self._next() == "="
            value = self._operand()
            assert value is not None
            self._item[name] = value

    def _either(self) -> bool:
        holds = self._both()
        while self._tokens and self._tokens[0] == "OR":
            self._next()
            holds = self._both() or holds
        return holds

    def _both(self) -> bool:
        holds = self._single()
        while self._tokens and self._tokens[0] == "AND":
            self._next()
            holds = self._single() and holds
        return holds

    def _single(self) -> bool:
        token = self._tokens[0]
        if token == "NOT":
            self._next()
            return not self._single()
        if token == "(":
            self._next()
            holds = self._either()
            assert self._next() == ")"
            return holds
        if token in {"attribute_exists", "attribute_not_exists"}:
            self._next()
            assert self._next() == "("
            there = self._name() in self._item
            assert self._next() == ")"
            return there is (token == "attribute_exists")
        one, compare, other = self._operand(), self._next(), self._operand()
        if one is None or other is None:
            return compare == "<>"
        return _COMPARE[compare](_plain(one), _plain(other))

    def _operand(self) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
        if self._tokens[0] == "if_not_exists":
            self._next()
            assert self._next() == "("
            there = self._item.get(self._name())
            assert self._next() == ","
            other = self._operand()
            assert self._next() == ")"
            return other if there is None else there
        if self._tokens[0].startswith(":"):
            return self._values[self._next()]
        return self._item.get(self._name())

    def _name(self) -> str:
        token = self._next()
        return str(self._names[token]) if token.startswith("#") else token

    def _next(self) -> str:
        return str(self._tokens.pop(0))


def _plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
    ((kind, inner),) = value.items()
    return Decimal(inner) if kind == "N" else inner
