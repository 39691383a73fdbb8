"""A job's own item, `job#<job_id>`, which is the one truth about it (states.py). No TTL.

It fixes a job's key before the first byte is copied, so that no retry and no changed template gives
one job two keys. Beside the jobs lies one item for all of them: until when the vendor must not be
asked, and which jobs have failed since one was archived (outage.py).
Of versions before this one Powertools' records lie in the same table, under `archive#…`: they say
nothing that the items do not say, nobody reads them any more, and the table's TTL removes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from archiver import states
from archiver.aws.moves import Refused, Table, job_item_key, plain
from archiver.aws.translate import translated
from archiver.claim import Checkpoint, Claim, KnownJob
from archiver.errors import Deferral, Failure
from archiver.outage import Trouble
from archiver.receipt import Receipt

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["THROTTLE_KEY", "JobTable"]

_FAILING = "failing#"  # the job's id follows; an attribute each, so that none overwrites another
_MOST_FORGOTTEN = 100  # in one update, whose expression ends at 4 KB; the next one forgets the rest
THROTTLE_KEY: dict[str, AttributeValueTypeDef] = {"id": {"S": "throttle#vendor"}}


class JobTable:
    """Reads the items of jobs, and makes the moves that are not Powertools' (once.py)."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    def read(self, job_id: str) -> KnownJob:
        """Return a job's item and the fleet's throttle, by one consistent read of both."""
        key = job_item_key(job_id)
        with translated("Reading a job's item"):
            answer = self._table.client.batch_get_item(
                RequestItems={
                    self._table.name: {"Keys": [key, THROTTLE_KEY], "ConsistentRead": True}
                }
            )
        # Without the throttle the vendor would be asked too early, without the job copied anew.
        if answer.get("UnprocessedKeys"):
            raise Failure("aws_error", "Reading a job's item: the table is busy.")
        found = {
            item["id"]: item
            for item in map(plain, answer.get("Responses", {}).get(self._table.name, []))
        }
        return _known(found.get(key["id"]["S"], {}), found.get(THROTTLE_KEY["id"]["S"], {}))

    def close_vendor(self, until: float) -> None:
        """Have no run ask the vendor before `until` (seconds since the epoch)."""
        with suppress(Refused):
            self._change(
                "SET #until = :until",
                {":until": round(until, 3)},
                "Writing down the vendor's throttle",
                "attribute_not_exists(#until) OR #until < :until",
                {"#until": "until"},
            )

    # --- outage.Items ---

    def take_turn(self, now: float, until: float) -> bool:
        """Let this run try until then (epoch seconds), unless another does."""
        try:
            self._change(
                "SET turn_until = :until ADD turns :one",
                {":until": round(until, 3), ":now": round(now, 3), ":one": 1},
                "Taking a turn",
                "attribute_not_exists(turn_until) OR turn_until <= :now",
            )
        except Refused:
            return False
        return True

    def end_turn(self, until: float, now: float) -> None:
        """Let the next one try, unless somebody does already."""
        with suppress(Refused):
            self._change(
                "SET turn_until = :now",
                {":until": round(until, 3), ":now": round(now, 3)},
                "Ending a turn",
                "turn_until = :until",
            )

    def extend_turn(self, until: float) -> None:
        """Let no other run try before then (seconds since the epoch)."""
        with suppress(Refused):
            self._change(
                "SET turn_until = :until",
                {":until": round(until, 3)},
                "Extending a turn",
                "attribute_not_exists(turn_until) OR turn_until < :until",
            )

    def add_failure(self, job_id: str, failure: Failure, now: float, known: Trouble) -> None:
        """Add a job that failed.

        In an outage no more are added: there are enough to tell it, and items end at 400 KB.
        """
        names = {"#until": "until"}
        changes = "SET #until = if_not_exists(#until, :zero), failed_by = :by"
        values: dict[str, object] = {":zero": 0, ":by": failure.reason}  # whoever reads it finds it
        if not known.is_outage:
            changes += ", #job = if_not_exists(#job, :now)"
            names["#job"] = f"{_FAILING}{job_id}"
            values[":now"] = round(now, 3)
        self._change(changes, values, "Writing down a failure", names=names)

    def add_success(self, known: Trouble, now: float) -> None:
        """Forget the failures that were known of, and write down that a job was archived since."""
        forgotten = sorted(known.failing)[:_MOST_FORGOTTEN]
        names = {f"#job{n}": f"{_FAILING}{job_id}" for n, job_id in enumerate(forgotten)}
        changes = f"SET archived_at = :now REMOVE turn_until, turns, {', '.join(names)}"
        self._change(changes, {":now": round(now, 3)}, "Writing down a success", names=names)

    def _change(
        self,
        update: str,
        values: Mapping[str, object],
        doing: str,
        condition: str = "",
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._table.change(THROTTLE_KEY, update, values, doing, condition, names)

    # --- jobs ---

    def keep(self, claim: Claim, checkpoint: Checkpoint | None) -> None:
        """Store a checkpoint, or remove it (None); for the owner of the job only.

        One that was overtaken raises Deferral("in_progress_elsewhere"): it must neither have an
        upload that others do not know of, nor abort one that they resume.
        """
        try:
            self._table.make(states.keep(claim, checkpoint), "Writing down an upload")
        except Refused as refused:
            raise Deferral(
                "in_progress_elsewhere", "Another run has taken this job over."
            ) from refused

    def miss(self, receipt: Receipt, at: datetime) -> None:
        """Store that a receipt's object is gone; raises Deferral where there is another receipt."""
        try:
            self._table.make(states.miss(receipt, at), "Writing down that an object is gone")
        except Refused as refused:
            raise Deferral(
                "in_progress_elsewhere", "Another run has archived this job meanwhile."
            ) from refused

    def move(self, move: states.Move) -> bool:
        """Make a move that what is there already may say more than; tells whether it was made."""
        return self._table.is_made(move, "Writing down a job's state")


def _known(item: dict[str, Any], fleet: dict[str, Any]) -> KnownJob:
    archived = item.get("state") == "archived"
    checkpoint, since = None, item.get("failing_since")
    if "upload_id" in item and not archived:
        # Versions before this one wrote fewer of its fields.
        named = (field.name for field in fields(Checkpoint))
        checkpoint = Checkpoint(**{name: item[name] for name in named if name in item})
    return KnownJob(
        key=item.get("key"),
        attempts=item.get("attempts", 0),
        receipt=Receipt.from_fields(item) if archived else None,
        checkpoint=checkpoint,
        vendor_closed_until=float(fleet.get("until", 0)),
        trouble=_trouble(fleet),
        failing_since=datetime.fromisoformat(since) if since else None,
        asked_by=item.get("asked_by"),
    )


def _trouble(fleet: dict[str, Any]) -> Trouble:
    return Trouble(
        failing={
            name.removeprefix(_FAILING): float(since)
            for name, since in fleet.items()
            if name.startswith(_FAILING)
        },
        reason=cast("Any", fleet.get("failed_by", "vendor_error")),
        archived_at=float(fleet.get("archived_at", 0)),
        turn_until=float(fleet.get("turn_until", 0)),
        turns=int(fleet.get("turns", 0)),
    )
