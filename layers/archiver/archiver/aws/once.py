"""One attempt at a time for one job, and none after it has succeeded: Powertools' idempotency.

The key is the job id and not the message's, because callback, schedule and queue bring the same
job. Powertools stores whatever is *returned* as completed and frees the job when something is
*raised*: so everything but an archived export must be raised.

Powertools' record lives in the job's own item (states.py), by the extension point that Powertools
documents for it: "in progress" is the claim, "completed" the receipt. So the two cannot contradict
each other. Records have no expiry: the item has the lease, and a receipt is valid for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
    IdempotencyPersistenceLayerError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from archiver import states
from archiver.aws.moves import Refused, Table
from archiver.claim import Claim
from archiver.errors import Deferral, Failure, Interruption
from archiver.receipt import Receipt, iso_utc

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Once"]

_PREFIX = "archive"  # of Powertools' key, which nothing of ours reads
_BUG = Failure("bug", "The run raised what it should not have; see the function's log.")


class Once:
    """Runs one attempt at a time.

    A claim is a lease of `lease_seconds`, which `extend` renews: a run that is killed frees its job
    that soon, and not only when its time would have been up. Powertools is told nothing of it.
    """

    def __init__(self, client: DynamoDBClient, table_name: str, *, lease_seconds: float) -> None:
        self._records = _JobRecords(client, table_name, timedelta(seconds=lease_seconds))
        # SHA-256: a company's Python may have no MD5, which is Powertools' default.
        self._config = IdempotencyConfig(hash_function="sha256")

    def register(self, context: LambdaContext) -> None:
        """Tell Powertools when this invocation ends: no claim holds for longer."""
        self._config.register_lambda_context(context)

    def extend(self) -> None:
        """Hold the claim for another lease, if one is held; raises Failure("aws_error")."""
        self._records.extend()

    def held(self) -> bool:
        """Tell whether the claim is still ours, as far as the last `extend` knows."""
        return not self._records.lost

    def run(self, claim: Claim, attempt: Callable[[], Receipt]) -> Receipt:
        """Return the attempt's receipt, or the one that the job has already.

        Raises Deferral("in_progress_elsewhere") while another attempt holds the job or has taken it
        over, and Failure("aws_error") when the item cannot be read or written.
        """
        records = self._records

        def guarded(*, job_id: str) -> dict[str, Any]:  # noqa: ARG001 - Powertools takes it by name
            try:
                records.receipt = attempt()
            except Interruption as why:
                records.why = why
                raise
            return records.receipt.to_fields()

        run_once = idempotent_function(
            guarded,
            data_keyword_argument="job_id",
            persistence_store=records,
            config=self._config,
            key_prefix=_PREFIX,
        )
        records.begin(claim)
        try:
            return Receipt.from_fields(run_once(job_id=claim.job_id))
        except IdempotencyAlreadyInProgressError as error:
            raise _elsewhere() from error
        except IdempotencyPersistenceLayerError as error:
            if isinstance(error.__cause__, Refused):
                raise _elsewhere() from error
            if not isinstance(error.__cause__, Failure):
                raise
            # Claim or receipt may be written or not: the retry need not wait for the lease's end.
            records.why = error.__cause__
            records.free()
            raise error.__cause__ from error


def _elsewhere() -> Deferral:
    return Deferral("in_progress_elsewhere", "Another run is archiving this job right now.")


class _JobRecords(BasePersistenceLayer):
    """Keeps Powertools' record of one claim at a time in the job's item.

    Powertools gives it a hashed key and no reason: both come beside it, by `begin` and `why`. The
    heartbeat is another thread; it reads `_held` once, and writes `lost` alone.
    """

    def __init__(self, client: DynamoDBClient, table_name: str, lease: timedelta) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Powertools leaves it untyped
        self._table, self._lease = Table(client, table_name), lease
        self._claim: Claim | None = None
        self._held: Claim | None = None
        self.receipt: Receipt | None = None
        self.why: Interruption = _BUG
        self.lost = False

    def begin(self, claim: Claim) -> None:
        """Forget the last attempt."""
        self._claim, self._held = claim, None
        self.receipt, self.why, self.lost = None, _BUG, False

    def extend(self) -> None:
        """Hold the job for another lease; one that is not ours any more is lost."""
        claim = self._held
        if claim is None:
            return
        until = iso_utc(_now() + self._lease)
        extended = self._table.is_made(states.extend(claim, until), "Extending a claim")
        # Unless it was completed or freed by us in the meantime.
        if not extended and self._held is claim:
            self.lost, self._held = True, None

    def free(self) -> None:
        """Let another run take the job; best effort, for without it the lease runs out."""
        assert self._claim is not None  # noqa: S101 - for the type checker: `begin` sets it
        self._held = None
        with suppress(Failure):  # nor must it take the place of why the run ended
            self._table.is_made(states.release(self._claim, self.why, _now()), "Freeing a job")

    def _put_record(self, data_record: DataRecord) -> None:
        assert self._claim is not None  # noqa: S101 - likewise
        ends_ms = data_record.in_progress_expiry_timestamp or 0  # the invocation
        until = min(datetime.fromtimestamp(ends_ms / 1000, UTC), _now() + self._lease)
        try:
            self._table.make(states.claim(self._claim, iso_utc(until)), "Claiming a job")
        except Refused as refused:
            known = _record(data_record.idempotency_key, refused.item)
            raise IdempotencyItemAlreadyExistsError(old_data_record=known) from refused
        self._held = self._claim

    def _update_record(self, data_record: DataRecord) -> None:  # noqa: ARG002 - Powertools' own
        assert self._claim is not None  # noqa: S101 - likewise
        assert self.receipt is not None  # noqa: S101 - likewise
        self._held = None  # nothing to extend any more
        self._table.make(states.complete(self._claim, self.receipt), "Storing a receipt")

    def _delete_record(self, data_record: DataRecord) -> None:  # noqa: ARG002 - Powertools' own
        self.free()

    def _get_record(self, idempotency_key: str) -> DataRecord:
        """Tell that there is none: a claim that is refused brings what stands in its way."""
        raise IdempotencyItemNotFoundError(idempotency_key)


def _record(key: str, item: Mapping[str, Any]) -> DataRecord:
    """Return what refused a claim in Powertools' words: a receipt, or that somebody is at work.

    Without any time, so that Powertools judges by none.
    """
    if item.get("state") == "archived":
        told = json.dumps(Receipt.from_fields(item).to_fields())
        return DataRecord(key, status="COMPLETED", response_data=told)
    return DataRecord(key, status="INPROGRESS")


def _now() -> datetime:
    return datetime.now(UTC)  # of the clock that Powertools reads
