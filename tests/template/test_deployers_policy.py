"""docs/iam/deployer.json lets CloudFormation make every resource of the stack, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import pytest

from tests.security.iam import ALLOWED, NOT_ALLOWED, Request, decide, listed
from tests.template.resolved import REPOSITORY, Stack

POLICIES = REPOSITORY / "docs" / "iam"
ALL_OPTIONS = {
    "SubnetIds": "subnet-0123456789abcdef0",
    "SecurityGroupIds": "sg-0123456789abcdef0",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/a",
    "StackKmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/b",
    "EventArchiveDays": "7",
    "AlarmEmail": "who@example.com",
    "ObjectLockMode": "GOVERNANCE",
}
NAMES = {
    "CALLBACK_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:c",
    "STACK_KMS_KEY_ARN": ALL_OPTIONS["StackKmsKeyArn"],
    "PARTITION": "aws",
    "REGION": "us-east-1",
    "ACCOUNT": "123456789012",
    "BUCKET": "archiver-archivebucket-*",
    "BUS": "archiver",
    "STACK": "archiver",
}
# What CloudFormation calls for each type, in the name of who deploys: `handlers.*.permissions` of
# AWS's resource schemas (CloudFormation registry), less what is for properties that the template
# does not set. The types whose schema names none there have their service's own calls for create,
# update, read and delete.
NEEDS: Mapping[str, tuple[str, str, str]] = {
    # type: (service, the resource's ARN after the account, actions)
    "AWS::CloudWatch::Alarm": (
        "cloudwatch",
        "alarm:archiver-CredentialsAlarm-1A",
        "PutMetricAlarm DeleteAlarms DescribeAlarms TagResource UntagResource ListTagsForResource",
    ),
    "AWS::DynamoDB::Table": (
        "dynamodb",
        "table/archiver-ArchiveTable-1A",
        (
            "CreateTable DeleteTable DescribeTable UpdateTable DescribeTimeToLive UpdateTimeToLive "
            "DescribeContinuousBackups UpdateContinuousBackups DescribeContributorInsights "
            "ListTagsOfResource TagResource UntagResource"
        ),
    ),
    "AWS::Events::Archive": (
        "events",
        "archive/archiver-EventArchive-1A",
        "CreateArchive UpdateArchive DescribeArchive DeleteArchive",
    ),
    "AWS::Events::EventBus": (
        "events",
        "event-bus/archiver",
        (
            "CreateEventBus DeleteEventBus DescribeEventBus TagResource UntagResource "
            "ListTagsForResource"
        ),
    ),
    "AWS::Events::Rule": (
        "events",
        "rule/archiver/archiver-jobs",
        (
            "PutRule DeleteRule DescribeRule PutTargets RemoveTargets ListTargetsByRule EnableRule "
            "DisableRule TagResource UntagResource ListTagsForResource"
        ),
    ),
    "AWS::IAM::Role": (
        "iam",
        "role/archiver-ArchiveExportRole-1A",
        (
            "CreateRole DeleteRole GetRole GetRolePolicy PutRolePolicy DeleteRolePolicy "
            "ListRolePolicies ListAttachedRolePolicies UpdateRole UpdateRoleDescription "
            "UpdateAssumeRolePolicy TagRole UntagRole"
        ),
    ),
    "AWS::IAM::Policy": (
        "iam",
        "role/archiver-ArchiveExportRole-1A",
        "GetRolePolicy PutRolePolicy DeleteRolePolicy",
    ),
    "AWS::IAM::ManagedPolicy": (
        "iam",
        "policy/archiver-ConnectToVpcPolicy-1A",
        (
            "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy "
            "GetPolicyVersion ListPolicyVersions"
        ),
    ),
    "AWS::KMS::Key": (
        "kms",
        "key/1a",
        (
            "CreateKey DescribeKey GetKeyPolicy PutKeyPolicy GetKeyRotationStatus "
            "EnableKeyRotation "
            "ListResourceTags TagResource UntagResource ScheduleKeyDeletion UpdateKeyDescription"
        ),
    ),
    "AWS::Lambda::EventInvokeConfig": (
        "lambda",
        "function:archiver-ReconcileExportsFunction-1A",
        (
            "PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig "
            "GetFunctionEventInvokeConfig DeleteFunctionEventInvokeConfig"
        ),
    ),
    "AWS::Lambda::EventSourceMapping": (
        "lambda",
        "event-source-mapping:1a",
        (
            "CreateEventSourceMapping GetEventSourceMapping UpdateEventSourceMapping "
            "DeleteEventSourceMapping"
        ),
    ),
    "AWS::Lambda::Function": (
        "lambda",
        "function:archiver-ArchiveExportFunction-1A",
        (
            "CreateFunction DeleteFunction GetFunction UpdateFunctionCode "
            "UpdateFunctionConfiguration "
            "PutFunctionConcurrency DeleteFunctionConcurrency GetFunctionCodeSigningConfig "
            "GetFunctionRecursionConfig PutFunctionRecursionConfig GetRuntimeManagementConfig "
            "TagResource UntagResource"
        ),
    ),
    "AWS::Lambda::LayerVersion": (
        "lambda",
        "layer:ArchiverLayer:1",
        "PublishLayerVersion GetLayerVersion DeleteLayerVersion",
    ),
    "AWS::Lambda::Permission": (
        "lambda",
        "function:archiver-ReceiveCallbackFunction-1A",
        "AddPermission RemovePermission GetPolicy",
    ),
    "AWS::Lambda::Url": (
        "lambda",
        "function:archiver-ReceiveCallbackFunction-1A",
        (
            "CreateFunctionUrlConfig UpdateFunctionUrlConfig GetFunctionUrlConfig "
            "DeleteFunctionUrlConfig"
        ),
    ),
    "AWS::Logs::LogGroup": (
        "logs",
        "log-group:archiver-ArchiveExportLogGroup-1A",
        (
            "DescribeLogGroups CreateLogGroup DeleteLogGroup PutRetentionPolicy TagResource "
            "UntagResource ListTagsForResource"
        ),
    ),
    "AWS::Logs::QueryDefinition": (
        "logs",
        "",
        "PutQueryDefinition DescribeQueryDefinitions DeleteQueryDefinition",
    ),
    "AWS::S3::Bucket": (
        "s3",
        "archiver-archivebucket-1a",
        (
            "CreateBucket DeleteBucket ListBucket PutBucketVersioning GetBucketVersioning "
            "PutEncryptionConfiguration GetEncryptionConfiguration PutBucketPublicAccessBlock "
            "GetBucketPublicAccessBlock PutBucketOwnershipControls GetBucketOwnershipControls "
            "PutLifecycleConfiguration GetLifecycleConfiguration PutBucketObjectLockConfiguration "
            "GetBucketObjectLockConfiguration PutBucketTagging GetBucketTagging"
        ),
    ),
    "AWS::S3::BucketPolicy": (
        "s3",
        "archiver-archivebucket-1a",
        "PutBucketPolicy GetBucketPolicy DeleteBucketPolicy",
    ),
    "AWS::SNS::Subscription": (
        "sns",
        "archiver-AlarmTopic-1A",
        "Subscribe Unsubscribe GetSubscriptionAttributes ListSubscriptionsByTopic",
    ),
    "AWS::SNS::Topic": (
        "sns",
        "archiver-AlarmTopic-1A",
        (
            "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTagsForResource "
            "TagResource UntagResource"
        ),
    ),
    "AWS::SNS::TopicPolicy": ("sns", "archiver-AlarmTopic-1A", "SetTopicAttributes"),
    "AWS::SQS::Queue": (
        "sqs",
        "archiver-archive",
        (
            "CreateQueue DeleteQueue GetQueueUrl GetQueueAttributes SetQueueAttributes "
            "ListQueueTags "
            "TagQueue UntagQueue"
        ),
    ),
    "AWS::SQS::QueuePolicy": ("sqs", "archiver-DeadLetterQueue-1A", "SetQueueAttributes"),
    "AWS::SecretsManager::Secret": (
        "secretsmanager",
        "secret:archiver-CallbackTokenSecret-1A",
        (
            "CreateSecret DeleteSecret DescribeSecret GetRandomPassword GetSecretValue "
            "UpdateSecret "
            "TagResource UntagResource"
        ),
    ),
}
# What sam calls itself (samcli/lib/bootstrap/bootstrap.py: the bucket), and `archiver deploy`
# (tests/end_to_end/test_deploy.py holds it to that).
OF_SAM = {"TheStack", "SamsTransform", "SamsBucket", "TheAccountsConcurrency"}
WITHOUT_ACCOUNT = {"iam": "arn:aws:iam::123456789012:", "s3": "arn:aws:s3:::"}
# The condition keys that AWS would fill in for this stack.
KEYS = {
    "lambda:FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:"
    "archiver-ArchiveExportFunction-1A",
    "aws:ResourceTag/aws:cloudformation:stack-name": "archiver",
    "iam:PassedToService": "lambda.amazonaws.com",
    "iam:PolicyARN": "arn:aws:iam::123456789012:policy/archiver-ConnectToVpcPolicy-1A",
}


def filled(name: str) -> Any:  # noqa: ANN401 - a file's JSON
    """Return a file of docs/iam, filled in."""
    text = (POLICIES / name).read_text(encoding="utf-8")
    for placeholder, value in NAMES.items():
        text = text.replace(placeholder, value)
    return json.loads(text)


def deployer() -> list[dict[str, Any]]:
    """Return the policy with the statements for the options."""
    statements: list[dict[str, Any]] = filled("deployer.json")["Statement"]
    return [*statements, *filled("deployer-options.json")]


def requests_for(kind: str) -> Iterator[Request]:
    """Yield what making one type of resource asks for."""
    service, rest, actions = NEEDS[kind]
    for action in actions.split():
        prefix = WITHOUT_ACCOUNT.get(service, f"arn:aws:{service}:us-east-1:123456789012:")
        yield Request(f"{service}:{action}", f"{prefix}{rest}", KEYS)


def test_every_type_of_the_stack_is_in_the_table() -> None:
    """With every option, and none that the stack does not have."""
    stacks = (Stack(), Stack(**ALL_OPTIONS))
    assert {r["Type"] for s in stacks for r in s.resources.values()} == NEEDS.keys()


@pytest.mark.parametrize("kind", sorted(NEEDS))
def test_whatever_making_a_resource_needs_is_allowed(kind: str) -> None:
    """On the names that CloudFormation gives what is this stack's."""
    refused = [r.action for r in requests_for(kind) if decide(deployer(), r) != ALLOWED]
    assert refused == []


def test_nothing_is_allowed_that_no_resource_needs() -> None:
    """But for what sam calls itself, and what options ask for by way of a property."""
    by_property = {
        "iam:PassRole",
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "logs:AssociateKmsKey",
        "logs:DisassociateKmsKey",
    }
    needed = {request.action for kind in NEEDS for request in requests_for(kind)}
    allowed = {a for s in deployer() if s["Sid"] not in OF_SAM for a in listed(s["Action"])}
    assert allowed == needed | by_property


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("lambda:UpdateFunctionCode", "arn:aws:lambda:us-east-1:123456789012:function:payroll"),
        ("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/Admin"),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/Admin"),
        ("iam:CreateUser", "arn:aws:iam::123456789012:user/me"),
        ("s3:PutBucketPolicy", "arn:aws:s3:::payroll"),
        ("s3:GetObject", "arn:aws:s3:::archiver-archivebucket-1a/k"),
        ("s3:PutObject", "arn:aws:s3:::archiver-archivebucket-1a/k"),
        (
            "dynamodb:GetItem",
            "arn:aws:dynamodb:us-east-1:123456789012:table/archiver-ArchiveTable-1A",
        ),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:us-east-1:123456789012:table/payroll"),
        ("cloudformation:DeleteStack", "arn:aws:cloudformation:us-east-1:123456789012:stack/x/1"),
    ],
)
def test_what_is_not_the_stacks_is_not_the_deployers(action: str, resource: str) -> None:
    """Neither another's resources nor the archive's content."""
    assert decide(deployer(), Request(action, resource, KEYS)) == NOT_ALLOWED


def test_a_role_is_passed_to_lambda_alone() -> None:
    """A role of the stack's cannot be borrowed for a machine."""
    role = "arn:aws:iam::123456789012:role/archiver-ArchiveExportRole-1A"
    for service, expected in (("lambda", ALLOWED), ("ec2", NOT_ALLOWED)):
        keys = {"iam:PassedToService": f"{service}.amazonaws.com"}
        assert decide(deployer(), Request("iam:PassRole", role, keys)) == expected


@pytest.mark.parametrize("name", sorted(path.name for path in POLICIES.glob("*.json")))
def test_every_policy_names_actions_that_aws_has(name: str) -> None:
    """A slip allows nothing, and IAM does not say so. The list is the one that cfn-lint brings."""
    data = resources.files("cfnlint") / "data" / "AdditionalSpecs" / "Policies.json"
    known = json.loads(data.read_text(encoding="utf-8"))
    policy = filled(name)
    for statement in policy if isinstance(policy, list) else policy["Statement"]:
        for action in listed(statement["Action"]):
            service, _, word = action.partition(":")
            assert word.lower() in known[service]["Actions"], action


@pytest.mark.parametrize(
    ("name", "most"), [("deployer.json", 10_240), ("on-call.json", 6_144), ("reader.json", 6_144)]
)
def test_every_policy_fits_where_it_is_to_be_put(name: str, most: int) -> None:
    """A role's inline policies 10,240 characters, a managed policy 6,144, without white space."""
    assert len(json.dumps(filled(name), separators=(",", ":"))) <= most
