"""Deleting a deployed stack says what stays, wants its name, and leaves the archive alone."""

from __future__ import annotations

import re

import boto3
import pytest

from cli.stage import StageError, delete_stage
from local.cloud import STACK_NAME, LocalCloud


def test_nothing_is_deleted_without_the_stacks_name(people: LocalCloud) -> None:
    """Neither where nobody can be asked, nor by a wrong answer; what would stay is said first."""
    client = people.clients.cloudformation
    for ask in (None, lambda _question: "y"):
        told = []
        with pytest.raises(StageError, match=re.escape(f"CONFIRM={STACK_NAME}")):
            told += list(delete_stage(client, STACK_NAME, confirm="", ask=ask))
    with pytest.raises(StageError, match="nothing was deleted"):
        list(delete_stage(client, STACK_NAME, confirm="another", ask=None))
    assert client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["StackStatus"] == (
        "CREATE_COMPLETE"
    )


def test_a_stack_that_is_not_there_is_said_to_be_so(people: LocalCloud) -> None:
    """In CloudFormation's own words."""
    with pytest.raises(StageError, match="nobody was not deleted"):
        list(delete_stage(people.clients.cloudformation, "nobody", confirm="nobody", ask=None))


def test_a_confirmed_delete_names_and_leaves_bucket_table_and_credentials(
    people: LocalCloud,
) -> None:
    """The stack is gone; what cannot be fetched again is listed by its name, and is there."""
    client = people.clients.cloudformation
    people.clients.s3.put_object(Bucket=people.bucket, Key="kept", Body=b"kept")
    told = "\n".join(delete_stage(client, STACK_NAME, confirm=STACK_NAME, ask=None))
    assert f"ArchiveBucket: {people.bucket}" in told
    assert f"ArchiveTable: {people.table}" in told
    assert f"CredentialsSecret: {people.credentials_secret}" in told
    assert "CallbackTokenSecret" not in told
    assert told.endswith("docs/deploying.md.")
    assert people.clients.s3.get_object(Bucket=people.bucket, Key="kept")["Body"].read() == b"kept"
    assert people.clients.dynamodb.describe_table(TableName=people.table)["Table"]
    assert people.clients.secretsmanager.get_secret_value(SecretId=people.credentials_secret)
    stacks = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    assert [s["StackStatus"] for s in stacks if s["StackName"] == STACK_NAME] == ["DELETE_COMPLETE"]
