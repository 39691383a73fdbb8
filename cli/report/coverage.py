"""Which windows of which orders are archived: what `archiver coverage --json` prints, read.

    {"orders": [{"name": …, "report_type": …, "output_format": …, "every": "month",
                 "windows": [{"from": "2026-01-01", "to": "2026-01-31", "state": "archived",
                              "jobs": [{"job_id": …, "cycle": …}, …]}, …]}],
     "oldest_missing_seconds": 86400}

A window's dates are both in it. A job may be its id alone; `every` is told from the windows where
it is not said. Fields that are not named here are left alone.
"""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_WINDOWS", "STATES", "compact", "count_states", "parse"]

STATES = ("archived", "on_its_way", "failed", "missing", "not_due")
EVERY = ("day", "week", "month")
# Of all orders together: about 1 MB with a job in each, of the page's 4.
MOST_WINDOWS = 12_000


def parse(text: str) -> dict[str, Any]:
    """Return the coverage that was printed; raises Failure that says what is wrong."""
    try:
        told = json.loads(text)
        orders = [_order(order) for order in told["orders"]]
        age = told.get("oldest_missing_seconds")
        return {"orders": orders, "oldest_missing_seconds": None if age is None else float(age)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Failure(
            f"this is not what `archiver coverage --json` prints ({type(error).__name__}: {error})",
            USAGE,
        ) from error


def _order(told: Mapping[str, Any]) -> dict[str, Any]:
    windows = [_window(window) for window in told["windows"]]
    every = told.get("every") or _every(windows)
    if every not in EVERY:
        raise ValueError(f"an order is for every {', '.join(EVERY)}; not {every!r}")
    return {
        "name": str(told["name"]),
        "report_type": str(told.get("report_type", "")),
        "output_format": str(told.get("output_format", "")),
        "every": every,
        "windows": sorted(windows, key=lambda window: str(window["from"])),
    }


def _window(told: Mapping[str, Any]) -> dict[str, Any]:
    first, last = date.fromisoformat(told["from"]), date.fromisoformat(told["to"])
    if last < first:
        raise ValueError(f"a window ends before it begins: {first} to {last}")
    if told["state"] not in STATES:
        raise ValueError(f"a window is {', '.join(STATES)}; not {told['state']!r}")
    jobs = [
        [job, ""] if isinstance(job, str) else [str(job["job_id"]), str(job.get("cycle") or "")]
        for job in told.get("jobs", [])
    ]
    return {"from": f"{first}", "to": f"{last}", "state": told["state"], "jobs": jobs}


def _every(windows: list[dict[str, Any]]) -> str:
    """Tell by the longest window."""
    longest = max(
        ((date.fromisoformat(w["to"]) - date.fromisoformat(w["from"])).days for w in windows),
        default=0,
    )
    return "day" if longest < 1 else "week" if longest < 7 else "month"


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
