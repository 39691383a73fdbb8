"""The stack owns no setting of what it did not make, and says what to add there."""

from __future__ import annotations

import json

from tests.template.resolved import Stack

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aiq-a1B2c3"


def test_an_existing_bucket_is_left_alone() -> None:
    """Neither a bucket nor a policy, which would replace the owner's, is in the stack."""
    stack = Stack(ExistingArchiveBucketName="ours")
    assert not stack.of_type("AWS::S3::Bucket")
    assert not stack.of_type("AWS::S3::BucketPolicy")
    variables = stack.properties("ArchiveExportFunction")["Environment"]["Variables"]
    assert variables["ARCHIVE_BUCKET"] == stack.outputs["ArchiveBucketName"]["Value"] == "ours"


def test_the_owner_of_an_existing_bucket_is_told_what_to_add() -> None:
    """The policy's statements and the lifecycle rule are printed as JSON that can be pasted."""
    outputs = Stack(ExistingArchiveBucketName="ours", KeyPrefix="exports/").outputs
    writes, lists, tls, *_, tidies = json.loads(outputs["ExistingBucketPolicy"]["Value"])
    assert writes["Resource"] == "arn:aws:s3:::ours/exports/*"
    assert writes["Principal"] == lists["Principal"] == {"AWS": "<ArchiveExportRole.Arn>"}
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert tidies["Principal"] == {"AWS": "<ReconcileExportsRole.Arn>"}
    rule = json.loads(outputs["ExistingBucketLifecycleRule"]["Value"])
    assert rule["Filter"] == {"Prefix": "exports/"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 30}


def test_a_stack_with_its_own_bucket_prints_nothing_to_add() -> None:
    """Outputs that do not apply are not shown."""
    outputs = Stack(ArchiveBucketName="ours").outputs
    assert not [name for name in outputs if name.startswith("ExistingBucket")]
    assert Stack(ArchiveBucketName="ours").properties("ArchiveBucket")["BucketName"] == "ours"
    assert "BucketName" not in Stack().properties("ArchiveBucket")


def test_an_existing_bus_is_listened_to_and_emitted_on() -> None:
    """No bus is made; rule, function and output name the existing one."""
    stack = Stack(EventBusName="shared")
    assert not stack.of_type("AWS::Events::EventBus")
    variables = stack.properties("ArchiveExportFunction")["Environment"]["Variables"]
    assert stack.properties("JobCompletedRule")["EventBusName"] == "shared"
    assert variables["EVENT_BUS_NAME"] == stack.outputs["EventBusName"]["Value"] == "shared"


def test_an_existing_secret_is_read_and_not_owned() -> None:
    """No secret is made; function and output name the existing one."""
    stack = Stack(CredentialsSecretArn=SECRET)
    assert "CredentialsSecret" not in stack.resources
    variables = stack.properties("ArchiveExportFunction")["Environment"]["Variables"]
    assert variables["CREDENTIALS_SECRET_ARN"] == SECRET
    assert stack.outputs["CredentialsSecretArn"]["Value"] == SECRET


def test_outputs_are_commands_that_name_this_stacks_resources() -> None:
    """Fill the credentials, archive a job, watch the log, redrive: each can be pasted as it is."""
    outputs = {name: output["Value"] for name, output in Stack().outputs.items()}
    assert outputs["FillCredentialsCommand"] == (
        "aws secretsmanager put-secret-value --region us-east-1 --secret-id '<CredentialsSecret>'"
        " --secret-string file:///dev/stdin"
    )
    assert outputs["ArchiveOneJobCommand"] == (
        "aws sqs send-message --region us-east-1 --queue-url '<ArchiveQueue>'"
        """ --message-body '{"job_id": "JOB_ID"}'"""
    )
    assert "aws logs tail '<ArchiveExportLogGroup>'" in outputs["WatchLogCommand"]
    assert "--source-arn <DeadLetterQueue.Arn>" in outputs["RedriveCommand"]
    assert "--destination-arn <ArchiveQueue.Arn>" in outputs["RedriveCommand"]
