"""The export of an ordered job: rows for its days, its properties and its report, in its format.

A day of a property, a floorplan or a unit has the same values in whichever window, format and
chunk it was ordered, so that a lake of many exports can be held against one. The same order gives
the same bytes again, as long as DuckDB is the same. The vendor documents no columns: these are
those of the sample exports, plausible and no more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from local.apartmentiq.exports import BytesExport

if TYPE_CHECKING:
    from local.apartmentiq.exports import Export
    from local.apartmentiq.jobs import Order

__all__ = ["export_for"]

_UNITS = 12  # of a property
_MOST_ROWS = 1_000_000  # about a second; of a longer report each property shows fewer units
_FORMS = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet"}

# `salt` is a number of the row's own that no window changes; rents rise by a few percent a year.
_DAYS = """
    SELECT CAST(day AS DATE) AS date, property_id,
           date_diff('day', DATE '2020-01-01', day) AS age_days
    FROM range(CAST($first AS DATE), CAST($last AS DATE) + INTERVAL 1 DAY, INTERVAL 1 DAY)
             AS days(day),
         (SELECT DISTINCT unnest(CAST($properties AS BIGINT[])) AS property_id)
"""
_REPORTS = {
    "property": f"""
        SELECT date, property_id,
               ['Oak & Elm', 'Résidence du Parc', 'The "Old" Mill'][1 + property_id % 3] AS name,
               CAST(88 + hash(date, property_id) % 1200 / 100.0 AS DECIMAL(5, 2))
                   AS occupancy_percent
        FROM ({_DAYS})
        ORDER BY date, property_id
    """,  # noqa: S608 - no value is pasted in
    "floorplans": f"""
        SELECT date, property_id, floorplan,
               CAST(900 + 450 * beds + hash(property_id, beds) % 400 + age_days * 0.1
                    AS DECIMAL(8, 2)) AS market_rent
        FROM ({_DAYS}),
             (VALUES (0, 'Studio'), (1, 'One Bed'), (2, 'Two Bed'), (3, 'Townhome'))
                 AS floorplans(beds, floorplan)
        ORDER BY date, property_id, beds
    """,  # noqa: S608 - no value is pasted in
    "units": f"""
        SELECT date, property_id, unit_id,
               ['Studio', 'One Bed', 'Two Bed, "Café"', 'Townhome'][1 + unit_id % 4] AS floorplan,
               unit_id % 4 AS beds,
               CAST(400 + 300 * (unit_id % 4) + hash(property_id, unit_id) % 200 AS INTEGER)
                   AS sqft,
               CAST(900 + 450 * (unit_id % 4) + hash(property_id, unit_id) % 400 + age_days * 0.1
                    AS DECIMAL(8, 2)) AS market_rent
        FROM ({_DAYS}), range(CAST($units AS BIGINT)) AS units(unit_id)
        ORDER BY date, property_id, unit_id
    """,  # noqa: S608 - no value is pasted in
}


def export_for(order: Order, *, end_date_counts: bool = True) -> Export:
    """Return what an order brings; `end_date_counts` says whether its last day is in it.

    The vendor's pages leave that open.
    """
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1}) as lake:
        path = Path(folder, "export")
        values: dict[str, object] = {
            "first": order.start_date,
            "last": order.end_date,
            "properties": list(order.property_ids),
        }
        if order.report_type == "units":
            values["units"] = _units_each(lake, order)
        rows = f"SELECT * FROM ({_REPORTS[order.report_type]})"  # noqa: S608 - ours, by its name
        if not end_date_counts:
            rows += " WHERE date < CAST($last AS DATE)"
        quoted = str(path).replace("'", "''")
        lake.execute(f"COPY ({rows}) TO '{quoted}' ({_FORMS[order.output_format]})", values)
        return BytesExport(path.read_bytes())


def _units_each(lake: duckdb.DuckDBPyConnection, order: Order) -> int:
    days = lake.execute(
        "SELECT date_diff('day', CAST($1 AS DATE), CAST($2 AS DATE)) + 1",
        [order.start_date, order.end_date],
    ).fetchone()
    rows_each = (int(days[0]) if days else 1) * len(order.property_ids)
    return max(1, min(_UNITS, _MOST_ROWS // rows_each))
