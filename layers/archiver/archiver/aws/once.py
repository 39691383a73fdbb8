"""One attempt at a time for one job, and none after it has succeeded: Powertools' idempotency.

The key is the job id and not the message's, because callback, schedule and queue carry the same
job. Powertools stores whatever is *returned* as completed and deletes its record when something is
*raised*: so everything but an archived export must be raised.

Powertools' record and the job's own item change together, in one transaction each: the claim with
the key, the completion with the receipt. So neither can say what the other does not know, and a job
costs two writes instead of four.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
)
from botocore.exceptions import ClientError

from archiver.aws.job_table import claim_update, receipt_update
from archiver.aws.translate import code_of
from archiver.claim import Claim
from archiver.errors import Deferral, Failure
from archiver.receipt import Receipt

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Once"]

_PREFIX = "archive"  # settled: another function or alias must meet the same records
_SECONDS_PER_DAY = 86_400


class Once:
    """Runs an attempt once per request, for as many days as the records are kept."""

    def __init__(self, client: DynamoDBClient, table_name: str, *, expiry_days: int) -> None:
        self._transactions = _Transactions(client, table_name)
        self._store = DynamoDBPersistenceLayer(
            table_name=table_name, boto3_client=cast("DynamoDBClient", self._transactions)
        )
        self._config = IdempotencyConfig(
            expires_after_seconds=expiry_days * _SECONDS_PER_DAY, hash_function="sha256"
        )

    def register(self, context: LambdaContext) -> None:
        """Tell Powertools when this invocation ends: a crashed attempt must not block its job."""
        self._config.register_lambda_context(context)

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
        self._transactions.claim, self._transactions.receipt = claim, None
        try:
            return Receipt.from_fields(run_once(request=claim.request))
        except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
            raise Deferral(
                "in_progress_elsewhere", "Another run is archiving this job right now."
            ) from error
        except IdempotencyPersistenceLayerError as error:
            self._let_go(claim)
            raise Failure(
                "aws_error", "The idempotency record could not be read or written."
            ) from error

    def _let_go(self, claim: Claim) -> None:
        """Free the job after an archived export whose receipt could not be stored.

        Else the retry would wait until this invocation's time is up. Powertools frees it only when
        the attempt itself raises. Should the receipt be there after all, the job's item says so.
        """
        if self._transactions.receipt is not None:
            with suppress(Exception):  # best effort: without it the retry only comes later
                self._store.delete_record(cast("dict[str, Any]", claim.request), Exception())


class _Transactions:
    """Stands in for the client of Powertools' layer, and takes the job's item along.

    Powertools' statements pass through as they are, conditions and attributes its own; a put (the
    claim) and an update (the completion) become half of a transaction.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.meta = client.meta  # Powertools notes its name in the user agent through it
        self.get_item = client.get_item
        self.delete_item = client.delete_item
        self.claim: Claim | None = None
        self.receipt: Receipt | None = None
        self._client = client
        self._table_name = table_name

    def put_item(self, **statement: Any) -> object:  # noqa: ANN401 - boto3's own
        """Begin: Powertools' record and the job's key."""
        assert self.claim is not None  # noqa: S101 - for the type checker: `run` sets it
        update = claim_update(self._table_name, self.claim)
        return self._write({"Put": statement}, {"Update": update})

    def update_item(self, **statement: Any) -> object:  # noqa: ANN401 - boto3's own
        """Complete: Powertools' record and the receipt."""
        assert self.receipt is not None  # noqa: S101 - for the type checker: `run` sets it
        update = receipt_update(self._table_name, self.receipt)
        return self._write({"Update": statement}, {"Update": update})

    def _write(self, powertools: Any, ours: Any) -> object:  # noqa: ANN401 - boto3's own
        try:
            return self._client.transact_write_items(TransactItems=[powertools, ours])
        except ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            raise _as_condition(error) from error


def _as_condition(error: ClientError) -> ClientError:
    """Say in the words of a single write, which Powertools understands, that a condition failed.

    With the record that stands in the way where that is what failed. Else somebody is changing the
    job's item right now: without a record Powertools looks again, and gives up as "in progress".
    """
    reasons: Any = error.response.get("CancellationReasons") or [{}]
    standing_in_the_way = reasons[0].get("Item")
    answer: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "see the cause"}}
    if standing_in_the_way:
        answer["Item"] = standing_in_the_way
    return ClientError(answer, "TransactWriteItems")
