"""The embedded cloud, held to what AWS does, with a small stack of its own.

It must not need the real template or the real function: when one of those is wrong, these tests
still say whether the ground under them is sound.
"""

from __future__ import annotations

import json
import os
import ssl
import stat
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Small on purpose, but with every kind of resource that moto lacks or only half supports.
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  ApiBaseUrl: {Type: String, AllowedPattern: "^https://.*$"}
  Receives: {Type: Number, Default: 2, MinValue: 1, MaxValue: 5}
  CredentialsSecretArn: {Type: String, Default: ""}
Conditions:
  OwnSecret: !Equals [!Ref CredentialsSecretArn, ""]
Resources:
  ArchiveQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 3600
      RedrivePolicy:
        deadLetterTargetArn: !GetAtt DeadLetterQueue.Arn
        maxReceiveCount: !Ref Receives
  DeadLetterQueue:
    Type: AWS::SQS::Queue
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref ArchiveQueue]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {Service: events.amazonaws.com}
            Action: sqs:SendMessage
            Resource: !GetAtt ArchiveQueue.Arn
  EventBus:
    Type: AWS::Events::EventBus
    Properties: {Name: !Sub "${AWS::StackName}-bus"}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref EventBus
      EventPattern: {source: [apartmentiq]}
      Targets: [{Id: queue, Arn: !GetAtt ArchiveQueue.Arn}]
  Daily:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(1 day)
      Targets: [{Id: function, Arn: !GetAtt ArchiveExportFunction.Arn}]
  Never:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(1 day)
      State: DISABLED
      Targets: [{Id: function, Arn: !GetAtt ArchiveExportFunction.Arn}]
  ArchiveBucket:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}
      PublicAccessBlockConfiguration:
        BlockPublicAcls: true
        IgnorePublicAcls: true
        BlockPublicPolicy: true
        RestrictPublicBuckets: true
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref ArchiveBucket
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Deny
            Principal: "*"
            Action: s3:*
            Resource: !Sub "${ArchiveBucket.Arn}/*"
            Condition: {Bool: {"aws:SecureTransport": false}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expiration, Enabled: true}
  Secret:
    Type: AWS::SecretsManager::Secret
    Condition: OwnSecret
    Properties: {Description: filled in after the deploy}
  BaseLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/base, CompatibleRuntimes: [python3.13]}
  TopLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/top, CompatibleRuntimes: [python3.13]}
  ArchiveExportFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/probe
      Handler: probe.handle
      Runtime: python3.13
      MemorySize: 256
      Timeout: 2
      Layers: [!Ref BaseLayer, !Ref TopLayer]
      LoggingConfig: {LogFormat: JSON}
      Environment:
        Variables:
          API_BASE_URL: !Ref ApiBaseUrl
          QUEUE_URL: !Ref ArchiveQueue
          DEAD_LETTER_QUEUE_URL: !Ref DeadLetterQueue
          ARCHIVE_BUCKET: !Ref ArchiveBucket
          TABLE_NAME: !Ref Table
          EVENT_BUS_NAME: !Ref EventBus
          CREDENTIALS_SECRET_ARN: !If [OwnSecret, !Ref Secret, !Ref CredentialsSecretArn]
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig:
          OnFailure: {Type: SQS, Destination: !GetAtt DeadLetterQueue.Arn}
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt ArchiveQueue.Arn
            BatchSize: 2
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
Outputs:
  QueueUrl: {Value: !Ref ArchiveQueue}
"""

# Does what an event tells it to; in a batch, what the first record's body tells it to.
PROBE = """
import json, os, socket, ssl, sys, time, urllib.request
from which_layer import LAYER

def handle(event, context):
    records = event.get("Records", [])
    order = json.loads(records[0]["body"]) if records else event
    order = order.get("detail", order)
    print("probe runs", context.aws_request_id)
    if order.get("do") == "raise":
        raise ValueError("as ordered")
    if order.get("do") == "exit":
        os._exit(3)
    if order.get("do") == "sleep":
        time.sleep(order["seconds"])
    if order.get("do") == "grow":
        hoard = bytearray(order["mib"] * 1024 * 1024)
        hoard[::4096] = b"x" * len(hoard[::4096])
    if order.get("do") == "look up":
        context = ssl.create_default_context()
        with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"], context=context) as answer:
            return {"status": answer.status}
    if order.get("do") == "trace":
        host, port = os.environ["AWS_XRAY_DAEMON_ADDRESS"].split(":")
        parts = dict(p.split("=") for p in os.environ["_X_AMZN_TRACE_ID"].split(";"))
        step = {"id": "a" * 16, "trace_id": parts["Root"], "parent_id": parts["Parent"],
                "name": "step", "type": "subsegment", "start_time": 1.0, "end_time": 2.0,
                "annotations": {"job_id": "j"}}
        head = b'{"format": "json", "version": 1}\\n'
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(head + json.dumps(step).encode(), (host, int(port)))
    if order.get("do") == "describe":
        return {"environment": dict(os.environ), "path": sys.path, "layer": LAYER,
                "arn": context.invoked_function_arn, "client": str(context.client_context),
                "modules": sorted(sys.modules), "cwd": os.getcwd(), "event": event,
                "remaining": context.get_remaining_time_in_millis()}
    if order.get("do") == "answer":
        return order["answer"]
    failures = [{"itemIdentifier": r["messageId"]} for r in records
                if json.loads(r["body"]).get("do") == "fail"]
    return {"batchItemFailures": failures}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the small stack's template and build."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    build = folder / "build"
    files = {
        "ArchiveExportFunction/probe.py": PROBE,
        "BaseLayer/python/which_layer.py": "LAYER = 'base'\n",
        "TopLayer/python/which_layer.py": "LAYER = 'top'\n",
    }
    for name, text in files.items():
        path = build / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def cloud(project: Path) -> Iterator[LocalCloud]:
    """Run one cloud for all tests here; each test minds only what it made itself."""
    with LocalCloud(
        template_path=project / "template.yaml",
        build_folder=project / "build",
        state_folder=project / "state",
    ) as cloud:
        yield cloud


@pytest.fixture
def quiet(cloud: LocalCloud) -> Iterator[LocalCloud]:
    """Give the cloud with both queues empty, and leave them so."""
    yield cloud
    cloud.empty_queues()


def test_environment_of_a_function_starts_empty(cloud: LocalCloud) -> None:
    """A runtime gets Lambda's variables, the template's and the endpoints, and none of ours."""
    os.environ["LEAK_CANARY"] = "must not arrive"
    seen = cloud.invoke({"do": "describe"}).payload["environment"]
    assert "LEAK_CANARY" not in seen
    assert seen["AWS_LAMBDA_FUNCTION_NAME"].startswith("apartmentiq-archiver-ArchiveExport")
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert seen["AWS_LAMBDA_LOG_FORMAT"] == "JSON"
    assert seen["AWS_ENDPOINT_URL"] == cloud.aws.url
    assert seen["SSL_CERT_FILE"] == seen["AWS_CA_BUNDLE"] == str(cloud.ca_bundle)
    assert not [name for name in seen if "PROXY" in name.upper()]


def test_references_in_the_environment_are_resolved(cloud: LocalCloud) -> None:
    """What the template writes as !Ref and !If arrives as the deployed resource's real name."""
    seen = cloud.invoke({"do": "describe"}).payload["environment"]
    assert seen["EVENT_BUS_NAME"] == "apartmentiq-archiver-bus"
    assert seen["QUEUE_URL"] == cloud.stack.outputs["QueueUrl"] == cloud.queue_url
    assert cloud.queue_url.startswith(cloud.aws.url + "/")
    assert seen["CREDENTIALS_SECRET_ARN"].startswith("arn:aws:secretsmanager:us-east-1:")
    assert cloud.vendor is not None
    assert seen["API_BASE_URL"] == cloud.vendor.api_base_url


def test_code_comes_from_the_build_alone(cloud: LocalCloud, project: Path) -> None:
    """No folder of this venv or repository is on the path, and a later layer wins."""
    answer = cloud.invoke({"do": "describe"}).payload
    assert answer["layer"] == "top"
    assert answer["cwd"] == str(project / "build" / "ArchiveExportFunction")
    assert answer["path"][0] == answer["cwd"]
    assert not [entry for entry in answer["path"] if "site-packages" in entry]
    assert "boto3" not in answer["modules"]


def test_context_is_that_of_the_deployed_function(cloud: LocalCloud) -> None:
    """The ARN is the stack's, the clock counts down, and no client context shows."""
    answer = cloud.invoke({"do": "describe"}).payload
    assert answer["arn"] == cloud.stack.functions[0].arn
    assert answer["client"] == "None"
    assert 0 < answer["remaining"] <= 2000


def test_raising_handler_is_reported_with_its_type(cloud: LocalCloud) -> None:
    """An exception is an error of its type, and its text is in the log."""
    invocation = cloud.invoke({"do": "raise"})
    assert invocation.error_type == "ValueError"
    assert not invocation.timed_out
    assert "as ordered" in invocation.log
    assert f"probe runs {invocation.request_id}" in invocation.log


def test_answer_that_looks_like_an_error_is_an_answer(cloud: LocalCloud) -> None:
    """A handler may return any JSON without being taken for failed."""
    answer = {"errorType": "x", "errorMessage": "y"}
    invocation = cloud.invoke({"do": "answer", "answer": answer})
    assert invocation.succeeded
    assert invocation.payload == answer


def test_timeout_ends_the_invocation_and_not_the_runtime(cloud: LocalCloud) -> None:
    """The function's Timeout is kept to, and the next call gets a new process."""
    cut = cloud.invoke({"do": "sleep", "seconds": 30})
    assert cut.timed_out
    assert 2.0 <= cut.duration_seconds < 5.0
    after = cloud.invoke({})
    assert after.succeeded
    assert after.cold


def test_exit_of_the_process_is_an_error_and_not_the_end(cloud: LocalCloud) -> None:
    """A process that exits fails its invocation alone."""
    assert cloud.invoke({"do": "exit"}).error_type == "Runtime.ExitError"
    assert cloud.invoke({}).succeeded


def test_warm_runtime_is_used_again(cloud: LocalCloud) -> None:
    """The second of two invocations in a row is warm and quick."""
    cloud.invoke({})
    warm = cloud.invoke({})
    assert not warm.cold
    assert warm.duration_seconds < 0.5


def test_peak_memory_is_that_of_the_functions_process(cloud: LocalCloud) -> None:
    """The kernel's high-water mark is told, per process."""
    cloud.pool().retire_idle()
    small = cloud.invoke({}).peak_rss_bytes
    large = cloud.invoke({"do": "grow", "mib": 64}).peak_rss_bytes
    assert small is not None
    assert large is not None
    assert 4 * 2**20 < small < 64 * 2**20
    assert large >= small + 60 * 2**20


def test_private_authority_is_verified_and_trusted(cloud: LocalCloud) -> None:
    """The function reaches the embedded AWS with a default context; a stranger does not."""
    assert cloud.invoke({"do": "look up"}).payload == {"status": 200}
    strict = ssl.create_default_context()
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(cloud.aws.url, context=strict)  # noqa: S310 - https, from the cloud


def test_trace_header_reaches_the_function_and_segments_come_back(cloud: LocalCloud) -> None:
    """A subsegment that the function sends hangs below its own invocation."""
    before = len(cloud.trace_datagrams())
    invocation = cloud.invoke({"do": "trace"})
    pause = Event()
    for _ in range(500):  # the datagram and the answer come by different ways: 5 s at most
        if len(cloud.trace_datagrams()) > before:
            break
        pause.wait(0.01)
    (trace,) = [item for item in cloud.traces() if item.trace_id == invocation.trace_id]
    assert [segment.name for segment in trace.walk()] == [cloud.stack.functions[0].name, "step"]
    assert trace.roots[0].subsegments[0].annotations == {"job_id": "j"}


def test_record_has_the_shape_that_lambda_sends(quiet: LocalCloud) -> None:
    """Names, attributes and message attributes of a record are those of the Lambda guide."""
    message_id = quiet.send({"do": "describe"}, {"first_seen_at": "2026-01-01T00:00:00+00:00"})
    quiet.wait_until_quiet(20)
    seen = [item.payload for item in quiet.invocations() if _is_about(item.payload, message_id)]
    record = seen[0]["event"]["Records"][0]
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].endswith(":" + quiet.queue_url.rpartition("/")[2])
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert int(record["attributes"]["SentTimestamp"]) > 1_700_000_000_000
    assert "ApproximateFirstReceiveTimestamp" in record["attributes"]
    assert record["messageAttributes"]["first_seen_at"] == {
        "stringValue": "2026-01-01T00:00:00+00:00",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }


def _is_about(payload: object, message_id: str) -> bool:
    records = payload.get("event", {}).get("Records", []) if isinstance(payload, dict) else []
    return any(record["messageId"] == message_id for record in records)


def test_reported_failure_comes_back_alone(quiet: LocalCloud) -> None:
    """Of a batch, what is not reported is deleted; the rest stays in flight, then is redriven."""
    before = quiet.event_source.counts
    quiet.send({"do": "nothing"})
    quiet.send({"do": "fail"})
    _wait_for_failures(quiet, before.failed + 1)
    with pytest.raises(TimeoutError, match="in_flight=1"):
        quiet.wait_until_quiet(0.5)
    quiet.skip_waiting()
    _wait_for_failures(quiet, before.failed + 2)
    quiet.skip_waiting()
    quiet.wait_until_quiet(20)
    assert [json.loads(letter.body) for letter in quiet.dead_letters()] == [{"do": "fail"}]
    assert quiet.event_source.counts.deleted == before.deleted + 1


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": "all"},
        ["all"],
    ],
)
def test_malformed_answer_fails_the_whole_batch(quiet: LocalCloud, answer: object) -> None:
    """As on Lambda, an answer that names what was not there deletes nothing."""
    before = quiet.event_source.counts
    quiet.send({"do": "answer", "answer": answer})
    _wait_for_failures(quiet, before.failed + 1)
    assert quiet.event_source.counts.deleted == before.deleted


@pytest.mark.parametrize("order", [{"do": "raise"}, {"do": "exit"}])
def test_failed_invocation_fails_the_whole_batch(
    quiet: LocalCloud, order: dict[str, object]
) -> None:
    """An error or an exit leaves every message to its visibility timeout."""
    before = quiet.event_source.counts
    quiet.send(order)
    _wait_for_failures(quiet, before.failed + 1)
    assert quiet.event_source.counts.deleted == before.deleted


def test_message_of_a_killed_runtime_comes_back_by_its_visibility(quiet: LocalCloud) -> None:
    """SIGKILL deletes nothing: the message stays hidden as long as it was, and counts a receive."""
    before, runs = quiet.event_source.counts, quiet.logs().count("probe runs")
    message_id = quiet.send({"do": "sleep", "seconds": 60})  # the second run ends by its time-out
    deadline, pause = time.monotonic() + 20, Event()
    while not (quiet.logs().count("probe runs") > runs and quiet.pool().kill_busy()):
        assert time.monotonic() < deadline, "the function never ran"
        pause.wait(0.01)
    _wait_for_failures(quiet, before.failed + 1)
    (message,) = quiet.queued_messages()
    assert (message.message_id, message.receive_count) == (message_id, 1)
    assert 3500 < message.hidden_seconds <= 3600  # the queue's own; nobody changed it
    quiet.bring_back(message_id)
    _wait_for_failures(quiet, before.failed + 2)
    (message,) = quiet.queued_messages()
    assert (message.message_id, message.receive_count) == (message_id, 2)
    assert quiet.event_source.counts.deleted == before.deleted


def test_event_on_the_bus_reaches_the_queue(quiet: LocalCloud) -> None:
    """The template's own rule carries an event to the function."""
    before = quiet.event_source.counts.deleted
    quiet.put_event({"do": "nothing"})
    # An empty queue is also quiet while the message is on its way from the queue to the count.
    until = time.monotonic() + 20
    while quiet.event_source.counts.deleted == before and time.monotonic() < until:
        time.sleep(0.05)
    assert quiet.event_source.counts.deleted == before + 1


def test_emitted_events_are_collected_in_order(cloud: LocalCloud) -> None:
    """Only events of our own source are, as whole envelopes."""
    for number in range(3):
        cloud.put_event({"n": number}, source="apartmentiq.archiver", detail_type="Test")
    cloud.put_event({"n": 9}, source="somebody.else", detail_type="Test")
    mine = [event for event in cloud.emitted_events() if event["detail-type"] == "Test"]
    assert [event["detail"]["n"] for event in mine] == [0, 1, 2]
    assert {event["source"] for event in mine} == {"apartmentiq.archiver"}


def test_asynchronous_failure_ends_at_the_templates_destination(quiet: LocalCloud) -> None:
    """It is tried as often as the template says, then told to the OnFailure queue."""
    tries = quiet.invoke_async({"do": "raise"}).result(timeout=20)
    assert len(tries) == 2
    (letter,) = quiet.dead_letters()
    record = json.loads(letter.body)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"] == {"do": "raise"}
    assert record["responsePayload"]["errorType"] == "ValueError"


def test_invoke_reaches_the_real_runtime(quiet: LocalCloud) -> None:
    """`aws lambda invoke`: an answer, a function's own error, an event that nobody waits for."""
    name = quiet.pool().function.name
    client = quiet.clients.aws_lambda

    def invoke(order: object, function: str = name) -> dict[str, Any]:
        payload = json.dumps(order).encode()
        return dict(client.invoke(FunctionName=function, Payload=payload))

    answered = invoke({"do": "answer", "answer": {"n": 7}})
    assert (answered["StatusCode"], json.load(answered["Payload"])) == (200, {"n": 7})
    arn = quiet.pool().function.arn
    assert json.load(invoke({"do": "answer", "answer": 1}, f"{arn}:$LATEST")["Payload"]) == 1
    failed = invoke({"do": "raise"})
    assert failed["FunctionError"] == "Unhandled"
    assert json.load(failed["Payload"])["errorMessage"] == "as ordered"
    before = len(quiet.invocations())
    accepted = client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert accepted["StatusCode"] == 202
    quiet.wait_until_quiet()
    assert len(quiet.invocations()) == before + 1
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        invoke({}, "nobody")


def test_a_schedule_invokes_with_eventbridges_event(cloud: LocalCloud) -> None:
    """The enabled rule does, the disabled one does not; the event is the documented one."""
    before = len(cloud.invocations())
    (invocation,) = cloud.fire_schedules()
    assert invocation.succeeded
    assert len(cloud.invocations()) == before + 1


def test_a_disabled_mapping_leaves_messages_where_they_are(quiet: LocalCloud) -> None:
    """As people pause the archiver; enabled again, it takes them."""
    before = quiet.event_source.counts
    quiet.event_source.disable()
    quiet.send({"do": "nothing"})
    Event().wait(0.3)  # what would take it polls without a pause
    assert quiet.event_source.counts == before
    quiet.event_source.enable()
    quiet.event_source.wait_for(
        lambda counts: counts.deleted == before.deleted + 1, deadline_seconds=30
    )


def test_settings_that_moto_skips_are_applied(cloud: LocalCloud) -> None:
    """Versioning, the public access block, the TTL and the queue's policy are there to see."""
    s3, bucket = cloud.clients.s3, cloud.bucket
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(blocked.values())
    lives = cloud.clients.dynamodb.describe_time_to_live(TableName=cloud.table)
    assert lives["TimeToLiveDescription"]["AttributeName"] == "expiration"
    policy = cloud.clients.sqs.get_queue_attributes(
        QueueUrl=cloud.queue_url, AttributeNames=["Policy"]
    )["Attributes"]["Policy"]
    assert json.loads(policy)["Statement"][0]["Action"] == "sqs:SendMessage"


def test_bucket_policy_for_tls_does_not_shut_out_tls(cloud: LocalCloud) -> None:
    """A policy that denies plain HTTP leaves the versions of an object readable here."""
    for body in (b"one", b"two"):
        cloud.clients.s3.put_object(Bucket=cloud.bucket, Key="a b/ü.csv", Body=body)
    assert len(cloud.object_versions("a b/ü.csv")) == 2


def test_endpoints_file_is_complete_and_private(cloud: LocalCloud) -> None:
    """It has the settled names and is readable by its owner only."""
    values = json.loads(cloud.endpoints_path.read_text(encoding="utf-8"))
    assert stat.S_IMODE(cloud.endpoints_path.stat().st_mode) == 0o600
    assert set(values) == {
        *(
            "stack",
            "aws_endpoint_url",
            "s3_endpoint_url",
            "region",
            "access_key_id",
            "secret_access_key",
        ),
        *("queue_url", "dead_letter_queue_url", "bucket", "event_bus", "table"),
        *("api_base_url", "token_url", "client_id", "client_secret", "callback_url", "ca_bundle"),
    }


def test_secret_holds_the_stand_ins_credentials(cloud: LocalCloud) -> None:
    """After the deploy it is filled, as a person would fill it."""
    assert cloud.vendor is not None
    answer = cloud.clients.secretsmanager.get_secret_value(SecretId=cloud.credentials_secret)
    assert json.loads(answer["SecretString"]) == {
        "client_id": cloud.vendor.client_id,
        "client_secret": cloud.vendor.client_secret,
    }


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let Python change threads as often as it can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("eager_threads")
def test_of_many_conditional_writes_one_succeeds(cloud: LocalCloud) -> None:
    """Writers that race for one item, or for one key, have one winner, as on AWS."""
    aws = cloud.clients

    def put_item(_: int) -> bool:
        item = {"id": {"S": "raced"}}
        try:
            aws.dynamodb.put_item(
                TableName=cloud.table, Item=item, ConditionExpression="attribute_not_exists(id)"
            )
        except ClientError as error:  # botocore makes its named exceptions anew in each thread
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def put_object(number: int) -> bool:
        body = str(number).encode()
        try:
            aws.s3.put_object(Bucket=cloud.bucket, Key="raced", Body=body, IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as racers:
        assert sum(racers.map(put_item, range(40))) == 1
        assert sum(racers.map(put_object, range(40))) == 1
    assert len(cloud.object_versions("raced")) == 1


@pytest.mark.usefixtures("eager_threads")
def test_no_message_is_lost_between_many_senders_and_the_poller(quiet: LocalCloud) -> None:
    """Whatever is sent while others are deleted is delivered, once each."""
    before = quiet.event_source.counts.deleted
    with ThreadPoolExecutor(4) as senders:
        ids = list(senders.map(lambda _: quiet.send({"do": "nothing"}), range(60)))
    quiet.wait_until_quiet(30)
    assert len(set(ids)) == 60
    assert quiet.event_source.counts.deleted == before + 60


def _wait_for_failures(cloud: LocalCloud, count: int) -> None:
    """Wait until so many messages were left to come back."""
    cloud.event_source.wait_for(lambda counts: counts.failed >= count, deadline_seconds=20)
