"""How boto3 calls a service: three tries, their pauses and time-outs; and what can go wrong.

As archiver/aws/sending.py sends: each try waits for no longer than the invocation has left, what
breaks off is botocore's HTTPClientError and tried again, and no time at all is deadline.TimeIsUp,
which is not. The pauses are those of botocore's standard mode (retries/standard.py,
ExponentialBackoff): a random part of 1 s, then of 2 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from botocore.exceptions import ClientError, HTTPClientError

from archiver.network.deadline import TimeIsUp
from tests.faults.chaos import Chaos, Fault, Line, silences

__all__ = ["REFUSALS", "call_aws", "client_error", "service_faults"]

_T = TypeVar("_T")

_TRIES = 3
# How each service says that it is out of order, and that it is asked too much: code and status.
# Codes are of botocore's models of the operations that we call, or of these documents: Amazon
# DynamoDB Developer Guide, "Error handling"; "Common Errors" of the API References of Amazon SQS,
# EventBridge and Secrets Manager; Amazon S3 API Reference, "Error responses".
_OUT = ("ServiceUnavailable", 503)
REFUSALS: Mapping[str, tuple[tuple[str, int], tuple[str, int], tuple[str, int]]] = {
    "dynamodb": (
        ("InternalServerError", 500),
        _OUT,
        ("ProvisionedThroughputExceededException", 400),
    ),
    "sqs": (("InternalFailure", 500), _OUT, ("RequestThrottled", 403)),
    "events": (("InternalException", 500), _OUT, ("ThrottlingException", 400)),
    "secretsmanager": (("InternalServiceError", 500), _OUT, ("ThrottlingException", 400)),
    "s3": (("InternalError", 500), ("SlowDown", 503), ("SlowDown", 503)),
}


def client_error(code: str, status: int, operation: str, **extra: Any) -> ClientError:  # noqa: ANN401 - botocore's
    """Return a service's refusal as botocore raises it."""
    response: Any = {
        "Error": {"Code": code, "Message": f"{code} in {operation}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **extra,
    }
    return ClientError(response, operation)


def service_faults(service: str) -> Sequence[Fault]:
    """Return what can go wrong with any call of a service, at each of its tries."""
    internal, unavailable, throttled = REFUSALS[service]

    def fault(name: str, effect: int, error: Callable[[], Exception]) -> Fault:
        return Fault(name, effect, error, "aws", retried=True)

    def refusal(name: str, code: str, status: int) -> Fault:
        return fault(name, 0, lambda: client_error(code, status, "Call"))

    return (
        fault("aws lost: no connection", 0, lambda: ConnectionRefusedError("refused")),
        fault("aws done, answer lost: reset", 1, lambda: ConnectionResetError("reset")),
        refusal("aws 500", *internal),
        refusal("aws 503", *unavailable),
        refusal("aws throttled", *throttled),
        *silences("aws", "aws", retried=True),
    )


def call_aws(
    chaos: Chaos,
    name: str,
    act: Callable[[], _T],
    faults: Sequence[Fault],
    *,
    weight: float = 1.0,
    locked: bool = True,
) -> _T:
    """Carry out a call; `locked`: a worker may hold its lock over it.

    Its time-outs are those that the application gave its client. Raises what boto3 raises: the
    service's ClientError, HTTPClientError, deadline.TimeIsUp.
    """
    try:
        answer = _tried(chaos, name, act, faults, weight=weight, locked=locked)
    except Exception as error:
        chaos.hear(name, error)
        raise
    chaos.hear(name, answer)
    return answer


def _tried(
    chaos: Chaos,
    name: str,
    act: Callable[[], _T],
    faults: Sequence[Fault],
    *,
    weight: float,
    locked: bool,
) -> _T:
    side = name.partition(" ")[0]
    chaos.check()
    drawn = chaos.pick(side, "aws", faults, weight)
    meeting = chaos.meeting()
    with chaos.alone() if locked else nullcontext():
        for number in range(1, _TRIES + 1):
            fault = drawn if number <= meeting else chaos.pick(side, "aws", ())
            try:
                return _try(chaos, name, act, fault)
            except HTTPClientError:
                if number == _TRIES:
                    raise
            except ClientError:
                if number == _TRIES or fault is None or not fault.retried:
                    raise
            chaos.rest(chaos.random.random() * 2 ** (number - 1))
    raise AssertionError  # the loop returns or raises


def _try(chaos: Chaos, name: str, act: Callable[[], _T], fault: Fault | None) -> _T:
    config = chaos.configs[name.partition(" ")[0]]
    connects = fault is not None and fault.connects
    whole = float(config.connect_timeout if connects else config.read_timeout)
    patience = chaos.clip(whole)
    try:
        answer = chaos.exchange(name, act, fault, Line(chaos), patience)
    except OSError as error:
        if isinstance(error, TimeoutError) and patience < whole:
            raise TimeIsUp("The time that was left brought no answer.") from error
        raise HTTPClientError(error=type(error).__name__) from error
    chaos.clip(0.0)  # what is heard after the end is not believed
    return answer
