"""Requests and answers as values: what the stand-in says, apart from how it is sent.

Nothing here opens a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from email.message import Message

    from local.apartmentiq.exports import Export

__all__ = ["Answer", "Body", "Request", "Slice", "json_answer", "to_bytes", "xml_error"]

Body = bytes | str | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire; `target` is the raw path and query, not decoded.

    `requests_before` counts those that its connection carried before.
    """

    method: str
    target: str
    headers: Message
    body: bytes = b""
    requests_before: int = 0

    @property
    def raw_path(self) -> str:
        """Return the path, its escapes as they were sent."""
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """Return the query, its escapes as they were sent, or an empty string."""
        return self.target.partition("?")[2]

    def query(self) -> dict[str, str]:
        """Return the query's parameters decoded; the last of a repeated name wins."""
        pairs = (pair.partition("=") for pair in self.raw_query.split("&") if pair)
        return {unquote(name): unquote(value) for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of an export that is sent as a body."""

    job_id: str
    content: Export
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers, and either a small body or a slice of an export.

    `interim` is sent as it is before the head. `raw` is sent instead of head and body, whatever
    they say; then the connection ends, or with `held_open` says nothing until the client hangs up.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: Slice | None = None
    interim: bytes = b""
    raw: bytes | None = None
    held_open: bool = False


def json_answer(status: int, document: Mapping[str, object], **headers: str) -> Answer:
    """Return a JSON answer; underscores in a header's keyword stand for dashes."""
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    content_type = ("Content-Type", "application/json; charset=utf-8")
    return Answer(status, (content_type, *more), to_bytes(document))


def xml_error(status: int, code: str, message: str, **details: object) -> Answer:
    """Return an error in the XML that S3 answers with."""
    fields = {"Code": code, "Message": message, **details, "RequestId": "STANDIN0REQUEST0"}
    inner = "".join(f"<{name}>{_escaped(value)}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Answer(status, (("Content-Type", "application/xml"),), body.encode())


def to_bytes(body: Body) -> bytes:
    """Return a body's bytes; a mapping becomes JSON written as the vendor's pages write it."""
    if isinstance(body, Mapping):
        return json.dumps(body).encode()
    return body.encode() if isinstance(body, str) else body


def _escaped(value: object) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
