"""What people can see of a run: log lines, metrics and trace steps. No secret may be given to it.

Powertools' Tracer depends on the X-Ray SDK, whose end may be in February 2027: this module is the
only one that knows of it (docs/decisions). With tracing off the SDK is not even imported.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

    from archiver.receipt import Receipt

__all__ = [
    "SERVICE",
    "Counters",
    "Gauges",
    "NoSteps",
    "OrderGauges",
    "Steps",
    "TraceSteps",
    "make_logger",
    "make_metrics",
    "make_tracer",
]

NAMESPACE = "ApartmentIqArchiver"
SERVICE = "apartmentiq-archiver"
# CloudWatch knows a metric by namespace, name and dimensions, in the whole account and region: what
# belongs to a stack must say so.
_STACK = "stack"
# What all jobs wait for until a person mends it is told as a state, 1 or 0: CloudWatch then needs
# to know no reason and no schedule to tell when it begins and when it is over.
_STATES = {
    "credentials_missing": "CredentialsRefused",
    "credentials_rejected": "CredentialsRefused",
    "quota_exceeded": "QuotaExceeded",
}
# CloudWatch adds nothing up over a dimension; of these an alarm needs the sum.
_SUMMED = frozenset({"Failed", "CallbackFailed"})
# These write links, headers, bodies or records into their debug lines, and so must never speak at
# that level, whatever LogLevel the stack is given and whatever POWERTOOLS_DEBUG asks for.
_TALKATIVE = (
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "awscrt",
    "boto3",
    "botocore",
    "s3transfer",
    "urllib3",
)


class Steps(Protocol):
    """A place to note the steps of a run, for a trace."""

    def step(self, name: str) -> Any:  # noqa: ANN401 - a context manager whose value nobody uses
        """Open a step that ends with the `with` block."""

    def annotate(self, name: str, value: str) -> None:
        """Attach a value that traces can be searched by."""

    def note(self, name: str, value: object) -> None:
        """Attach a value to read."""


class NoSteps:
    """Steps for when nobody traces."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:  # noqa: ARG002 - the interface's
        """Do nothing around the block."""
        yield

    def annotate(self, name: str, value: str) -> None:
        """Forget it."""

    def note(self, name: str, value: object) -> None:
        """Forget it."""


class TraceSteps:
    """Steps as X-Ray subsegments."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Open a subsegment; the SDK does not see urllib3 2.x by itself.

        In the main thread only: the SDK keeps the open segment by thread, and a worker that asks
        for a fresh link has none.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with self._tracer.provider.in_subsegment(name=f"## {name}"):
            yield

    def annotate(self, name: str, value: str) -> None:
        """Attach an annotation to the open subsegment."""
        self._tracer.put_annotation(name, value)

    def note(self, name: str, value: object) -> None:
        """Attach metadata to the open subsegment."""
        self._tracer.put_metadata(name, value)


class _Metrics:
    """Metrics of one stack, all under the dimension `stack`."""

    def __init__(self, metrics: Metrics, stack: str) -> None:
        self._metrics = metrics
        self._stack = stack
        if metrics.default_dimensions.get(_STACK) != stack:  # told again, it would warn
            metrics.set_default_dimensions(**{_STACK: stack})

    def _single(self, name: str, value: int, dimension: str, of: str) -> None:
        """Tell a number under one more dimension; it goes out at once."""
        with single_metric(name, MetricUnit.Count, value, namespace=NAMESPACE) as metric:
            metric.service = ""  # see make_metrics
            metric.add_dimension(_STACK, self._stack)
            metric.add_dimension(dimension, of)

    def _tell_trouble(self, reason: str) -> None:
        if state := _STATES.get(reason):
            self._metrics.add_metric(state, MetricUnit.Count, 1)

    def _tell_no_trouble(self) -> None:
        """Tell that the vendor took credentials and request: what was told as a state is over."""
        for state in sorted(set(_STATES.values())):
            self._metrics.add_metric(state, MetricUnit.Count, 0)


class Counters(_Metrics):
    """The settled metrics; those with a reason go out at once, one by one."""

    def archived(self, receipt: Receipt) -> None:
        """Count one archived export: its bytes, its seconds, its age, and its way of copying."""
        add = self._metrics.add_metric
        add("Archived", MetricUnit.Count, 1)
        add("ArchivedBytes", MetricUnit.Bytes, receipt.size_bytes)
        add("ArchiveSeconds", MetricUnit.Seconds, receipt.duration_seconds)
        if receipt.seconds_since_completion is not None:
            seconds = receipt.seconds_since_completion
            add("CompletionToArchiveSeconds", MetricUnit.Seconds, seconds)
        server_side = receipt.copy_method == "server_side"
        add("ServerSideCopies" if server_side else "StreamingCopies", MetricUnit.Count, 1)
        self._tell_no_trouble()

    def count(self, name: str) -> None:
        """Count something that needs no reason."""
        self._metrics.add_metric(name, MetricUnit.Count, 1)

    def count_reason(self, name: str, reason: str) -> None:
        """Count an outcome under the dimension `reason`, and beside it where an alarm needs it."""
        self._single(name, 1, "reason", reason)
        if name in _SUMMED:
            self._metrics.add_metric(name, MetricUnit.Count, 1)
        self._tell_trouble(reason)


class Gauges(_Metrics):
    """What a sweep saw of the vendor's list and of ours."""

    def count(self, name: str, value: int) -> None:
        """Tell a number of things."""
        self._metrics.add_metric(name, MetricUnit.Count, value)
        if name == "SweepsFinished":
            self._tell_held_up(0)
            self._tell_no_trouble()

    def seconds(self, name: str, value: float) -> None:
        """Tell a duration."""
        self._metrics.add_metric(name, MetricUnit.Seconds, value)

    def count_by(self, name: str, dimension: str, numbers: Mapping[str, int]) -> None:
        """Tell numbers of things under the values of one dimension."""
        for value, number in numbers.items():
            self._single(name, number, dimension, value)
            if name == "SweepsUnfinished":
                self._tell_held_up(0 if value in _STATES else 1)
                self._tell_trouble(value)

    def _tell_held_up(self, value: int) -> None:
        """Tell whether a sweep was kept from its end by what has no alarm of its own."""
        self._metrics.add_metric("SweepsHeldUp", MetricUnit.Count, value)


class OrderGauges(_Metrics):
    """What orders have and lack."""

    def missing(self, windows: int, oldest_seconds: float) -> None:
        """Tell what has no export."""
        self._metrics.add_metric("MissingWindows", MetricUnit.Count, windows)
        self._metrics.add_metric("OldestMissingWindowSeconds", MetricUnit.Seconds, oldest_seconds)

    def held_up(self, *, is_held_up: bool) -> None:
        """Tell whether orders wait for a person, or a window for too long."""
        self._metrics.add_metric("OrdersHeldUp", MetricUnit.Count, int(is_held_up))

    def quota(self, *, is_used_up: bool) -> None:
        """Tell whether the vendor takes orders: the state that archiving tells, too."""
        self._metrics.add_metric(_STATES["quota_exceeded"], MetricUnit.Count, int(is_used_up))


def make_metrics() -> Metrics:
    """Return a function's metrics; the dimension `stack` is given once the settings are read."""
    metrics = Metrics(namespace=NAMESPACE)
    # Powertools takes POWERTOOLS_SERVICE_NAME for a dimension, whose metrics no alarm would find
    # (metrics/provider/cloudwatch_emf/cloudwatch.py, serialize_metric_set, version 3.37).
    metrics.service = None
    return metrics


def make_logger() -> Logger:
    """Return the function's logger and silence those that would write secrets."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # An invocation that only deferred has counted that already, with its reason.
    warnings.filterwarnings("ignore", message="No application metrics to publish")
    return Logger(service=SERVICE)


def make_tracer() -> Tracer:
    """Return a tracer; imported only where Lambda traces, for that costs 100 to 230 ms of CPU."""
    from aws_lambda_powertools import Tracer  # noqa: PLC0415 - see above

    return Tracer(service=SERVICE, auto_patch=False)
