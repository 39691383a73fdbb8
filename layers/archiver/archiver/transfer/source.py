"""The vendor's side of a streaming copy: ranged reads of a link, validated before a byte is used.

A link authorises GET on one object; `Range` and `If-Match` may be added, and nothing else is sent:
S3 refuses unsigned `x-amz-*` headers and a second kind of authorisation, and our token must not
leak. An answer counts only if status, Content-Range and length are those asked for. No body is
decoded.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from archiver.apartmentiq.link import Link
from archiver.errors import Failure, Transient, redact
from archiver.network.https import NETWORK_ERRORS, kind_of
from archiver.network.outside import Connection
from archiver.transfer.checksum import md5_of_etag, told_crc64nvme
from archiver.transfer.contract import SourceHead, kept_encoding

__all__ = ["ExportSource", "LinkReader", "SourceChanged", "SourceHead"]

_T = TypeVar("_T")

CHUNK_BYTES = 256 * 1024  # measured: smaller costs CPU, larger only memory
_DIGITS = 14  # S3's largest object has 48.8 TiB: fourteen digits of bytes
_CONTENT_RANGE = re.compile(
    rf"bytes ([0-9]{{1,{_DIGITS}}})-([0-9]{{1,{_DIGITS}}})/([0-9]{{1,{_DIGITS}}})"
)
# RFC 9110, 8.8.3. Only a strong one may stand in If-Match (13.1.1); some servers forget the quotes.
_ETAG = re.compile(r'(?:W/)?"[^"]*"|[^"]+')
_WEAK = "W/"
_MAX_HEADER_CHARACTERS = 200  # of what is stored beside the bytes; S3 takes 2 KB of metadata
_OK, _PARTIAL, _EMPTY_RANGE, _CHANGED = 200, 206, 416, 412
_REFUSED = frozenset({400, 401, 403})
# In a row, without a part that was read to its end between them; and one more for each reader that
# began a part meanwhile: eight that begin at once may each find that the others' link has died.
_MAX_RENEWALS = 3
# S3 API Reference, "Error responses", the list of codes: those with a 400 or 403 that are about the
# object, its key or the accounts, so that no fresh link to it fares better. (What is wrong with a
# link has codes too, AccessDenied among them: "Request has expired"; so one that is unknown here is
# taken for that.) KMS's come through S3 with its name before them.
_BEYOND_LINKS = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidObjectState",
        "InvalidPayer",
        "InvalidRequest",
        "InvalidSecurity",
        "MethodNotAllowed",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "NotSignedUp",
        "UserKeyMustBeSpecified",
    }
)
_KMS = re.compile(r"KMS\.[A-Za-z]{1,40}")
# Of these S3 says in the same list, whatever their status, that they pass.
_PASSING = frozenset({"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"})
_LONG_CODES = frozenset({"AuthorizationQueryParametersError", "IllegalLocationConstraintException"})
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MAX_REFUSAL_BYTES = 8 * 1024  # S3's have some hundred; a repeated signature makes them longer
_MAX_REFUSAL_READS = 8  # each is bounded by the connection's time-out


class SourceChanged(Exception):  # noqa: N818 - a cue to start afresh, not an error
    """The object behind the link is not the one that the copy began with."""


class _LinkRefused(Exception):  # noqa: N818 - a cue to ask for a fresh link, not an error
    """400 or 403: the link expired, or the credentials that signed it did. `told`: in what words.

    `generation` is that of the link which was refused.
    """

    def __init__(self, told: str, generation: int) -> None:
        super().__init__(told)
        self.told = told
        self.generation = generation


class ExportSource:
    """One job's export behind a link that can be renewed; shared by the readers' threads."""

    def __init__(
        self,
        link: Link,
        ask_for_link: Callable[[], Link],
        connect: Callable[[Link], Connection],
    ) -> None:
        self._link = link
        self._ask_for_link = ask_for_link
        self._connect = connect
        self._lock = threading.Lock()
        self._generation = 0
        self._renewals = 0  # since a part was last read to its end
        self._beginners: set[LinkReader] = set()  # who began one since

    def reader(self) -> LinkReader:
        """Return a reader with a connection and a buffer of its own; one for each worker."""
        return LinkReader(self)

    def connect(self) -> tuple[Link, Connection, int]:
        """Return the current link, a connection to its host, and the link's generation."""
        with self._lock:
            return self._link, self._connect(self._link), self._generation

    def generation(self) -> int:
        """Return how often the link has been renewed."""
        with self._lock:
            return self._generation

    def renew(self, refused_generation: int, told: str) -> None:
        """Ask for a fresh link, once for all readers that were refused with the same one.

        Raises Failure("vendor_error"), with the host's words, where fresh links are refused again
        and again, and no part is read to its end between them.
        """
        with self._lock:
            if self._generation != refused_generation:
                return  # another reader has already asked
            if self._renewals >= _MAX_RENEWALS + len(self._beginners):
                raise Failure("vendor_error", f"The link's host refuses every fresh link: {told}.")
            self._link = self._ask_for_link()
            self._generation += 1
            self._renewals += 1

    def part_was_begun(self, reader: LinkReader) -> None:
        """Note that a link was good for this reader; that it will be for the part is not known."""
        with self._lock:
            self._beginners.add(reader)

    def part_was_read(self) -> None:
        """End a streak of refusals: the links are good, they only do not last."""
        with self._lock:
            self._renewals = 0
            self._beginners.clear()


class LinkReader:
    """Reads ranges of the export over one connection, through one buffer that is used again."""

    def __init__(self, source: ExportSource) -> None:
        self._source = source
        self._connection: Connection | None = None
        self._link: Link | None = None
        self._generation = -1
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
        self._opened: tuple[http.client.HTTPResponse, int] | None = None
        self._last: http.client.HTTPResponse | None = None

    def open(self, first_bytes: int) -> SourceHead:
        """Ask for the export's first `first_bytes` (or all, if fewer) and return what it is.

        The answer stays open: the `read` that begins at 0 goes on from it, so that no byte and no
        request is spent on the asking. Raises Transient and Failure("vendor_error").
        """
        head, answer = self._renewing(lambda: self._open_first(first_bytes))
        self._opened = (answer, min(first_bytes, head.size_bytes))
        return head

    def read(self, start: int, size_bytes: int, head: SourceHead) -> Iterator[memoryview]:
        """Yield exactly this range, in pieces of one reused buffer; each is gone with the next.

        Raises SourceChanged, Transient (broken off, too short) and Failure("vendor_error").
        """
        opened, self._opened = self._opened, None
        if opened is not None and start == 0:
            answer, length = opened
            length = min(length, size_bytes)
            yield from self._pieces(answer, length)
            start, size_bytes = length, size_bytes - length
        elif opened is not None:
            self.close()
        if size_bytes:
            answer = self._renewing(lambda: self._open_range(start, size_bytes, head))
            self._source.part_was_begun(self)
            yield from self._pieces(answer, size_bytes)
        self._source.part_was_read()

    def interrupt(self) -> None:
        """Make a read that is under way in another thread fail at once."""
        if (connection := self._connection) is not None:
            connection.interrupt()

    def close(self) -> None:
        """Close the connection; the next read opens another."""
        self._opened = self._last = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pieces(self, answer: http.client.HTTPResponse, size_bytes: int) -> Iterator[memoryview]:
        try:
            yield from self._chunks(answer, size_bytes)
        finally:
            # Read to its end, the connection can be kept; else closing it stops the rest.
            if not answer.isclosed():
                self.close()

    def _renewing(self, ask: Callable[[], _T]) -> _T:
        while True:
            try:
                return ask()
            except _LinkRefused as refused:
                self.close()
                self._source.renew(refused.generation, refused.told)

    def _open_first(self, first_bytes: int) -> tuple[SourceHead, http.client.HTTPResponse]:
        answer = self._get({"Range": f"bytes=0-{first_bytes - 1}"})
        empty = answer.status == _EMPTY_RANGE
        contradicted = empty and answer.headers.get("content-range") not in {None, "bytes */0"}
        if empty:
            # Only an empty object has no first byte; asked without a range, it tells its ETag.
            self._discard(answer)
            answer = self._get({})
        if answer.status not in {_OK, _PARTIAL}:
            raise self._judge_refusal(answer)
        spanned = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        length = _content_length(answer)
        if spanned is not None:
            start, end, size_bytes = (int(group) for group in spanned.groups())
            if start != 0 or end != min(first_bytes, size_bytes) - 1:
                raise self._strange(answer, "with another range than was asked for")
            if length not in {None, end + 1}:
                raise self._strange(answer, "with a length that is not its range's")
        elif answer.status == _OK and length is not None:
            size_bytes = length  # the whole object: a server without ranges, or an empty object
        else:
            raise self._strange(answer, "that does not tell the export's size")
        if contradicted or (empty and size_bytes):  # they cannot both be true of one object
            self.close()
            raise SourceChanged
        etag = answer.headers.get("etag", "")
        encoding = answer.headers.get("content-encoding")
        unstorable = _what_cannot_be_stored(etag, encoding or "")
        if unstorable:
            raise self._strange(answer, unstorable)
        head = SourceHead(
            size_bytes=size_bytes,
            etag=etag,
            content_encoding=kept_encoding(encoding),
            checksum_crc64nvme=told_crc64nvme(
                answer.headers.get("x-amz-checksum-crc64nvme"),
                answer.headers.get("x-amz-checksum-type"),
            ),
            checksum_bytes=None if first_bytes >= size_bytes or spanned is None else first_bytes,
            md5=md5_of_etag(
                etag,
                encryption=answer.headers.get("x-amz-server-side-encryption"),
                customer_key=answer.headers.get("x-amz-server-side-encryption-customer-algorithm"),
                storage_class=answer.headers.get("x-amz-storage-class"),
            ),
        )
        return head, answer

    def _open_range(
        self, start: int, size_bytes: int, head: SourceHead
    ) -> http.client.HTTPResponse:
        end = start + size_bytes - 1
        condition = {} if head.etag.startswith(_WEAK) else {"If-Match": head.etag}
        answer = self._get({"Range": f"bytes={start}-{end}", **condition})
        if answer.status not in {_OK, _PARTIAL}:
            raise self._judge_refusal(answer)
        # First, for a source that has another size now answers with another range, too.
        etag = answer.headers.get("etag", head.etag if condition else "")
        if not etag:
            raise self._strange(answer, "without the ETag that alone tells which export it is")
        if etag != head.etag:  # rclone ignores If-Match
            self.close()
            raise SourceChanged
        told = answer.headers.get("content-range", "")
        whole = start == 0 and size_bytes == head.size_bytes and answer.status == _OK and not told
        if not whole and told != f"bytes {start}-{end}/{head.size_bytes}":
            raise self._strange(
                answer,
                "with another range than was asked for"
                if told
                else "with the whole instead of the range that was asked for"
                if answer.status == _OK
                else "without a Content-Range",
            )
        if _content_length(answer) not in {None, size_bytes}:
            raise self._strange(answer, "with a length that is not its range's")
        return answer

    def _get(self, extra: dict[str, str]) -> http.client.HTTPResponse:
        link, connection = self._ready()
        host = link.host if link.port == 443 else f"{link.host}:{link.port}"
        headers = {"Host": host, "Accept-Encoding": "identity", **link.headers, **extra}
        try:
            connection.begin("GET", link.target, headers)
            self._last = connection.answer()
        except NETWORK_ERRORS as error:
            self.close()
            raise Transient(
                "network", f"{link.host} did not answer for the export: {kind_of(error)}."
            ) from error
        return self._last

    def _ready(self) -> tuple[Link, Connection]:
        # One that is not read to its end, and not closed yet either: whoever left it off, when the
        # store broke off, may be held by the error that says so. Closed here, it closes nothing
        # later.
        if self._last is not None and not self._last.isclosed():
            self._discard(self._last)
        if (
            self._connection is None
            or self._link is None
            or self._generation != self._source.generation()
        ):
            self.close()
            self._link, self._connection, self._generation = self._source.connect()
        return self._link, self._connection

    def _chunks(self, answer: http.client.HTTPResponse, size_bytes: int) -> Iterator[memoryview]:
        left = size_bytes
        while left:
            try:
                count = answer.readinto(self._buffer[: min(left, CHUNK_BYTES)])
            except NETWORK_ERRORS as error:
                self.close()
                raise Transient(
                    "network", f"The export broke off while it was read: {kind_of(error)}."
                ) from error
            if not count:
                self.close()
                raise Transient(
                    "network", f"The export ended too early: bytes missing of the range: {left}."
                )
            left -= count
            yield self._buffer[:count]

    def _judge_refusal(self, answer: http.client.HTTPResponse) -> Exception:
        status, generation = answer.status, self._generation
        if status in {_CHANGED, _EMPTY_RANGE}:  # what is asked for was there when the copy began
            self._discard(answer)
            return SourceChanged()
        code = _error_code(answer)
        self._discard(answer)
        told = f"{status} {_shown(code)}" if code else str(status)
        if status >= 500 or status in {408, 429} or code in _PASSING:
            return Transient("vendor_error", f"The link's host answered {told}.")
        if status not in _REFUSED:
            return Failure(
                "vendor_error", f"The link's host answered {told} instead of the export."
            )
        if code in _BEYOND_LINKS or _KMS.fullmatch(code):
            return Failure(
                "vendor_error", f"The link's host answered {told}, which no fresh link mends."
            )
        return _LinkRefused(told, generation)

    def _strange(self, answer: http.client.HTTPResponse, how: str) -> Failure:
        status = answer.status
        self.close()
        return Failure("vendor_error", f"The link's host answered {status} {how}.")

    def _discard(self, answer: http.client.HTTPResponse) -> None:
        answer.close()
        self.close()


def _content_length(answer: http.client.HTTPResponse) -> int | None:
    text = answer.headers.get("content-length", "")
    usable = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if usable else None


def _error_code(answer: http.client.HTTPResponse) -> str:
    """Return the code in a refusal's body, as S3 writes it; empty if there is none to be had.

    No more of the body is used: S3 repeats the link's signature in it, and its session token.
    """
    body = b""
    try:
        for _ in range(_MAX_REFUSAL_READS):
            piece = answer.read1(_MAX_REFUSAL_BYTES - len(body))
            body += piece
            if not piece or len(body) >= _MAX_REFUSAL_BYTES or _CODE.search(body):
                break
    except (*NETWORK_ERRORS, ValueError):  # http.client's, of a chunk's size
        pass
    match = _CODE.search(body)
    return match[1].decode() if match is not None else ""


def _shown(code: str) -> str:
    """Return a code fit to be shown: what is not known to be one could be anything."""
    known = code in _BEYOND_LINKS | _PASSING | _LONG_CODES or _KMS.fullmatch(code)
    return code if known else redact(code)


def _what_cannot_be_stored(etag: str, encoding: str) -> str:
    """Say what is wrong with these as our object's metadata, or as a condition; empty: nothing."""
    if not etag:
        return "without an ETag"
    if not (_is_storable(etag) and _ETAG.fullmatch(etag)):
        return "with an ETag that is none, or cannot be stored"
    return "" if _is_storable(encoding) else "with a Content-Encoding that cannot be stored"


def _is_storable(value: str) -> bool:
    """Tell whether S3 takes this into an object's metadata; it is ASCII there."""
    return value.isascii() and value.isprintable() and len(value) <= _MAX_HEADER_CHARACTERS
