"""One attempt at a time for one job, and none after it has succeeded: Powertools' idempotency.

The key is the job id and not the message's, because callback, schedule and queue carry the same
job. Powertools stores whatever is *returned* as completed and deletes its record when something is
*raised*: so everything but an archived export must be raised.

Powertools' record and the job's own item change together, in one transaction each: the claim with
the key, the completion with the receipt. So neither can say what the other does not know, and a job
costs two writes instead of four.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyItemNotFoundError,
    IdempotencyPersistenceLayerError,
)
from botocore.exceptions import ClientError

from archiver.aws.job_table import claim_update, receipt_update
from archiver.aws.translate import code_of, translated
from archiver.claim import Claim
from archiver.errors import Deferral, Failure
from archiver.receipt import Receipt

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Once"]

_PREFIX = "archive"  # settled: another function or alias must meet the same records
_SECONDS_PER_DAY = 86_400
# Of the reasons for which DynamoDB cancels a transaction, those that another run is the cause of
# (DynamoDB API Reference, TransactionCanceledException): the others are throttling, size, a wrong
# request, and pass or do not pass by themselves.
_ANOTHER_RUN = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


class Once:
    """Runs an attempt once per request, for as many days as the records are kept.

    A claim is a lease of `lease_seconds`, which `extend` renews: a run that is killed frees its job
    that soon, and not only when its time would have been up.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, expiry_days: int, lease_seconds: float
    ) -> None:
        self._transactions = _Transactions(client, table_name)
        self._lease_seconds = lease_seconds
        self._store = DynamoDBPersistenceLayer(
            table_name=table_name, boto3_client=cast("DynamoDBClient", self._transactions)
        )
        self._config = IdempotencyConfig(
            expires_after_seconds=expiry_days * _SECONDS_PER_DAY, hash_function="sha256"
        )
        self._store.configure(self._config, function_name="", key_prefix=_PREFIX)

    def register(self, context: LambdaContext) -> None:
        """Tell Powertools how long a claim holds: a crashed attempt must not block its job."""
        lease = _Lease(context, self._lease_seconds)
        self._config.register_lambda_context(cast("LambdaContext", lease))

    def extend(self) -> None:
        """Hold the claim for another lease, if one is held; raises Failure("aws_error")."""
        with translated("Extending a claim"):
            self._transactions.extend(self._lease_seconds)

    def is_held(self, job_id: str) -> bool:
        """Tell whether any run's claim to a job holds right now."""
        try:
            record = self._store.get_record(data=cast("dict[str, Any]", job_id))
        except IdempotencyItemNotFoundError:
            return False
        if record is None or record.status != "INPROGRESS":
            return False
        return (record.in_progress_expiry_timestamp or 0) > time.time() * 1000

    def held(self) -> bool:
        """Tell whether the claim is still ours, as far as the last `extend` knows."""
        return not self._transactions.lost

    def run(self, claim: Claim, attempt: Callable[[], Receipt]) -> Receipt:
        """Return the attempt's receipt, or the one that is remembered for this request.

        Raises Deferral("in_progress_elsewhere") while another attempt holds the job, and
        Failure("aws_error") when the records cannot be read or written.
        """

        def guarded(*, request: str) -> dict[str, Any]:  # noqa: ARG001 - Powertools takes it by name
            receipt = self._transactions.receipt = attempt()
            return receipt.to_fields()

        run_once = idempotent_function(
            guarded,
            data_keyword_argument="request",
            persistence_store=self._store,
            config=self._config,
            key_prefix=_PREFIX,
        )
        self._transactions.begin(claim)
        try:
            return Receipt.from_fields(run_once(request=claim.request))
        except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
            raise Deferral(
                "in_progress_elsewhere", "Another run is archiving this job right now."
            ) from error
        except IdempotencyPersistenceLayerError as error:
            self._let_go(claim)
            told = "The idempotency record could not be read or written"
            if isinstance(error.__cause__, ClientError):
                told += f": {code_of(error.__cause__)}"
            raise Failure("aws_error", f"{told}.") from error

    def _let_go(self, claim: Claim) -> None:
        """Free the job where its record could not be read or written: the retry need not wait.

        Only a record of ours goes (see `_Transactions`). Should the receipt have been stored after
        all, the job's item says so.
        """
        with suppress(Exception):  # best effort: without it the retry only comes later
            self._store.delete_record(cast("dict[str, Any]", claim.request), Exception())


@dataclass(frozen=True, slots=True)
class _Lease:
    """What Powertools asks of the Lambda context: for how long a claim is to hold."""

    context: LambdaContext
    seconds: float

    def get_remaining_time_in_millis(self) -> int:
        """Return the lease, or what is left of the invocation if that is less."""
        return min(self.context.get_remaining_time_in_millis(), int(self.seconds * 1000))


class _Transactions:
    """Stands in for the client of Powertools' layer, and takes the job's item along.

    Powertools' statements pass through as they are, conditions and attributes its own; a put (the
    claim) and an update (the completion) become half of a transaction. The record names its owner
    beside them, so that a run that was overtaken neither extends nor deletes another's claim.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.meta = client.meta  # Powertools notes its name in the user agent through it
        self.get_item = client.get_item
        self.claim: Claim | None = None
        self.receipt: Receipt | None = None
        self.lost = False
        self._client = client
        self._table_name = table_name
        self._owner = ""
        self._record_key: dict[str, Any] | None = None
        self._lock = threading.Lock()  # the heartbeat is another thread

    def begin(self, claim: Claim) -> None:
        """Forget the last attempt."""
        with self._lock:
            self.claim, self.receipt, self.lost, self._record_key = claim, None, False, None
            self._owner = uuid.uuid4().hex

    def extend(self, seconds: float) -> None:
        """Hold our record for so long from now; one that is not ours any more is lost.

        The lock is not held while the table is asked: the run itself waits for nobody's heartbeat.
        """
        with self._lock:
            record_key, owner = self._record_key, self._owner
        if record_key is None:
            return
        until_ms = int((time.time() + seconds) * 1000)
        try:
            self._client.update_item(
                TableName=self._table_name,
                Key=record_key,
                UpdateExpression="SET in_progress_expiration = :until",
                ConditionExpression="#owner = :owner AND #status = :inprogress",
                ExpressionAttributeNames={"#owner": "owner", "#status": "status"},
                ExpressionAttributeValues={
                    ":until": {"N": str(until_ms)},
                    ":owner": {"S": owner},
                    ":inprogress": {"S": "INPROGRESS"},
                },
            )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            with self._lock:
                # Unless the record was completed, deleted or replaced by us in the meantime.
                if self._record_key is record_key:
                    self.lost, self._record_key = True, None

    def put_item(self, **statement: Any) -> object:  # noqa: ANN401 - boto3's own
        """Begin: Powertools' record and the job's key."""
        assert self.claim is not None  # noqa: S101 - for the type checker: `run` sets it
        statement["Item"] = {**statement["Item"], "owner": {"S": self._owner}}
        update = claim_update(self._table_name, self.claim)
        answer = self._write({"Put": statement}, {"Update": update})
        with self._lock:
            self._record_key = {"id": statement["Item"]["id"]}
        return answer

    def update_item(self, **statement: Any) -> object:  # noqa: ANN401 - boto3's own
        """Complete: Powertools' record and the receipt."""
        assert self.receipt is not None  # noqa: S101 - for the type checker: `run` sets it
        with self._lock:
            self._record_key = None  # nothing to extend any more
        update = receipt_update(self._table_name, self.receipt)
        return self._write({"Update": statement}, {"Update": update})

    def delete_item(self, **statement: Any) -> object:  # noqa: ANN401 - boto3's own
        """Free the job, unless another run has taken it over."""
        with self._lock:
            self._record_key = None
        try:
            return self._client.delete_item(
                **statement,
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":owner": {"S": self._owner}},
            )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return {}

    def _write(self, powertools: Any, ours: Any) -> object:  # noqa: ANN401 - boto3's own
        try:
            return self._client.transact_write_items(TransactItems=[powertools, ours])
        except ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            reasons: list[dict[str, Any]] = error.response.get("CancellationReasons") or []  # type: ignore[assignment] # newer than its types
            if _ANOTHER_RUN.isdisjoint(reason.get("Code") for reason in reasons):
                raise _because(reasons, error) from error
            raise _as_condition(reasons) from error


def _because(reasons: Sequence[Mapping[str, Any]], error: ClientError) -> ClientError:
    """Name what canceled a transaction, such as ThrottlingError: its own code says nothing."""
    codes = {str(reason.get("Code") or "None") for reason in reasons} - {"None"}
    answer: Any = {**error.response, "Error": {"Code": ", ".join(sorted(codes)) or code_of(error)}}
    return ClientError(answer, "TransactWriteItems")


def _as_condition(reasons: Sequence[Mapping[str, Any]]) -> ClientError:
    """Say in the words of a single write, which Powertools understands, that a condition failed.

    With the record that stands in the way where that is what failed. Else somebody is changing the
    job's item right now: without a record Powertools looks again, and gives up as "in progress".
    """
    answer: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "see the cause"}}
    if standing_in_the_way := reasons[0].get("Item"):
        answer["Item"] = standing_in_the_way
    return ClientError(answer, "TransactWriteItems")
