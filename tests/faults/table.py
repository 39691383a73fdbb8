"""DynamoDB, one table, in memory. Conditions and updates are evaluated, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from tests.faults.aws_calls import call_aws, client_error, service_faults
from tests.faults.chaos import Chaos, Run
from tests.faults.expressions import Names, condition_holds, updated
from tests.faults.fleet import Invocation

__all__ = ["Table"]

Item = dict[str, Any]
_FAULTS = service_faults("dynamodb")


class Table:
    """A client's methods, and the items behind them."""

    def __init__(self, chaos: Chaos, name: str) -> None:
        self.items: dict[str, Item] = {}
        self.meta = SimpleNamespace(
            region_name="us-east-1", events=SimpleNamespace(register=lambda *_: None)
        )
        self.on_change: Callable[[Item, Item], None] = lambda *_: None
        self._attempts: dict[str, Run | None] = {}  # whose the newest attempt at a job is
        self._chaos = chaos
        self._name = name

    # --- what the function calls ---

    def get_item(self, **statement: Any) -> Item:  # noqa: ANN401 - boto3's own
        """Read one item."""
        return self._call("GetItem", lambda: self._get(statement))

    def batch_get_item(self, **statement: Any) -> Item:  # noqa: ANN401 - boto3's own
        """Read several items; like DynamoDB, it may leave some of them for later."""
        run = self._chaos.run()
        if run is not None:
            run.looked_at = self._chaos.scheduler.now
        answer = self._call("BatchGetItem", lambda: self._batch_get(statement))
        for item in answer["Responses"][self._name]:
            if run is not None and item["id"] == {"S": "throttle#vendor"}:
                run.closed_until = max(run.closed_until, float(item["until"]["N"]))
        return answer

    def put_item(self, **statement: Any) -> Item:  # noqa: ANN401 - boto3's own
        """Write one item."""
        return self._call("PutItem", lambda: self._write("Put", statement))

    def update_item(self, **statement: Any) -> Item:  # noqa: ANN401 - boto3's own
        """Change one item."""
        return self._call("UpdateItem", lambda: self._write("Update", statement))

    def delete_item(self, **statement: Any) -> Item:  # noqa: ANN401 - boto3's own
        """Delete one item."""
        return self._call("DeleteItem", lambda: self._write("Delete", statement))

    # --- what it does ---

    def _call(self, name: str, act: Any) -> Item:  # noqa: ANN401 - a closure over a statement
        answer: Item = call_aws(self._chaos, f"dynamodb {name}", act, _FAULTS)
        return answer

    def _get(self, statement: Mapping[str, Any]) -> Item:
        self._of_this_table(statement)
        if statement.get("ConsistentRead") is not True:
            raise self._chaos.violate("an item was read without ConsistentRead")
        item = self.items.get(_id(statement["Key"]))
        return {} if item is None else {"Item": dict(item)}

    def _batch_get(self, statement: Mapping[str, Any]) -> Item:
        ((name, wanted),) = statement["RequestItems"].items()
        self._of_this_table({"TableName": name})
        # A sweep may read what is a second old; here it reads what is there.
        if wanted.get("ConsistentRead") is not True and isinstance(self._chaos.run(), Invocation):
            raise self._chaos.violate("items were read without ConsistentRead")
        keys = list(wanted["Keys"])
        later: list[Any] = []
        if len(keys) > 1 and self._chaos.draws(0.5):
            self._chaos.count("aws", "batch get left keys unprocessed")
            later = [keys.pop(self._chaos.random.randrange(len(keys)))]
        found = [dict(self.items[_id(key)]) for key in keys if _id(key) in self.items]
        unprocessed = {name: {**wanted, "Keys": later}} if later else {}
        return {"Responses": {name: found}, "UnprocessedKeys": unprocessed}

    def _write(self, kind: str, statement: dict[str, Any]) -> Item:
        self._of_this_table(statement)
        key = _id(statement["Item"] if kind == "Put" else statement["Key"])
        before, names = self.items.get(key), Names.of(statement)
        holds = condition_holds(statement.get("ConditionExpression"), names, before)
        after: Item | None = None
        if kind == "Put":
            after = dict(statement["Item"])
        elif kind == "Update":
            after = {
                **updated(statement["UpdateExpression"], names, before or {}),
                "id": {"S": key},
            }
        names.check()
        if not holds:
            wanted = statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            standing = {"Item": dict(before)} if wanted and before is not None else {}
            raise client_error("ConditionalCheckFailedException", 400, kind, **standing)
        if after is None:
            self.items.pop(key, None)
        else:
            self._watch(key, before or {}, after)
            self.items[key] = after
        told = statement.get("ReturnValues") == "ALL_OLD" and before is not None
        return {"Attributes": dict(before or {})} if told else {}

    def _watch(self, key: str, before: Item, after: Item) -> None:
        """Let nobody write an upload down but the run that made the newest attempt."""
        self.on_change(before, after)
        run = self._chaos.run()
        if before.get("attempts") != after.get("attempts"):
            self._attempts[key] = run
        elif after.get("upload_id", before.get("upload_id")) != before.get("upload_id") and (
            self._attempts[key] is not run
        ):
            raise self._chaos.violate(f"a run that was overtaken wrote its upload into {key}")

    def _of_this_table(self, statement: Mapping[str, Any]) -> None:
        if statement["TableName"] != self._name:
            raise self._chaos.violate(f"another table: {statement['TableName']}")


def _id(key: Mapping[str, Any]) -> str:
    return str(key["id"]["S"])
