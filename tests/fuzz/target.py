"""What a target is: one door of the archiver, what is drawn for it, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis import strategies as st

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """`share` is its part of all cases; `check` raises where a promise is broken.

    What `check` returns names what became of the case, to be counted: a target of which every case
    ends the same way proves little, and the counts show it.
    """

    name: str
    share: int
    cases: st.SearchStrategy[Any]
    check: Callable[[Any], str]
