"""The builder of receive_callback's clients, beside wiring.py, which builds archive_export's.

A module of its own, because a callback is answered by a function that starts cold more often than
not: it must not import what only the archiver needs (no S3, no checksums, no TLS context).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from archiver.aws.callback_secret import CallbackSecret
from archiver.aws.queue import Queue
from archiver.callback_reception import CallbackReception, Counts, Log
from archiver.callback_token import CallbackTokens
from archiver.settings import CallbackSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

__all__ = ["build_callback_reception"]

# The vendor waits for the answer, nobody knows how long: two short tries, then 503.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=2
)


def build_callback_reception(
    settings: CallbackSettings, *, log: Log, counts: Counts
) -> CallbackReception:
    """Build everything; nothing is asked yet."""
    session = boto3.session.Session()
    secrets: SecretsManagerClient = session.client("secretsmanager", config=_CONFIG)
    sqs: SQSClient = session.client("sqs", config=_CONFIG)
    tokens = CallbackTokens(CallbackSecret(secrets, settings.token_secret_arn).read, time.monotonic)
    return CallbackReception(
        knows_token=tokens.knows,
        send_batch=Queue(sqs, settings.queue_url).send_batch,
        counts=counts,
        log=log,
    )
