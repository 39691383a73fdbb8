"""A stack's tags reach every resource that takes tags: by AWS's own schemas, which cfn-lint has."""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.template.resolved import Stack

ALL = Stack(
    EventArchiveDays="7",
    AlarmEmail="who@example.com",
    SubnetIds="subnet-0123456789abcdef0",
    SecurityGroupIds="sg-0123456789abcdef0",
)
# docs/deploying.md, "Tags", names them in other words.
WITHOUT_TAGS = {
    "AWS::Events::Archive",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}
TYPES = sorted({str(item["Type"]) for item in ALL.resources.values()})


def schema(resource_type: str) -> dict[str, Any]:
    """Return AWS's schema of a type of resource."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(
        "us-east-1", resource_type
    ).schema
    return found


@pytest.mark.parametrize("resource_type", [name for name in TYPES if name not in WITHOUT_TAGS])
def test_a_resource_gets_the_stacks_tags_and_changes_them_in_place(resource_type: str) -> None:
    """When it is made and later; a tag replaces nothing."""
    tagging = schema(resource_type)["tagging"]
    assert (tagging["taggable"], tagging["tagOnCreate"], tagging["tagUpdatable"]) == (True,) * 3
    assert tagging["tagProperty"] == "/properties/Tags"
    assert "/properties/Tags" not in schema(resource_type).get("createOnlyProperties", [])


@pytest.mark.parametrize("resource_type", [name for name in TYPES if name in WITHOUT_TAGS])
def test_what_has_no_tags_can_have_none(resource_type: str) -> None:
    """AWS's schema has no property for them."""
    assert "Tags" not in schema(resource_type)["properties"]
    assert not schema(resource_type).get("tagging", {}).get("taggable", False)
