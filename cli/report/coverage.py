"""Which windows of which orders are archived, as the page takes it (`archiver coverage`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_WINDOWS", "STATES", "compact", "count_states", "shown"]

STATES = ("archived", "on_its_way", "failed", "missing", "not_due")  # cli/coverage.py explains them
# Of all orders together: about 1 MB with a job in each, of the page's 4.
MOST_WINDOWS = 12_000
_OF_AN_ORDER = ("name", "report_type", "output_format", "every")


def shown(coverage: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a coverage (events/schemas/coverage.schema.json).

    A window's jobs become pairs of id and cycle.
    """
    return {
        "orders": [
            {name: order[name] for name in _OF_AN_ORDER}
            | {"windows": [_window(window) for window in order["windows"]]}
            for order in coverage["orders"]
        ],
        "oldest_missing_seconds": coverage["oldest_missing_seconds"],
    }


def _window(told: Mapping[str, Any]) -> dict[str, Any]:
    jobs = [[job["job_id"], job.get("cycle") or ""] for job in told["jobs"]]
    return {"from": told["from"], "to": told["to"], "state": told["state"], "jobs": jobs}


def count_states(coverage: Mapping[str, Any]) -> dict[str, int]:
    """Return how many windows of all orders are in each state."""
    counts = dict.fromkeys(STATES, 0)
    for order in coverage["orders"]:
        for window in order["windows"]:
            counts[window["state"]] += 1
    return counts


def compact(coverage: Mapping[str, Any]) -> dict[str, Any]:
    """Return it as the page takes it: a row a window, the newest MOST_WINDOWS of them.

    A row is [from, to, the state's place in `states`, [[job, cycle], …]]; an order's
    `left_out` counts what is older, by state.
    """
    orders = coverage["orders"]
    newest = sorted(
        (window["from"] for order in orders for window in order["windows"]), reverse=True
    )
    since = newest[MOST_WINDOWS - 1] if len(newest) > MOST_WINDOWS else ""
    rows = []
    for order in orders:
        kept = [window for window in order["windows"] if window["from"] > since or not since]
        left = dict.fromkeys(STATES, 0)
        for window in order["windows"][: len(order["windows"]) - len(kept)]:
            left[window["state"]] += 1
        rows.append(
            {
                **{name: value for name, value in order.items() if name != "windows"},
                "windows": [
                    [w["from"], w["to"], STATES.index(w["state"]), w["jobs"]] for w in kept
                ],
                "left_out": {state: number for state, number in left.items() if number},
            }
        )
    return {
        "states": list(STATES),
        "counts": count_states(coverage),
        "oldest_missing_seconds": coverage["oldest_missing_seconds"],
        "orders": rows,
    }
