"""Plans for tests: what people write, and the same as it is applied."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from archiver.orders.plan import Plan, read_plan

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def written(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return one order as people write it."""
    order = {
        "name": "monthly-units",
        "report_type": "units",
        "output_format": "parquet",
        "properties": [99001416, 99001470],
        "every": "month",
        "from": "2026-01-01",
    }
    return {name: value for name, value in (order | changes).items() if value is not None}


def applied(*orders: dict[str, Any], now: datetime = NOW, **limits: Any) -> Plan:  # noqa: ANN401 - any JSON
    """Return the plan with these orders, applied for the first time."""
    return read_plan({"orders": list(orders), "limits": limits}).applied(None, now)
