"""Ways in which a secret can lie somewhere without being read at a glance, for planting it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

__all__ = ["ENCODINGS"]


def _base64(text: str, before: int, *, url: bool = False) -> str:
    """Encode behind `before` bytes of something else, so that the alignment is another."""
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    return encode(b"\xa5" * before + text.encode()).decode().rstrip("=")


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "as it is": str,
    "first half": lambda text: text[: len(text) // 2],
    "second half": lambda text: text[len(text) // 2 :],
    "URL-encoded": lambda text: quote(text, safe=""),
    "URL-encoded, every character": lambda text: "".join(f"%{b:02x}" for b in text.encode()),
    "URL-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps({"a": text}),
    "JSON in JSON": lambda text: json.dumps({"a": json.dumps({"b": text})}),
    "JSON, every character": _escaped,
    "base64": lambda text: _base64(text, 0),
    "base64, one byte on": lambda text: _base64(text, 1),
    "base64, two bytes on": lambda text: _base64(text, 2),
    "base64 for URLs": lambda text: _base64(text, 2, url=True),
    "base64, joined on": lambda text: "key-" + _base64(text, 0),
    "base64 of a half": lambda text: _base64(text[len(text) // 2 :], 1),
    "URL-encoded base64": lambda text: quote(_base64(text, 1), safe=""),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: text.encode().hex().upper(),
    "hex of a half": lambda text: text[: len(text) // 2].encode().hex(),
}
