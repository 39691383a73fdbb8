"""docs/deploying.md holds: its key policy, its table of endpoints, its parameters."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.template.resolved import REPOSITORY, Stack, read_template

MANUAL = (REPOSITORY / "docs" / "deploying.md").read_text()
ACCOUNT = "123456789012"
# What each AWS service that a function calls is reached by in a VPC.
LOCK = ("ObjectLockMode", "ObjectLockDays", "ObjectLockConfirmation")
ENDPOINTS = {
    "dynamodb": "gateway",
    "events": "interface",
    "s3": "gateway",
    "secretsmanager": "interface",
    "sqs": "interface",
    "xray": "interface",
}
THROUGH_LAMBDA = {"logs"}  # Lambda writes them itself


def key_policy() -> dict[str, dict[str, Any]]:
    """Return the statements that the manual has for the key, by service, filled in."""
    text = MANUAL.partition("```json\n")[2].partition("```")[0]
    for placeholder, value in {
        "ACCOUNT": ACCOUNT,
        "PARTITION": "aws",
        "REGION": "us-east-1",
        "STACK": "archiver",
    }.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return {statement["Principal"]["Service"]: statement for statement in json.loads(text)}


def test_the_key_lets_the_rule_and_the_logs_use_it_and_nobody_elses() -> None:
    """The two services that do not come in a role's name, each for this account only."""
    policy = key_policy()
    assert policy.keys() == {"events.amazonaws.com", "logs.us-east-1.amazonaws.com"}
    rule = policy["events.amazonaws.com"]
    assert set(rule["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert rule["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    logs = policy["logs.us-east-1.amazonaws.com"]
    (pattern,) = logs["Condition"]["ArnLike"].values()
    # CloudFormation names a group without a name by stack and logical id.
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:archiver-ArchiveExportLogGroup-1A2B"
    assert re.fullmatch(pattern.replace("*", ".*"), group)
    named = [g for g in Stack().of_type("AWS::Logs::LogGroup").values() if "LogGroupName" in g]
    assert named == []


@pytest.mark.parametrize("service", ENDPOINTS)
def test_every_endpoint_is_named_with_its_kind(service: str) -> None:
    """Who builds the VPC finds each by the name that AWS gives it."""
    (row,) = [
        line for line in MANUAL.splitlines() if line.startswith("|") and f"`{service}`" in line
    ]
    assert ENDPOINTS[service] in row


def test_no_service_that_a_role_may_call_is_without_a_row() -> None:
    """A call that is added to a role is reachable from a VPC, too."""
    roles = Stack().of_type("AWS::IAM::Role").values()
    statements = [s for r in roles for p in r["Policies"] for s in p["PolicyDocument"]["Statement"]]
    actions = [
        a
        for s in statements
        for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    ]
    assert {action.partition(":")[0] for action in actions} == ENDPOINTS.keys() | THROUGH_LAMBDA


def test_every_parameter_that_the_manual_names_is_there() -> None:
    """In headings, where people look for them."""
    headings = [line for line in MANUAL.splitlines() if line.startswith("## ") and ": " in line]
    named = {name for line in headings for name in line.partition(": ")[2].split(", ")}
    groups = read_template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    (company,) = [g for g in groups if g["Label"]["default"].startswith("What a company")]
    assert named == {*company["Parameters"], "KmsKeyArn", *LOCK}
