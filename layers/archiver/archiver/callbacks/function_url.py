"""A request to a Lambda Function URL, and its answer, as values. Pure.

The event has API Gateway's payload format 2.0 ("Request and response payloads" in the Lambda
developer guide). Its path holds a secret of ours, and it must not be shown as a whole.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "BodyTooLargeError", "BodyUnreadableError", "Request"]


class BodyTooLargeError(ValueError):
    """The body has more bytes than the caller wants to read."""


class BodyUnreadableError(ValueError):
    """The body is called base64 and is none."""


@dataclass(frozen=True, slots=True)
class Request:
    """What of an HTTP request matters here. Whatever is missing from the event counts as empty."""

    method: str
    path: str = field(repr=False)
    query: str = field(repr=False)
    _body: str = field(repr=False)
    _is_base64: bool

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Request:
        """Read the event; an invocation that came by another way is a request without a path."""
        context = event.get("requestContext")
        http = context.get("http") if isinstance(context, Mapping) else None
        return cls(
            method=_text(http.get("method") if isinstance(http, Mapping) else None).upper(),
            path=_text(event.get("rawPath")),
            query=_text(event.get("rawQueryString")),
            _body=_text(event.get("body")),
            _is_base64=event.get("isBase64Encoded") is True,
        )

    def read_body(self, most_bytes: int) -> bytes:
        """Return the body's bytes; what is too large is not even decoded.

        Raises BodyTooLargeError or BodyUnreadableError.
        """
        # 4 characters of base64 hold 3 bytes; of plain text a character is at least one byte.
        most_characters = -(-most_bytes // 3) * 4 if self._is_base64 else most_bytes
        if len(self._body) > most_characters:
            raise BodyTooLargeError
        body = self._decode_base64() if self._is_base64 else self._body.encode(errors="replace")
        if len(body) > most_bytes:
            raise BodyTooLargeError
        return body

    def _decode_base64(self) -> bytes:
        try:
            return base64.b64decode(self._body, validate=True)
        except (binascii.Error, ValueError):  # not chained: its traceback would hold the body
            raise BodyUnreadableError from None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a small JSON object."""

    status: int
    document: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_payload(self) -> dict[str, Any]:
        """Return what Lambda turns into the HTTP answer; nobody may keep it."""
        return {
            "statusCode": self.status,
            "headers": {
                "content-type": "application/json",
                "cache-control": "no-store",
                **self.headers,
            },
            "body": json.dumps(self.document),
        }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
