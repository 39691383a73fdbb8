"""One attempt at a time for one job, and none after it has succeeded: Powertools' idempotency.

The key is the job id and not the message's, because callback, schedule and queue carry the same
job. Powertools stores whatever is *returned* as completed and deletes its record when something is
*raised*: so everything but an archived export must be raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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

from archiver.errors import Deferral, Failure

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Once"]

_PREFIX = "archive"  # settled: another function or alias must meet the same records
_SECONDS_PER_DAY = 86_400


class Once:
    """Runs a function once per key, for as many days as the records are kept."""

    def __init__(self, client: DynamoDBClient, table_name: str, *, expiry_days: int) -> None:
        self._store = DynamoDBPersistenceLayer(table_name=table_name, boto3_client=client)
        self._config = IdempotencyConfig(
            expires_after_seconds=expiry_days * _SECONDS_PER_DAY, hash_function="sha256"
        )

    def register(self, context: LambdaContext) -> None:
        """Tell Powertools when this invocation ends: a crashed attempt must not block its job."""
        self._config.register_lambda_context(context)

    def run(self, key: str, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the function's result: of this run, or of the one that is remembered.

        Raises Deferral("in_progress_elsewhere") while another attempt holds the key, and
        Failure("aws_error") when the records cannot be read or written.
        """

        def guarded(*, key: str) -> dict[str, Any]:  # noqa: ARG001 - Powertools takes it by name
            return function()

        run_once = idempotent_function(
            guarded,
            data_keyword_argument="key",
            persistence_store=self._store,
            config=self._config,
            key_prefix=_PREFIX,
        )
        try:
            result: dict[str, Any] = run_once(key=key)
        except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
            raise Deferral(
                "in_progress_elsewhere", "Another run is archiving this job right now."
            ) from error
        except IdempotencyPersistenceLayerError as error:
            raise Failure(
                "aws_error", "The idempotency record could not be read or written."
            ) from error
        return result
