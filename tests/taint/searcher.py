"""Looks for secrets in whatever a run leaves behind: the one searcher of all tiers of tests.

Three hunts over each text, as it is and with its encodings undone (URL escapes, JSON's and Python's
escapes, base64 at every alignment, hex; one inside another, too):

- for pieces of the secrets that are known: half of one is a finding, whichever half;
- for canaries: every secret of the stand-in and of the tests begins with "canary";
- for what only ever stands beside a secret: a link's signing parameters, a bearer token's scheme.

A finding says where, what and in which encoding, and never shows the secret. It must not know where
texts come from: that is cloud.py's and company.py's business.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

__all__ = ["Finding", "Searcher"]

_SEED = 8  # characters; a piece that is shorter is no finding
_LEAST_PIECE = 16  # of a long secret; of a short one it is half
_DEPTH = 2  # kinds of encodings one inside another; of the same kind, any number
_UNMISTAKABLE = re.compile(
    r"(?P<canary>canary-(?!client-id)[\w-]*)"  # a client's id is no secret
    r"|X-Amz-(?:Signature|Credential|Security-Token)|Bearer ",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\(?:u(?P<u>[0-9a-fA-F]{4})|x(?P<x>[0-9a-fA-F]{2})|(?P<plain>[\"'\\/]))")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_HEX_RUN = re.compile(r"[0-9a-fA-F]{16,}")
_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret where none may be; `encodings` from the outermost inwards, empty for plain text."""

    where: str
    what: str
    encodings: tuple[str, ...]
    offset: int

    def __str__(self) -> str:
        encoded = ", ".join(self.encodings) or "as it is"
        return f"{self.where}: {self.what} ({encoded}, at {self.offset})"


@dataclass
class Searcher:
    """Knows secrets by name; more can be added at any time."""

    searched_texts: int = 0
    searched_characters: int = 0
    _names: dict[str, str] = field(default_factory=dict, repr=False)  # secret → its name
    _seeds: dict[str, list[tuple[str, int]]] = field(
        default_factory=lambda: defaultdict(list), repr=False
    )

    def add(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Learn secrets, each with the name that a finding calls it by."""
        for name, secret in secrets:
            if secret in self._names:
                continue
            if len(secret) < 2 * _SEED:
                raise ValueError(f"{name} is too short to be told from chance")
            self._names[secret] = name
            for start in range(len(secret) - _SEED + 1):
                self._seeds[secret[start : start + _SEED]].append((secret, start))

    @property
    def known_secrets(self) -> int:
        """How many secrets are looked for by their value."""
        return len(self._names)

    def search(self, evidence: Mapping[str, str]) -> list[Finding]:
        """Return what is found in texts, by the place that each was left in."""
        return [finding for where, text in evidence.items() for finding in self.find(where, text)]

    def find(self, where: str, text: str) -> list[Finding]:
        """Return what is found in one text: each secret and encoding once."""
        self.searched_texts += 1
        self.searched_characters += len(text)
        found: dict[tuple[str, tuple[str, ...]], Finding] = {}
        for encodings, view in _views(text, _DEPTH):
            for what, offset in self._hunt(view):
                found.setdefault((what, encodings), Finding(where, what, encodings, offset))
        return list(found.values())

    def _hunt(self, text: str) -> Iterator[tuple[str, int]]:
        for match in _UNMISTAKABLE.finditer(text):
            yield ("a canary" if match["canary"] else match[0].strip()), match.start()
        seeds = self._seeds
        for offset in range(len(text) - _SEED + 1):
            for secret, start in seeds.get(text[offset : offset + _SEED], ()):
                if _piece(secret, start, text, offset) >= min(_LEAST_PIECE, len(secret) // 2):
                    yield self._names[secret], offset


def _piece(secret: str, start: int, text: str, offset: int) -> int:
    """Return how many characters from here on are the secret's."""
    length = 0
    for mine, theirs in zip(secret[start:], text[offset : offset + len(secret)], strict=False):
        if mine != theirs:
            break
        length += 1
    return length


def _views(text: str, depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the text as it is and with its encodings undone, with their names."""
    yield (), text
    if depth == 0:
        return
    for name, decode in _DECODERS.items():
        for decoded in decode(text):
            for encodings, view in _views(decoded, depth - 1):
                yield (name, *encodings), view


def _unquoted(text: str) -> Iterator[str]:
    """Undo URL escapes, as often as there are any."""
    while "%" in text and (decoded := unquote(text)) != text:
        yield decoded
        text = decoded


def _unescaped(text: str) -> Iterator[str]:
    """Undo JSON's escapes, as often as there are any: messages are JSON in JSON in JSON."""
    while "\\" in text and (decoded := _ESCAPE.sub(_unescape, text)) != text:
        yield decoded
        text = decoded


def _unescape(match: re.Match[str]) -> str:
    code = match["u"] or match["x"]
    return chr(int(code, 16)) if code else match["plain"]


def _unbased(text: str) -> Iterator[str]:
    """Undo base64, of both alphabets, wherever in a run it begins."""
    for run in _BASE64_RUN.findall(text):
        for start in range(4):
            whole = (len(run) - start) // 4 * 4
            part = run[start : start + whole].translate(_STANDARD)
            yield base64.b64decode(part).decode(errors="replace")
            rest = run[start + whole :].translate(_STANDARD)
            if len(rest) > 1:  # what padding would complete
                last = part[-24:] + rest + "=" * (4 - len(rest))
                yield base64.b64decode(last).decode(errors="replace")


def _unhexed(text: str) -> Iterator[str]:
    for run in _HEX_RUN.findall(text):
        for start in range(2):
            whole = (len(run) - start) // 2 * 2
            yield binascii.unhexlify(run[start : start + whole]).decode(errors="replace")


_DECODERS: dict[str, Callable[[str], Iterator[str]]] = {
    "URL": _unquoted,
    "JSON": _unescaped,
    "base64": _unbased,
    "hex": _unhexed,
}
