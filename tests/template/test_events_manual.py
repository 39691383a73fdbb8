"""docs/events.md can be followed: its templates do what it says (linters: tests/architecture).

The blocks are taken out of the manual itself. The function in them runs here against moto's
DynamoDB; what the state machine says to Athena is evaluated, because moto plays no such task.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from jsonata import Jsonata
from moto import mock_aws
from moto.events.models import EventPattern
from samtranslator.yaml_helper import yaml_parse

from cli.athena_ddl import FORMATS, REPORT_TYPES, Lake, add_partition
from local.loader import EXAMPLE
from tests.template.resolved import REPOSITORY

MANUAL = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
QUEUE, FUNCTION, STATE_MACHINE = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
TEMPLATES = {"queue": QUEUE, "function": FUNCTION, "state machine": STATE_MACHINE}
SAMPLES = REPOSITORY / "events" / "emitted"


def sample(name: str = "export-archived", **job: str) -> dict[str, Any]:
    """Return an emitted sample, its job changed."""
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    if job:
        event["detail"]["job"].update(job)
    return event


def pattern_of(template: str) -> dict[str, Any]:
    """Return the pattern of the only rule in a template."""
    parsed = yaml_parse(template)["Resources"].values()
    (pattern,) = [
        properties["EventPattern"] if "EventPattern" in properties else properties["Pattern"]
        for resource in parsed
        for properties in (
            resource["Properties"],
            resource["Properties"].get("Events", {}).get("Archived", {}).get("Properties", {}),
        )
        if "EventPattern" in properties or "Pattern" in properties
    ]
    return dict(pattern)


def is_taken(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Ask moto's EventBridge whether a rule takes an event."""
    return bool(EventPattern.load(json.dumps(pattern)).matches_event(event))  # type: ignore[arg-type]  # moto's own dict


def evaluate(text: str, event: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Evaluate a field of a state machine as Step Functions does."""
    match = re.fullmatch(r"\{%(.*)%\}", text, re.DOTALL)
    assert match is not None
    expression = Jsonata(match[1])
    frame = expression.create_frame()
    frame.bind("states", {"input": event})
    return expression.evaluate(None, frame)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Play AWS in this process."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_rule_takes_archived_exports_in_the_version_that_it_knows(name: str) -> None:
    """And neither the other events, nor what comes in, nor a version to come."""
    pattern = pattern_of(TEMPLATES[name])
    assert is_taken(pattern, sample())
    assert not is_taken(pattern, sample("export-rejected"))
    assert not is_taken(pattern, sample("export-failed-at-vendor"))
    assert not is_taken(pattern, {**sample(), "source": "apartmentiq"})
    newer = sample()
    newer["detail"]["schema_version"] = "2"
    assert not is_taken(pattern, newer)


def test_the_queue_of_the_manual_is_the_one_of_the_example() -> None:
    """What people read and what the demo deploys cannot drift apart."""
    assert (EXAMPLE / "subscription.yaml").read_text(encoding="utf-8") == QUEUE


@pytest.mark.usefixtures("aws")
def test_the_function_runs_once_for_an_event_that_comes_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also under another envelope; another version of the object is another event."""
    resources = yaml_parse(FUNCTION)["Resources"]
    boto3.client("dynamodb").create_table(
        TableName="seen",
        **{
            key: value
            for key, value in resources["Seen"]["Properties"].items()
            if key in {"AttributeDefinitions", "KeySchema", "BillingMode"}
        },
    )
    monkeypatch.setenv("TABLE_NAME", "seen")
    code: dict[str, Any] = {}
    exec(resources["OnArchived"]["Properties"]["InlineCode"], code)  # noqa: S102 - the manual's own
    handler = resources["OnArchived"]["Properties"]["Handler"].partition(".")[2]
    again, other = {**sample(), "id": "another", "replay-name": "x"}, sample()
    other["detail"]["object"]["version_id"] = None
    for event in (sample(), again, other, other):
        code[handler](event, _Context())
    stored = sample()["detail"]["object"]
    assert capsys.readouterr().out == f"s3://{stored['bucket']}/{stored['key']}\n" * 2


class _Context:
    """What Powertools asks of Lambda."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return a minute."""
        return 60_000


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("report_type", REPORT_TYPES)
def test_the_state_machine_registers_the_exports_partition(
    report_type: str, output_format: str
) -> None:
    """Athena gets, word for word, what `local/athena_ddl.py` writes for the event's dates."""
    event = sample(report_type=report_type, output_format=output_format, end_date="unknown")
    assert is_taken(pattern_of(STATE_MACHINE), event)
    machine = yaml_parse(STATE_MACHINE)["Resources"]["RegisterPartition"]["Properties"]
    assert machine["Definition"]["QueryLanguage"] == "JSONata"
    told = machine["Definition"]["States"]["AddPartition"]["Arguments"]
    dates = {name: event["detail"]["job"][name] for name in ("start_date", "end_date")}
    expected = add_partition(Lake("b"), report_type, output_format, **dates)
    assert evaluate(told["QueryString"], event) == expected
    assert told["QueryExecutionContext"] == {"Database": {"Ref": "Database"}}


@pytest.mark.parametrize(
    "job", [{"report_type": "leases"}, {"output_format": "unknown"}, {"report_type": "units'"}]
)
def test_the_state_machine_leaves_types_without_a_table_alone(job: dict[str, str]) -> None:
    """What is put into a statement is one of the known words, or a date of ours."""
    assert not is_taken(pattern_of(STATE_MACHINE), sample(**job))
