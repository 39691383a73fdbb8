"""What botocore raises, made by hand, and the faults that every AWS service can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from tests.faults.chaos import Fault

__all__ = ["client_error", "service_faults"]

_URL = "https://aws.example"


def client_error(code: str, status: int, operation: str, **extra: Any) -> ClientError:  # noqa: ANN401 - botocore's
    """Return a service's refusal as botocore raises it."""
    response: Any = {
        "Error": {"Code": code, "Message": f"{code} in {operation}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **extra,
    }
    return ClientError(response, operation)


def _refusal(name: str, code: str, status: int) -> Fault:
    return Fault(name, 0, lambda: client_error(code, status, "Call"), "aws")


def service_faults(*, throttle: str = "ThrottlingException", status: int = 400) -> Sequence[Fault]:
    """Return what can go wrong with any call of a service; botocore's own retries are over."""
    return (
        Fault(
            "aws lost: no connection",
            0,
            lambda: EndpointConnectionError(endpoint_url=_URL),
            "aws",
        ),
        Fault(
            "aws lost: connect timeout", 0, lambda: ConnectTimeoutError(endpoint_url=_URL), "aws"
        ),
        Fault(
            "aws done, answer lost: timeout", 1, lambda: ReadTimeoutError(endpoint_url=_URL), "aws"
        ),
        Fault(
            "aws done, answer lost: reset",
            1,
            lambda: ConnectionClosedError(endpoint_url=_URL),
            "aws",
        ),
        Fault("aws done, repeated by botocore", 2, None, "aws"),
        _refusal("aws 500", "InternalError", 500),
        _refusal("aws 503", "ServiceUnavailable" if throttle != "SlowDown" else "SlowDown", 503),
        _refusal("aws throttled", throttle, status),
    )
