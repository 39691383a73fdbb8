"""The one searcher of a test process: all tiers tell it their secrets; it counts what it saw."""

from __future__ import annotations

from tests.taint.searcher import Searcher

__all__ = ["SEARCHER"]

SEARCHER = Searcher()
