"""Whatever of a stack has a name in the whole account and region is that stack's alone.

What CloudFormation names itself is unique and fits (its guide, "Name type"). Of what the template
names, the limits are those of AWS's documents, beside each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.resolved import Stack, read_template

LONGEST_STACK_NAME = 128  # "API_CreateStack", StackName
# What may be named, by type of resource: the property and its most characters.
NAMED: dict[str, tuple[str, int]] = {
    "AWS::Events::EventBus": ("Name", 256),  # "API_CreateEventBus"
    "AWS::Events::Rule": ("Name", 64),  # "API_PutRule"
    "AWS::Events::Archive": ("ArchiveName", 48),  # "API_CreateArchive"
    "AWS::SQS::Queue": ("QueueName", 80),  # "API_CreateQueue"
    "AWS::SNS::Topic": ("TopicName", 256),  # "API_CreateTopic"
    "AWS::Lambda::Function": ("FunctionName", 64),  # "API_CreateFunction"
    "AWS::Lambda::LayerVersion": ("LayerName", 140),  # "API_PublishLayerVersion"
    "AWS::IAM::Role": ("RoleName", 64),  # "API_CreateRole"
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", 128),  # "API_CreatePolicy"
    "AWS::Logs::LogGroup": ("LogGroupName", 512),  # "API_CreateLogGroup"
    "AWS::Logs::QueryDefinition": ("Name", 255),  # "API_PutQueryDefinition"
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),  # "API_PutMetricAlarm"
    "AWS::DynamoDB::Table": ("TableName", 255),  # "API_CreateTable"
    "AWS::SecretsManager::Secret": ("Name", 512),  # "API_CreateSecret"
    "AWS::S3::Bucket": ("BucketName", 63),  # "Bucket naming rules"; ArchiveBucketName is a person's
}
# These have no name of their own, but hang on something that has.
NAMELESS = {
    "AWS::IAM::Policy",
    "AWS::KMS::Key",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}
# The longest name of a stack that deploys: its rule's has 64 characters. `make deploy` says so.
MOST_CHARACTERS = 59
EVERYTHING = {
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/0a1b",
    "StackKmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/0a1b",
    "EventArchiveDays": "7",
    "SourceBucketNames": "vendor",
    "SubnetIds": "subnet-0a1b2c3d",
    "SecurityGroupIds": "sg-0a1b2c3d",
    "AlarmEmail": "on-call@example.com",
}


def names(stack_name: str) -> Iterator[tuple[str, str, int]]:
    """Yield every name that the template gives, what it names, and its most characters."""
    for resource in Stack(StackName=stack_name, **EVERYTHING).resources.values():
        kind = resource["Type"]
        if kind in NAMELESS:
            continue
        name, most = NAMED[kind]  # a new kind of resource is looked up, and written down here
        if name in resource["Properties"]:
            yield kind, resource["Properties"][name], most


def test_no_name_of_one_stack_is_anothers() -> None:
    """Not even of one whose name begins with the first one's."""
    first, second = ({(kind, name) for kind, name, _ in names(n)} for n in ("aiq", "aiq-archive"))
    assert first
    assert not first & second


def test_names_fit_up_to_the_longest_stack_that_deploys() -> None:
    """One character more, and it is the rule's that does not; that stack is refused before."""
    longest = "s" * MOST_CHARACTERS
    assert not [kind for kind, name, most in names(longest) if len(name) > most]
    over = [kind for kind, name, most in names(longest + "s") if len(name) > most]
    assert over == ["AWS::Events::Rule"]


def test_nothing_is_exported() -> None:
    """An export's name would be the account's, too."""
    assert not [name for name, output in read_template()["Outputs"].items() if "Export" in output]


def metrics(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any part of a template
    """Yield every metric of ours that some part of the template reads."""
    if isinstance(node, dict):
        if node.get("Namespace") == "ApartmentIqArchiver":
            yield node
        for part in node.values():
            yield from metrics(part)
    if isinstance(node, list):
        for part in node:
            yield from metrics(part)


@pytest.mark.parametrize("stack_name", ["aiq", "aiq-dev", "s" * LONGEST_STACK_NAME])
def test_every_metric_that_an_alarm_reads_is_of_its_own_stack(stack_name: str) -> None:
    """CloudWatch tells metrics apart by namespace, name and dimensions, and by nothing else."""
    stack = Stack(StackName=stack_name)
    read = list(metrics(stack.resources))
    assert read
    for metric in read:
        dimensions = [of for of in metric["Dimensions"] if of["Name"] != "reason"]
        assert dimensions == [{"Name": "stack", "Value": stack_name}]
    for name in ("ArchiveExportFunction", "ReceiveCallbackFunction", "ReconcileExportsFunction"):
        assert stack.properties(name)["Environment"]["Variables"]["STACK_NAME"] == stack_name
    assert len(stack_name) <= 1_024  # "API_Dimension", Value
