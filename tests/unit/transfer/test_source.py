"""The link's host: an answer with impossible numbers or headers is the vendor's error, no bug."""

from __future__ import annotations

import http.client
import io
from collections.abc import Mapping

import pytest

from archiver.apartmentiq.link import Link
from archiver.errors import Failure, Transient
from archiver.network.answer_head import Answered
from archiver.transfer.source import CHUNK_BYTES, ExportSource, SourceHead

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
        response = Answered(self)  # type: ignore[arg-type] # it only calls makefile
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


# --- one answer after the other ---


LONG = bytes(range(256)) * (2 * CHUNK_BYTES // 256)  # two pieces


class _Kept(Wire):
    """A connection on which nothing can be asked before the last answer was read to its end."""

    def __init__(self) -> None:
        self.answers: list[http.client.HTTPResponse] = []
        self.asked = ""

    def begin(self, _method: str, _target: str, headers: Mapping[str, str]) -> None:
        """Take a request."""
        if self.answers and not self.answers[-1].isclosed():
            raise http.client.ResponseNotReady
        self.asked = headers["Range"]

    def answer(self) -> http.client.HTTPResponse:
        """Answer the last request."""
        start, _, end = self.asked.removeprefix("bytes=").partition("-")
        head = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end}/{len(LONG)}"
            f'\r\nETag: "e"\r\nContent-Length: {int(end) + 1 - int(start)}\r\n\r\n'
        )
        self._raw = head.encode() + LONG[int(start) : int(end) + 1]
        self.answers.append(super().answer())
        return self.answers[-1]


def test_a_part_that_was_left_off_does_not_stand_in_the_way_of_its_next_try() -> None:
    """The error of whoever left it off may hold it: the next range has a connection of its own."""
    connections: list[_Kept] = []

    def connect(_: Link) -> _Kept:
        connections.append(_Kept())
        return connections[-1]

    reader = ExportSource(LINK, lambda: LINK, connect).reader()
    head = SourceHead(len(LONG), '"e"', None, None)
    left_off = reader.read(0, len(LONG), head)
    next(left_off)
    assert b"".join(map(bytes, reader.read(0, len(LONG), head))) == LONG
    assert b"".join(map(bytes, reader.read(256, 5, head))) == LONG[256:261]
    assert len(connections) == 2, "one that was read to its end is kept"


# --- renewal ---

EXPORT = bytes(range(200))
PART_BYTES = 5
HEAD = SourceHead(len(EXPORT), '"e"', None, None)
EXPIRED = b"HTTP/1.1 403 Forbidden\r\n\r\n<Error><Code>AccessDenied</Code></Error>"


class ShortLivedLinks:
    """A host whose links are good for so many answers each, and for at most so many bytes."""

    def __init__(self, answers: int, most_bytes: int = len(EXPORT)) -> None:
        self.given = 1
        self._answers, self._left, self._most_bytes = answers, answers, most_bytes

    def give(self) -> Link:
        """Return a fresh link."""
        self.given += 1
        self._left = self._answers
        return Link("files.example.com", 443, f"/{self.given}", None, None, None)

    def source(self) -> ExportSource:
        """Return the export behind its first link."""
        return ExportSource(LINK, self.give, lambda _: _ShortLived(self))

    def answer(self, asked: str) -> bytes:
        """Answer a request for a range."""
        if not self._left:
            return EXPIRED
        self._left -= 1
        start, _, end = asked.removeprefix("bytes=").partition("-")
        body = EXPORT[int(start) : int(end) + 1]
        head = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end}/{len(EXPORT)}"
            f'\r\nETag: "e"\r\nContent-Length: {len(body)}\r\n\r\n'
        )
        return head.encode() + body[: self._most_bytes]


class _ShortLived(Wire):
    def __init__(self, host: ShortLivedLinks) -> None:
        super().__init__(b"")
        self._host = host

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - the interface's
        self._raw = self._host.answer(headers["Range"])


def read_parts(source: ExportSource) -> bytes:
    """Read the export in parts, two readers in turn."""
    readers = (source.reader(), source.reader())
    return b"".join(
        bytes(chunk)
        for number, start in enumerate(range(0, len(EXPORT), PART_BYTES))
        for chunk in readers[number % 2].read(start, PART_BYTES, HEAD)
    )


def test_links_that_serve_one_part_each_are_renewed_for_as_many_parts_as_there_are() -> None:
    """Only a streak of refusals counts, and a part that was read ends it."""
    host = ShortLivedLinks(answers=1)
    assert read_parts(host.source()) == EXPORT
    assert host.given == len(EXPORT) // PART_BYTES


def test_links_that_are_refused_when_they_are_new_end_the_copy() -> None:
    """Three fresh ones, and what the host says of them."""
    host = ShortLivedLinks(answers=0)
    with pytest.raises(Failure, match="every fresh link: 403 AccessDenied") as failed:
        read_parts(host.source())
    assert failed.value.reason == "vendor_error"
    assert host.given == 4


def test_a_part_that_breaks_off_ends_no_streak() -> None:
    """Links that die in the middle of a part, again and again, are no good ones."""
    host = ShortLivedLinks(answers=1, most_bytes=3)
    source = host.source()
    reader = source.reader()
    for _ in range(5):
        with pytest.raises(Transient, match="bytes missing of the range: 2"):
            list(reader.read(0, PART_BYTES, HEAD))
    with pytest.raises(Failure, match="refuses every fresh link"):
        list(reader.read(0, PART_BYTES, HEAD))
    assert host.given == 5


def test_readers_refused_with_the_same_link_ask_for_one_between_them() -> None:
    """Each would otherwise use up a renewal of the streak."""
    host = ShortLivedLinks(answers=8)
    source = host.source()
    readers = [source.reader() for _ in range(8)]
    for reader in readers:  # the first link is used up
        list(reader.read(0, PART_BYTES, HEAD))
    for reader in readers:
        list(reader.read(PART_BYTES, PART_BYTES, HEAD))
    assert host.given == 2


def test_readers_that_begin_at_once_may_each_need_a_link_of_their_own() -> None:
    """Each link is good for one answer, and no part is finished before all eight have begun."""
    host = ShortLivedLinks(answers=1)
    source = host.source()
    parts = [source.reader().read(n * PART_BYTES, PART_BYTES, HEAD) for n in range(8)]
    begun = [bytes(next(part)) for part in parts]
    assert b"".join(begun) == EXPORT[: 8 * PART_BYTES]
    assert host.given == 8
