"""What a strict reader sees in an export, and whether a loaded cell is what it saw.

Python's csv and json modules and pyarrow: nothing of DuckDB's, nothing of ours.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import parquet

__all__ = ["Seen", "is_same_cell", "see"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The columns' names and the rows, each as long as it stands there."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def see(content: bytes, output_format: str) -> Seen | None:
    """Read an export strictly; None where such a reader refuses it."""
    readers: dict[str, Callable[[bytes], Seen]] = {
        "csv": _see_csv,
        "jsonl": _see_jsonl,
        "parquet": _see_parquet,
    }
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return readers[output_format](content) if content else Seen((), [])
    except (ValueError, csv.Error, pa.ArrowException, OSError, EOFError, RecursionError):
        return None


def _see_csv(content: bytes) -> Seen:
    text = io.StringIO(content.decode("utf-8-sig"), newline="")
    header, *rows = list(csv.reader(text, strict=True)) or [[]]
    return Seen(tuple(header), [tuple(row) for row in rows if row])


def _see_jsonl(content: bytes) -> Seen:
    lines = [
        json.loads(
            line,
            parse_float=Decimal,
            parse_constant=_refuse,
            object_pairs_hook=_pairs,
        )
        for line in content.decode("utf-8-sig").split("\n")
        if line.strip(" \t\r")
    ]
    if not all(isinstance(line, dict) for line in lines):
        raise ValueError("a line is no object")
    names = tuple(dict.fromkeys(name for line in lines for name in line))
    return Seen(names, [tuple(line.get(name) for name in names) for line in lines])


def _see_parquet(content: bytes) -> Seen:
    table = parquet.read_table(pa.BufferReader(content))
    columns = [column.to_pylist() for column in table.columns]
    rows = list(zip(*columns, strict=True)) if columns else [()] * table.num_rows
    return Seen(tuple(table.column_names), rows)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name comes twice")
    return dict(pairs)


def is_same_cell(seen: Any, loaded: Any, output_format: str) -> bool:  # noqa: ANN401, PLR0911 - any cell
    """Tell whether nothing of a cell is lost. An empty CSV cell is NULL."""
    if output_format == "csv" and seen == "":
        return loaded is None
    if seen is None or loaded is None:
        return seen is loaded
    if isinstance(seen, list | dict) and isinstance(loaded, str):
        return bool(json.loads(loaded, parse_float=Decimal) == seen)
    if isinstance(seen, str):
        return _is_text(seen, loaded)
    if isinstance(seen, bool) or isinstance(loaded, bool):
        return seen is loaded or (isinstance(loaded, str) and loaded == str(seen).lower())
    if isinstance(seen, int | Decimal):
        return _is_number(Decimal(seen), loaded)
    if isinstance(seen, float):
        both_nan = isinstance(loaded, float) and math.isnan(loaded) and math.isnan(seen)
        return both_nan or (isinstance(loaded, int | float | Decimal) and loaded == seen)
    if isinstance(seen, datetime) and seen.tzinfo is not None:
        began = datetime(1970, 1, 1, tzinfo=UTC)
        return bool((seen - began) // timedelta(microseconds=1) == loaded)  # asked for as epoch_us
    if isinstance(seen, date) and isinstance(loaded, str):
        return loaded == seen.isoformat()
    return type(seen) is type(loaded) and bool(seen == loaded)


def _is_text(seen: str, loaded: object) -> bool:  # noqa: PLR0911 - a type each
    """Tell whether a text is there: as it stands, or as a value that it is the only text of."""
    if isinstance(loaded, str):
        return loaded == seen
    if isinstance(loaded, bool):
        return seen == str(loaded).lower()
    if isinstance(loaded, int):
        return seen == str(loaded)
    if isinstance(loaded, datetime):
        return len(seen) >= len("2025-01-01T10:00:00") and datetime.fromisoformat(seen) == loaded
    if isinstance(loaded, date):
        return seen == loaded.isoformat()
    if isinstance(loaded, float):
        loaded = Decimal(repr(loaded))
    if isinstance(loaded, Decimal):
        return (
            not set(seen) - set("-+0123456789.e") and seen[:2] != "00" and Decimal(seen) == loaded
        )
    return False


def _is_number(seen: Decimal, loaded: object) -> bool:
    if isinstance(loaded, str):
        return Decimal(loaded) == seen
    if isinstance(loaded, float):
        return loaded == seen or Decimal(repr(loaded)) == seen
    return isinstance(loaded, int | Decimal) and loaded == seen
