"""docs/security.md names no test that is not there, and its key policies mean what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.security.iam import ALLOWED, DENIED, NOT_ALLOWED, Request, decide, listed
from tests.security.test_hostile_links import corpus
from tests.taint.encodings import ENCODINGS
from tests.template.resolved import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
VIA_S3 = {"kms:ViaService": "s3.REGION.amazonaws.com"}


def policy(name: str) -> list[dict[str, Any]]:
    """Return one of the document's policies."""
    (found,) = re.findall(rf"```json {name}\n(.*?)```", DOCUMENT, re.DOTALL)
    statements: list[dict[str, Any]] = json.loads(found)
    return statements


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", DOCUMENT))))
def test_every_test_that_is_named_exists(named: str) -> None:
    """A renamed test must be renamed in the document, or a threat is held by nothing."""
    path, _, test = named.partition("::")
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    assert not test or f"def {test}(" in text


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z0-9-]+)`", DOCUMENT))))
def test_every_command_that_is_named_exists(target: str) -> None:
    """A check that nobody can run holds nothing."""
    assert f"\n{target}:" in MAKEFILE


def test_every_threat_has_a_control_and_what_holds_it() -> None:
    """No row of a table is half empty, and each says where it is tried."""
    threats = DOCUMENT.partition("## Threats")[2].partition("## The archive's policy")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| threat", "| ---", "| place"))]
    assert len(rows) >= 30
    for row in rows:
        threat, control, held_by = (cell.strip() for cell in row.strip("|").split(" | "))
        assert threat, row
        assert control, row
        assert re.search(r"`(tests/|make )", held_by), row


def test_the_numbers_are_those_of_the_files() -> None:
    """The corpus and the encodings are as large as the document says."""
    assert f"{len(corpus('hostile'))} hostile links" in DOCUMENT
    assert f"{len(corpus('good'))} good links" in DOCUMENT
    assert f"each of {len(ENCODINGS)} encodings" in DOCUMENT


@pytest.mark.parametrize(
    ("who", "action", "keys", "expected"),
    [
        ("ARCHIVER_ROLE_ARN", "kms:GenerateDataKey", VIA_S3, ALLOWED),
        ("ARCHIVER_ROLE_ARN", "kms:Decrypt", VIA_S3, ALLOWED),
        ("ARCHIVER_ROLE_ARN", "kms:Decrypt", {}, NOT_ALLOWED),
        ("READER_ROLE_ARN", "kms:Decrypt", VIA_S3, ALLOWED),
        ("READER_ROLE_ARN", "kms:GenerateDataKey", VIA_S3, NOT_ALLOWED),
        ("SOMEBODY", "kms:Decrypt", VIA_S3, DENIED),
        ("SOMEBODY", "kms:GenerateDataKeyWithoutPlaintext", {}, DENIED),
        ("SOMEBODY", "kms:DescribeKey", {}, NOT_ALLOWED),
    ],
)
def test_the_archives_key_is_for_the_archiver_and_for_readers(
    who: str, action: str, keys: dict[str, str], expected: str
) -> None:
    """Through S3 alone; whoever else asks is refused, whatever their own policies say."""
    request = Request(action, "key", {"aws:PrincipalArn": who, **keys})
    assert decide(policy("archive-key"), request) == expected


@pytest.mark.parametrize(("rule", "expected"), [("RULE_ARN", ALLOWED), ("THEIRS", NOT_ALLOWED)])
def test_the_queues_key_is_for_our_rule(rule: str, expected: str) -> None:
    """EventBridge cannot be borrowed by another rule."""
    keys = {"aws:SourceArn": rule}
    request = Request("kms:GenerateDataKey", "key", keys, "events.amazonaws.com")
    assert decide(policy("queue-key"), request) == expected


def allowed_wildcards() -> set[tuple[str, str]]:
    """Return every action and resource that the template allows with a wildcard for either."""
    options = {
        "SubnetIds": "subnet-0123456789abcdef0",
        "SecurityGroupIds": "sg-0123456789abcdef0",
        "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/a",
        "StackKmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/b",
    }
    return {
        (action, resource)
        for stack in (Stack(), Stack(**options))
        for statement in _statements(stack.resources)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement.get("Resource", "role"))
        if "*" in action or "*" in resource.removesuffix("/*")
    }


def _statements(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a template's JSON
    """Yield every statement of a policy, wherever in a template it stands."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        for inner in value.values():
            yield from _statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _statements(inner)


def test_every_wildcard_of_the_template_is_named() -> None:
    """Each action that has one, or that is allowed on everything, stands in the paragraph."""
    (told,) = re.findall(r"^Wildcards in what is allowed.*?\n(?:.+\n)*", DOCUMENT, re.MULTILINE)
    assert len(allowed_wildcards()) >= 6
    xray = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    for action, resource in allowed_wildcards():
        if action.startswith("ec2:") and resource != "*":
            assert "EC2's other four" in told, action
        else:
            assert action in xray or f"`{action}`" in told, (action, resource)
    named = set(re.findall(r"`([a-z0-9]+:[A-Za-z*]+)`", told))
    assert named <= {action for action, _ in allowed_wildcards()}
