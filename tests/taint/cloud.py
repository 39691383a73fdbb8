"""What a run of the whole local stack leaves for anybody to read, and which secrets went in.

Everything is looked at as it lies there: log files of the runtimes (metrics among them), datagrams
of the tracer, items, messages of all queues (hidden ones, too), events, objects' keys, metadata and
tags, answers of the functions, and every call of AWS that a function made, so that what is gone by
now was seen as well. The objects' bytes are the company's data and are not searched; the file that
tells tools where everything is holds the callback URL on purpose, for its owner's eyes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from moto.sqs.models import sqs_backends

from local.aws.server import ACCOUNT_ID
from local.cloud import LocalCloud

__all__ = ["evidence", "secrets_of"]

_SHORTEST_SECRET = 16  # what tests put there to be refused is shorter


def secrets_of(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    """Yield every secret of the run so far: the vendor's, and whatever was put into a secret."""
    if cloud.vendor is not None:
        yield from cloud.vendor.given_out
    if cloud.callback_url is not None:
        yield "callback token", urlsplit(cloud.callback_url).path.strip("/")
    for record in cloud.aws.requests():
        if record.action == "PutSecretValue":
            yield from _in_secret(json.loads(record.sent)["SecretString"].strip())


def _in_secret(text: str) -> Iterator[tuple[str, str]]:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = {"callback token": text}
    for name, value in fields.items():
        if name != "client_id" and len(str(value)) >= _SHORTEST_SECRET:
            yield name, str(value)


def evidence(cloud: LocalCloud) -> dict[str, str]:
    """Return all that is left, by place."""
    return {
        name: text
        for look in (_logs, _traces, _items, _messages, _events, _objects, _answers, _calls)
        for name, text in look(cloud)
    }


def _logs(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for path in sorted(cloud.logs_path.glob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield f"metrics in {path.name}", "\n".join(line for line in lines if '"_aws"' in line)
        yield f"log {path.name}", "\n".join(line for line in lines if '"_aws"' not in line)


def _traces(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for number, datagram in enumerate(cloud.trace_datagrams()):
        yield f"trace, datagram {number}", datagram


def _items(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for page in cloud.clients.dynamodb.get_paginator("scan").paginate(TableName=cloud.table):
        for item in page["Items"]:
            yield f"table, item {item['id']['S']}", json.dumps(item, default=str)


def _messages(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for name, queue in sqs_backends[ACCOUNT_ID][cloud.region].queues.items():
        for message in list(queue._messages):
            text = f"{message.body} {message.message_attributes}"
            yield f"queue {name}, message {message.id}", text


def _events(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for event in cloud.emitted_events():
        yield f"event {event['id']}", json.dumps(event)


def _objects(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    s3 = cloud.clients.s3
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=cloud.bucket):
        for listed in page.get("Contents", []):
            where: Any = {"Bucket": cloud.bucket, "Key": listed["Key"]}
            head, tags = s3.head_object(**where), s3.get_object_tagging(**where)
            yield f"object {listed['Key']}", f"{listed['Key']} {head} {tags}"


def _answers(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for function in cloud.functions:
        for invocation in cloud.invocations(function):
            answer = f"{invocation.payload} {invocation.error_type}"
            yield f"answer of {function} to {invocation.request_id}", answer


def _calls(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for number, call in enumerate(cloud.requests()):
        yield f"call {number} by {call.access_key_id}, {call.service} {call.action}", call.sent
