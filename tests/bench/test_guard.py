"""What must not get worse and does not depend on the machine: requests, bytes, memory, imports.

Times are for `make bench`; none is measured here. The server that all of this stands on is held to
its own promise first: that it lets no wrong byte pass.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from archiver.apartmentiq.link import TrustedHosts, read_link
from archiver.network.https import ByteConnection, Network
from archiver.network.tls import tls_context
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.source import ExportSource
from tests.bench.built import LAYERS, layer_folder, zipped_bytes
from tests.bench.cold import cold_collections, cold_modules
from tests.bench.pattern import pattern_at
from tests.bench.servers import ROOT, NullS3, null_s3

_MIB = 1 << 20
_PART_BYTES = 16 * _MIB  # plan.py's, up to 64 MiB
_GROWTH_LIMIT = 1.05
_COPY_LIMIT = 1.25  # of a body in memory; a second copy would make it 2
_TLS_RECORD_BYTES = 16 * 1024
_CALLS_PER_RECORD_LIMIT = 2.6  # 2.4 on 2026-11-24, with all that goes around; 6.3 by http.client
_ZIPPED_LIMIT_BYTES = 20_000_000
# What a cold start loads beside the standard library. A new name here costs every cold start:
# measure it with `make bench-cold` before it is added.
_COLD_PACKAGES = frozenset(
    {
        *(
            "archive_export",
            "archiver",
            "aws_lambda_powertools",
            "aws_xray_sdk",
            "_awscrt",
            "awscrt",
        ),
        *("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "typing_extensions"),
        *("urllib3", "wrapt"),
    }
)
# 389 on 2026-11-26: the rooms are four modules without a statement, and a job object is asked for
# the id of our order (archiver.intent, the one module of orders that archiving needs). Six more
# catalogue each export and look at it: the library's that they use are loaded anyway.
_COLD_MODULES_LIMIT = 395
_OF_ORDERS = ("archiver.orders", "archiver.apartmentiq.job_order", "archiver.aws.order_items")
_COLD_COLLECTIONS_LIMIT = 5  # 0 and 1 on 2026-11-25; 37 (3.13) and 107 (3.11) with imports in it


@pytest.fixture(scope="module", params=[(), ("--python-tls",)], ids=["native", "python"])
def any_server(request: pytest.FixtureRequest) -> Iterator[NullS3]:
    """Run the server in both of its forms; one and the same where no C compiler is at hand."""
    with null_s3(*request.param) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[NullS3]:
    """Run the server as the benchmark uses it."""
    with null_s3() as server:
        yield server


# --- the server ---


def test_right_bytes_are_accepted_in_every_framing(any_server: NullS3) -> None:
    """Plain, one chunk with a trailer, many signed chunks, chunks within chunks: all are read."""
    any_server.reset()
    body = bytes(pattern_at(0, 300_000))
    trailer = f"x-amz-checksum-crc64nvme:{encode_crc64nvme(crc64nvme(body))}\r\n\r\n".encode()
    signed = b"".join(
        b"%x;chunk-signature=00\r\n%b\r\n" % (len(body[at : at + 70_000]), body[at : at + 70_000])
        for at in range(0, len(body), 70_000)
    )
    one_chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body) + trailer
    nested = b"".join(
        b"%x\r\n%b\r\n" % (len(one_chunk[at : at + 50_001]), one_chunk[at : at + 50_001])
        for at in range(0, len(one_chunk), 50_001)
    )
    framed = {
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
    for number, (headers, sent) in enumerate(
        (
            ({}, body),
            (framed, one_chunk),
            (framed, signed + b"0;chunk-signature=00\r\n" + trailer),
            (framed | {"Transfer-Encoding": "chunked"}, nested + b"0\r\n\r\n"),
        )
    ):
        assert _put(any_server, f"framed/{number}", sent, headers) == 200
    stats = any_server.stats()
    assert stats["faults"] == []
    assert {stored["size_bytes"] for stored in stats["objects"].values()} == {len(body)}


def test_a_wrong_byte_or_checksum_is_refused(any_server: NullS3) -> None:
    """One flipped bit, and a checksum of other bytes, are found; nothing is stored."""
    any_server.reset()
    body = bytearray(pattern_at(0, 100_000))
    wrong = {"x-amz-checksum-crc64nvme": encode_crc64nvme(1)}
    assert _put(any_server, "wrong", bytes(body), wrong) == 400
    body[77_777] ^= 1
    assert _put(any_server, "wrong", bytes(body), {}) == 400
    stats = any_server.stats()
    assert len(stats["faults"]) == 2
    assert stats["objects"] == {}


def test_a_part_at_the_wrong_place_is_blamed(any_server: NullS3) -> None:
    """Good bytes in the wrong order are no copy."""
    any_server.reset()
    connection = _connect(any_server)
    upload_id = _ask(connection, "POST", "/bucket/k?uploads", b"")[1].split("UploadId>")[1][:-2]
    for number, offset in ((1, 200_000), (2, 0)):
        target = f"/bucket/k?partNumber={number}&uploadId={upload_id}"
        assert _ask(connection, "PUT", target, bytes(pattern_at(offset, 200_000)))[0] == 200
    parts = b"<PartNumber>1</PartNumber><PartNumber>2</PartNumber>"
    _ask(connection, "POST", f"/bucket/k?uploadId={upload_id}", parts)
    connection.close()
    assert len(any_server.stats()["faults"]) == 2


# --- the engine ---


def test_what_fits_a_part_is_one_get_and_one_put(server: NullS3) -> None:
    """A small export costs exactly one read of the link and one request to S3."""
    report, stats = _copy(server, _MIB)
    assert stats["requests"] == {"GET source": 1, "put_object": 1}
    assert report["requests"] == {"GET": 1, "PUT": 1}


def test_a_large_export_is_read_once_and_sent_once(server: NullS3) -> None:
    """Three parts are three reads, three writes and the two requests around; no byte twice."""
    size_bytes = 40 * _MIB
    parts = -(-size_bytes // _PART_BYTES)
    _, stats = _copy(server, size_bytes)
    assert stats["requests"] == {
        "GET source": parts,
        "create_upload": 1,
        "upload_part": parts,
        "complete_upload": 1,
    }
    assert stats["source_bytes"] == size_bytes


def test_an_empty_export_is_one_put(server: NullS3) -> None:
    """It has no first byte to ask for, so a second read is needed; S3 gets one request."""
    _, stats = _copy(server, 0)
    assert stats["requests"] == {"GET source": 2, "put_object": 1}


def test_memory_does_not_grow_with_the_export(server: NullS3) -> None:
    """Four times the bytes take the same memory, within 5 %."""
    small, _ = _copy(server, 64 * _MIB, "--part-size-mib", "8")
    large, _ = _copy(server, 256 * _MIB, "--part-size-mib", "8")
    assert large["in_flight"] == small["in_flight"] == 8
    assert large["peak_rss_mib"] <= small["peak_rss_mib"] * _GROWTH_LIMIT


def test_an_export_that_fits_one_put_is_held_once(server: NullS3) -> None:
    """The largest body of one PUT takes its own size of memory; signing and sending copy none."""
    small, _ = _copy(server, _MIB)
    large, _ = _copy(server, _PART_BYTES)
    held_mib = _PART_BYTES / _MIB
    assert large["peak_rss_mib"] - small["peak_rss_mib"] <= held_mib * _COPY_LIMIT


def test_a_byte_passes_through_few_calls_in_python(server: NullS3) -> None:
    """Two calls (read, and a check in it) for each TLS record of 16 KiB, and few around them."""
    link = read_link(server.link(_PART_BYTES), TrustedHosts.parse(server.url.partition("//")[2]))
    tls = tls_context(str(server.ca_bundle))
    source = ExportSource(
        link, lambda: link, lambda to: ByteConnection(to.host, to.port, Network(tls))
    )
    reader = source.reader()
    head = reader.open(_PART_BYTES)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        size_bytes = sum(len(chunk) for chunk in reader.read(0, _PART_BYTES, head))
    finally:
        sys.setprofile(None)
        reader.close()
    assert size_bytes == _PART_BYTES
    assert calls <= _PART_BYTES / _TLS_RECORD_BYTES * _CALLS_PER_RECORD_LIMIT


@pytest.mark.parametrize(
    "arguments",
    [
        ("http://localhost/x", "s3://bucket/key"),
        ("https://localhost/x", "bucket/key"),
        ("https://localhost/x", "s3://bucket/key", "--in-flight", "0"),
        ("https://localhost/x", "s3://bucket/key", "--part-size-mib", "1"),
        ("https://localhost/x", "s3://bucket/key", "--endpoint-url", "ftp://localhost"),
    ],
)
def test_bad_input_is_told_in_a_sentence(arguments: tuple[str, ...]) -> None:
    """The copy for measuring from outside says what is wrong and ends with status 2."""
    command = [sys.executable, "-m", "tests.bench.copy_one", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)  # noqa: S603 - our own
    assert done.returncode == 2
    assert "copy_one: error:" in done.stderr
    assert "Traceback" not in done.stderr


# --- the cold start ---


def test_a_cold_start_loads_the_packages_that_it_is_known_to_load() -> None:
    """What is imported before the handler's first line is on the list, and no more of it."""
    outside = [name for name in _cold_modules() if name.partition(".")[0] not in _STANDARD]
    packages = {name.partition(".")[0] for name in outside}
    assert packages - _COLD_PACKAGES == set()
    assert len(outside) <= _COLD_MODULES_LIMIT
    assert not [name for name in outside if name.startswith(_OF_ORDERS)]


def test_a_cold_start_does_not_look_for_garbage_but_what_follows_does() -> None:
    """Python's collector sleeps while the function is imported, and is awake in the handler."""
    enabled, collections = cold_collections()
    assert enabled
    assert collections <= _COLD_COLLECTIONS_LIMIT


def test_the_layers_are_small() -> None:
    """Zipped together they stay below 20 MB."""
    assert sum(zipped_bytes(layer_folder(name)) for name in LAYERS) <= _ZIPPED_LIMIT_BYTES


# --- how ---

_STANDARD = sys.stdlib_module_names | {"__main__", "sitecustomize", "__mp_main__"}


@cache
def _cold_modules() -> list[str]:
    return cold_modules()


def _copy(server: NullS3, size_bytes: int, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    server.reset()
    command = [
        *(sys.executable, "-m", "tests.bench.copy_one", server.link(size_bytes)),
        *("s3://bucket/guarded.csv", "--endpoint-url", server.url, *options),
    ]
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=ROOT, env=server.environment(), capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    stats = server.stats()
    assert stats["faults"] == []
    assert stats["objects"]["guarded.csv"]["size_bytes"] == size_bytes
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["checksum"] == stats["objects"]["guarded.csv"]["crc64nvme"]
    return report, stats


def _connect(server: NullS3) -> http.client.HTTPSConnection:
    host, _, port = server.url.partition("://")[2].partition(":")
    tls = ssl.create_default_context(cafile=str(server.ca_bundle))
    return http.client.HTTPSConnection(host, int(port), context=tls)


def _ask(
    connection: http.client.HTTPSConnection,
    method: str,
    target: str,
    body: bytes,
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:
    connection.request(method, target, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _put(server: NullS3, key: str, body: bytes, headers: dict[str, str]) -> int:
    connection = _connect(server)
    try:
        return _ask(connection, "PUT", f"/bucket/{key}", body, headers)[0]
    finally:
        connection.close()
