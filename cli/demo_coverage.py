"""What `archiver coverage` says of the demo's stack, for its screen; local/ does not know cli/."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.coverage import describe, read_coverage
from cli.order_book import Book
from local.demo_screen import Coverage

if TYPE_CHECKING:
    from local.cloud import LocalCloud

__all__ = ["tell_coverage"]


def tell_coverage(cloud: LocalCloud) -> Coverage:
    """Return it, from the stack's table; raises Failure where no plan is in force."""

    def ask(event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = cloud.invoke(event, "OrderExportsFunction").payload
        return answer

    book = Book("the demo", cloud.table, ask, cloud.clients.dynamodb)
    found = read_coverage(book, order=None, quick=False, now=datetime.now(UTC))
    archived = [
        window["window"]
        for order in found["orders"]
        for window in order["windows"]
        if window["state"] == "archived" and window["jobs"]
    ]
    return Coverage(list(describe(found)), archived, found["missing_windows"])
