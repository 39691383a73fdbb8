"""boto3's exceptions as those of errors.py: one place, so that no adapter judges by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from archiver.errors import Failure
from archiver.network.deadline import TimeIsUp

__all__ = ["code_of", "kind_of", "status_of", "translated"]


def code_of(error: ClientError) -> str:
    """Return the error's code; S3-compatible servers may send none, then it is the status."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: ClientError) -> int:
    """Return the HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what boto3 raises into Failure("aws_error") that says what was being done.

    The service's own message is left to the cause's traceback: it can quote what was sent.
    """
    try:
        yield
    except ClientError as error:
        raise Failure("aws_error", f"{doing}: {code_of(error)}.") from error
    except (BotoCoreError, TimeIsUp) as error:
        raise Failure("aws_error", f"{doing}: {kind_of(error)}.") from error


def kind_of(error: BotoCoreError | TimeIsUp) -> str:
    """Return what an unanswered call died of: the network's error, where that is the cause."""
    return type(error.__cause__ or error).__name__
