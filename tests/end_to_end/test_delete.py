"""Deleting a deployed stack says what stays, wants its name, and leaves the archive alone."""

from __future__ import annotations

import re

import boto3
import pytest

from cli.clients import Clients
from cli.delete import delete_stack
from cli.failure import Failure
from local.cloud import STACK_NAME, LocalCloud


def test_nothing_is_deleted_without_the_stacks_name(people: LocalCloud) -> None:
    """Neither where nobody can be asked, nor by a wrong answer; what would stay is said first."""
    clients = Clients(boto3.Session())
    for confirm, ask in (("", None), ("", lambda _question: "y"), ("another", None)):
        told: list[str] = []
        with pytest.raises(Failure, match=re.escape(f"--confirm {STACK_NAME}")):
            delete_stack(clients, STACK_NAME, confirm=confirm, ask=ask, tell=told.append)
        assert any(people.bucket in line for line in told)
    stacks = people.clients.cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    assert stacks[0]["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_that_is_not_there_is_said_to_be_so(people: LocalCloud) -> None:
    """With where it was looked for."""
    with pytest.raises(Failure, match=f"there is no stack nobody in {people.region}"):
        delete_stack(Clients(boto3.Session()), "nobody", confirm="nobody", ask=None, tell=print)


def test_a_confirmed_delete_names_and_leaves_bucket_table_and_credentials(
    people: LocalCloud,
) -> None:
    """The stack is gone; what cannot be fetched again is listed by its name, and is there."""
    people.clients.s3.put_object(Bucket=people.bucket, Key="kept", Body=b"kept")
    lines: list[str] = []
    delete_stack(
        Clients(boto3.Session()), STACK_NAME, confirm=STACK_NAME, ask=None, tell=lines.append
    )
    told = "\n".join(lines)
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
