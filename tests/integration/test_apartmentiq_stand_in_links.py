"""The stand-in checks links as S3 does, and its downloads fail in the ways that a test scripts.

The client sends paths exactly as the link has them: urllib3 would fold dot segments.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme

from local.apartmentiq import (
    FileExport,
    LinkFault,
    SyntheticExport,
    VendorStandIn,
    crc64nvme_of,
    sha256_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from local.apartmentiq import Export

ROWS = bytes(range(256)) * 40
NOTHING: dict[str, str] = {}
WEEK_SECONDS = 604_800
MIB = 1024 * 1024


@dataclass(frozen=True)
class Got:
    """An answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return the code in S3's error XML, or an empty string."""
        match = re.search(rb"<Code>(\w+)</Code>", self.body)
        return match.group(1).decode() if match else ""


@dataclass(frozen=True)
class Downloader:
    """Follows a link without the archiver's help."""

    context: ssl.SSLContext

    def open(
        self, link: str, headers: Mapping[str, str] = NOTHING, method: str = "GET"
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        """Send the request as the link is written and return what reads the answer."""
        url = urlsplit(link)
        connection = http.client.HTTPSConnection(url.netloc, context=self.context, timeout=10)
        connection.putrequest(
            method, link.removeprefix(f"https://{url.netloc}"), skip_accept_encoding=True
        )
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection, connection.getresponse()

    def get(self, link: str, headers: Mapping[str, str] = NOTHING, method: str = "GET") -> Got:
        """Return the whole answer."""
        connection, answer = self.open(link, headers, method)
        try:
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, fields, answer.read())
        finally:
            answer.close()
            connection.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def vendor(authority: trustme.CA) -> Iterator[VendorStandIn]:
    """Run a stand-in with nothing in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with VendorStandIn(context) as running:
        yield running


@pytest.fixture(scope="module")
def downloader(authority: trustme.CA) -> Downloader:
    """Return a client that trusts the tests' authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Downloader(context)


def test_serves_the_bytes_with_s3s_headers(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A good link gives the whole object, its MD5 as ETag and its Content-Encoding untouched."""
    job = vendor.add_job(ROWS, headers={"Content-Encoding": "gzip"})
    got = downloader.get(vendor.link_for(job))
    assert (got.status, got.body) == (200, ROWS)
    assert got.headers["etag"] == f'"{hashlib.md5(ROWS, usedforsecurity=False).hexdigest()}"'
    assert got.headers["content-type"] == "text/csv"
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["accept-ranges"] == "bytes"
    assert got.headers["last-modified"].endswith("GMT")


@pytest.mark.parametrize(
    "key",
    [
        "exports/plain.csv",
        "a b/c+d%2F%25.csv",
        "dots/../../and/./more//slashes/",
        "ünï/çødé/日本.csv",
        "?query=1&two#fragment;semi,comma:colon@at=equals'quote(1)!*~$",
    ],
)
def test_links_to_any_legal_key(vendor: VendorStandIn, downloader: Downloader, key: str) -> None:
    """Whatever characters a key has, its link is good and leads to it."""
    assert downloader.get(vendor.link_for(vendor.add_job(ROWS, key=key))).body == ROWS


def replaced(old: str, new: str) -> Callable[[str], str]:
    """Return an edit of a link that must change it."""

    def edit(link: str) -> str:
        assert old in link
        return link.replace(old, new, 1)

    return edit


@pytest.mark.parametrize(
    ("edit", "status", "code"),
    [
        (replaced("/units.csv", "/other.csv"), 403, "SignatureDoesNotMatch"),
        (replaced("X-Amz-Expires=604800", "X-Amz-Expires=604799"), 403, "SignatureDoesNotMatch"),
        (lambda link: link + "&versionId=1", 403, "SignatureDoesNotMatch"),
        (lambda link: link[:-4] + "beef", 403, "SignatureDoesNotMatch"),
        (replaced("SignedHeaders=host", "SignedHeaders=range"), 403, "SignatureDoesNotMatch"),
        (replaced("Credential=AKIA", "Credential=AKIB"), 403, "InvalidAccessKeyId"),
        (replaced("us-east-1", "eu-west-1"), 400, "AuthorizationQueryParametersError"),
        (replaced("=604800", "=604801"), 400, "AuthorizationQueryParametersError"),
        (replaced("X-Amz-Date", "X-Amz-Day"), 400, "AuthorizationQueryParametersError"),
        (lambda link: link.partition("?")[0], 403, "AccessDenied"),
    ],
)
def test_refuses_a_changed_link(
    vendor: VendorStandIn,
    downloader: Downloader,
    edit: Callable[[str], str],
    status: int,
    code: str,
) -> None:
    """No part of a link can be changed, left out or added."""
    got = downloader.get(edit(vendor.link_for(vendor.add_job(ROWS))))
    assert (got.status, got.code) == (status, code)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE"])
def test_a_link_is_for_get_alone(
    vendor: VendorStandIn, downloader: Downloader, method: str
) -> None:
    """The method is signed too; a HEAD's refusal has no body."""
    got = downloader.get(vendor.link_for(vendor.add_job(ROWS)), method=method)
    assert got.status == 403
    assert got.code == ("" if method == "HEAD" else "SignatureDoesNotMatch")


def test_a_link_dies_when_its_time_is_over(vendor: VendorStandIn, downloader: Downloader) -> None:
    """Seven days are the limit to the second, and the refusal says that it expired."""
    link = vendor.link_for(vendor.add_job(ROWS))
    vendor.clock.advance(WEEK_SECONDS - 60)
    assert downloader.get(link).status == 200
    vendor.clock.advance(60)
    got = downloader.get(link)
    assert (got.status, got.code) == (403, "AccessDenied")
    assert b"Request has expired" in got.body


def test_temporary_keys_end_a_link_early(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A link that a role signed dies with the role's session: 400, not 403."""
    vendor.use_temporary_keys(900)
    link = vendor.link_for(vendor.add_job(ROWS))
    assert "X-Amz-Security-Token=" in link
    assert downloader.get(link).status == 200
    vendor.clock.advance(900)
    got = downloader.get(link)
    assert (got.status, got.code) == (400, "ExpiredToken")


def test_refuses_a_second_authorisation(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A bearer token sent along with a link is an error, and S3's answer repeats the token."""
    headers = {"Authorization": "Bearer canary"}
    got = downloader.get(vendor.link_for(vendor.add_job(ROWS)), headers)
    assert (got.status, got.code) == (400, "InvalidArgument")
    assert b"Only one auth mechanism allowed" in got.body
    assert b"canary" in got.body
    assert (vendor.journal[-1].authorized, "canary" in repr(vendor.journal)) == (True, False)


def test_refuses_amazon_headers_that_were_not_signed(
    vendor: VendorStandIn, downloader: Downloader
) -> None:
    """Nobody can add an x-amz-* header to somebody else's link."""
    headers = {"x-amz-checksum-mode": "ENABLED"}
    got = downloader.get(vendor.link_for(vendor.add_job(ROWS)), headers)
    assert (got.status, got.code) == (403, "AccessDenied")
    assert b"There were headers present in the request which were not signed" in got.body


def test_signed_headers_must_be_sent_and_tell_the_checksum(
    vendor: VendorStandIn, downloader: Downloader
) -> None:
    """A link that signs the checksum mode needs the header, and then answers with the CRC64NVME."""
    vendor.link_signed_headers = {"x-amz-checksum-mode": "ENABLED"}
    job = vendor.add_job(b"123456789")
    link = vendor.link_for(job)
    assert downloader.get(link).code == "SignatureDoesNotMatch"
    got = downloader.get(link, vendor.link_signed_headers)
    # The check value of CRC-64/NVME for "123456789", from the catalogue of parametrised CRCs.
    check = base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()
    assert got.headers["x-amz-checksum-crc64nvme"] == check


def test_signed_response_headers_are_answered(
    vendor: VendorStandIn, downloader: Downloader
) -> None:
    """A link may override the content type, as signed `response-*` parameters do."""
    vendor.link_query = {"response-content-type": "text/plain; charset=utf-8"}
    got = downloader.get(vendor.link_for(vendor.add_job(ROWS)))
    assert got.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=10230-", 10230, 10240), ("bytes=-3", 10237, 10240)],
)
def test_answers_ranges(
    vendor: VendorStandIn, downloader: Downloader, asked: str, start: int, end: int
) -> None:
    """Each form of a range gives 206, exactly its bytes and where they lie."""
    got = downloader.get(vendor.link_for(vendor.add_job(ROWS)), {"Range": asked})
    assert (got.status, got.body) == (206, ROWS[start:end])
    assert got.headers["content-range"] == f"bytes {start}-{end - 1}/10240"
    assert got.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(("content", "asked"), [(b"", "bytes=0-"), (b"abc", "bytes=3-5")])
def test_refuses_a_range_beyond_the_end(
    vendor: VendorStandIn, downloader: Downloader, content: bytes, asked: str
) -> None:
    """Any range of an empty object is a 416 that tells the true size."""
    got = downloader.get(vendor.link_for(vendor.add_job(content)), {"Range": asked})
    assert (got.status, got.code) == (416, "InvalidRange")
    assert f"<ActualObjectSize>{len(content)}</ActualObjectSize>".encode() in got.body


def test_an_empty_export_is_an_empty_body(vendor: VendorStandIn, downloader: Downloader) -> None:
    """Without a range an empty object is simply there."""
    got = downloader.get(vendor.link_for(vendor.add_job(b"")))
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


def test_if_match_holds_a_download_to_one_object(
    vendor: VendorStandIn, downloader: Downloader
) -> None:
    """When the export is written anew between two ranges the second is refused."""
    job = vendor.add_job(ROWS, etag="abc-2")
    link, condition = vendor.link_for(job), {"If-Match": '"abc-2"', "Range": "bytes=0-1"}
    assert downloader.get(link, condition).status == 206
    vendor.set_etag(job.job_id, "def-2")
    got = downloader.get(link, condition)
    assert (got.status, got.code) == (412, "PreconditionFailed")


def test_a_replaced_export_keeps_its_link(vendor: VendorStandIn, downloader: Downloader) -> None:
    """New bytes at the same key come through the old link, with a new ETag."""
    job = vendor.add_job(ROWS)
    link, old = vendor.link_for(job), downloader.get(vendor.link_for(job))
    vendor.store_export(job.job_id, b"new")
    new = downloader.get(link)
    assert (new.body, new.headers["etag"] != old.headers["etag"]) == (b"new", True)


def test_truncates_after_so_many_bytes(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A cut-off download is cut at the very byte, and the next one is whole again."""
    job = vendor.add_job(ROWS)
    vendor.disturb_link(LinkFault(truncate_after_bytes=1000))
    with pytest.raises(http.client.IncompleteRead) as cut:
        downloader.get(vendor.link_for(job))
    assert cut.value.partial == ROWS[:1000]
    assert downloader.get(vendor.link_for(job)).body == ROWS
    assert vendor.link_bytes(job.job_id) == 1000 + len(ROWS)


@pytest.mark.parametrize(
    ("fault", "resets"),
    [
        (LinkFault(truncate_after_bytes=500), False),
        (LinkFault(reset_after_bytes=500), True),
        (LinkFault(reset_after_bytes=0), True),
    ],
)
def test_a_reset_is_a_reset_of_the_connection(
    vendor: VendorStandIn, downloader: Downloader, *, fault: LinkFault, resets: bool
) -> None:
    """A reset ends the TCP connection by force, a truncation in good order."""
    vendor.disturb_link(fault)
    connection, answer = downloader.open(vendor.link_for(vendor.add_job(ROWS)))
    try:
        assert was_reset(connection) is resets
    finally:
        answer.close()
        connection.close()


def was_reset(connection: http.client.HTTPSConnection) -> bool:
    """Read the rest below TLS: Python 3.11's TLS reports a reset as a mere end."""
    try:
        while socket.socket.recv(connection.sock, MIB):
            pass
    except ConnectionResetError:
        return True
    return False


def test_lies_about_ranges_and_tags(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A source may ignore Range, tell a wrong range, or another ETag despite If-Match."""
    job = vendor.add_job(ROWS, etag="abc")
    link, asked = vendor.link_for(job), {"Range": "bytes=0-1", "If-Match": "abc"}
    vendor.disturb_link(LinkFault(ignore_range=True))
    got = downloader.get(link, asked)
    assert (got.status, len(got.body), "content-range" in got.headers) == (200, len(ROWS), False)
    vendor.disturb_link(LinkFault(content_range="bytes 5-6/10240"))
    assert downloader.get(link, asked).headers["content-range"] == "bytes 5-6/10240"
    vendor.disturb_link(LinkFault(etag="other"))
    assert downloader.get(link, asked).headers["etag"] == '"other"'


def test_stalls_until_released(vendor: VendorStandIn, downloader: Downloader) -> None:
    """A stalled download gives its first bytes and the rest only when told to."""
    job, release = vendor.add_job(ROWS), threading.Event()
    vendor.disturb_link(LinkFault(stall_until=release, stall_after_bytes=300), job_id=job.job_id)
    connection, answer = downloader.open(vendor.link_for(job))
    try:
        assert answer.read(300) == ROWS[:300]
        assert vendor.link_bytes(job.job_id) == 300
        release.set()
        assert answer.read() == ROWS[300:]
    finally:
        answer.close()
        connection.close()


def test_paces_a_download(vendor: VendorStandIn, downloader: Downloader) -> None:
    """So many bytes per second take at least so long."""
    vendor.disturb_link(LinkFault(bytes_per_second=len(ROWS) * 5))
    started_at = time.monotonic()
    assert downloader.get(vendor.link_for(vendor.add_job(ROWS))).body == ROWS
    assert time.monotonic() - started_at >= 0.15


def test_scripted_answers_precede_the_link(vendor: VendorStandIn, downloader: Downloader) -> None:
    """S3's own trouble comes before any check; the next request is answered as ever."""
    link = vendor.link_for(vendor.add_job(ROWS))
    vendor.answer_next("link", status=503, body="<Error><Code>SlowDown</Code></Error>")
    assert downloader.get(link).code == "SlowDown"
    assert downloader.get(link).body == ROWS


def test_reports_bytes_as_they_go(vendor: VendorStandIn, downloader: Downloader) -> None:
    """The hook hears the running total of a job, over all its downloads."""
    heard: list[tuple[str, int]] = []
    vendor.on_link_bytes = lambda job_id, total: heard.append((job_id, total))
    job = vendor.add_job(SyntheticExport(3 * MIB))
    downloader.get(vendor.link_for(job))
    downloader.get(vendor.link_for(job), {"Range": "bytes=0-9"})
    assert heard == [(job.job_id, total) for total in (MIB, 2 * MIB, 3 * MIB, 3 * MIB + 10)]
    assert [entry.bytes_served for entry in vendor.journal] == [3 * MIB, 10]


def assemble(export: Export, starts: list[int]) -> bytes:
    """Read an export range by range."""
    ends = [*starts[1:], export.size_bytes]
    pairs = zip(starts, ends, strict=True)
    return b"".join(
        bytes(chunk) for start, end in pairs for chunk in export.chunks(start, end - start)
    )


def test_synthetic_exports_read_the_same_in_any_pieces() -> None:
    """Ranges of a synthetic export fit together, and no two of its MiB are alike."""
    export = SyntheticExport(4 * MIB + 77, seed=3, prefix=b"header\n")
    whole = assemble(export, [0])
    assert len(whole) == export.size_bytes
    assert assemble(export, [0, 3, 7, MIB - 1, MIB + 8, 3 * MIB]) == whole
    assert len({whole[index * MIB : (index + 1) * MIB] for index in range(4)}) == 4
    assert sha256_of(export) == hashlib.sha256(whole).hexdigest()


def test_file_exports_read_from_disk(tmp_path: Path) -> None:
    """A file's ranges, digest and ETag are its bytes'."""
    path = tmp_path / "export.bin"
    path.write_bytes(ROWS)
    export = FileExport(path)
    assert assemble(export, [0, 100, 5000]) == ROWS
    assert export.etag() == hashlib.md5(ROWS, usedforsecurity=False).hexdigest()
    assert len(crc64nvme_of(export)) == 8


def test_sends_raw_answers_and_then_hangs_up(vendor: VendorStandIn, downloader: Downloader) -> None:
    """Bytes as they are, be they a whole answer or none; interim ones come before the real one."""
    link = vendor.link_for(vendor.add_job(ROWS))
    vendor.answer_raw_next("link", b"HTTP/1.1 418 Odd\r\n\r\nbody")
    vendor.answer_raw_next("link", b"")
    assert downloader.get(link).body == b"body"
    with pytest.raises(OSError):  # noqa: PT011 - an end or a reset, as the kernel likes
        downloader.get(link)
    vendor.disturb_link(LinkFault(interim=b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert downloader.get(link).body == ROWS
