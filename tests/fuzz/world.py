"""The world as a fuzzed archiver meets it: AWS, the vendor, the link's host and the clock.

It answers what a case has drawn, and notes all that it is sent. It also holds what no case may
break, whatever was drawn: whom a token goes to, what is asked of a link's host, how often.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from archiver.aws.moves import serialise
from archiver.catalogue import FOLDER
from archiver.errors import Failure
from archiver.network.answer import Answer
from archiver.network.answer_head import Answered
from archiver.receipt import Receipt
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from tests.addresses import addressing_client
from tests.fuzz.limits import check_call, refusal
from tests.fuzz.table import FakeDynamoDb

__all__ = ["API", "DEAD_LETTER_QUEUE_URL", "QUEUE_URL", "S3_HOST", "TOKEN_URL", "World"]

API = "https://data.apartmentiq.example/apartmentiq/api/v1"
TOKEN_URL = "https://data.apartmentiq.example/oauth/token"
QUEUE_URL = "https://sqs.example/1/queue"
DEAD_LETTER_QUEUE_URL = "https://sqs.example/1/dead"
S3_HOST = "archive.s3.amazonaws.com"  # as botocore has it in us-east-1
# The most that one message may ask for: ten pages of the list, twice (the description and a 400 of
# the results), each with a second try after a 401, and as many links as a copy renews.
_MAX_REQUESTS = 200
_KEY = "exports/report_type=units/format=csv/start_date=2026-10-01/end_date=2026-10-31/{}.csv"
_BEGAN_AT = datetime(2025, 11, 24, 16, 10, tzinfo=UTC)  # ten minutes after drawn messages are sent


@dataclass
class Stored:
    """An object in the archive bucket."""

    body: bytes
    metadata: Mapping[str, str]

    @property
    def checksum(self) -> str:
        """The CRC64NVME as S3 tells it."""
        return encode_crc64nvme(crc64nvme(self.body))

    @property
    def etag(self) -> str:
        """The ETag as S3 makes it of one PUT."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


@dataclass
class World:
    """What one case drew, and what it caused. Lists of answers repeat their last one."""

    answers: dict[str, list[Answer | None]] = field(default_factory=dict)  # None: no answer came
    exports: list[bytes | None] = field(default_factory=list)  # as the link's host sends them
    secret: str | None = None
    table: FakeDynamoDb = field(default_factory=FakeDynamoDb)
    objects: dict[str, Stored] = field(default_factory=dict)  # exports
    entries: dict[str, Stored] = field(default_factory=dict)  # of the catalogue
    remaining_seconds: float = 300.0
    letters: list[dict[str, Any]] = field(default_factory=list)
    copies: list[dict[str, Any]] = field(default_factory=list)
    hidden: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    given: dict[str, list[Answer | None]] = field(default_factory=dict)
    wire: list[bytes] = field(default_factory=list)  # what was sent to links' hosts
    connected: list[tuple[str, int]] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    elapsed_seconds: float = 0.0

    def begin_as(self, state: str, job_id: str) -> None:
        """Set what was before: nothing, an archived job, another runtime's, an object, an attempt.

        "taken": somebody else's object is at the job's key.
        """
        if state == "held":
            self.table.items[f"job#{job_id}"] = {
                "id": {"S": f"job#{job_id}"},
                "state": {"S": "copying"},
                "owner": {"S": "another"},
                "held_until": {"S": "2096-01-01T00:00:00.000Z"},
                "held_as": {"N": "1"},
                "attempts": {"N": "1"},
                "asked_by": {"S": "another"},
            }
        if state == "taken":
            self.objects[_KEY.format(job_id)] = Stored(b"another", {"job-id": "another"})
        if state in {"archived", "attempted"}:
            self.table.items[f"job#{job_id}"] = {
                "id": {"S": f"job#{job_id}"},
                "key": {"S": _KEY.format(job_id)},
                "attempts": {"N": "1"},
                "state": {"S": "copying"},
            }
        if state == "archived":
            self.objects[_KEY.format(job_id)] = Stored(b"export", {"job-id": job_id})
            self.table.items[f"job#{job_id}"] |= _archived(job_id)

    # --- what Outside gives ---

    def client(self, service: str, config: object = None) -> Any:  # noqa: ANN401, ARG002 - as boto3
        """Return a client of one of the five services."""
        if service == "dynamodb":
            return self.table
        kinds = {"sqs": _Sqs, "events": _Events, "s3": _S3, "secretsmanager": _Secrets}
        kind: Callable[[World], Any] = kinds[service]
        return kind(self)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Answer a question to the vendor; implements `HttpClient`."""
        route = _route(url)
        self._count(route)
        assert method == ("POST" if route == "token" else "GET"), method
        assert (body is not None) == (route == "token")
        _check_headers(route, headers)
        answer: Answer | None = _next(self.answers[route], self.asked[route])
        self.given.setdefault(route, []).append(answer)
        if answer is None:
            raise Failure("network", "data.apartmentiq.example did not answer: TimeoutError.")
        return answer

    def connect(self, host: str, port: int, *, tls: bool = True) -> Any:  # noqa: ANN401 - a Connection
        """Return a connection to a link's host, or to S3."""
        assert tls
        self.connected.append((host, port))
        return _Connection(self, host, port)

    def now(self) -> datetime:
        """Return the time of day."""
        return _BEGAN_AT + timedelta(seconds=self.elapsed_seconds)

    def monotonic(self) -> float:
        """Return seconds since something."""
        return self.elapsed_seconds

    def pause(self, seconds: float) -> None:
        """Wait, in no time."""
        assert 0 <= seconds <= 60, seconds
        self.elapsed_seconds += seconds

    # --- the link's host ---

    def hear(self, sent: bytes, host: str) -> bytes | None:
        """Return the bytes that answer a request to a link's host or, for a PUT, to S3; or none."""
        self._count("connection")
        if sent.startswith(b"PUT "):
            assert host == S3_HOST
            return self._take_part(sent)
        self.wire.append(sent)
        answer: bytes | None = _next(self.exports, self.asked["connection"])
        return answer

    def _take_part(self, sent: bytes) -> bytes:
        head, _, body = sent.partition(b"\r\n\r\n")
        query = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)
        length, _, rest = body.partition(b"\r\n")
        part = rest[: int(length, 16)]
        self.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = part
        told = base64.b64encode(crc64nvme(part).to_bytes(8, "big")).decode()
        etag = hashlib.md5(part, usedforsecurity=False).hexdigest()
        return (
            f'HTTP/1.1 200 OK\r\nETag: "{etag}"\r\nx-amz-checksum-crc64nvme: {told}\r\n'
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def _count(self, what: str) -> None:
        self.asked[what] += 1
        assert sum(self.asked.values()) <= _MAX_REQUESTS, f"it asks for ever: {self.asked}"


def _archived(job_id: str) -> dict[str, Any]:
    stored = Stored(b"export", {})
    receipt = Receipt(
        *(job_id, "units", "csv", "2026-10-01", "2026-10-31", "archive", _KEY.format(job_id), "v1"),
        *(len(stored.body), stored.etag.strip('"'), stored.checksum, "etag", "streaming"),
        *("crc64nvme", "2025-11-24T16:05:00.000Z", 0.5),
    )
    told = {**receipt.to_fields(), "state": "archived", "updated_at": receipt.archived_at}
    return {name: serialise(value) for name, value in told.items() if name != "key"}


def _next(answers: list[Any], times_asked: int) -> Any:  # noqa: ANN401 - an answer of either kind
    return answers[min(times_asked, len(answers)) - 1]


def _route(url: str) -> str:
    if url == TOKEN_URL:
        return "token"
    assert url.startswith(API + "/bulk_api/jobs"), f"an address that nobody gave: {url}"
    path = url.removeprefix(API)
    return "list" if "?page=" in path else "results" if path.endswith("/results") else "job"


def _check_headers(route: str, headers: Mapping[str, str]) -> None:
    """Hold whom a token goes to, and let http.client refuse what it would refuse."""
    request = http.client.HTTPConnection("x.example")
    request.putrequest("GET", "/")
    for name, value in headers.items():
        request.putheader(name, value)
    assert ("Authorization" in headers) == (route != "token")


class _Silence(io.BytesIO):
    """An answer that never comes."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Time out."""
        raise TimeoutError(f"timed out, {size}")


class _Socket:
    """As much of a socket as http.client uses; it hears an answer when it is listened to."""

    def __init__(self, world: World, host: str) -> None:
        self._world, self._host, self._sent = world, host, bytearray()

    def sendall(self, data: bytes | memoryview) -> None:
        """Take what is sent."""
        self._sent += data

    def makefile(self, mode: str) -> io.BytesIO:  # noqa: ARG002 - the interface's
        """Return the answer."""
        sent, self._sent = bytes(self._sent), bytearray()
        answer = self._world.hear(sent, self._host)
        return _Silence() if answer is None else io.BytesIO(answer)

    def settimeout(self, seconds: float) -> None:
        """Wait for nothing."""

    def close(self) -> None:
        """Close nothing."""


class _Connection:
    """A connection as https.ByteConnection makes it, with request lines and headers by http.client.

    Only the socket is ours.
    """

    def __init__(self, world: World, host: str, port: int) -> None:
        self._world, self._host = world, host
        self._connection = http.client.HTTPConnection(host, port)
        self._connection.response_class = Answered

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request's head."""
        if self._connection.sock is None:
            self._connection.sock = _Socket(self._world, self._host)
        self._connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the request's body."""
        self._connection.sock.sendall(data)

    def interrupt(self) -> None:
        """Disturb nobody: there is one thread."""

    def answer(self) -> http.client.HTTPResponse:
        """Return the response, its body unread."""
        return self._connection.getresponse()

    def close(self) -> None:
        """Close."""
        self._connection.close()


@dataclass
class _Sqs:
    world: World

    def send_message(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Take a message into one of the two queues."""
        check_call("sqs", "SendMessage", asked)
        dead = asked["QueueUrl"] == DEAD_LETTER_QUEUE_URL
        (self.world.letters if dead else self.world.copies).append(asked)
        return {"MessageId": "m"}

    def change_message_visibility(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Hide a message for some time."""
        check_call("sqs", "ChangeMessageVisibility", asked)
        self.world.hidden.append(asked)
        return {}


@dataclass
class _Events:
    world: World

    def put_events(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Take events."""
        check_call("events", "PutEvents", asked)
        self.world.events += asked["Entries"]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in asked["Entries"]]}


@dataclass
class _Secrets:
    world: World

    def get_secret_value(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Return the secret's value."""
        check_call("secretsmanager", "GetSecretValue", asked)
        if self.world.secret is None:
            raise refusal("GetSecretValue", "ResourceNotFoundException")
        return {"SecretString": self.world.secret}


class _S3:
    """The archive bucket; no other bucket grants anything."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.meta = addressing_client().meta
        self.upload_part = addressing_client().upload_part  # asked where parts go; sends nothing

    def head_object(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Look at an object."""
        check_call("s3", "HeadObject", asked)
        if asked["Bucket"] != "archive":
            raise refusal("HeadObject", "403", 403)
        stored = self._place(asked["Key"]).get(asked["Key"])
        if stored is None:
            raise refusal("HeadObject", "404", 404)
        return {
            "ContentLength": len(stored.body),
            "ETag": stored.etag,
            "VersionId": "v1",
            "ChecksumCRC64NVME": stored.checksum,
            "Metadata": dict(stored.metadata),
        }

    def get_object(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Read a range of an object."""
        check_call("s3", "GetObject", asked)
        stored = self._place(asked["Key"]).get(asked["Key"])
        if stored is None:
            raise refusal("GetObject", "NoSuchKey", 404)
        first, _, last = asked["Range"].removeprefix("bytes=").partition("-")
        body = stored.body[int(first) : int(last) + 1]
        return {"Body": io.BytesIO(body), "ContentRange": f"bytes {first}-{last}/*"}

    def put_object(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Commit an object, if there is none."""
        check_call("s3", "PutObject", asked)
        stored = Stored(bytes(asked["Body"]), asked["Metadata"])
        return self._commit("PutObject", asked, stored)

    def create_multipart_upload(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Begin an upload."""
        check_call("s3", "CreateMultipartUpload", asked)
        upload_id = f"upload-{len(self.world.specs) + 1}"
        self.world.uploads[upload_id], self.world.specs[upload_id] = {}, asked
        return {"UploadId": upload_id}

    def complete_multipart_upload(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Commit an upload, if there is no object."""
        check_call("s3", "CompleteMultipartUpload", asked)
        parts = self.world.uploads.pop(asked["UploadId"])
        body = b"".join(parts[number] for number in sorted(parts))
        assert len(body) == asked["MpuObjectSize"]
        spec = self.world.specs[asked["UploadId"]]
        return self._commit("CompleteMultipartUpload", spec | asked, Stored(body, spec["Metadata"]))

    def abort_multipart_upload(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Give an upload up."""
        check_call("s3", "AbortMultipartUpload", asked)
        self.world.uploads.pop(asked["UploadId"], None)
        return {}

    def get_paginator(self, operation: str) -> Any:  # noqa: ANN401 - boto3's own
        """Return the pages of a list."""
        return _Pages(self.world, operation)

    def _place(self, key: str) -> dict[str, Stored]:
        return self.world.entries if FOLDER in key else self.world.objects

    def _commit(self, operation: str, asked: Mapping[str, Any], stored: Stored) -> dict[str, Any]:
        assert asked["IfNoneMatch"] == "*"
        place = self._place(asked["Key"])
        if asked["Key"] in place:
            raise refusal(operation, "PreconditionFailed", 412)
        if asked["ChecksumCRC64NVME"] != stored.checksum:
            raise refusal(operation, "BadDigest")
        place[asked["Key"]] = stored
        return {"ETag": stored.etag, "VersionId": "v1", "ChecksumCRC64NVME": stored.checksum}


@dataclass
class _Pages:
    world: World
    operation: str

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - boto3's own
        """Return one page: an upload's parts, or the uploads at a key."""
        if self.operation == "list_multipart_uploads":
            uploads = [
                {"Key": self.world.specs[name]["Key"], "UploadId": name}
                for name in self.world.uploads
            ]
            return [{"Uploads": uploads}]
        parts = self.world.uploads[asked["UploadId"]]
        return [{"Parts": [{"PartNumber": n, "Size": len(part)} for n, part in parts.items()]}]
