"""KeepSupersededDays: what is superseded may go, by a tag and a rule; by default nothing is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archiver.superseded import TAG
from local.aws.expansion import ParameterError, expand_template
from tests.security.iam import DENIED, Request, decide
from tests.template.resolved import REPOSITORY, Stack
from tests.template.test_role import BY_DEFAULT, allowed

KEPT = {"KeepSupersededDays": "30"}
EXISTING = {"ExistingArchiveBucketName": "ours", "KeyPrefix": "exports/", **KEPT}
TAGGED = {"Key": TAG[0], "Value": TAG[1]}
VERSIONS = ["s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging"]


def rules(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the lifecycle rules of the stack's bucket by their ids."""
    told = stack.properties("ArchiveBucket")["LifecycleConfiguration"]["Rules"]
    return {rule["Id"]: rule for rule in told}


def test_the_rule_expires_what_has_the_tag_and_nothing_else() -> None:
    """After a day each, whatever the parameter: its days are over when the tag is set."""
    assert rules(Stack(**KEPT))["ExpireSuperseded"] == {
        "Id": "ExpireSuperseded",
        "Status": "Enabled",
        "TagFilters": [TAGGED],
        "ExpirationInDays": 1,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }


def test_beside_a_storage_class_both_rules_stand() -> None:
    """One does not take the other's place."""
    stack = Stack(**KEPT, ArchiveStorageClass="STANDARD_IA")
    assert [*rules(stack)] == ["AbortIncompleteUploads", "MoveToStorageClass", "ExpireSuperseded"]


def test_by_default_nothing_expires_nothing_is_granted_and_no_index_is_kept() -> None:
    """0: the stack is the one that knows nothing of it."""
    stack = Stack()
    assert [*rules(stack)] == ["AbortIncompleteUploads"]
    assert "RetireSupersededPolicy" not in stack.resources
    table = stack.properties("ArchiveTable")
    assert "GlobalSecondaryIndexes" not in table
    assert [it["AttributeName"] for it in table["AttributeDefinitions"]] == ["id"]
    assert "Tag" not in json.dumps(stack.properties("ArchiveBucketPolicy"))
    outputs = Stack(ExistingArchiveBucketName="ours").outputs
    assert "ExistingBucketSupersededRule" not in outputs
    assert "Tagging" not in outputs["ExistingBucketPolicy"]["Value"]


def test_one_role_may_tag_versions_and_read_the_index_and_none_may_delete() -> None:
    """No more than that, in the bucket that the stack makes, where everything has a version."""
    stack = Stack(**KEPT)
    added = {
        "<ArchiveTable.Arn>/index/superseded": ["dynamodb:Query"],
        "arn:aws:s3:::<ArchiveBucket>/*": sorted(
            [*BY_DEFAULT["arn:aws:s3:::<ArchiveBucket>/*"], *VERSIONS]
        ),
    }
    assert allowed(stack) == BY_DEFAULT | added
    others = json.dumps([stack.properties("ReconcileExportsRole")])
    assert "Tagging" not in others
    written = json.dumps(stack.resources)
    assert "s3:DeleteObject" not in written


def test_in_an_existing_bucket_what_has_no_version_may_be_tagged_too() -> None:
    """Below the prefix alone: whether that bucket keeps versions is its owner's."""
    assert set(allowed(Stack(**EXISTING))["arn:aws:s3:::ours/exports/*"]) >= {
        *VERSIONS,
        "s3:GetObjectTagging",
        "s3:PutObjectTagging",
    }


def test_the_owner_of_an_existing_bucket_is_told_the_rule_and_the_statements() -> None:
    """As JSON that S3 takes: two conditions stand in an And, one alone does not."""
    outputs = Stack(**EXISTING).outputs
    rule = json.loads(outputs["ExistingBucketSupersededRule"]["Value"])
    assert rule["Filter"] == {"And": {"Prefix": "exports/", "Tags": [TAGGED]}}
    assert (rule["Expiration"], rule["NoncurrentVersionExpiration"]) == (
        {"Days": 1},
        {"NoncurrentDays": 1},
    )
    bare = Stack(ExistingArchiveBucketName="ours", **KEPT).outputs
    assert json.loads(bare["ExistingBucketSupersededRule"]["Value"])["Filter"] == {"Tag": TAGGED}
    before = Stack(ExistingArchiveBucketName="ours", KeyPrefix="exports/").outputs
    known = json.loads(before["ExistingBucketPolicy"]["Value"])
    told = json.loads(outputs["ExistingBucketPolicy"]["Value"])
    assert told[: len(known)] == known
    assert [it["Sid"] for it in told[len(known) :]] == [
        "ApartmentIqArchiverTags",
        "NobodyButTheFunctionTagsSuperseded",
    ]


@pytest.mark.parametrize("stack", [Stack(**KEPT), Stack(**EXISTING)], ids=["owned", "existing"])
@pytest.mark.parametrize("action", ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"])
def test_nobody_but_the_function_sets_the_tag_and_others_stay_free(
    stack: Stack, action: str
) -> None:
    """Whoever could would delete without a right to."""
    if "ArchiveBucketPolicy" in stack.resources:
        bucket = "<ArchiveBucket.Arn>"
        statements = stack.properties("ArchiveBucketPolicy")["PolicyDocument"]["Statement"]
    else:
        bucket = "arn:aws:s3:::ours"
        statements = json.loads(stack.outputs["ExistingBucketPolicy"]["Value"])

    def refused(who: str, tag: str, value: str) -> bool:
        keys = {"aws:SecureTransport": "true", "aws:PrincipalArn": who}
        keys[f"s3:RequestObjectTag/{tag}"] = value
        return decide(statements, Request(action, f"{bucket}/exports/k.csv", keys)) == DENIED

    people = "arn:aws:iam::123456789012:role/Admin"
    assert refused(people, *TAG)
    assert not refused("<ArchiveExportRole.Arn>", *TAG)
    assert not refused(people, "team", "rent")


def test_the_function_is_told_the_days() -> None:
    """0 by default, which is for ever."""
    for stack, days in ((Stack(), "0"), (Stack(**KEPT), "30")):
        variables = stack.properties("ArchiveExportFunction")["Environment"]["Variables"]
        assert variables["KEEP_SUPERSEDED_DAYS"] == days


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_under_object_lock_a_deploy_is_refused_in_a_sentence(mode: str) -> None:
    """What is locked would be hidden, stay, and cost."""
    template = expand_template(REPOSITORY / "template.yaml", bucket="b", region="us-east-1")
    locked = {"ObjectLockMode": mode, "ObjectLockConfirmation": mode}
    template.check_parameters(locked)
    with pytest.raises(ParameterError, match="exclude each other"):
        template.check_parameters(locked | KEPT)


def test_the_index_holds_what_waits_and_nothing_of_it_but_keys() -> None:
    """By the names that the function asks with."""
    table = Stack(**KEPT).properties("ArchiveTable")
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "superseded"
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["due", "counts_from"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert {it["AttributeName"] for it in table["AttributeDefinitions"]} == {
        *("id", "due", "counts_from")
    }
