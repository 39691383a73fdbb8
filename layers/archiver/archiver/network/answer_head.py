"""The head of an HTTP answer, parsed in one place for everybody: the vendor, S3, boto3.

http.client takes a truncated head for a whole one (and so a Location that was cut short for a
link), keeps the white space around a value, knows one interim answer (100), and gives up at the
hundredth header. Here a head must end with its empty line, white space is stripped, interim answers
are skipped, and the only limit is in bytes.
"""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import IO

__all__ = ["Answered", "HeadUnreadable"]

# Of all heads up to the answer's own. S3 tells 2 KB of an object's metadata, a link has at most
# 16 KiB; the limits of http.client (100 headers of 64 KiB) come to 6.5 MB.
_MAX_HEAD_BYTES = 256 * 1024
# RFC 9110, 15.2: an answer may come after any number of these. After a 101 the connection would
# speak another protocol; we never ask for one.
_INTERIM = re.compile(rb"HTTP/1\.[0-9]+ +1(?!01)[0-9]{2}(?: |$)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: a token
_SPACE = " \t"  # RFC 9110, 5.6.3: what may stand around a value
# What http.client judges a body by; it sees no other header.
_FRAMING = ("Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection")
_LENGTH = re.compile(r"[0-9]{1,18}")


class HeadUnreadable(http.client.HTTPException):
    """An answer without a whole head. Its text is ours: it quotes nothing."""


class Answered(http.client.HTTPResponse):
    """A response whose head is whole. Give it to a connection as its `response_class`."""

    def begin(self) -> None:
        """Read the head; raises HeadUnreadable, RemoteDisconnected (not a byte came), OSError."""
        begun: http.client.HTTPMessage | None = self.headers
        if begun is not None:
            return
        body = self.fp
        status_line, lines = _read_head(body)
        fields = _fields(lines)
        # The rest of http.client's work (how long the body is, what becomes of the connection) is
        # done on what is left when the head is understood.
        head = _for_http_client(status_line, fields)
        self.fp = io.BufferedReader(io.BytesIO(head))
        try:
            super().begin()
        finally:
            self.fp = body
        self.headers = self.msg = fields


def _read_head(file: IO[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the answer's status line and its header lines, after those of interim answers."""
    lines = _lines(file)
    while True:
        status_line = next(lines)
        header_lines = list(takewhile(bool, lines))
        if not _INTERIM.match(status_line):
            return status_line, header_lines


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines without their ends, as long as each has one and all fit the limit."""
    begun = file.read(1)
    if not begun:
        raise http.client.RemoteDisconnected("The host hung up without an answer.")
    left = _MAX_HEAD_BYTES
    while True:
        try:
            line = begun + file.readline(left)
        except (ConnectionError, TimeoutError) as error:  # no sign that nothing was answered
            raise HeadUnreadable("the answer's head broke off") from error
        begun, left = b"", left - len(line)
        if not line.endswith(b"\n"):
            how = "the answer's head broke off" if left > 0 else "the answer's head has no end"
            raise HeadUnreadable(how)
        yield line.rstrip(b"\r\n")


def _fields(lines: Iterable[bytes]) -> http.client.HTTPMessage:
    """Return the headers; a line that is none is left out, as if it had not been sent."""
    pairs: list[tuple[str, str]] = []
    for line in lines:
        # RFC 9112, 2.2: a lone CR is to be read as a space; 5.2: so is the start of a line that
        # goes on with the one before.
        text = line.decode("latin-1").replace("\r", " ")
        if text[0] in _SPACE:
            name, value = pairs.pop() if pairs else ("", "")
            pairs.append((name, f"{value} {text.strip(_SPACE)}".strip(_SPACE)))
        else:
            name, colon, value = text.partition(":")
            pairs.append((name.rstrip(_SPACE) if colon else "", value.strip(_SPACE)))
    fields = http.client.HTTPMessage()
    for name, value in pairs:
        if _NAME.fullmatch(name):
            fields[name] = value
    _settle_length(fields)
    return fields


def _settle_length(fields: http.client.HTTPMessage) -> None:
    """Keep a length that is one (RFC 9112, 6.3), said once or twice; else none was told."""
    told = {
        length.strip(_SPACE)
        for value in fields.get_all("Content-Length", [])
        for length in value.split(",")
    }
    del fields["Content-Length"]
    if len(told) == 1 and _LENGTH.fullmatch(length := told.pop()):
        fields["Content-Length"] = length


def _for_http_client(status_line: bytes, fields: http.client.HTTPMessage) -> bytes:
    framing = [
        f"{name}: {value}\r\n".encode("latin-1")
        for name in (*_FRAMING, "Content-Length")
        for value in fields.get_all(name, [])[:1]
    ]
    return b"".join([status_line, b"\r\n", *framing, b"\r\n"])
