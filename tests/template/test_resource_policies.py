"""What bucket, queues and roles refuse, decided request by request as IAM decides.

The archive's policy is the last line: it holds against a bug of ours and against a colleague.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.iam import ALLOWED, DENIED, NOT_ALLOWED, Request, decide
from tests.template.resolved import Stack

ROLE, SWEEP = "<ArchiveExportRole.Arn>", "<ReconcileExportsRole.Arn>"
PEOPLE = "arn:aws:iam::123456789012:role/Admin"
RULE = "<JobCompletedRule.Arn>"
OWNED, EXISTING = "<ArchiveBucket.Arn>", "arn:aws:s3:::ours"
# What S3 says of each request: whether it creates an object, and the condition that it carries.
CREATES = {"s3:ObjectCreationOperation": "true"}
CREATES_NOTHING = {"s3:ObjectCreationOperation": "false"}
CONDITIONAL = {"s3:if-none-match": "*"}


def owned_policy() -> list[dict[str, Any]]:
    """Return the statements on the stack's own bucket."""
    policy = Stack().properties("ArchiveBucketPolicy")["PolicyDocument"]
    statements: list[dict[str, Any]] = policy["Statement"]
    return statements


def printed_policy() -> list[dict[str, Any]]:
    """Return the statements that the owner of an existing bucket is asked to add."""
    outputs = Stack(ExistingArchiveBucketName="ours", KeyPrefix="exports/").outputs
    statements: list[dict[str, Any]] = json.loads(outputs["ExistingBucketPolicy"]["Value"])
    return statements


POLICIES = pytest.mark.parametrize(
    ("statements", "bucket"),
    [(owned_policy(), OWNED), (printed_policy(), EXISTING)],
    ids=["owned", "existing"],
)


def refused(
    statements: list[dict[str, Any]], bucket: str, action: str, who: str | None, **keys: str
) -> bool:
    """Tell whether the policy refuses an action on an export, over TLS unless said otherwise."""
    known = {"aws:SecureTransport": "true", **({"aws:PrincipalArn": who} if who else {}), **keys}
    return decide(statements, Request(action, f"{bucket}/exports/k.csv", known)) == DENIED


@POLICIES
@pytest.mark.parametrize(
    ("what", "keys", "expected"),
    [
        ("PutObject with If-None-Match", CREATES | CONDITIONAL, False),
        ("PutObject without", CREATES, True),
        ("CompleteMultipartUpload with If-None-Match", CREATES | CONDITIONAL, False),
        ("CompleteMultipartUpload without", CREATES, True),
        ("CopyObject onto the key", CREATES, True),
        ("CreateMultipartUpload, UploadPart, UploadPartCopy", CREATES_NOTHING, False),
    ],
)
def test_not_even_the_function_writes_without_a_condition(
    statements: list[dict[str, Any]],
    bucket: str,
    what: str,
    keys: dict[str, str],
    *,
    expected: bool,
) -> None:
    """A bug of ours that forgot If-None-Match would be a 403; multipart uploads still work."""
    assert refused(statements, bucket, "s3:PutObject", ROLE, **keys) is expected, what


@POLICIES
@pytest.mark.parametrize("who", [PEOPLE, "arn:aws:iam::123456789012:root", "<OtherRole.Arn>", None])
@pytest.mark.parametrize("keys", [CREATES | CONDITIONAL, CREATES, CREATES_NOTHING])
def test_nobody_else_writes(
    statements: list[dict[str, Any]], bucket: str, who: str | None, keys: dict[str, str]
) -> None:
    """Neither administrators nor services (which have no principal's ARN), conditional or not."""
    assert refused(statements, bucket, "s3:PutObject", who, **keys)
    assert refused(statements, bucket, "s3:ReplicateObject", who)


@POLICIES
@pytest.mark.parametrize(
    "action", ["s3:GetObject", "s3:DeleteObjectVersion", "s3:DeleteObject", "s3:RestoreObject"]
)
def test_owners_keep_what_reading_and_restoring_need(
    statements: list[dict[str, Any]], bucket: str, action: str
) -> None:
    """A delete marker is taken away, and a cold object thawed, without writing to a key."""
    assert not refused(statements, bucket, action, PEOPLE)


@POLICIES
def test_the_functions_other_calls_are_not_refused(
    statements: list[dict[str, Any]], bucket: str
) -> None:
    """HEAD, abort and the listing of parts."""
    for action in ("s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
        assert not refused(statements, bucket, action, ROLE)


@POLICIES
def test_the_sweep_may_abort_uploads_and_write_nothing(
    statements: list[dict[str, Any]], bucket: str
) -> None:
    """Neither policy stands in its way; it is nobody that writes."""
    assert not refused(statements, bucket, "s3:AbortMultipartUpload", SWEEP)
    assert not refused(statements, bucket, "s3:ListBucketMultipartUploads", SWEEP)
    assert refused(statements, bucket, "s3:PutObject", SWEEP, **CREATES, **CONDITIONAL)


def test_a_sweep_of_another_account_is_let_in_by_the_printed_policy() -> None:
    """To list and to abort below the prefix, and to nothing else."""
    keys = {"aws:PrincipalArn": SWEEP, "aws:SecureTransport": "true"}
    for action, resource, expected in (
        ("s3:ListBucketMultipartUploads", EXISTING, ALLOWED),
        ("s3:AbortMultipartUpload", f"{EXISTING}/exports/k", ALLOWED),
        ("s3:AbortMultipartUpload", f"{EXISTING}/reports/k", NOT_ALLOWED),
        ("s3:GetObject", f"{EXISTING}/exports/k", NOT_ALLOWED),
        ("s3:ListBucket", EXISTING, NOT_ALLOWED),
    ):
        assert decide(printed_policy(), Request(action, resource, keys)) == expected, action


@POLICIES
@pytest.mark.parametrize("who", [ROLE, PEOPLE])
def test_nothing_goes_without_tls(statements: list[dict[str, Any]], bucket: str, who: str) -> None:
    """Reading and writing alike."""
    plain = {"aws:SecureTransport": "false", **CREATES, **CONDITIONAL}
    for action in ("s3:GetObject", "s3:PutObject", "s3:ListBucket"):
        assert refused(statements, bucket, action, who, **plain)


def test_a_prefix_bounds_what_an_existing_bucket_is_asked_to_refuse() -> None:
    """What others keep in their bucket is their business."""
    elsewhere = Request("s3:PutObject", f"{EXISTING}/reports/x", {"aws:PrincipalArn": PEOPLE})
    assert decide(printed_policy(), elsewhere) == NOT_ALLOWED


def test_a_changed_prefix_leaves_nothing_of_the_stacks_bucket_open() -> None:
    """What was archived under the former prefix stays as it is."""
    policy = Stack(KeyPrefix="new/").properties("ArchiveBucketPolicy")["PolicyDocument"]
    old = Request("s3:PutObject", f"{OWNED}/old/x", {"aws:PrincipalArn": ROLE, **CREATES})
    assert decide(policy["Statement"], old) == DENIED


def test_a_role_of_another_account_is_let_in_by_the_printed_policy() -> None:
    """Across accounts the bucket must allow, too; what it allows is what the role calls."""
    keys = {"aws:PrincipalArn": ROLE, "aws:SecureTransport": "true", **CREATES, **CONDITIONAL}
    put = Request("s3:PutObject", f"{EXISTING}/exports/k", keys)
    assert decide(printed_policy(), put) == ALLOWED
    other = {**keys, "aws:PrincipalArn": PEOPLE}
    assert decide(printed_policy(), Request(put.action, put.resource, other)) == DENIED


@pytest.mark.parametrize("queue", ["ArchiveQueue", "DeadLetterQueue"])
@pytest.mark.parametrize(
    ("service", "source", "expected"),
    [
        ("events.amazonaws.com", RULE, ALLOWED),
        ("events.amazonaws.com", "arn:aws:events:us-east-1:666666666666:rule/theirs", NOT_ALLOWED),
        ("events.amazonaws.com", None, NOT_ALLOWED),
        ("sns.amazonaws.com", RULE, NOT_ALLOWED),
        (None, None, NOT_ALLOWED),
    ],
)
def test_only_our_rule_makes_eventbridge_send_to_a_queue(
    queue: str, service: str | None, source: str | None, expected: str
) -> None:
    """A stranger's rule that names our queue as its target delivers nothing."""
    statements = Stack().properties(f"{queue}Policy")["PolicyDocument"]["Statement"]
    keys = {"aws:SecureTransport": "true", **({"aws:SourceArn": source} if source else {})}
    request = Request("sqs:SendMessage", f"<{queue}.Arn>", keys, service)
    assert decide(statements, request) == expected
    plain = {**keys, "aws:SecureTransport": "false"}
    assert decide(statements, Request(request.action, request.resource, plain, service)) == DENIED


def service_grants(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every statement of the stack that lets an AWS service do something."""
    for name, resource in stack.resources.items():
        properties = resource["Properties"]
        for document in ("PolicyDocument", "AssumeRolePolicyDocument"):
            for statement in properties.get(document, {}).get("Statement", []):
                if "Service" in statement.get("Principal", {}):
                    yield name, statement


def test_every_service_is_bound_to_this_account_or_to_one_of_its_resources() -> None:
    """No service principal can be made to act on our resources for another account."""
    grants = list(service_grants(Stack()))
    assert {name for name, _ in grants} >= {"ArchiveQueuePolicy", "ArchiveExportRole"}
    for name, statement in grants:
        keys = {key for keys in statement["Condition"].values() for key in keys}
        assert keys & {"aws:SourceArn", "aws:SourceAccount"}, name


def test_every_permission_to_invoke_is_bound_or_the_public_url() -> None:
    """A rule of another account cannot invoke a function: one of ours, or of this account, may."""
    permissions = Stack().of_type("AWS::Lambda::Permission").values()
    bound = [p for p in permissions if p["Principal"] != "*"]
    assert len(bound) >= 2
    for permission in bound:
        of_account = "arn:aws:events:us-east-1:123456789012:rule/"
        assert permission["SourceArn"].startswith(("<", of_account))
        assert permission["SourceArn"].startswith("<") or permission["SourceAccount"]
