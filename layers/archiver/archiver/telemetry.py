"""What people can see of a run: log lines, metrics and trace steps. No secret may be given to it.

Powertools' Tracer stands on the X-Ray SDK, whose end may be in February 2027: this module is the
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
    "Steps",
    "TraceSteps",
    "make_logger",
    "make_tracer",
]

NAMESPACE = "ApartmentIqArchiver"
SERVICE = "apartmentiq-archiver"
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


class Counters:
    """The settled metrics (vocabulary); those with a reason go out at once, one by one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

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

    def count(self, name: str) -> None:
        """Count something that needs no reason."""
        self._metrics.add_metric(name, MetricUnit.Count, 1)

    def count_reason(self, name: str, reason: str) -> None:
        """Count an outcome under the dimension `reason`."""
        with single_metric(name, MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
            metric.add_dimension("service", SERVICE)
            metric.add_dimension("reason", reason)


class Gauges:
    """What a sweep saw of the vendor's list and of ours."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def count(self, name: str, value: int) -> None:
        """Tell a number of things."""
        self._metrics.add_metric(name, MetricUnit.Count, value)

    def seconds(self, name: str, value: float) -> None:
        """Tell a duration."""
        self._metrics.add_metric(name, MetricUnit.Seconds, value)

    def count_by(self, name: str, dimension: str, numbers: Mapping[str, int]) -> None:
        """Tell numbers of things under the values of one dimension."""
        for value, number in numbers.items():
            with single_metric(name, MetricUnit.Count, number, namespace=NAMESPACE) as metric:
                metric.add_dimension("service", SERVICE)
                metric.add_dimension(dimension, value)


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
