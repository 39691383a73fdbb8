"""A source and an S3 that keeps nothing, over TLS on loopback, on a core of its own.

The source serves `/source/<size>/<name>` with ranges, as a pre-signed link does (any query will
do). The sink speaks as much S3 as the benchmark's tools do: it throws bodies away, but only after
it has compared every byte with what belongs there and checked every CRC it was told. It takes no
account of signatures, and must not: it is here to measure clients. Clients' SHA-256 and MD5 are not
computed again, for that would cost more than the comparison that already says more.

`python -m tests.bench.null_s3 --directory DIR` prints one JSON line (url, ca_bundle, pid) and
serves until its standard input ends. `GET /_stats` tells what was asked, `POST /_reset` forgets it;
`POST /_refuse?what=` "part" answers the next part with 403, "parts" every part, "trailers" each
part with a trailer, as a store that knows none; "" refuses nothing any more.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import hashlib
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, unquote

from awscrt import checksums

from tests.bench.null_tls import NativeTls, PythonTls, make_tls
from tests.bench.pattern import Checker, pattern_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["main"]

_BUFFER_BYTES = 256 * 1024
_SMALL_BYTES = 1024  # with less room than this left, what is there moves to the buffer's front
_MAX_DOCUMENT_BYTES = 2 << 20  # a Complete that names 10,000 parts
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PART_IN_COMPLETE = re.compile(rb"<PartNumber>(\d+)</PartNumber>")
_REASONS = {
    100: "Continue",
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
    501: "Not Implemented",
}
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


class _Receiver(Protocol):
    def receive(self, buffer: memoryview, at_least: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network between us and the client is made to be. Zero bytes per second: no limit."""

    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0

    def wait_for_first_byte(self) -> None:
        """Hold an answer back: this delay is what is being simulated."""
        if self.latency_seconds:
            time.sleep(self.latency_seconds)

    def keep_pace(self, started: float, done_bytes: int) -> None:
        """Hold a connection to its bandwidth."""
        if self.bytes_per_second:
            ahead = started + done_bytes / self.bytes_per_second - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


@dataclass(slots=True)
class Ledger:
    """What was asked, what was moved, what was wrong. Shared by all connections."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    requests: Counter[str] = field(default_factory=Counter)
    source_bytes: int = 0
    sink_bytes: int = 0
    connections: int = 0
    faults: list[str] = field(default_factory=list)
    objects: dict[str, dict[str, object]] = field(default_factory=dict)
    uploads: dict[str, dict[int, tuple[Checker, str]]] = field(default_factory=dict)
    refuses: str = ""

    def count(self, kind: str) -> None:
        """Count one request."""
        with self.lock:
            self.requests[kind] += 1

    def blame(self, fault: str) -> None:
        """Write down what a client did wrong."""
        with self.lock:
            self.faults.append(fault)

    def reset(self) -> None:
        """Forget everything."""
        with self.lock:
            self.requests.clear()
            self.faults.clear()
            self.objects.clear()
            self.uploads.clear()
            self.source_bytes = self.sink_bytes = self.connections = 0

    def to_json(self) -> bytes:
        """Return the statistics."""
        with self.lock:
            return json.dumps(
                {
                    "requests": self.requests,
                    "source_bytes": self.source_bytes,
                    "sink_bytes": self.sink_bytes,
                    "connections": self.connections,
                    "faults": self.faults,
                    "objects": self.objects,
                    "unfinished_uploads": len(self.uploads),
                }
            ).encode()


class _Wire:
    """Reads heads, lines and bodies out of one buffer that is used again."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        self._start = self._end = 0

    def until(self, mark: bytes) -> bytes:
        """Return what comes before the next mark, and skip the mark. Raises EOFError."""
        while (at := self._buffer.find(mark, self._start, self._end)) < 0:
            self._receive()
        found = bytes(self._view[self._start : at])
        self._start = at + len(mark)
        return found

    def pieces(self, size_bytes: int) -> Iterator[tuple[memoryview, int]]:
        """Yield exactly so many bytes, as (piece, address); each is gone with the next."""
        left = size_bytes
        while left:
            if self._start == self._end or _BUFFER_BYTES - self._start < _SMALL_BYTES:
                self._move_to_front()
            count = min(left, _BUFFER_BYTES - self._start)
            if (lacking := count - (self._end - self._start)) > 0:
                self._receive(lacking)
            yield self._view[self._start : self._start + count], self._address + self._start
            self._start += count
            left -= count

    def some(self, buffer: memoryview) -> int:
        """Hand out what is there, or what comes next."""
        if self._start == self._end:
            self._receive()
        count = min(len(buffer), self._end - self._start)
        buffer[:count] = self._view[self._start : self._start + count]
        self._start += count
        return count

    def _receive(self, at_least: int = 1) -> None:
        if self._end in {self._start, _BUFFER_BYTES}:
            self._move_to_front()
        count = self._receiver.receive(self._view[self._end :], at_least)
        if count < at_least:
            raise EOFError
        self._end += count

    def _move_to_front(self) -> None:
        rest = bytes(self._view[self._start : self._end])
        self._view[: len(rest)] = rest
        self._start, self._end = 0, len(rest)


class _Dechunked:
    """The stream inside `Transfer-Encoding: chunked`; botocore puts its own chunks into that."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._left = 0
        self._ended = False

    def receive(self, buffer: memoryview, at_least: int) -> int:
        """Fill the buffer with at least so many bytes; fewer at the end."""
        have = 0
        while have < at_least and (count := self._some(buffer[have:])):
            have += count
        return have

    def _some(self, buffer: memoryview) -> int:
        if self._left == 0 and not self._ended:
            self._left = int(self._wire.until(b"\r\n"), 16)
            self._ended = self._left == 0
            if self._ended:
                self._wire.until(b"\r\n")
        if self._ended:
            return 0
        count = self._wire.some(buffer[: self._left])
        self._left -= count
        if self._left == 0:
            self._wire.until(b"\r\n")
        return count

    def finish(self) -> None:
        """Read to the end, so that the next request begins where it should."""
        rest = memoryview(bytearray(64))
        while self._some(rest):
            pass


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]  # names in lower case

    @classmethod
    def read(cls, head: bytes) -> _Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        pairs = (line.partition(":") for line in lines)
        return cls(
            method=method,
            path=path,
            query=parse_qs(query, keep_blank_values=True),
            headers={name.strip().lower(): value.strip() for name, _, value in pairs},
        )

    @property
    def size_bytes(self) -> int:
        """The body's true length, or 0 where it is not told."""
        return int(
            self.headers.get("x-amz-decoded-content-length")
            or self.headers.get("content-length", "0")
        )

    @property
    def is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def is_aws_chunked(self) -> bool:
        return self.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")


def _aws_chunks(wire: _Wire, trailers: dict[str, str]) -> Iterator[tuple[memoryview, int]]:
    """Yield what aws-chunked frames; signatures are skipped, trailers collected."""
    while size_bytes := int(wire.until(b"\r\n").partition(b";")[0], 16):
        yield from wire.pieces(size_bytes)
        wire.until(b"\r\n")
    while line := wire.until(b"\r\n").decode("latin-1"):
        name, _, value = line.partition(":")
        trailers[name.strip().lower()] = value.strip()


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection: request after request until it closes."""

    server: _Server

    def handle(self) -> None:
        """Shake hands here, in the connection's own thread, and serve."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ledger, self.weather = self.server.ledger, self.server.weather
        with contextlib.suppress(OSError, EOFError):  # clients come and go as they please
            self.tls = self.server.tls.accept(self.request)
            self.wire = _Wire(self.tls)
            with self.ledger.lock:
                self.ledger.connections += 1
            try:
                while self._serve_one():
                    pass
            finally:
                self.tls.close()

    def _serve_one(self) -> bool:
        request = _Request.read(self.wire.until(b"\r\n\r\n"))
        if request.path == "/_stats":
            self._answer(200, {"Content-Type": "application/json"}, self.ledger.to_json())
        elif request.path == "/_reset":
            self.ledger.reset()
            self._answer(204)
        elif request.path == "/_refuse":
            self.ledger.refuses = request.query.get("what", [""])[0]
            self._answer(204)
        elif request.path.startswith("/source/"):
            self._source(request)
        else:
            self._sink(request)
        return request.headers.get("connection", "").lower() != "close"

    def _refuses_part(self, request: _Request) -> bool:
        """Refuse a part after its last byte, if that is what was asked for."""
        what = self.ledger.refuses
        if what == "trailers" and "x-amz-trailer" in request.headers:
            self._refuse(400, "XAmzContentSHA256Mismatch")  # as Ceph
            return True
        if what in {"part", "parts"}:
            if what == "part":
                self.ledger.refuses = ""
            self._refuse(403, "AccessDenied")
            return True
        return False

    # --- the source ---

    def _source(self, request: _Request) -> None:
        self.ledger.count(f"{request.method} source")
        size_bytes = int(request.path.split("/")[2])
        etag = f'"{hashlib.md5(request.path.encode(), usedforsecurity=False).hexdigest()}"'
        self.weather.wait_for_first_byte()
        if request.method != "GET":
            self._refuse(403, "SignatureDoesNotMatch")  # a link authorises GET alone
            return
        if request.headers.get("if-match", etag) != etag:
            self._refuse(412, "PreconditionFailed")
            return
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "text/csv"}
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        start, end = 0, size_bytes - 1
        if asked is not None:
            start, end = int(asked[1]), min(int(asked[2] or end), end)
            if start >= size_bytes:
                self._refuse(416, "InvalidRange")
                return
            headers["Content-Range"] = f"bytes {start}-{end}/{size_bytes}"
        self._head(200 if asked is None else 206, headers, end + 1 - start)
        self._send_pattern(start, end + 1)

    def _send_pattern(self, start: int, end: int) -> None:
        begun = time.monotonic()
        for offset in range(start, end, _BUFFER_BYTES):
            count = min(_BUFFER_BYTES, end - offset)
            self.tls.send(pattern_at(offset, count))
            with self.ledger.lock:
                self.ledger.source_bytes += count
            self.weather.keep_pace(begun, offset + count - start)

    # --- the sink ---

    def _sink(self, request: _Request) -> None:
        bucket, _, key = unquote(request.path).strip("/").partition("/")
        if not key:
            self._bucket(request, bucket)
            return
        action = {
            ("POST", "uploads"): self._create_upload,
            ("PUT", "uploadId"): self._upload_part,
            ("POST", "uploadId"): self._complete_upload,
            ("DELETE", "uploadId"): self._abort_upload,
            ("GET", "uploadId"): self._list_parts,
            ("HEAD", ""): self._head_object,
            ("PUT", ""): self._put_object,
        }.get(
            (
                request.method,
                next((name for name in ("uploads", "uploadId") if name in request.query), ""),
            )
        )
        if action is None or "x-amz-copy-source" in request.headers:
            self.ledger.count(f"{request.method} unknown")
            self._discard(request)
            self._refuse(501, "NotImplemented")
        else:
            self.ledger.count(action.__name__.strip("_"))
            action(request, key)

    def _bucket(self, request: _Request, bucket: str) -> None:
        self.ledger.count(f"{request.method} bucket")
        self._discard(request)
        document = (
            f"<ListBucketResult><Name>{bucket}</Name><KeyCount>0</KeyCount></ListBucketResult>"
        )
        if "location" in request.query:
            document = "<LocationConstraint></LocationConstraint>"
        self._answer(200, {"Content-Type": "application/xml"}, (_XML + document).encode())

    def _put_object(self, request: _Request, key: str) -> None:
        checker = self._check_body(request, 0)
        if checker is None:
            return
        if not checker.belongs_at(0):
            self.ledger.blame(f"PutObject {key}: these bytes do not begin the export")
        if "if-none-match" in request.headers and key in self.ledger.objects:
            self._refuse(412, "PreconditionFailed")
            return
        etag = _etag_of(request, checker)
        self._store(key, checker.size_bytes, etag, checker.sums["crc64nvme"])
        self._answer(200, {"ETag": f'"{etag}"', **_told_checksums(checker, full_object=True)})

    def _create_upload(self, request: _Request, key: str) -> None:
        self._discard(request)
        with self.ledger.lock:
            upload_id = f"upload-{time.monotonic_ns():x}"
            self.ledger.uploads[upload_id] = {}
        headers = {"Content-Type": "application/xml"}
        if algorithm := request.headers.get("x-amz-checksum-algorithm"):
            headers["x-amz-checksum-algorithm"] = algorithm
        document = (
            f"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key>"
            f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
        )
        self._answer(200, headers, (_XML + document).encode())

    def _upload_part(self, request: _Request, key: str) -> None:
        number = int(request.query["partNumber"][0])
        checker = self._check_body(request, (number - 1) * request.size_bytes)
        if checker is None or self._refuses_part(request):
            return
        etag = _etag_of(request, checker)
        upload = self.ledger.uploads.get(request.query["uploadId"][0])
        if upload is None:
            self.ledger.blame(f"UploadPart {key}: no such upload")
            self._refuse(404, "NoSuchUpload")
            return
        with self.ledger.lock:
            upload[number] = (checker, etag)
        self._answer(200, {"ETag": f'"{etag}"', **_told_checksums(checker, full_object=False)})

    def _complete_upload(self, request: _Request, key: str) -> None:
        body = b"".join(bytes(piece) for piece, _ in self._body(request, {}))
        with self.ledger.lock:
            upload = self.ledger.uploads.pop(request.query["uploadId"][0], None)
        if upload is None:
            self._refuse(404, "NoSuchUpload")
            return
        numbers = [int(number) for number in _PART_IN_COMPLETE.findall(body)]
        offset = crc = 0
        for number in numbers:
            part, _ = upload[number]
            if not part.belongs_at(offset):
                self.ledger.blame(f"Complete {key}: part {number} is not what belongs there")
            crc = checksums.combine_crc64nvme(crc, part.sums["crc64nvme"], part.size_bytes)
            offset += part.size_bytes
        if "if-none-match" in request.headers and key in self.ledger.objects:
            self._refuse(412, "PreconditionFailed")
            return
        told = request.headers.get("x-amz-checksum-crc64nvme")
        size_told = request.headers.get("x-amz-mp-object-size")
        if told not in {None, _encode(crc, 8)} or size_told not in {None, str(offset)}:
            self.ledger.blame(f"Complete {key}: another checksum or size was told")
            self._refuse(400, "BadDigest")
            return
        etag = _joined_etag([upload[number][1] for number in numbers])
        self._store(key, offset, etag, crc)
        document = (
            f"<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag>"
            f"<ChecksumCRC64NVME>{_encode(crc, 8)}</ChecksumCRC64NVME>"
            "<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
        )
        self._answer(200, {"Content-Type": "application/xml"}, (_XML + document).encode())

    def _abort_upload(self, request: _Request, key: str) -> None:  # noqa: ARG002 - as its siblings
        self._discard(request)
        with self.ledger.lock:
            self.ledger.uploads.pop(request.query["uploadId"][0], None)
        self._answer(204)

    def _list_parts(self, request: _Request, key: str) -> None:
        upload = self.ledger.uploads.get(request.query["uploadId"][0], {})
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>"
            f"<Size>{part.size_bytes}</Size></Part>"
            for number, (part, etag) in sorted(upload.items())
        )
        document = (
            f"<ListPartsResult><Key>{key}</Key><IsTruncated>false</IsTruncated>{listed}"
            "</ListPartsResult>"
        )
        self._answer(200, {"Content-Type": "application/xml"}, (_XML + document).encode())

    def _head_object(self, request: _Request, key: str) -> None:  # noqa: ARG002 - as its siblings
        stored = self.ledger.objects.get(key)
        self.weather.wait_for_first_byte()
        if stored is None:
            self._head(404, {}, 0)
            return
        headers = {
            "ETag": f'"{stored["etag"]}"',
            "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
            "x-amz-checksum-crc64nvme": str(stored["crc64nvme"]),
            "x-amz-checksum-type": "FULL_OBJECT",
        }
        self._head(200, headers, int(str(stored["size_bytes"])))

    def _store(self, key: str, size_bytes: int, etag: str, crc: int) -> None:
        with self.ledger.lock:
            self.ledger.objects[key] = {
                "size_bytes": size_bytes,
                "etag": etag,
                "crc64nvme": _encode(crc, 8),
            }

    # --- bodies ---

    def _body(
        self, request: _Request, trailers: dict[str, str]
    ) -> Iterator[tuple[memoryview, int]]:
        """Yield a request's body, whatever it is wrapped in."""
        if request.headers.get("expect", "").lower() == "100-continue":
            self.tls.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        dechunked = _Dechunked(self.wire) if request.is_chunked else None
        wire = self.wire if dechunked is None else _Wire(dechunked)
        if request.is_aws_chunked:
            yield from _aws_chunks(wire, trailers)
        elif dechunked is not None:
            raise EOFError  # S3 itself refuses a body whose length nobody tells
        else:
            yield from wire.pieces(int(request.headers.get("content-length", "0")))
        if dechunked is not None:
            dechunked.finish()

    def _discard(self, request: _Request) -> None:
        for _ in self._body(request, {}):
            pass

    def _check_body(self, request: _Request, expected_offset: int) -> Checker | None:
        """Read and compare a body; answers the client and returns None where it is wrong."""
        declared = {name: value for name, value in request.headers.items() if _is_checksum(name)}
        named = request.headers.get("x-amz-trailer") or next(iter(declared), "")
        checker = Checker(expected_offset, named.removeprefix("x-amz-checksum-"))
        trailers: dict[str, str] = {}
        begun = time.monotonic()
        for piece, address in self._body(request, trailers):
            checker.take(piece, address)
            self.weather.keep_pace(begun, checker.size_bytes)
        with self.ledger.lock:
            self.ledger.sink_bytes += checker.size_bytes
        fault = self._find_fault(request, checker, declared | trailers)
        if fault is None:
            return checker
        self.ledger.blame(f"{request.method} {request.path}: {fault}")
        self._refuse(400, "BadDigest")
        return None

    def _find_fault(
        self, request: _Request, checker: Checker, told: Mapping[str, str]
    ) -> str | None:
        if not checker.is_right:
            return "bytes that are not the source's"
        if checker.size_bytes != request.size_bytes:
            return f"{checker.size_bytes} bytes instead of {request.size_bytes}"
        for name, value in checker.sums.items():
            width = 8 if name == "crc64nvme" else 4
            if told.get(f"x-amz-checksum-{name}", _encode(value, width)) != _encode(value, width):
                return f"a wrong {name}"
        missing = request.headers.get("x-amz-trailer")
        return f"no trailer {missing}" if missing and missing not in told else None

    # --- answers ---

    def _refuse(self, status: int, code: str) -> None:
        document = f"{_XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, {"Content-Type": "application/xml"}, document.encode())

    def _answer(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        if status != 204:
            self.weather.wait_for_first_byte()
        self._head(status, headers or {}, len(body), body)

    def _head(
        self, status: int, headers: Mapping[str, str], size_bytes: int, body: bytes = b""
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "Server: null-s3",
            f"Date: {formatdate(usegmt=True)}",
            "x-amz-request-id: 0000000000000000",
            *(f"{name}: {value}" for name, value in headers.items()),
            f"Content-Length: {size_bytes}",
        ]
        self.tls.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, tls: PythonTls | NativeTls, weather: Weather) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.tls, self.weather, self.ledger = tls, weather, Ledger()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - socketserver's
        """Write down what went wrong: a benchmark with a broken server must not look good."""
        self.ledger.blame(f"the server failed: {sys.exception()!r}")


def _is_checksum(name: str) -> bool:
    return name.startswith("x-amz-checksum-crc")


def _encode(value: int, width: int) -> str:
    return base64.b64encode(value.to_bytes(width, "big")).decode()


def _told_checksums(checker: Checker, *, full_object: bool) -> dict[str, str]:
    told = {
        f"x-amz-checksum-{name}": _encode(value, 8 if name == "crc64nvme" else 4)
        for name, value in checker.sums.items()
    }
    return told | ({"x-amz-checksum-type": "FULL_OBJECT"} if full_object else {})


def _etag_of(request: _Request, checker: Checker) -> str:
    """Return the MD5 where the client told it (rclone compares), else a stand-in for it."""
    if digest := request.headers.get("content-md5"):
        return base64.b64decode(digest).hex()
    told = _encode(checker.sums["crc64nvme"], 8).encode()
    return hashlib.md5(told, usedforsecurity=False).hexdigest()


def _joined_etag(etags: list[str]) -> str:
    joined = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
    return f"{joined.hexdigest()}-{len(etags)}"


def main() -> None:
    """Serve until standard input ends, which it does when whoever started this is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where the CA's bundle goes")
    parser.add_argument("--core", type=int, help="the processor core to stay on")
    parser.add_argument("--python-tls", action="store_true", help="even where C compiles")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--megabytes-per-second", type=float, default=0.0, help="per connection")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    tls, bundle = make_tls(options.directory, native=not options.python_tls)
    weather = Weather(options.latency_ms / 1000, options.megabytes_per_second * 1e6)
    server = _Server(tls, weather)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    started = {
        "url": f"https://localhost:{server.server_address[1]}",
        "ca_bundle": str(bundle.resolve()),
        "pid": os.getpid(),
        "tls": type(tls).__name__,
    }
    sys.stdout.write(json.dumps(started) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
