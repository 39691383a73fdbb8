"""Whoever adds a reason, a field, a parameter, an alarm or a command is told what is missing.

CONTRIBUTING.md lists the places; here, in seconds and without a cloud, is what one forgets of them.
Names are settled once they are released (commit 9a2b77d): what came later is in the changelog.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from samtranslator.yaml_helper import yaml_parse

from archiver.archiving import delivery
from archiver.errors import Deferral, EndedAtVendor, Failure, OutageReason, Rejection
from archiver.receipt import Receipt
from cli.app import app
from cli.dashboard import lines_of, read_widgets
from tests.schemas import RELEASED_FIELDS
from tests.template.resolved import REPOSITORY, read_template

REASONS = {
    "Deferred": Deferral.reasons,
    "EndedAtVendor": EndedAtVendor.reasons,
    "Rejected": Rejection.reasons,
    "Failed": Failure.reasons,
}
RELEASED_REASONS = {
    *("not_finished", "rate_limited", "in_progress_elsewhere", "out_of_time"),
    *("credentials_missing", "credentials_rejected", "job_failed", "job_cancelled"),
    *("malformed_message", "no_such_job", "forbidden", "quota_exceeded", "untrusted_link"),
    *("object_conflict", "waited_too_long", "network", "vendor_error", "aws_error", "bug"),
}
EVENTS = ("export-archived", "export-superseded", "export-rejected", "export-failed-at-vendor")


def written(name: str) -> str:
    """Return a file of the project."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


def described(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each property of a schema and of the objects in it, with its own schema."""
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
        yield from described(inner)


def names_in(detail: dict[str, Any]) -> Iterator[str]:
    """Yield each field of an event's detail, those of the objects in it too."""
    for name, value in detail.items():
        yield name
        if isinstance(value, dict):
            yield from names_in(value)


def flat(detail: dict[str, Any]) -> dict[str, Any]:
    """Return a detail's fields without the objects that they stand in."""
    inner = [value for value in detail.values() if isinstance(value, dict)]
    return {k: v for fields in (detail, *inner) for k, v in fields.items()}


@pytest.mark.parametrize("reason", sorted({r for reasons in REASONS.values() for r in reasons}))
def test_a_reason_stands_in_the_manual(reason: str) -> None:
    """In a table row of docs/operations.md, with what it means and what to do."""
    rows = [line for line in written("docs/operations.md").splitlines() if line.startswith("| ")]
    if reason in EndedAtVendor.reasons:
        return  # its event says it, and there is nothing to do here
    assert any(f"`{reason}`" in row for row in rows), (
        f"no row of docs/operations.md is about {reason}"
    )


def test_a_reason_has_its_line_on_the_dashboard() -> None:
    """In docs/dashboard.json, under its outcome's metric, and none is made up."""
    shown: dict[str, set[str]] = {name: set() for name in REASONS}
    for widget in read_widgets(written("docs/dashboard.json")):
        for line in lines_of(widget):
            if "reason" in dict(line.dimensions):
                shown[line.name].add(dict(line.dimensions)["reason"])
    for metric, reasons in REASONS.items():
        assert shown[metric] == set(reasons), f"docs/dashboard.json: the lines of {metric}"


def test_a_reason_to_wait_says_how_long() -> None:
    """In archiving/delivery.py; an outage's wait is the fleet's (outage.py)."""
    waits = delivery._FIRST_WAIT_SECONDS.keys()
    missing = set(Deferral.reasons) - set(get_args(OutageReason)) - waits
    assert not missing, "archiving/delivery.py, _FIRST_WAIT_SECONDS"


@pytest.mark.parametrize("event", EVENTS)
def test_a_field_of_an_event_is_described_and_in_the_sample(event: str) -> None:
    """In events/schemas, which is its documentation, and in events/emitted."""
    schema = json.loads(written(f"events/schemas/{event}.schema.json"))
    fields = dict(described(schema))
    sample = json.loads(written(f"events/emitted/{event}.json"))["detail"]
    assert fields.keys() == set(names_in(sample)), "events/schemas and events/emitted differ"
    bare = [name for name, inner in fields.items() if not inner.keys() & {"description", "const"}]
    assert not bare, "events/schemas: without a description"


def test_a_field_of_a_receipt_is_emitted_as_the_sample_has_it() -> None:
    """`Receipt.event_detail` of the sample's own values is the sample."""
    sample = json.loads(written("events/emitted/export-archived.json"))["detail"]
    emitted = Receipt.from_fields(flat(sample)).event_detail()
    assert emitted == sample, "receipt.py and events/emitted/export-archived.json differ"


def test_an_alarm_stands_in_the_manual() -> None:
    """In docs/operations.md, "When an alarm rings", by its name."""
    manual = written("docs/operations.md")
    missing = [name for name in alarms(read_template()) if f"`{name}`" not in manual]
    assert not missing, "docs/operations.md"


def alarms(template: dict[str, Any]) -> set[str]:
    """Return the names of a template's alarms."""
    return {
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def test_what_was_added_since_the_release_is_in_the_changelog() -> None:
    """By its own name: people search for that when they upgrade."""
    released = yaml_parse(written("tests/data/released/template.yaml"))
    template = read_template()
    fields = {
        name
        for event in EVENTS
        for name, _ in described(json.loads(written(f"events/schemas/{event}.schema.json")))
    }
    added = {
        *({reason for reasons in REASONS.values() for reason in reasons} - RELEASED_REASONS),
        *(fields - RELEASED_FIELDS),
        *(template["Parameters"].keys() - released["Parameters"].keys()),
        *(alarms(template) - alarms(released)),
        *(str(command.name) for command in app.registered_commands if command.name),
    }
    told = set(re.findall(r"[A-Za-z][\w-]*", written("CHANGELOG.md")))
    assert not added - told, "CHANGELOG.md does not name what was added"
