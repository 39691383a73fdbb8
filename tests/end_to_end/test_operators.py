"""What people's commands do is allowed by their IAM policies, and by the stack's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

from archiver.aws.job_table import JobTable
from archiver.catalogue import entry_key, entry_line
from cli.app import main
from cli.clients import Clients
from cli.delete import delete_stack
from cli.failure import Failure
from local.apartmentiq import VendorStandIn
from local.aws.server import ACCOUNT_ID
from local.cloud import STACK_NAME, LocalCloud
from tests.security.iam import ALLOWED, DENIED, NOT_ALLOWED, Request, decide, listed
from tests.security.people import PERSON, Calls, noted, policy

# What the console does with the log at the manual's word: the saved query, and WatchLogCommand.
OF_THE_CONSOLE = {
    "logs:FilterLogEvents",
    "logs:StartQuery",
    "logs:GetQueryResults",
    "logs:DescribeQueryDefinitions",
}


def resource_policies(cloud: LocalCloud) -> list[dict[str, Any]]:
    """Return the statements of the policies on bucket and queues, as deployed."""
    kinds = ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")
    return [
        statement
        for kind in kinds
        for resource in cloud.stack.of_type(kind)
        for statement in resource.properties["PolicyDocument"]["Statement"]
    ]


@pytest.fixture
def calls(people: LocalCloud) -> Iterator[Calls]:
    """Note every call that this process makes by boto3's default session."""
    with noted(people) as calls:
        yield calls


def typed(people: LocalCloud, vendor: VendorStandIn) -> None:
    """Run each command, in each of its ways that asks AWS for something else."""
    job, large = vendor.add_job(b"four"), vendor.add_job(b"large")
    vendor.forbid(large.job_id)
    people.send({"job_id": large.job_id})
    people.wait_until_quiet()
    stack = ["--stack", STACK_NAME]
    for command in (
        ["verify", job.job_id],
        ["status", job.job_id],
        ["status", large.job_id],
        ["audit"],
        ["audit", "--write-catalogue"],
        ["report", "--out", str(people.state_folder / "page.html")],
        ["reconcile", "--dry-run"],
        ["dashboard"],
        ["callback-url"],
        ["rotate-callback-token"],
    ):
        assert main([*command, *stack]) == 0, command


def pasted(people: LocalCloud) -> None:
    """Make the calls of docs/operations.md's and the outputs' `aws` commands."""
    outputs = people.stack.outputs
    s3, sqs, functions = boto3.client("s3"), boto3.client("sqs"), boto3.client("lambda")
    name = outputs["ArchiveExportFunctionName"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    s3.list_multipart_uploads(Bucket=people.bucket)
    listed_versions = s3.list_object_versions(Bucket=people.bucket)["Versions"]
    key, version = listed_versions[0]["Key"], listed_versions[0]["VersionId"]
    s3.head_object(Bucket=people.bucket, Key=key, VersionId=version)  # audit, of what is hidden
    begun = people.clients.s3.create_multipart_upload(Bucket=people.bucket, Key="k")
    s3.list_parts(Bucket=people.bucket, Key="k", UploadId=begun["UploadId"])  # status, of a copy
    people.clients.s3.abort_multipart_upload(
        Bucket=people.bucket, Key="k", UploadId=begun["UploadId"]
    )
    s3.delete_object(Bucket=people.bucket, Key=key, VersionId=version)
    letters, queue = outputs["DeadLetterQueueUrl"], outputs["ArchiveQueueUrl"]
    arns = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        for url in (letters, queue)
    ]
    sqs.start_message_move_task(SourceArn=arns[0], DestinationArn=arns[1])
    secret = boto3.client("secretsmanager")
    held = people.clients.secretsmanager.get_secret_value(SecretId=people.credentials_secret)
    secret.put_secret_value(SecretId=people.credentials_secret, SecretString=held["SecretString"])
    boto3.client("cloudwatch").delete_dashboards(DashboardNames=[STACK_NAME])
    people.wait_until_quiet()


def test_who_is_on_call_may_do_what_the_manual_says_and_no_more(
    people: LocalCloud,
    vendor: VendorStandIn,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every call is allowed by docs/iam/on-call.json and refused by no resource policy."""
    typed(people, vendor)
    capsys.readouterr()  # the callback's URL was asked for; in a test's output it would be a leak
    pasted(people)
    statements = policy(people, "on-call")
    both = [*statements, *resource_policies(people)]
    assert len(calls.made) >= 25
    refused = [r for r in calls.made.values() if decide(both, r) != ALLOWED]
    assert refused == []
    needless = {
        (action, resource)
        for statement in statements
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if action not in OF_THE_CONSOLE
        and not any(
            request.action == action
            and decide([{**statement, "Action": action, "Resource": resource}], request) == ALLOWED
            for request in calls.made.values()
        )
    }
    assert needless == set()


def test_who_mends_the_catalogue_needs_two_permissions_more(
    people: LocalCloud, vendor: VendorStandIn, calls: Calls
) -> None:
    """Rebuilding the table, and deleting what is compacted, there alone; each is made use of."""
    known = JobTable(people.clients.dynamodb, people.table)
    jobs = [vendor.add_job(b"four"), vendor.add_job(b"five")]
    for job in jobs:
        people.send({"job_id": job.job_id})
    people.wait_until_quiet()
    for job in jobs:
        receipt = known.read(job.job_id).receipt
        assert receipt is not None
        entry = replace(receipt, archived_at="2025-10-07T10:00:00.000Z")
        people.clients.s3.put_object(
            Bucket=people.bucket, Key=entry_key(entry, prefix=""), Body=entry_line(entry)
        )
        key = {"id": {"S": f"job#{job.job_id}"}}
        people.clients.dynamodb.delete_item(TableName=people.table, Key=key)
    for options in (["--rebuild"], ["--compact", "--delete-compacted"]):
        assert main(["audit", *options, "--stack", STACK_NAME]) == 0
    more = policy(people, "catalogue")
    both = [*policy(people, "on-call"), *more, *resource_policies(people)]
    assert [r for r in calls.made.values() if decide(both, r) != ALLOWED] == []
    for statement in more:
        assert any(decide([statement], r) == ALLOWED for r in calls.made.values()), statement
    export = f"arn:aws:s3:::{people.bucket}/report_type=units/x.csv"
    delete = Request("s3:DeleteObject", export, {"aws:PrincipalArn": PERSON})
    assert decide(both, delete) == NOT_ALLOWED


def test_who_is_on_call_may_neither_write_to_the_archive_nor_read_credentials(
    people: LocalCloud,
) -> None:
    """A write as `archiver verify` once made it is refused to all, so that no policy would help."""
    statements = policy(people, "on-call")
    keys = {"aws:PrincipalArn": PERSON, "aws:SecureTransport": "true"}
    put = Request(
        "s3:PutObject",
        f"arn:aws:s3:::{people.bucket}/apartmentiq-archiver-probe",
        {**keys, "s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"},
    )
    administrator = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    assert decide([*administrator, *resource_policies(people)], put) == DENIED
    read = Request("secretsmanager:GetSecretValue", people.credentials_secret, keys)
    assert decide(statements, read) == NOT_ALLOWED
    other = people.stack.resources["ReceiveCallbackFunction"].physical_id
    call = Request(
        "lambda:InvokeFunction",
        f"arn:aws:lambda:{people.region}:{ACCOUNT_ID}:function:{other}",
        keys,
    )
    assert decide(statements, call) == NOT_ALLOWED


def test_who_deploys_may_delete_the_stack(people: LocalCloud, calls: Calls) -> None:
    """What `archiver delete` asks CloudFormation; nothing is deleted here, for want of the name."""
    assert boto3.DEFAULT_SESSION is not None
    with pytest.raises(Failure, match="nothing was deleted"):
        delete_stack(Clients(boto3.DEFAULT_SESSION), STACK_NAME, confirm="no", ask=None, tell=print)
    assert {action for action, _ in calls.made} == {
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplate",
        "cloudformation:DescribeStackResources",
    }
    calls.add("cloudformation:DeleteStack", next(iter(calls.made))[1])
    statements = policy(people, "deployer")
    assert {decide(statements, request) for request in calls.made.values()} == {ALLOWED}
