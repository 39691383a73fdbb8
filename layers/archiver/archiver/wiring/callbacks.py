"""The builder of receive_callback's clients, beside archiving.py, which builds archive_export's.

A module of its own, because a callback is answered by a function that starts cold more often than
not: it must not import what only the archiver needs (no S3, no checksums, no TLS context).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.config import Config

from archiver.aws.callback_secret import CallbackSecret
from archiver.aws.queue import Queue
from archiver.callbacks.reception import CallbackReception, Counts
from archiver.callbacks.token import CallbackTokens
from archiver.log import Log
from archiver.wiring.clients import Clients
from archiver.wiring.settings import CallbackSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

    from archiver.network.outside import Outside

__all__ = ["build_callback_reception"]

# The vendor waits for the answer, nobody knows how long: two short tries, then 503.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=2
)


def build_callback_reception(
    settings: CallbackSettings, *, log: Log, counts: Counts, outside: Outside | None = None
) -> CallbackReception:
    """Build everything, without a request. `outside` is for simulations; Lambda passes none."""
    client = outside.client if outside else Clients()
    secrets: SecretsManagerClient = client("secretsmanager", _CONFIG)
    sqs: SQSClient = client("sqs", _CONFIG)
    secret = CallbackSecret(secrets, settings.token_secret_arn)
    tokens = CallbackTokens(secret.read, outside.now if outside else lambda: datetime.now(UTC))
    return CallbackReception(
        knows_token=tokens.knows,
        send_batch=Queue(sqs, settings.queue_url).send_batch,
        counts=counts,
        log=log,
    )
