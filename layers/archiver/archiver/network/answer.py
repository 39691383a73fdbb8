"""An HTTP answer as a value, and which answers are understood without their body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Answer", "body_decides", "head_decides"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are in lower case. `body` is cut at the client's limit.

    `secrets` are those that the question carried: an answer that quotes them is shown without.
    `unread` says why there is no body where one was not to be had (an error's kind).
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_cut: bool = False
    unread: str = ""


def body_decides(status: int) -> bool:
    """Tell whether an answer cannot be understood without its body.

    A success is what its body says, and a 400 or 403 can mean two things
    (apartmentiq/protocol.py). Every other status is one thing; its body explains it at most.
    """
    return 200 <= status < 300 or status in {400, 403}


def head_decides(status: int) -> bool:
    """Tell whether an answer's body is not even looked at: status and headers say it all."""
    return status < 200 or 300 <= status < 400 or status in {401, 405}
