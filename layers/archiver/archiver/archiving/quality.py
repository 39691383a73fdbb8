"""What is odd about an export's content, by its size, its first and its last bytes. Pure.

    empty        no bytes
    unreadable   cannot be read as its format: CSV that is not UTF-8, or whose first two records are
                 no CSV; JSON lines whose first line is no object; Parquet without its two marks or
                 without a footer that fits
    header_only  no rows: of CSV one record; of JSON lines none; of Parquet num_rows 0
    shrunken     less than half as many bytes as the last export of its kind

The first that holds is told; the export is archived byte for byte all the same. Content may be
anything, so that nothing here may raise or take long: what its ends do not show is not judged, nor
is a format or a Content-Encoding that is not known here. gzip is known by its mark.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from datetime import date, timedelta
from typing import Literal

from archiver.archiving.parquet_footer import num_rows
from archiver.job import UNKNOWN
from archiver.receipt import ENDS_BYTES, Ends, Receipt

__all__ = ["LOOKED_AT", "TAILED", "Oddity", "is_shrunken", "judge", "kind_of"]

Oddity = Literal["empty", "header_only", "unreadable", "shrunken"]
TAILED = frozenset({"parquet"})  # formats of which the last bytes are looked at, too
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_GZIP = b"\x1f\x8b"
_KNOWN_ENCODINGS = frozenset({None, "", "identity", "gzip", "x-gzip"})
# Parquet's specification, "File Format": PAR1 at both ends, before the last one the footer's length
# in four bytes; "Parquet Modular Encryption": PARE where the footer is encrypted.
_ENCRYPTED = b"PARE"
_MARKS = frozenset({b"PAR1", _ENCRYPTED})
_MARK_BYTES, _LENGTH_BYTES = 4, 4


def judge(output_format: str, size_bytes: int, ends: Ends) -> Oddity | None:
    """Tell what is odd about a content of at least one byte, as far as its ends show it."""
    look = _LOOKS.get(output_format)
    if look is None or (ends.content_encoding or "").strip().lower() not in _KNOWN_ENCODINGS:
        return None
    head, tail, whole = ends.head, ends.tail, size_bytes <= len(ends.head)
    if head.startswith(_GZIP):
        try:
            head, whole = _unpacked(head)
        except zlib.error:
            return "unreadable"
        if not head:
            return "header_only" if whole else None
        size_bytes, tail = (len(head), head) if whole else (0, b"")
    return look(head, tail, size_bytes, whole)


def is_shrunken(size_bytes: int, last_size_bytes: int | None) -> bool:
    """Tell whether an export is less than half as large as the last one of its kind."""
    return last_size_bytes is not None and 2 * size_bytes < last_size_bytes


def kind_of(receipt: Receipt) -> str | None:
    """Return a digest of what exports must have in common for their sizes to be compared.

    Report type, format, properties and the window's length: so many whole months, else days. None
    where one of them is not told.
    """
    length = _length(receipt.start_date, receipt.end_date)
    if UNKNOWN in {receipt.report_type, receipt.output_format} or length is None:
        return None
    if receipt.property_set is None:
        return None
    kind = [receipt.report_type, receipt.output_format, receipt.property_set, length]
    return hashlib.sha256(json.dumps(kind).encode()).hexdigest()[:24]


def _length(start: str, end: str) -> str | None:
    try:
        first, after = date.fromisoformat(start), date.fromisoformat(end) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
    if first.day == after.day == 1:
        return f"{12 * (after.year - first.year) + after.month - first.month} months"
    return f"{(after - first).days} days"


def _unpacked(head: bytes) -> tuple[bytes, bool]:
    """Unpack as much of a head as a head may have, and tell whether that is all of the content."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    content = unpacker.decompress(head, ENDS_BYTES)
    # Another member may follow, which goes on with the content (RFC 1952, 2.2).
    return content, unpacker.eof and not unpacker.unused_data


def _text(head: bytes, *, whole: bool) -> str | None:
    """Return a head as text, None where it is none; a character that is cut off is left away."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=whole)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _csv(head: bytes, _tail: bytes, _size_bytes: int, whole: bool) -> Oddity | None:  # noqa: FBT001 - a look
    text = _text(head, whole=whole)
    if text is None:
        return "unreadable"
    records, lines = 0, _Lines(text)
    try:
        for record in csv.reader(lines, strict=True):
            records += bool(record)
            if records == 2:
                return None
    except csv.Error:
        # Where the head ends within a record, that is no fault of the record's.
        return "unreadable" if whole or not lines.at_end else None
    return "header_only" if whole else None


def _jsonl(head: bytes, _tail: bytes, _size_bytes: int, whole: bool) -> Oddity | None:  # noqa: FBT001 - a look
    text = _text(head, whole=whole)
    if text is None:
        return "unreadable"
    line, newline, _ = text.lstrip().partition("\n")
    if not line:
        return "header_only" if whole else None
    if not (newline or whole):
        return None
    try:
        # A number of any length is one; Python's int takes no more than 4,300 digits.
        return None if isinstance(json.loads(line, parse_int=str), dict) else "unreadable"
    except (ValueError, RecursionError):
        return "unreadable"


def _parquet(head: bytes, tail: bytes, size_bytes: int, whole: bool) -> Oddity | None:  # noqa: FBT001 - a look
    mark = head[:_MARK_BYTES]
    if mark not in _MARKS:
        return "unreadable" if whole or len(mark) == _MARK_BYTES else None
    return _footer(tail, size_bytes) if tail else None


def _footer(tail: bytes, size_bytes: int) -> Oddity | None:
    ending = tail[-_MARK_BYTES - _LENGTH_BYTES :]
    mark, footer_bytes = ending[_LENGTH_BYTES:], int.from_bytes(ending[:_LENGTH_BYTES], "little")
    if mark not in _MARKS or not 0 < footer_bytes <= size_bytes - 2 * _MARK_BYTES - _LENGTH_BYTES:
        return "unreadable"
    rest_bytes = footer_bytes + _LENGTH_BYTES + _MARK_BYTES
    if rest_bytes > len(tail) or mark == _ENCRYPTED:
        return None  # of thousands of columns, or for those alone who have its key
    try:
        rows = num_rows(tail[len(tail) - rest_bytes :][:footer_bytes])
    except ValueError:
        return "unreadable"
    return "header_only" if rows == 0 else None


class _Lines:
    """The lines of a text, and whether all of them were read; csv wants them with their ends."""

    def __init__(self, text: str) -> None:
        self._found, self._left = _LINE.finditer(text), len(text)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._found)[0]
        self._left -= len(line)
        return line

    @property
    def at_end(self) -> bool:
        return self._left == 0


_Look = Callable[[bytes, bytes, int, bool], Oddity | None]
_LOOKS: dict[str, _Look] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
LOOKED_AT = frozenset(_LOOKS)  # formats whose content is judged
