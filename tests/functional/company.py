"""One company's stack and its vendor, as tests see them: order, deliver, look.

No piece of ours is replaced. This is the only file here that knows moto's inside, and it uses that
for looking and for emptying alone.
"""

from __future__ import annotations

import io
import json
import time
import traceback
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

import archive_export
from archiver.catalogue import FOLDER, RECORDS_FOLDER
from archiver.receipt import iso_utc
from local.apartmentiq import Job, VendorStandIn
from local.aws.server import ACCOUNT_ID, EmbeddedAws, RequestRecord
from tests.functional.aws_script import AwsScript

if TYPE_CHECKING:
    import pytest

__all__ = [
    "FUNCTION_KEY_ID",
    "LAST_RECEIVE",
    "REGION",
    "Company",
    "LambdaContext",
    "People",
    "Runtime",
    "default_key",
]

REGION = "us-east-1"
FUNCTION_KEY_ID = "FUNCTIONROLE"  # the function's; people have another, so that calls can be told
LAST_RECEIVE = 3  # MAX_RECEIVES of the stack


def default_key(job: Job, extension: str | None = None) -> str:
    """Return the key that the default KeyTemplate gives a job."""
    order = job.order
    return (
        f"report_type={order.report_type}/format={order.output_format}"
        f"/start_date={order.start_date}/end_date={order.end_date}"
        f"/{job.job_id}.{extension or order.output_format}"
    )


@dataclass
class LambdaContext:
    """What the handler may ask of Lambda."""

    remaining_ms: int = 300_000
    function_name: str = "archive_export"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:archive_export"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left, as Lambda does."""
        return self.remaining_ms


@dataclass
class People:
    """People's own access to AWS, with keys of their own; clients are made once."""

    url: str
    ca_bundle: Path
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401 - a name at run time
        """Return a client."""
        if service not in self._clients:
            self._clients[service] = boto3.client(  # type: ignore[call-overload] # a name at run time
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id="PEOPLE",
                aws_secret_access_key="people",
                verify=str(self.ca_bundle),
            )
        return self._clients[service]


@dataclass
class Runtime:
    """The Lambda runtime: one process that stays warm as long as its environment is the same."""

    environment: dict[str, str] = field(default_factory=dict)

    def start(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment; a runtime that has another begins anew."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if environment != self.environment:
            self.environment = dict(environment)
            self.restart()

    def restart(self) -> None:
        """Begin anew: nothing is cached."""
        archive_export._application.cache_clear()  # what a cold start does


@dataclass
class Company:
    """One company's stack and its vendor, from the outside."""

    aws: EmbeddedAws
    aws_script: AwsScript
    people: People
    vendor: VendorStandIn
    runtime: Runtime
    name: str
    monkeypatch: pytest.MonkeyPatch
    log: io.StringIO = field(default_factory=io.StringIO)
    delivered: list[str] = field(default_factory=list)
    _first_ids: dict[str, str] = field(default_factory=dict)  # by body
    secret_arn: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""
    _first_call: int = 0
    _seen: list[str] = field(default_factory=list)
    _emitted: list[str] = field(default_factory=list)

    # --- the stack ---

    def build(self) -> None:
        """Make the resources that template.yaml makes."""
        self.people.client("s3").create_bucket(Bucket=self.bucket)
        self.people.client("s3").put_bucket_versioning(
            Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        self.queue_url = self._make_queue("queue", VisibilityTimeout="1800")
        self.dead_letter_queue_url = self._make_queue("dead")
        self._make_queue("emitted")
        self._build_bus()
        self.people.client("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in ("id", "due", "counts_from")
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "superseded",
                    "KeySchema": [
                        {"AttributeName": "due", "KeyType": "HASH"},
                        {"AttributeName": "counts_from", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        secrets = self.people.client("secretsmanager")
        self.secret_arn = secrets.create_secret(Name=self.name)["ARN"]
        self.fill_secret(client_id=self.vendor.client_id, client_secret=self.vendor.client_secret)

    def _make_queue(self, purpose: str, **attributes: str) -> str:
        made = self.people.client("sqs").create_queue(
            QueueName=f"{self.name}-{purpose}", Attributes=attributes
        )
        return str(made["QueueUrl"])

    def _build_bus(self) -> None:
        events = self.people.client("events")
        events.create_event_bus(Name=self.bus)
        events.put_rule(
            Name="all", EventBusName=self.bus, EventPattern='{"source":["apartmentiq.archiver"]}'
        )
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}-emitted"
        events.put_targets(Rule="all", EventBusName=self.bus, Targets=[{"Id": "q", "Arn": arn}])

    @property
    def bucket(self) -> str:
        """The archive bucket."""
        return f"{self.name}-bucket"

    @property
    def bus(self) -> str:
        """The event bus."""
        return f"{self.name}-bus"

    @property
    def table(self) -> str:
        """The table."""
        return f"{self.name}-table"

    def set_environment(self, **changes: str) -> None:
        """Give the function its environment, as a deployment does; a change starts it anew."""
        environment = {
            "APARTMENTIQ_API_BASE_URL": self.vendor.api_base_url,
            "APARTMENTIQ_TOKEN_URL": self.vendor.token_url,
            "TRUSTED_LINK_HOSTS": self.vendor.trusted_link_host,
            "ARCHIVE_BUCKET": self.bucket,
            "KEY_PREFIX": "",
            "KEY_TEMPLATE": "",
            "KMS_KEY_ARN": "",
            "SOURCE_BUCKETS": "",
            "CREDENTIALS_SECRET_ARN": self.secret_arn,
            "TABLE_NAME": self.table,
            "EVENT_BUS_NAME": self.bus,
            "QUEUE_URL": self.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue_url,
            "MAX_RECEIVES": str(LAST_RECEIVE),
            "MAX_WAIT_HOURS": "72",
            "KEEP_SUPERSEDED_DAYS": "0",
            "AWS_ENDPOINT_URL": self.aws.url,
            **changes,
        }
        self.runtime.start(environment, self.monkeypatch)

    def fill_secret(self, **fields: object) -> None:
        """Put a value into the credentials secret."""
        self.write_secret(json.dumps(fields))

    def write_secret(self, text: str) -> None:
        """Put any text into the credentials secret."""
        self.people.client("secretsmanager").put_secret_value(
            SecretId=self.secret_arn, SecretString=text
        )

    def empty(self) -> None:
        """Forget what earlier tests left behind: messages, objects, items, scripts, journals."""
        assert self.aws.wait_until_idle(10)  # a part that nobody waits for may still be written
        for purpose in ("queue", "dead", "emitted"):
            self.aws.forget_messages(f"{self.name}-{purpose}", REGION)
        bucket = s3_backends[ACCOUNT_ID]["aws"].buckets[self.bucket]
        for name in list(bucket.keys):
            for version in bucket.keys.getlist(name):
                if hasattr(version, "dispose"):  # a delete marker holds no bytes
                    version.dispose()
        bucket.keys.clear()
        for upload_id in list(bucket.multiparts):
            bucket.multiparts.pop(upload_id).dispose()
        if any(key.value == "throttle#vendor" for key in self._items()):
            self.runtime.restart()  # it remembers that the vendor asked it to wait
        self.forget_table()
        self.aws_script.clear()
        self.vendor.clear_script()
        self.vendor.clear_journal()
        self.vendor.switch_job_details(200)
        self.vendor.link_signed_headers, self.vendor.link_query = {}, {}
        self.vendor.on_link_bytes = None
        self._first_call = len(self.aws.requests())

    # --- what is done ---

    def deliver(
        self,
        *bodies: object,
        receive_count: int = 1,
        attributes: dict[str, str] | None = None,
        context: LambdaContext | None = None,
    ) -> list[str]:
        """Hand a batch to the handler as SQS does; returns the ids that it reports as failed.

        The messages are truly in the queue and received, so that changing their visibility works.
        One that comes back is known by its first delivery, as a delayed copy is.
        """
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        records = []
        for text in texts:
            first = self._first_ids.get(text) if receive_count > 1 else None
            same = {} if first is None else {"asked_by": first}
            records.append(self._receive(text, receive_count, same | (attributes or {})))
            self._first_ids.setdefault(text, records[-1]["messageId"])
        self.delivered += [record["messageId"] for record in records]
        return self.hand_over(*records, context=context)

    def hand_over(
        self, *records: dict[str, Any], context: LambdaContext | None = None
    ) -> list[str]:
        """Hand records to the handler as they are; returns the ids that it reports as failed."""
        answer = self._call({"Records": [*records]}, context or LambdaContext())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def receive(self, body: object, attributes: dict[str, str]) -> dict[str, Any]:
        """Return a record as SQS would deliver it, to be changed and handed over."""
        record = self._receive(json.dumps(body), 1, attributes)
        self.delivered.append(record["messageId"])
        return record

    def deliver_job(self, *jobs: Job, receive_count: int = 1) -> list[str]:
        """Deliver the plainest message for each job."""
        return self.deliver(*({"job_id": j.job_id} for j in jobs), receive_count=receive_count)

    def archive(self, job: Job) -> bytes:
        """Deliver a job and return the archived bytes; the message is acknowledged."""
        assert self.deliver_job(job) == [], self.log.getvalue()
        return self.content(default_key(job))

    def invoke(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - Lambda's answer
        """Invoke the function directly."""
        return self._call(event, LambdaContext())

    def _call(self, event: dict[str, Any], context: LambdaContext) -> Any:  # noqa: ANN401 - likewise
        """Call the handler; what it answers or raises is what Lambda would show."""
        try:
            answer = archive_export.handle(event, context)
        except Exception as error:
            self._seen.append("".join(traceback.format_exception(error)))
            raise
        self._seen.append(json.dumps(answer))
        return answer

    def _receive(self, text: str, receive_count: int, attributes: dict[str, str]) -> dict[str, Any]:
        backend = sqs_backends[ACCOUNT_ID][REGION]
        sent = cast("Any", backend.send_message(f"{self.name}-queue", text or "(empty)"))
        sent.mark_received(1800)
        sent.visible_at = (time.time() + 1800) * 1000
        return {
            "messageId": sent.id,
            "receiptHandle": sent.receipt_handle,
            "body": text,
            "attributes": {
                "ApproximateReceiveCount": str(receive_count),
                "SentTimestamp": str(round(sent.sent_timestamp)),
                "SenderId": "AIDAEXAMPLESENDERID00",
                "ApproximateFirstReceiveTimestamp": str(round(sent.sent_timestamp)),
            },
            "messageAttributes": {
                name: {"dataType": "String", "stringValue": value}
                for name, value in attributes.items()
            },
            "md5OfBody": sent.body_md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}-queue",
            "awsRegion": REGION,
        }

    # --- what can be seen of it ---

    def objects(self) -> dict[str, bytes]:
        """Return all archived exports."""
        told = (FOLDER, RECORDS_FOLDER)
        return {key: self.content(key) for key in self._keys() if not any(it in key for it in told)}

    def entries(self) -> dict[str, bytes]:
        """Return all entries of the catalogue."""
        return {key: self.content(key) for key in self._keys() if FOLDER in key}

    def records(self) -> dict[str, bytes]:
        """Return the records of what was superseded and tagged."""
        return {key: self.content(key) for key in self._keys() if RECORDS_FOLDER in key}

    def _keys(self) -> list[str]:
        listed = self.people.client("s3").list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [item["Key"] for item in listed]

    def content(self, key: str) -> bytes:
        """Return an archived object's bytes."""
        answer = self.people.client("s3").get_object(Bucket=self.bucket, Key=key)
        content: bytes = answer["Body"].read()
        return content

    def versions(self, key: str) -> list[dict[str, Any]]:
        """Return every version of an object."""
        s3 = self.people.client("s3")
        return list(s3.list_object_versions(Bucket=self.bucket, Prefix=key).get("Versions", []))

    def head(self, key: str) -> dict[str, Any]:
        """Return an object's metadata."""
        head: dict[str, Any] = self.people.client("s3").head_object(Bucket=self.bucket, Key=key)
        return head

    def uploads(self) -> list[dict[str, Any]]:
        """Return unfinished multipart uploads."""
        answer = self.people.client("s3").list_multipart_uploads(Bucket=self.bucket)
        return list(answer.get("Uploads", []))

    def emitted(self, detail_type: str | None = None) -> list[dict[str, Any]]:
        """Return the details of the events emitted since the last look, perhaps of one type."""
        bodies = [message["body"] for message in self._drain("emitted")]
        self._emitted += bodies
        events = [json.loads(body) for body in bodies]
        return [event["detail"] for event in events if detail_type in {None, event["detail-type"]}]

    def all_emitted(self) -> list[dict[str, Any]]:
        """Return every event of the test, also those that it looked at, and leave them there."""
        bodies = [message.body for message in self._messages("emitted")]
        return [json.loads(body) for body in [*self._emitted, *bodies]]

    def dead_letters(self) -> list[dict[str, str]]:
        """Return the dead letters since the last look: body, and attributes as plain text."""
        return self._drain("dead")

    def dead_letter(self) -> dict[str, str]:
        """Return the only dead letter."""
        (letter,) = self.dead_letters()
        return letter

    def waiting(self) -> list[dict[str, Any]]:
        """Return what the function put on the queue, with delays in seconds."""
        return [
            {
                "body": message.body,
                "delay_seconds": max(
                    0, round((message.delayed_until - message.sent_timestamp) / 1000)
                ),
                "attributes": _attributes(message),
            }
            for message in self._messages("queue")
            if message.id not in self.delivered
        ]

    def deferred(self) -> dict[str, Any]:
        """Return the only message that waits."""
        (message,) = self.waiting()
        return message

    def hidden_seconds(self, message_id: str) -> float:
        """Return how long a delivered message stays hidden from now on."""
        (message,) = [m for m in self._messages("queue") if m.id == message_id]
        return float(message.visible_at / 1000 - time.time())

    def item(self, job_id: str) -> dict[str, Any]:
        """Return a job's own item as plain text values."""
        attributes = self._item_attributes().get(f"job#{job_id}", {})
        return {name: next(iter(value.values())) for name, value in attributes.items()}

    def items(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the items of a kind (window, superseded) as plain text values, by what follows."""
        return {
            key.removeprefix(f"{kind}#"): {n: next(iter(v.values())) for n, v in item.items()}
            for key, item in self._item_attributes().items()
            if key.startswith(f"{kind}#")
        }

    def let_days_pass(self, days: float) -> None:
        """Let everything have been superseded by so many days earlier, as if they had passed."""
        for job_id, item in self.items("superseded").items():
            earlier = {
                name: iso_utc(datetime.fromisoformat(item[name]) - timedelta(days=days))
                for name in ("superseded_at", "counts_from")
            }
            self.people.client("dynamodb").update_item(
                TableName=self.table,
                Key={"id": {"S": f"superseded#{job_id}"}},
                UpdateExpression="SET superseded_at = :at, counts_from = :from",
                ExpressionAttributeValues={
                    ":at": {"S": earlier["superseded_at"]},
                    ":from": {"S": earlier["counts_from"]},
                },
            )

    def hold(self, job_id: str) -> None:
        """Let another run hold a job, as its claim writes it down."""
        item = self.item(job_id)
        in_a_minute = iso_utc(datetime.now(UTC) + timedelta(seconds=60))
        held = {"owner": "another", "held_until": in_a_minute, "state": "copying"}
        self.write_item(job_id, {**held, "asked_by": "another", "key": item.get("key", "a/key")})
        self.people.client("dynamodb").update_item(
            TableName=self.table,
            Key={"id": {"S": f"job#{job_id}"}},
            UpdateExpression="SET attempts = :n, held_as = :n",
            ExpressionAttributeValues={":n": {"N": str(int(item.get("attempts", "0")) + 1)}},
        )

    def write_item(self, job_id: str, texts: dict[str, str]) -> None:
        """Write texts into a job's item, whatever is there."""
        self.people.client("dynamodb").update_item(
            TableName=self.table,
            Key={"id": {"S": f"job#{job_id}"}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in texts),
            ExpressionAttributeNames={f"#{name}": name for name in texts},
            ExpressionAttributeValues={f":{name}": {"S": text} for name, text in texts.items()},
        )

    def forget_turn(self) -> None:
        """Let the time pass for which another run tries, in an outage."""
        for key, item in self._items().items():
            if key.value == "throttle#vendor":
                item.attrs.pop("turn_until", None)

    def forget_table(self) -> None:
        """Lose every item."""
        self._items().clear()

    def held(self) -> list[str]:
        """Return the keys of items that a run holds, or held when it died."""
        return [key for key, item in self._item_attributes().items() if "held_until" in item]

    def asked(self, route: str, job: Job | None = None) -> int:
        """Return how many requests the vendor got on a route."""
        return sum(
            entry.route == route and (job is None or entry.job_id == job.job_id)
            for entry in self.vendor.journal
        )

    def stand_for_aws(self) -> None:
        """Let the function know the store by AWS's name: its S3 keeps conditions, takes trailers.

        Until the test ends. By its own name moto is one of the others (aws/dialect.py).
        """
        dialect = archive_export._application()._store.dialect
        self.monkeypatch.setattr(dialect, "is_aws", True)
        self.monkeypatch.setattr(dialect, "takes_trailers", True)

    def calls(self, *actions: str, by: str | None = FUNCTION_KEY_ID) -> list[RequestRecord]:
        """Return the function's AWS calls, perhaps of some actions; `by` None: unsigned, links."""
        return [
            call
            for call in self.aws.requests()[self._first_call :]
            if call.access_key_id == by and (not actions or call.action in actions)
        ]

    def s3_actions(self) -> list[str]:
        """Return the function's calls of S3 in their order."""
        return [call.action for call in self.calls() if call.service == "s3"]

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the function's log lines."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Return outcome and reason of each job's last log line."""
        lines = [line for line in self.log_lines() if "outcome" in line]
        return [(line["outcome"], line.get("reason")) for line in lines]

    def evidence(self) -> dict[str, str]:
        """Return all that the test leaves for anybody to read, by place, for tests/taint."""
        left = {f"seen before, {n}": text for n, text in enumerate(self._seen)}
        left["log"] = self.log.getvalue()
        for purpose in ("dead", "emitted", "queue"):
            for message in self._messages(purpose):
                if message.id not in self.delivered:  # people's own messages may hold anything
                    text = f"{message.body} {message.message_attributes}"
                    left[f"queue {purpose}, {message.id}"] = text
        for key, attributes in self._item_attributes().items():
            # The one kind of bytes there is a plan's, compressed.
            left[f"table, item {key}"] = json.dumps(
                attributes, default=lambda packed: zlib.decompress(packed).decode()
            )
        keys = s3_backends[ACCOUNT_ID]["aws"].buckets[self.bucket].keys
        for name in keys:
            metadata = [getattr(version, "metadata", "") for version in keys.getlist(name)]
            left[f"bucket, object {name}"] = f"{name} {metadata}"
            if FOLDER in name or RECORDS_FOLDER in name:
                left[f"catalogue, {name}"] = str([v.value for v in keys.getlist(name)])
        for number, call in enumerate(self.calls()):  # what is gone by now, too
            left[f"call {number}, {call.service} {call.action}"] = call.sent
        return left

    def _drain(self, purpose: str) -> list[dict[str, str]]:
        messages = [_plain(message) for message in self._messages(purpose)]
        self.aws.forget_messages(f"{self.name}-{purpose}", REGION)
        self._seen += [json.dumps(message) for message in messages]
        return messages

    def _messages(self, purpose: str) -> list[Any]:
        return list(sqs_backends[ACCOUNT_ID][REGION].queues[f"{self.name}-{purpose}"]._messages)

    def _items(self) -> dict[Any, Any]:
        items: dict[Any, Any] = dynamodb_backends[ACCOUNT_ID][REGION].tables[self.table].items
        return items

    def _item_attributes(self) -> dict[str, dict[str, Any]]:
        return {key.value: item.to_json()["Attributes"] for key, item in self._items().items()}


def _plain(message: Any) -> dict[str, str]:  # noqa: ANN401 - moto's
    return {"body": message.body, **_attributes(message)}


def _attributes(message: Any) -> dict[str, str]:  # noqa: ANN401 - moto's
    return {
        name: str(value.get("string_value") or value["StringValue"])  # two ways in, two spellings
        for name, value in message.message_attributes.items()
    }
