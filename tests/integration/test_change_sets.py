"""Change sets of the embedded CloudFormation do what AWS's do, for whatever tool makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.embedded import embedded_aws

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Days: {Type: Number, Default: 0, MaxValue: 30}
  Subnets: {Type: CommaDelimitedList, Default: ""}
  Owned: {Type: String, Default: "yes"}
  Name: {Type: String, Default: first}
Conditions:
  Owns: !Equals [!Ref Owned, "yes"]
  Keeps: !Not [!Equals [!Ref Days, "0"]]
Resources:
  Kept:
    Type: AWS::S3::Bucket
    Condition: Owns
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Ref Name
      VisibilityTimeout: !If [Keeps, 60, 30]
  Later:
    Type: AWS::SQS::Queue
    Condition: Keeps
  Function:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: "s3://code/f", Handler: f.f, Runtime: python3.13}
Outputs:
  Bucket:
    Condition: Owns
    Value: !Ref Kept
  Queue:
    Value: !GetAtt Jobs.QueueName
"""


@pytest.fixture(scope="module", autouse=True)
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the embedded AWS; the code that the template names is there."""
    with embedded_aws(tmp_path_factory.mktemp("aws")):
        boto3.client("s3").create_bucket(Bucket="code")
        boto3.client("s3").put_object(Bucket="code", Key="f", Body=b"")
        yield


class Stack:
    """One stack that is changed by change sets alone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Any = boto3.client("cloudformation")

    def prepare(self, kind: str, **parameters: str) -> str:
        """Make a change set and return its id."""
        made = self.client.create_change_set(
            StackName=self.name,
            ChangeSetName=f"{kind}-{len(parameters)}",
            ChangeSetType=kind,
            TemplateBody=TEMPLATE,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        )
        return str(made["Id"])

    def changes(self, made: str) -> dict[str, dict[str, Any]]:
        """Return what a change set says that it changes, by logical id."""
        described = self.client.describe_change_set(ChangeSetName=made, StackName=self.name)
        changes = (item["ResourceChange"] for item in described["Changes"])
        return {item["LogicalResourceId"]: item for item in changes}

    def execute(self, made: str) -> dict[str, Any]:
        """Execute a change set and return the stack."""
        self.client.execute_change_set(ChangeSetName=made, StackName=self.name)
        described: dict[str, Any] = self.client.describe_stacks(StackName=self.name)["Stacks"][0]
        return described


def test_a_stack_that_a_change_set_made_has_outputs_and_parameters() -> None:
    """SAM's template is expanded; a condition that does not hold makes nothing."""
    stack = Stack("made")
    made = stack.prepare("CREATE", Name="made")
    assert stack.changes(made).keys() == {"Kept", "Jobs", "Function", "FunctionRole"}
    described = stack.execute(made)
    assert described["StackStatus"] == "CREATE_COMPLETE"
    outputs = {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]}
    assert outputs["Queue"] == "made"
    assert outputs["Bucket"].startswith("made-kept-")
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}
    assert parameters == {"Days": "0", "Subnets": "", "Owned": "yes", "Name": "made"}
    original = stack.client.get_template(StackName="made", TemplateStage="Original")
    assert original["TemplateBody"] == TEMPLATE
    events = stack.client.describe_stack_events(StackName="made")["StackEvents"]
    assert {"Kept", "Jobs", "made"} <= {event["LogicalResourceId"] for event in events}


def test_a_changed_parameter_changes_what_it_reaches_directly_or_by_a_condition() -> None:
    """With the properties, and whether AWS's schema replaces the resource for it."""
    stack = Stack("changed")
    stack.execute(stack.prepare("CREATE", Name="one"))
    kept = stack.prepare("UPDATE", Name="one", Days="7")
    changes = stack.changes(kept)
    assert {name: item["Action"] for name, item in changes.items()} == {
        "Later": "Add",
        "Jobs": "Modify",
    }
    assert changes["Jobs"]["Replacement"] == "False"
    assert [d["Target"]["Name"] for d in changes["Jobs"]["Details"]] == ["VisibilityTimeout"]
    renamed = stack.changes(stack.prepare("UPDATE", Name="two"))
    assert renamed["Jobs"]["Replacement"] == "True"
    stack.execute(kept)
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=boto3.client("sqs").get_queue_url(QueueName="one")["QueueUrl"],
        AttributeNames=["VisibilityTimeout"],
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "60"


def test_what_leaves_a_stack_and_is_retained_stays() -> None:
    """The change set says so, and the bucket is there after it."""
    stack = Stack("left")
    outputs = stack.execute(stack.prepare("CREATE", Name="left"))["Outputs"]
    (bucket,) = (item["OutputValue"] for item in outputs if item["OutputKey"] == "Bucket")
    made = stack.prepare("UPDATE", Name="left", Owned="no")
    gone = stack.changes(made)["Kept"]
    assert (gone["Action"], gone["PolicyAction"]) == ("Remove", "Retain")
    assert gone["PhysicalResourceId"] == bucket
    described = stack.execute(made)
    assert [item["OutputKey"] for item in described["Outputs"]] == ["Queue"]
    assert boto3.client("s3").head_bucket(Bucket=bucket)


def test_nothing_to_change_and_what_cannot_be_are_refused() -> None:
    """As CloudFormation does: a failed change set, and a ValidationError."""
    stack = Stack("same")
    stack.execute(stack.prepare("CREATE", Name="same"))
    made = stack.prepare("UPDATE", Name="same")
    described = stack.client.describe_change_set(ChangeSetName=made, StackName="same")
    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]
    with pytest.raises(ClientError, match="Days is 31"):
        stack.prepare("UPDATE", Name="same", Days="31")


def test_an_account_tells_its_concurrency() -> None:
    """AWS's default quota."""
    limit = boto3.client("lambda").get_account_settings()["AccountLimit"]
    assert limit["ConcurrentExecutions"] == 1000
