"""A change set in 80 columns: everything is named, and lost data is shouted."""

from __future__ import annotations

from typing import Any

from cli.changes import WIDTH, loses_data, tell_changes, tell_parameters
from tests.template.resolved import Stack


def change(action: str, name: str, kind: str = "AWS::SQS::Queue", **more: object) -> dict[str, Any]:
    """Return one ResourceChange as describe_change_set has it."""
    return {"Action": action, "LogicalResourceId": name, "ResourceType": kind, **more}


def touching(*names: str) -> list[dict[str, Any]]:
    """Return the Details of properties that change."""
    return [{"Target": {"Attribute": "Properties", "Name": name}} for name in names]


def test_a_first_deploy_names_every_resource_in_80_columns() -> None:
    """By type; nothing is cut off."""
    stack = Stack(EventArchiveDays="7", AlarmEmail="a@example.com")
    resources = {name: str(item["Type"]) for name, item in stack.resources.items()}
    told = list(tell_changes([change("Add", name, kind) for name, kind in resources.items()]))
    assert max(map(len, told)) <= WIDTH
    words = set(" ".join(told).split())
    assert resources.keys() <= words
    assert {kind.removeprefix("AWS::") for kind in resources.values()} <= words


def test_a_change_names_properties_and_replacement() -> None:
    """One line each, in the order of names."""
    told = list(
        tell_changes(
            [
                change("Modify", "Zeta", "AWS::Lambda::Function", Details=touching("Code")),
                change(
                    "Modify",
                    "Alpha",
                    "AWS::Events::Rule",
                    Replacement="True",
                    Details=touching("Name", "State"),
                ),
                change("Modify", "Beta", "AWS::Events::Rule", Replacement="Conditional"),
                change("Remove", "Gone", "AWS::CloudWatch::Alarm"),
            ]
        )
    )
    assert told == [
        "  ~ Alpha  Events::Rule: REPLACED, by Name, State",
        "  ~ Beta   Events::Rule: perhaps REPLACED, by changed",
        "  - Gone   CloudWatch::Alarm: leaves the stack",
        "  ~ Zeta   Lambda::Function: Code",
    ]


def test_data_that_is_replaced_or_leaves_is_shouted() -> None:
    """With where it stays, or that it is deleted; what holds none is not."""
    changes = [
        change(
            "Modify",
            "ArchiveTable",
            "AWS::DynamoDB::Table",
            Replacement="True",
            PolicyAction="ReplaceAndRetain",
            PhysicalResourceId="table-1",
        ),
        change("Remove", "ArchiveQueue", PolicyAction="Delete", PhysicalResourceId="https://q"),
        change("Modify", "ArchiveBucket", "AWS::S3::Bucket", Replacement="False"),
        change("Modify", "Rule", "AWS::Events::Rule", Replacement="True"),
    ]
    assert [item["LogicalResourceId"] for item in loses_data(changes)] == [
        "ArchiveTable",
        "ArchiveQueue",
    ]
    shouted = " ".join(" ".join(tell_changes(changes)).split())
    assert "!! ArchiveTable IS REPLACED: table-1 stays in the account" in shouted
    assert "!! ArchiveQueue LEAVES THE STACK: https://q is deleted, with what is in it." in shouted


def test_every_resource_that_the_template_retains_is_known_to_hold_data() -> None:
    """What the template itself will not lose is shouted when it goes."""
    resources = Stack(EventArchiveDays="7").resources
    kept = [
        change("Remove", name, str(item["Type"]))
        for name, item in resources.items()
        if "Retain" in str(item.get("DeletionPolicy", ""))
    ]
    assert kept
    assert loses_data(kept) == kept


def test_only_parameters_that_change_are_told() -> None:
    """With both values; empty says so, and long ones wrap."""
    before = {"KeyPrefix": "", "MemorySize": "512", "Gone": "1", "Same": "x"}
    after = {"KeyPrefix": "a/", "MemorySize": "192", "New": "", "Same": "x"}
    assert list(tell_parameters(before, after)) == [
        "  Gone: gone (was 1)",
        "  KeyPrefix: empty -> a/",
        "  MemorySize: 512 -> 192",
        "  New: empty (new)",
    ]
    long = list(tell_parameters({"Key": "x" * 70}, {"Key": "y" * 70}))
    assert max(map(len, long)) <= WIDTH
