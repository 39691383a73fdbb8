"""The link's host: an answer with impossible numbers or headers is the vendor's error, no bug."""

from __future__ import annotations

import http.client
import io
from collections.abc import Mapping

import pytest

from archiver.apartmentiq.link import Link
from archiver.errors import Failure
from archiver.transfer.source import ExportSource

LINK = Link("files.example.com", 443, "/export", None, None, None)


class Wire:
    """A connection whose other side answers with these bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Take a request."""

    def send(self, data: bytes | memoryview) -> None:
        """Take a piece of a body."""

    def answer(self) -> http.client.HTTPResponse:
        """Return the answer."""
        response = http.client.HTTPResponse(self)  # type: ignore[arg-type] # it only calls makefile
        response.begin()
        return response

    def makefile(self, mode: str) -> io.BytesIO:
        """Stand in for the socket."""
        assert mode == "rb"
        return io.BytesIO(self._raw)

    def interrupt(self) -> None:
        """Disturb nobody."""

    def close(self) -> None:
        """Close nothing."""


@pytest.mark.parametrize(
    ("content_range", "etag"),
    [
        ("bytes 0-4/" + "9" * 5_000, '"e"'),
        ("bytes 0-4/5", '"caf\u00e9"'),
        ("bytes 0-4/5", '"' + "e" * 5_000 + '"'),
        ("bytes 0-4/5", '"e\x01"'),
    ],
    ids=["no such size", "no ASCII", "long", "control"],
)
def test_an_answer_that_cannot_be_stored_is_the_vendors_error(
    content_range: str, etag: str
) -> None:
    """S3 refuses such metadata at the commit, after all the bytes have been copied."""
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {content_range}\r\nETag: {etag}\r\n\r\n"
    wire = Wire(head.encode("latin-1") + b"hello")
    source = ExportSource(LINK, lambda: LINK, lambda _: wire)
    with pytest.raises(Failure) as failed:
        source.reader().open(100)
    assert failed.value.reason == "vendor_error"
