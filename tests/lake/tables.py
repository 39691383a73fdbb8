"""Random exports as the world may send them: histories of up to four files of one report type.

Values drift from file to file; bytes are sometimes damaged. Everything is drawn from one `Random`.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
from pyarrow import parquet

__all__ = ["FORMATS", "Export", "draw_history"]

FORMATS = ("csv", "jsonl", "parquet")
_MOST_FILES = 4
_NAMES = (
    *("unit", "rent", "date", "Floor Plan", "#", "a;b", 'say "x"', "two\nlines", "été", "unit_id"),
    *("order", "select", "a.b", "a/b", "a~b", "a'b", "$", "日付", "c0", "k0", "Rent", "ÉTÉ", "\\"),
)
_ODD_NAMES = ("", "rent", "_job_id", "İ", " ", "x" * 300)
_WORDS = (
    *(
        "Studio",
        "Oak & Elm",
        "12B",
        "#102",
        ";",
        "a;b",
        "a,b",
        'say "x"',
        '"',
        "two\nlines",
        "a\r\nb",
    ),
    *(
        "a\rb",
        " blank ",
        "\t",
        "été",
        "\U0001f3e0",
        "NULL",
        "null",
        "\\N",
        "\\",
        "a\\",
        "'",
        "-",
        "",
    ),
    *("nan", "inf", "infinity", "-infinity", "epoch", "true", "TRUE", "t", "yes", "0", "1", "\x00"),
    *("=1+1", "{}", "[1]", "ÿ", "\u2028", "\ufeff", "x" * 3000, "0x10", "1_000", "+5", " 5", "5 "),
    *("१", "1e400", "1E1", "1e-7", "10-1-1", "-0", "-0.0", ".5", "5.", "00", "007", "1,000.5"),
)
_TEXTS: dict[str, Callable[[Random], str]] = {
    "small": lambda dice: str(dice.randrange(-5, 200)),
    "large": lambda dice: str(dice.randrange(-(10**18), 10**18)),
    "long": lambda dice: str(dice.randrange(10 ** dice.randrange(15, 45))),
    "zeros": lambda dice: f"{dice.randrange(1000):05d}",
    "rent": lambda dice: f"{dice.randrange(90_000, 450_000) / 100:.2f}",
    "share": lambda dice: repr(dice.random()),
    "bare": lambda dice: str(dice.randrange(4000) / 4),
    "power": lambda dice: f"{dice.randrange(9)}E{dice.randrange(-3, 3)}",
    "day": lambda dice: str(date(1, 1, 1) + timedelta(days=dice.randrange(3_650_000))),
    "no day": lambda dice: f"2025-{dice.randrange(14):02d}-{dice.randrange(33):02d}",
    "us day": lambda dice: f"{dice.randrange(1, 13):02d}/{dice.randrange(1, 32):02d}/2025",
    "short day": lambda dice: (
        f"{dice.randrange(5, 30)}-{dice.randrange(1, 12)}-{dice.randrange(1, 9)}"
    ),
    "time": lambda dice: f"2025-01-{dice.randrange(1, 32):02d}T10:{dice.randrange(61):02d}:00",
    "fine time": lambda dice: f"2025-01-31 10:00:00.{dice.randrange(10 ** dice.randrange(1, 10))}",
    "zoned": lambda dice: f"2025-01-31T10:00:00{dice.choice(('Z', '+02:00', '-0530', '+02'))}",
    "truth": lambda dice: dice.choice(("true", "false")),
    "word": lambda dice: dice.choice(_WORDS),
    "none": lambda _: "",
}
_RARE = 0.03


@dataclass(frozen=True, slots=True)
class Export:
    """One file of a history."""

    format: str
    content: bytes


def draw_history(dice: Random) -> list[Export]:
    """Draw the files of one report type, in the order in which they are loaded."""
    one_format = dice.choice((*FORMATS, None, None))
    names = _names(dice)
    kinds = {name: dice.choice(list(_TEXTS)) for name in names}
    history = []
    for _ in range(dice.randrange(1, _MOST_FILES + 1)):
        if dice.random() < 0.3:
            kinds[dice.choice(names)] = dice.choice(list(_TEXTS))  # a type that drifts
        if dice.random() < 0.2:
            dice.shuffle(names)
        shown = [name for name in names if dice.random() > _RARE] or names
        if dice.random() < _RARE:
            shown = [*shown, dice.choice(_ODD_NAMES)]
        output_format = one_format or dice.choice(FORMATS)
        content = _WRITERS[output_format](dice, shown, kinds)
        history.append(Export(output_format, _damaged(dice, content)))
    return history


def _names(dice: Random) -> list[str]:
    return dice.sample(_NAMES, dice.randrange(1, 6))


def _text(dice: Random, kind: str) -> str:
    if dice.random() < _RARE:
        kind = dice.choice(list(_TEXTS))
    return "" if dice.random() < 0.05 else _TEXTS[kind](dice)


def _row_count(dice: Random) -> int:
    return dice.choice((0, 1, 1, 2, 3, 5, 8, 30))


def _damaged(dice: Random, content: bytes) -> bytes:
    """Mostly leave it; sometimes pack it, cut it short, or change a byte."""
    fate = dice.random()
    if fate < 0.05:
        return gzip.compress(content, mtime=0)
    if fate < 0.06:
        return content[: dice.randrange(len(content) + 1)]
    if fate < 0.09 and content:
        at = dice.randrange(len(content))
        odd = dice.choice((b'"', b",", b"\r", b"\n", b"\x00", b"\xff", b"#", b"\\", b"{", b"}"))
        return content[:at] + odd + content[at + dice.randrange(2) :]
    if fate < 0.095:
        return content.decode("utf-8", "replace").encode("utf-16")
    return content


# --- csv ---


def _write_csv(dice: Random, names: list[str], kinds: dict[str, str]) -> bytes:
    end = "\r" if dice.random() < _RARE else dice.choice(("\n", "\r\n"))
    always = dice.random() < 0.3
    rows = [names]
    rows += [[_text(dice, kinds.get(n, "word")) for n in names] for _ in range(_row_count(dice))]
    lines = []
    for row in rows:
        cells = list(row)
        if dice.random() < _RARE / 3:
            cells = cells[1:] if dice.random() < 0.5 else [*cells, "more"]
        text = ",".join(_csv_cell(dice, cell, always=always) for cell in cells)
        lines.append(text + (dice.choice(("\n", "\r\n")) if dice.random() < _RARE / 3 else end))
        if dice.random() < _RARE / 3:
            lines.append(end)
    content = "".join(lines)
    if dice.random() < 0.3:
        content = content.removesuffix(end)
    return content.encode("utf-8-sig" if dice.random() < 0.2 else "utf-8")


def _csv_cell(dice: Random, text: str, *, always: bool) -> str:
    must = any(mark in text for mark in ',"\r\n')
    if dice.random() < _RARE / 30:
        return text
    if must or always or dice.random() < 0.02:
        return '"' + text.replace('"', '""') + '"'
    return text


# --- json lines ---


def _write_jsonl(dice: Random, names: list[str], kinds: dict[str, str]) -> bytes:
    as_numbers = {name for name in names if dice.random() < 0.7}
    colon, comma = dice.choice(((":", ","), (": ", ", "), (" : ", " ,\t")))
    lines = []
    for _ in range(_row_count(dice)):
        told = [name for name in names if dice.random() > _RARE]
        pairs = (
            _json_text(dice, name)
            + colon
            + _json_cell(dice, kinds.get(name, "word"), name in as_numbers)
            for name in told
        )
        lines.append("{" + comma.join(pairs) + "}")
        if dice.random() < _RARE:
            lines.append(dice.choice(("", "  ", "\t")))
        if dice.random() < _RARE / 5:
            lines.append(dice.choice(("[1]", "null", '{"a":1,"a":2}', '{"a":NaN}', "{'a':1}", "{")))
    end = dice.choice(("\n", "\n", "\r\n"))
    content = end.join(lines) + (end if dice.random() < 0.7 else "")
    return content.encode("utf-8-sig" if dice.random() < 0.1 else "utf-8")


def _json_text(dice: Random, text: str) -> str:
    return json.dumps(text, ensure_ascii=dice.random() < 0.5)


def _json_cell(dice: Random, kind: str, is_number: bool) -> str:  # noqa: FBT001 - drawn
    fate = dice.random()
    if fate < 0.04:
        return "null"
    if fate < 0.06:
        return dice.choice(('["x", 1.10, {"a": -0.50}]', "{}", '{"a": [1E400, "\\"5"]}', "[[]]"))
    text = _text(dice, kind)
    if kind == "truth" and text and is_number:
        return text
    if is_number and _is_json_number(text):
        return text
    return _json_text(dice, text)


def _is_json_number(text: str) -> bool:
    try:
        return text[:1] in set("-0123456789") and isinstance(json.loads(text), int | float)
    except ValueError:
        return False


# --- parquet ---


def _decimal(digits: int, scale: int) -> Callable[[Random], Decimal]:
    return lambda dice: Decimal(dice.randrange(-(10**digits) + 1, 10**digits)).scaleb(-scale)


_NO_ZONE = datetime(2025, 1, 1)  # noqa: DTZ001 - such times are in exports, too
_COLUMNS: tuple[tuple[pa.DataType, Callable[[Random], Any]], ...] = (
    (pa.int64(), lambda dice: dice.randrange(-(2**63), 2**63)),
    (pa.int64(), lambda dice: dice.randrange(200)),
    (pa.int32(), lambda dice: dice.randrange(-(2**31), 2**31)),
    (pa.int8(), lambda dice: dice.randrange(-128, 128)),
    (pa.uint64(), lambda dice: dice.randrange(2**64)),
    (
        pa.float64(),
        lambda dice: dice.choice((dice.random(), float(dice.randrange(200)), float("nan"))),
    ),
    (pa.float64(), lambda dice: float(dice.randrange(200))),
    (pa.float32(), lambda dice: dice.randrange(1000) / 8),
    (pa.decimal128(8, 2), _decimal(8, 2)),
    (pa.decimal128(38, 10), _decimal(28, 10)),
    (pa.string(), lambda dice: dice.choice(_WORDS)),
    (pa.string(), lambda dice: str(dice.randrange(200))),
    (pa.dictionary(pa.int32(), pa.string()), lambda dice: dice.choice(("Studio", "12B", ""))),
    (pa.date32(), lambda dice: date(2025, 1, 1) + timedelta(days=dice.randrange(-90_000, 90_000))),
    (
        pa.timestamp("us"),
        lambda dice: _NO_ZONE + timedelta(microseconds=dice.randrange(10**15)),
    ),
    (
        pa.timestamp("ms"),
        lambda dice: _NO_ZONE + timedelta(milliseconds=dice.randrange(10**9)),
    ),
    (
        pa.timestamp("us", "UTC"),
        lambda dice: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(10**6)),
    ),
    (pa.bool_(), lambda dice: dice.random() < 0.5),
    (pa.binary(), lambda dice: dice.randbytes(4)),
    (pa.list_(pa.int64()), lambda dice: [dice.randrange(9) for _ in range(dice.randrange(3))]),
    (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        lambda dice: {"a": dice.randrange(9), "b": "x"},
    ),
    (pa.null(), lambda _: None),
)


def _write_parquet(dice: Random, names: list[str], kinds: dict[str, str]) -> bytes:
    if dice.random() < _RARE:
        return b""
    rows = _row_count(dice)
    arrays = []
    for name in names:
        # mostly the same column again, so that a history has drift and not only chaos
        of_name = Random(f"{name}{kinds.get(name)}")  # noqa: S311 - sample cells
        kind, cell = (dice if dice.random() < 0.2 else of_name).choice(_COLUMNS)
        cells = [None if dice.random() < 0.1 else cell(dice) for _ in range(rows)]
        arrays.append(pa.array(cells, type=kind))
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, names=names), sink)
    return sink.getvalue()


_WRITERS: dict[str, Callable[[Random, list[str], dict[str, str]], bytes]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
