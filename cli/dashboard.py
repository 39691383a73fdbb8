"""`archiver dashboard`: put docs/dashboard.json into CloudWatch, under the stack's name.

The file is CloudWatch's own form ("Dashboard Body Structure and Syntax") with `${…}` where names
of a stack belong. Why no resource of the template: docs/decisions.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import boto3

from cli.failure import NO
from cli.stack import read_outputs
from local.metrics import Datum

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BODY_PATH", "Line", "fill_in", "lines_of", "names_of", "put_dashboard", "read_widgets"]

BODY_PATH = Path(__file__).resolve().parents[1] / "docs" / "dashboard.json"
_FUNCTIONS = (
    "ArchiveExportFunctionName",
    "ReceiveCallbackFunctionName",
    "ReconcileExportsFunctionName",
)
_NOT_THERE = "not-deployed"  # of a function that parameters leave out: its lines stay empty


class Line:
    """One line of a widget: which metric, which statistic, which label, which axis."""

    def __init__(self, written: list[Any]) -> None:
        """Read a metric as a dashboard writes it: namespace, name, dimensions, options."""
        *metric, options = written
        self.namespace, self.name, *pairs = metric
        self.dimensions = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
        self.statistic: str = options["stat"]
        self.label: str = options["label"]
        self.axis: str = options.get("yAxis", "left")

    def shows(self, datum: Datum) -> bool:
        """Tell whether a datum is of this line's metric."""
        mine = (self.namespace, self.name, self.dimensions)
        return mine == (datum.namespace, datum.name, datum.dimensions)


def put_dashboard(stack: str) -> int:
    """Put it there and print where; 1 if CloudWatch has anything against it."""
    client = boto3.client("cloudwatch")
    names = names_of(stack, read_outputs(stack).outputs, client.meta.region_name)
    answer = client.put_dashboard(DashboardName=stack, DashboardBody=fill_in(names))
    for message in answer.get("DashboardValidationMessages", []):
        print(f"CloudWatch says: {message}")
    print(f"dashboard {stack} is in CloudWatch, region {client.meta.region_name}")
    return NO if answer.get("DashboardValidationMessages") else 0


def names_of(stack: str, outputs: Mapping[str, str], region: str) -> dict[str, str]:
    """Return what the file leaves open, out of a stack's name and outputs."""
    return {
        "StackName": stack,
        "Region": region,
        "QueueName": outputs["ArchiveQueueUrl"].rpartition("/")[2],
        "DeadLetterQueueName": outputs["DeadLetterQueueUrl"].rpartition("/")[2],
        **{name: outputs.get(name, _NOT_THERE) for name in _FUNCTIONS},
    }


def fill_in(names: Mapping[str, str]) -> str:
    """Return the dashboard of one stack; raises KeyError for a name that is not given."""
    return Template(BODY_PATH.read_text(encoding="utf-8")).substitute(names)


def lines_of(widget: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the lines of one widget."""
    for written in widget["properties"]["metrics"]:
        yield Line(written)


def read_widgets(body: str) -> list[dict[str, Any]]:
    """Return a filled dashboard's widgets."""
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets
