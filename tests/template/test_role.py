"""The function's role allows what the function calls, on this stack's resources, and nothing else.

The expected statements are written out: whoever widens the role must widen this list, and say why.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.template.resolved import Stack

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aiq-a1B2c3"
ALWAYS = {
    "<ArchiveExportLogGroup.Arn>": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "*": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],  # X-Ray knows no resources
    "<ArchiveQueue.Arn>": [
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    ],
    "<ArchiveTable.Arn>": [
        "dynamodb:BatchGetItem",
        "dynamodb:UpdateItem",
    ],
    "<DeadLetterQueue.Arn>": ["sqs:SendMessage"],
}
OBJECT_ACTIONS = [
    "s3:AbortMultipartUpload",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
]
BY_DEFAULT = {
    **ALWAYS,
    "<CredentialsSecret>": ["secretsmanager:GetSecretValue"],
    "arn:aws:s3:::<ArchiveBucket>/*": OBJECT_ACTIONS,
    "arn:aws:s3:::<ArchiveBucket>": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
    "<EventBus.Arn>": ["events:PutEvents"],
}
WITH_EVERYTHING = {
    **ALWAYS,
    SECRET: ["secretsmanager:GetSecretValue"],
    "arn:aws:s3:::vendor-a/*": ["s3:GetObject", "s3:GetObjectVersion"],
    "arn:aws:s3:::vendor-b/*": ["s3:GetObject", "s3:GetObjectVersion"],
    "arn:aws:s3:::ours/exports/*": OBJECT_ACTIONS,
    "arn:aws:s3:::ours": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
    KEY: ["kms:Decrypt", "kms:GenerateDataKey"],
    "arn:aws:events:us-east-1:123456789012:event-bus/shared": ["events:PutEvents"],
}


def stack_with_everything() -> Stack:
    """Return the stack on resources that exist already, with KMS, a prefix and two sources."""
    return Stack(
        CredentialsSecretArn=SECRET,
        ExistingArchiveBucketName="ours",
        KeyPrefix="exports/",
        KmsKeyArn=KEY,
        SourceBucketNames="vendor-a,vendor-b",
        EventBusName="shared",
    )


def statements(stack: Stack) -> list[dict[str, Any]]:
    """Return all statements that the role has: its own policies' and those attached to it."""
    role = stack.properties("ArchiveExportRole")
    assert "ManagedPolicyArns" not in role
    attached = stack.of_type("AWS::IAM::Policy").values()
    assert all(policy["Roles"] == ["<ArchiveExportRole>"] for policy in attached)
    policies = [*role["Policies"], *attached]
    return [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]


def listed(value: str | list[str]) -> list[str]:
    """Return a policy's one-or-many as many."""
    return [value] if isinstance(value, str) else value


def allowed(stack: Stack) -> dict[str, list[str]]:
    """Return what the role allows: resource → actions, sorted."""
    result: dict[str, list[str]] = {}
    for statement in statements(stack):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & statement.keys()
        for resource in listed(statement["Resource"]):
            actions = result.setdefault(resource, [])
            actions.extend(listed(statement["Action"]))
            actions.sort()
    return result


def test_by_default_the_role_allows_exactly_what_is_called() -> None:
    """No action and no resource more than the written-out list."""
    assert allowed(Stack()) == BY_DEFAULT


def test_on_existing_resources_the_role_allows_exactly_those() -> None:
    """Bucket, secret, bus, key and sources of the company's or vendor's, each by its own name."""
    assert allowed(stack_with_everything()) == WITH_EVERYTHING


@pytest.mark.parametrize("stack", [Stack(), stack_with_everything()], ids=["own", "existing"])
def test_no_action_is_a_wildcard(stack: Stack) -> None:
    """Nothing is allowed by a pattern of names."""
    assert not [
        action for actions in allowed(stack).values() for action in actions if "*" in action
    ]


@pytest.mark.parametrize(
    "partition",
    [
        "aws",
        "aws-cn",
        "aws-us-gov",
    ],
)
def test_source_buckets_are_named_in_every_partition(partition: str) -> None:
    """Each bucket of the list becomes an ARN of the partition that the stack is deployed in."""
    stack = Stack(Partition=partition, SourceBucketNames="vendor-a,vendor-b,vendor-c")
    (reading,) = [s for s in statements(stack) if "s3:GetObjectVersion" in s["Action"]]
    names = ["vendor-a", "vendor-b", "vendor-c"]
    assert reading["Resource"] == [f"arn:{partition}:s3:::{name}/*" for name in names]


def test_a_prefix_bounds_what_may_be_listed() -> None:
    """The role cannot list a neighbour's prefix; a HEAD, which names none, still answers 404."""
    (listing,) = [s for s in statements(stack_with_everything()) if "s3:ListBucket" in s["Action"]]
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": "exports/*"}}


def test_the_key_is_used_through_s3_only() -> None:
    """The role's grant on the KMS key is no way to decrypt anything else."""
    (encrypting,) = [s for s in statements(stack_with_everything()) if s["Resource"] == KEY]
    assert encrypting["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
    }


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_no_arn_is_fixed_to_one_partition(partition: str) -> None:
    """The stack deploys in China and in GovCloud, too."""
    stack = Stack(Partition=partition, SourceBucketNames="vendor-a")
    written = json.dumps([stack.resources, stack.outputs])
    assert "arn:aws:" not in written
    assert f"arn:{partition}:" in written


def test_only_lambda_assumes_the_role() -> None:
    """Nobody else can act as the function, nor Lambda for another account."""
    trust = Stack().properties("ArchiveExportRole")["AssumeRolePolicyDocument"]
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
