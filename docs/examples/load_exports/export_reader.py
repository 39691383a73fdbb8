"""Read an export as it stands: no dialect, type or column is guessed, no row is lost in silence.

    python export_reader.py EXPORT... [--schema FILE] > schema.json

A CSV has commas, quotes (RFC 4180) and one header; there are no comments. JSON lines are objects.
Both are UTF-8. A text has a type only where every cell of its column fits, and a cell fits only if
nothing of it is lost: `007`, `1E1` and `03/04/2025` are text. A Parquet file says its types itself.
What cannot be read so raises `UnfitError`, with the file, and where they are known the line and the
column. It needs duckdb, and must not change a file. (An empty CSV cell is NULL; gzip is unpacked.)

As a script it prints the schema of the exports, one object of columns and types a report type:
what a person reads, changes and gives to `load_exports.py --schema`. What widens FILE is told.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

__all__ = [
    "FORMATS",
    "TEXT",
    "Cells",
    "Schema",
    "UnfitError",
    "folded",
    "is_exact_as_text",
    "main",
    "open_export",
    "quoted",
    "read_schema",
    "widen",
    "wider",
]

FORMATS = ("csv", "jsonl", "parquet")
TEXT = "VARCHAR"

_TABLE = "cells_of_export"
_CHUNK_BYTES = 1 << 22
_MOST_RECORD_BYTES = 1 << 24  # a quote that is never closed must not fill the memory
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"  # begins no UTF-8 text and no Parquet file
_QUOTED = re.compile(rb'(?:"[^"]*")+')  # a doubled quote is two quoted pieces side by side
_STRAY_QUOTE = re.compile(rb'[^,\n]"|"[^,\n]')
_LONE_RETURN = re.compile(rb"\r(?!\n)")
_BLANK_LINE = re.compile(rb"^\n", re.MULTILINE)
_LINE_END = re.compile(rb'("[^"]*")|\r\n')
_HEADER_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",]*))(,|$)')
# Each string of a line of JSON, or else a number: numbers are told apart before DuckDB rounds them.
_JSON_WORD = r'("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)'
_DUCKDB_CSV = (
    "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', comment = '', "
    "new_line = '\\n', strict_mode = true, null_padding = false, ignore_errors = false, "
    f"parallel = false, hive_partitioning = false, max_line_size = {_MOST_RECORD_BYTES}"
)

# A control character is never in JSON, so no line has it, and each is one cell.
_DUCKDB_LINES = _DUCKDB_CSV.replace("header = true, delim = ','", "header = false, delim = '\x01'")
_DUCKDB_LINES = _DUCKDB_LINES.replace("'\"'", "''")

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_MOST_DIGITS = 38  # DuckDB's and Athena's longest decimal
_SHORT_DIGITS = 18  # what fits into 64 bits: room for larger numbers costs nothing up to here
_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_READ_FROM_TEXT = _WHOLE | {"UBIGINT", "HUGEINT", "FLOAT", "BOOLEAN", "TIME", "UUID"}
# Written as text again, a cell of these is the very text that was read.
_EXACT_AS_TEXT = {"BOOLEAN", "BIGINT", "DATE", "JSON", "UUID"}
_SHOWN_CHARACTERS = 40  # of a cell, in a sentence


class UnfitError(ValueError):
    """This file cannot be read as it should; to try again changes nothing."""

    def __init__(
        self, why: str, *, file: str, line: int | None = None, column: str | None = None
    ) -> None:
        places = [file]
        places += [f"line {line}"] if line is not None else []
        places += [f"column {column!r}"] if column is not None else []
        super().__init__(f"{', '.join(places)}: {why}")
        self.file, self.line, self.column = file, line, column


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """Return a name as DuckDB compares it: small and capital letters of ASCII are the same."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in name)


def is_exact_as_text(kind: str) -> bool:
    """Whether a column of this type may become text: each cell then reads as it stood."""
    decimal = _DECIMAL.fullmatch(kind)
    return kind in _EXACT_AS_TEXT or (decimal is not None and decimal[2] == "0")


def wider(one: str | None, other: str | None) -> str:
    """Return the least type that holds both; None is the type of a column without a value."""
    if one is None or other is None or one == other:
        return one or other or TEXT
    digits, more = _digits(one), _digits(other)
    if digits and more:
        return _exact(max(digits[0], more[0]), max(digits[1], more[1])) or TEXT
    if "DOUBLE" in {one, other} and (digits or more):
        return "DOUBLE"
    return TEXT


@dataclass(frozen=True, slots=True)
class Cells:
    """A file that was read: a temporary table of cells, text or as the Parquet file has them.

    It lasts until the next one is opened on the same connection.
    """

    connection: duckdb.DuckDBPyConnection
    file: str
    format: str
    names: tuple[str, ...]
    given_types: tuple[str, ...]  # of a Parquet file, in DuckDB's words; else all are TEXT
    row_count: int
    _text: Path  # what the lines of an error are counted in

    def types(self) -> dict[str, str | None]:
        """Return each column's least type; None where no row has a value."""
        if self.format == "parquet":
            filled = self._ask([f"count(c{n})" for n in range(len(self.names))])
            return {
                name: _kept_type(given) if count else None
                for name, given, count in zip(self.names, self.given_types, filled, strict=True)
            }
        asked = [self._profile(n) for n in range(len(self.names))]
        answers = iter(self._ask([question for each in asked for question in each]))
        return {
            name: _least_type([next(answers) for _ in each])
            for name, each in zip(self.names, asked, strict=True)
        }

    def unfit(self, types: Mapping[str, str]) -> dict[str, int]:
        """Return the columns that do not fit their types, with the first row that does not."""
        chosen = [(n, name) for n, name in enumerate(self.names) if name in types]
        rows = self._ask(
            [f"min(rowid) FILTER (WHERE NOT {self._fits(n, types[name])})" for n, name in chosen]
        )
        return {name: row for (_, name), row in zip(chosen, rows, strict=True) if row is not None}

    def raise_unfit(self, name: str, row: int, kind: str, why: str) -> None:
        """Raise UnfitError for a cell, by its column and its row of this file, from 0."""
        n = self.names.index(name)
        query = f"SELECT CAST(c{n} AS VARCHAR) FROM {_TABLE} WHERE rowid = ?"  # noqa: S608 - numbers
        (cell,) = self.connection.execute(query, [row]).fetchone() or ("",)
        shown = f"{cell[:_SHOWN_CHARACTERS]!r} is no {kind}, {why}"
        raise UnfitError(shown, file=self.file, line=self._line(row), column=name)

    def raise_where(self, condition: str, why: str, name: str | None = None) -> None:
        """Raise UnfitError for the first row of which a condition of SQL holds, if there is one."""
        (row,) = self._ask([f"min(rowid) FILTER (WHERE {condition})"])
        if row is not None:
            raise UnfitError(why, file=self.file, line=self._line(row), column=name)

    def select(self, types: Mapping[str, str]) -> str:
        """Return the query of all rows, each column by its name and as its type."""
        columns = [
            f"CAST(c{n} AS {types[name]}) AS {quoted(name)}" for n, name in enumerate(self.names)
        ]
        return f"SELECT {', '.join(columns)} FROM {_TABLE} ORDER BY rowid"  # noqa: S608 - quoted

    def _ask(self, questions: Sequence[str]) -> tuple[Any, ...]:
        if not questions:
            return ()
        query = f"SELECT {', '.join(questions)} FROM {_TABLE}"  # noqa: S608 - our own expressions
        return tuple(self.connection.execute(query).fetchone() or ())

    def _profile(self, n: int) -> list[str]:
        """Return what must be asked of a column of text: values, kinds, digits before and after."""
        x = f"c{n}"
        of_json = self.format == "jsonl"
        number = f"{_is_number(x)} AND k{n} = 'n'" if of_json else _is_number(x)
        truth = f"k{n} = 'b'" if of_json else f"{x} IN ('true', 'false')"
        text = f"k{n} = 's'" if of_json else "true"
        return [
            f"count({x})",
            f"bool_and({number})",
            f"max(length(split_part(ltrim({x}, '-'), '.', 1)))",
            f"max(length(split_part({x}, '.', 2)))",
            f"bool_and({truth})",
            f"bool_and({text} AND {_is_date(x)})",
            f"bool_and({text} AND {_is_time(x)})",
            f"bool_and(k{n} = 'o')" if of_json else "NULL",
        ]

    def _fits(self, n: int, kind: str) -> str:
        """Return the condition under which a cell loses nothing as this type. NULL fits."""
        x, given = f"c{n}", self.given_types[n]
        if given == TEXT:
            return f"({x} IS NULL OR {self._fits_text(n, kind)})"
        if kind == TEXT:
            is_kept = is_exact_as_text(_kept_type(given)) or given.startswith("ENUM(")
        else:
            is_kept = _family(given) == _family(kind)  # false is no 0, though DuckDB casts it
        if not is_kept:
            return f"({x} IS NULL)"
        return f"(TRY_CAST(TRY_CAST({x} AS {kind}) AS {given}) IS NOT DISTINCT FROM {x})"

    def _fits_text(self, n: int, kind: str) -> str:  # noqa: PLR0911 - a type each
        x = f"c{n}"
        if kind == TEXT:
            return "true"
        if kind == "JSON":
            return f"k{n} = 'o'" if self.format == "jsonl" else f"json_valid({x})"
        if kind == "DATE":
            return _is_date(x)
        if kind in {"TIMESTAMP", "TIMESTAMP_MS"}:
            return _is_time(x, 6 if kind == "TIMESTAMP" else 3)
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f"({_is_zoned(x)} AND TRY_CAST({x} AS {kind}) IS NOT NULL)"
        if decimal := _DECIMAL.fullmatch(kind):
            before, after = int(decimal[1]) - int(decimal[2]), int(decimal[2])
            return (
                f"({_is_number(x)} AND TRY_CAST({x} AS {kind}) IS NOT NULL AND "
                f"length(split_part(ltrim({x}, '-'), '.', 1)) <= {max(before, 1)} "
                f"AND length(split_part({x}, '.', 2)) <= {after})"
            )
        if kind == "DOUBLE":  # 15 digits come back from a double as they went in
            digits = f"length(replace(ltrim({x}, '-0.'), '.', ''))"
            power = f"regexp_full_match({x}, '-?[0-9.]+(e[+-][0-9]+)?') AND {_is_same(x, kind)}"
            return f"(({power}) OR ({_is_number(x)} AND {digits} <= 15))"
        return _is_same(x, kind) if kind in _READ_FROM_TEXT else "false"

    def _line(self, row: int) -> int | None:
        """Return the line that a row of data begins at; of a Parquet file, the row's number."""
        if self.format == "parquet":
            return row + 1
        is_csv = self.format == "csv"
        has_blank_rows = is_csv and len(self.names) == 1
        lines = (
            line for line, text in _numbered(self._text, is_csv) if text.strip() or has_blank_rows
        )
        return next(itertools.islice(lines, row + is_csv, None), None)


@contextmanager
def open_export(
    connection: duckdb.DuckDBPyConnection, path: Path, output_format: str, name: str | None = None
) -> Iterator[Cells]:
    """Read a whole export; `name` is what errors call it. Raises UnfitError.

    A file of zero bytes has neither columns nor rows. Its cells are there until the block ends.
    """
    file = name or path.name
    if output_format not in FORMATS:
        raise UnfitError(f"there is no reader for the format {output_format!r}", file=file)
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        try:
            prepared = _prepare(path, Path(folder, "export"), output_format, file)
            if prepared.path.stat().st_size:
                read = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}
                cells = read[output_format](connection, prepared, file)
            else:
                connection.execute(f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT 0 LIMIT 0")
                cells = Cells(connection, file, output_format, (), (), 0, prepared.path)
        except (duckdb.Error, OSError, EOFError) as error:
            raise _as_unfit(error, file) from error
        yield cells


def _as_unfit(error: Exception, file: str) -> Exception:
    """Return UnfitError for what DuckDB or gzip says of a file's content, not of the machine."""
    ills = (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.InterruptException)
    if isinstance(error, ills) or (
        isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile)
    ):
        return error
    told = [text for text in str(error).partition("Possible ")[0].splitlines() if text.strip()]
    return UnfitError("; ".join(told), file=file)


# --- bytes ---


@dataclass(slots=True)
class _Prepared:
    """A file that DuckDB can be given, and how many lines of a CSV it was seen to have."""

    path: Path
    record_count: int = 0  # the header's among them
    blank_count: int = 0  # of these, lines without a character
    comma_count: int = 0  # between cells


def _prepare(path: Path, target: Path, output_format: str, file: str) -> _Prepared:
    """Unpack gzip; give a text line feeds, where a line ends, and no byte order mark."""
    with path.open("rb") as raw:
        is_gzip = raw.read(len(_GZIP)) == _GZIP
    if output_format == "parquet" and not is_gzip:
        return _Prepared(path)
    prepared = _Prepared(target)
    with gzip.open(path) if is_gzip else path.open("rb") as source, target.open("wb") as out:
        pieces = _pieces(source, has_bom=output_format != "parquet")
        if output_format == "csv":
            pieces = _records(pieces, prepared, file)
        elif output_format == "jsonl":  # a raw carriage return is a blank of JSON
            pieces = (piece.replace(b"\r", b" ") for piece in pieces)
        out.writelines(pieces)
    return prepared


def _pieces(source: BinaryIO | gzip.GzipFile, *, has_bom: bool) -> Iterator[bytes]:
    first = source.read(_CHUNK_BYTES)
    yield first.removeprefix(_BOM) if has_bom else first
    yield from iter(lambda: source.read(_CHUNK_BYTES), b"")


def _records(pieces: Iterator[bytes], seen: _Prepared, file: str) -> Iterator[bytes]:
    """Yield whole records of a CSV, ended by line feeds; raises for a quote out of place."""
    lines, held = 0, b""  # lines behind us; what has no end yet
    for piece in pieces:
        records, held = _whole_records(held + piece)
        if len(held) > _MOST_RECORD_BYTES:
            why = "a record is too long, or its quote is never closed"
            raise UnfitError(why, file=file, line=lines + records.count(b"\n") + 1)
        yield _checked(records, lines, seen, file)
        lines += records.count(b"\n")
    if held.count(b'"') % 2:
        raise UnfitError("a quote is never closed", file=file, line=lines + 1)
    if held:
        yield _checked(held + b"\n", lines, seen, file)


def _whole_records(held: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last line feed that is outside quotes."""
    is_open, end = held.count(b'"') % 2 == 1, len(held)
    while (at := held.rfind(b"\n", 0, end)) >= 0:
        is_open ^= held.count(b'"', at, end) % 2 == 1
        if not is_open:
            return held[: at + 1], held[at + 1 :]
        end = at
    return b"", held


def _checked(records: bytes, lines: int, seen: _Prepared, file: str) -> bytes:
    """Return whole records with line feeds; count them in `seen`."""
    outside = _QUOTED.sub(b'"', records) if b'"' in records else records
    if b"\r" in outside:
        ends = outside.count(b"\r")
        if ends != outside.count(b"\r\n"):
            why = "a carriage return alone ends no line; inside a cell it must be quoted"
            raise UnfitError(why, file=file, line=lines + _line_of(records, outside, _LONE_RETURN))
        if ends == records.count(b"\r"):
            records = records.replace(b"\r\n", b"\n")
        else:
            records = _LINE_END.sub(lambda found: found[1] or b"\n", records)
        outside = outside.replace(b"\r\n", b"\n")
    if b'"' in outside and _STRAY_QUOTE.search(outside):
        why = "a quote stands in a cell that is not quoted, or text behind a quoted one"
        raise UnfitError(why, file=file, line=lines + _line_of(records, outside, _STRAY_QUOTE))
    seen.record_count += outside.count(b"\n")
    seen.comma_count += outside.count(b",")
    seen.blank_count += len(_BLANK_LINE.findall(outside)) if b"\n\n" in b"\n" + outside else 0
    return records


def _line_of(records: bytes, outside: bytes, pattern: re.Pattern[bytes]) -> int:
    """Return the line, from 1, of the first place outside quotes that looks so."""
    found = pattern.search(outside)
    before = outside[: found.start() + 1] if found else outside
    inside: list[bytes] = _QUOTED.findall(records)[: before.count(b'"')]
    return 1 + before.count(b"\n") + sum(each.count(b"\n") for each in inside)


# --- formats ---


def _read_csv(connection: duckdb.DuckDBPyConnection, prepared: _Prepared, file: str) -> Cells:
    names = _header(prepared.path, file)
    _check_names(names, file)
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(names)))
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS "
            f"FROM read_csv(?, {_DUCKDB_CSV}, columns = {{{columns}}})",
            [escape(str(prepared.path))],
        )
    except duckdb.InvalidInputException:
        _raise_odd_record(prepared.path, file, len(names))
        raise
    filled = prepared.record_count - prepared.blank_count
    if prepared.comma_count != filled * (len(names) - 1):  # DuckDB bears one comma too many
        _raise_odd_record(prepared.path, file, len(names))
    count = _count(connection)
    # One column's empty cell is a blank line; of several columns a blank line is no row.
    there = prepared.record_count - 1 - (prepared.blank_count if len(names) > 1 else 0)
    if count != there:
        raise UnfitError(f"{there} rows are there, and {count} were read", file=file)
    return Cells(connection, file, "csv", names, (TEXT,) * len(names), count, prepared.path)


def _raise_odd_record(path: Path, file: str, width: int | None = None) -> None:
    """Say which record DuckDB could not read: it counts records, and people count lines."""
    for line, record in _numbered(path, width is not None):
        cells = _QUOTED.sub(b"", record).count(b",") + 1
        if width not in {None, cells} and record != b"\n":
            raise UnfitError(f"{cells} cells, and the header has {width}", file=file, line=line)
        try:
            record.decode()
        except UnicodeDecodeError as error:
            raise UnfitError("this is not UTF-8", file=file, line=line) from error


def _numbered(path: Path, is_csv: bool) -> Iterator[tuple[int, bytes]]:  # noqa: FBT001 - or JSON
    """Yield each record of a prepared text, with the line that it begins at."""
    held, began = b"", 1
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            held += text
            if not is_csv or held.count(b'"') % 2 == 0:
                yield began, held
                held, began = b"", line + 1


def _header(path: Path, file: str) -> tuple[str, ...]:
    with path.open("rb") as csv:
        header = csv.readline()
        while header.count(b'"') % 2:
            header += csv.readline()
    try:
        text = header.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UnfitError("this is not UTF-8", file=file, line=1) from error
    names = []
    for cell in _HEADER_CELL.finditer(text):
        names.append(cell[2] if cell[1] is None else cell[1].replace('""', '"'))
        if not cell[3]:
            break
    return tuple(names)


def _read_jsonl(connection: duckdb.DuckDBPyConnection, prepared: _Prepared, file: str) -> Cells:
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT line "  # noqa: S608 - fixed texts
            f"FROM read_csv(?, {_DUCKDB_LINES}, columns = {{'line': 'VARCHAR'}}) "
            "WHERE trim(line, ' \t') <> ''",
            [escape(str(prepared.path))],
        )
    except duckdb.InvalidInputException:
        _raise_odd_record(prepared.path, file)
        raise
    with prepared.path.open("rb") as lines:
        there = sum(bool(line.strip(b" \t\n")) for line in lines)
    count = _count(connection)
    if count != there:
        raise UnfitError(f"{there} lines are there, and {count} were read", file=file)
    untold = Cells(connection, file, "jsonl", (), (), count, prepared.path)
    no_object = "coalesce(json_type(TRY_CAST(line AS JSON)), '') <> 'OBJECT'"
    untold.raise_where(no_object, "this is no object of JSON")
    mark = secrets.token_hex(16)  # what begins with it was a number; no file can know it
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT replace(regexp_replace("  # noqa: S608 - fixed texts
        f"line, ?, ?, 'g'), ?, '')::JSON AS marked FROM {_TABLE}",
        [_JSON_WORD, f'\\1"{mark}\\2"', f'"{mark}"'],
    )
    keys = "json_keys(marked)"
    untold.raise_where(f"len({keys}) <> len(list_distinct({keys}))", "a name comes twice")
    shapes = f"SELECT {keys} AS names FROM {_TABLE} GROUP BY names ORDER BY min(rowid)"  # noqa: S608 - fixed texts
    names = tuple(dict.fromkeys(n for (ns,) in connection.execute(shapes).fetchall() for n in ns))
    _check_names(names, file)
    if not names:
        return untold
    told = ", ".join(
        f"CASE WHEN kind{n} = 'n' THEN substr(text{n}, {len(mark) + 1}) WHEN kind{n} = 'o' "
        f"THEN regexp_replace(text{n}, '\"{mark}([^\"]*)\"', '\\1', 'g') ELSE text{n} END AS c{n}, "
        f"kind{n} AS k{n}"
        for n in range(len(names))
    )
    kinds = ", ".join(
        f"v{n} ->> '$' AS text{n}, CASE coalesce(json_type(v{n}), 'NULL') WHEN 'NULL' THEN NULL "
        f"WHEN 'VARCHAR' THEN if(starts_with(text{n}, '{mark}'), 'n', 's') "
        f"WHEN 'BOOLEAN' THEN 'b' WHEN 'OBJECT' THEN 'o' WHEN 'ARRAY' THEN 'o' ELSE '?' END "
        f"AS kind{n}"
        for n in range(len(names))
    )
    values = ", ".join(f"row_of_it[{_literal(name)}] AS v{n}" for n, name in enumerate(names))
    shape = _literal(json.dumps(dict.fromkeys(names, "JSON")))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT {told} FROM (SELECT {kinds} FROM ("  # noqa: S608 - quoted
        f"SELECT {values} FROM ("
        f"SELECT json_transform(marked, {shape}) AS row_of_it FROM {_TABLE})))"
    )
    cells = Cells(connection, file, "jsonl", names, (TEXT,) * len(names), count, prepared.path)
    for n, name in enumerate(names):
        cells.raise_where(f"k{n} = '?'", "this is no JSON", name)
    return cells


def _read_parquet(connection: duckdb.DuckDBPyConnection, prepared: _Prepared, file: str) -> Cells:
    path = escape(str(prepared.path))
    source = "read_parquet(?, hive_partitioning = false)"
    described = connection.execute(f"DESCRIBE FROM {source}", [path]).fetchall()
    schema = connection.execute("SELECT name, num_children FROM parquet_schema(?)", [path])
    names = tuple(_top_names(iter(schema.fetchall())))
    _check_names(names, file)
    if names != tuple(name for name, *_ in described):
        raise UnfitError(f"its columns {list(names)} cannot be told apart", file=file)
    columns = ", ".join(f"c{n}" for n in range(len(names)))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS FROM {source} AS export ({columns})", [path]
    )
    kinds = tuple(str(kind) for _, kind, *_ in described)
    return Cells(connection, file, "parquet", names, kinds, _count(connection), prepared.path)


def _top_names(schema: Iterator[tuple[str, int | None]]) -> Iterator[str]:
    """Yield the names of the columns themselves out of a Parquet file's flattened tree."""
    for _ in range(next(schema)[1] or 0):
        name, children = next(schema)
        yield name
        below = children or 0
        while below:
            below += (next(schema)[1] or 0) - 1


def _check_names(names: Sequence[str], file: str) -> None:
    """Refuse names that DuckDB cannot hold apart: empty ones, or the same but for capitals."""
    if "" in names:
        raise UnfitError(f"column {names.index('') + 1} has no name", file=file, line=1)
    known: set[str] = set()
    for name in names:
        if folded(name) in known:
            raise UnfitError("two columns have this name", file=file, line=1, column=name)
        known.add(folded(name))


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {_TABLE}").fetchone() or (0,)  # noqa: S608 - fixed
    return int(count)


# --- types ---


def _least_type(answers: Sequence[Any]) -> str | None:
    """Return the type that the answers to `_profile` ask for; None without a value."""
    values, is_number, before, after, *others = answers
    if not values:
        return None
    if is_number:
        return _exact(before, after) or TEXT
    told = zip(("BOOLEAN", "DATE", "TIMESTAMP", "JSON"), others, strict=True)
    return next((kind for kind, holds in told if holds), TEXT)


def _kept_type(given: str) -> str:
    """Return the type that a column of a Parquet file's type is kept as."""
    if given in _WHOLE:
        return "BIGINT"
    if given in {"UBIGINT", "HUGEINT"}:
        return f"DECIMAL({_MOST_DIGITS},0)"
    if given == "FLOAT":
        return "DOUBLE"
    if given in {"TIMESTAMP_S", "TIMESTAMP_MS"}:
        return "TIMESTAMP"
    if given.startswith("ENUM("):
        return TEXT
    digits = _digits(given)
    return (_exact(*digits) or given) if digits and digits[1] else given


def _family(kind: str) -> str:
    """Return what a type is one of several spellings of."""
    if kind in _WHOLE | {"UBIGINT", "HUGEINT", "FLOAT", "DOUBLE"} or _DECIMAL.fullmatch(kind):
        return "number"
    return "time" if re.fullmatch(r"TIMESTAMP(_\w+)?", kind) else kind


def _digits(kind: str) -> tuple[int, int] | None:
    """Return how many digits a type of exact numbers has before and after the point."""
    if kind == "BIGINT":
        return 19, 0
    decimal = _DECIMAL.fullmatch(kind)
    return (int(decimal[1]) - int(decimal[2]), int(decimal[2])) if decimal else None


def _exact(before: int, after: int) -> str | None:
    """Return the type of exact numbers with so many digits; None where there is none."""
    if before + after <= _SHORT_DIGITS:
        return f"DECIMAL({_SHORT_DIGITS},{after})" if after else "BIGINT"
    return f"DECIMAL({_MOST_DIGITS},{after})" if before + after <= _MOST_DIGITS else None


def _is_number(x: str) -> str:
    return (
        f"regexp_full_match({x}, '0|-?[1-9][0-9]{{0,37}}|-?(0|[1-9][0-9]{{0,37}})[.][0-9]{{1,37}}')"
    )


def _is_date(x: str) -> str:
    """Return whether a text is a day of the calendar, as ISO 8601 writes it: 2025-02-28."""
    shape = f"regexp_full_match({x}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
    return f"({x} IS NULL OR ({shape} AND {_is_same(x, 'DATE')}))"


def _is_time(x: str, most_digits: int = 6) -> str:
    """Return whether a text is a time without a zone, with T or a blank, to so small a fraction."""
    fraction = f"([.][0-9]{{1,{most_digits}}})?"
    shape = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}" + fraction
    seconds = f"substr(replace({x}, 'T', ' '), 1, 19)"
    return (
        f"({x} IS NULL OR (regexp_full_match({x}, '{shape}') "
        f"AND coalesce(substr(TRY_CAST(TRY_CAST({x} AS TIMESTAMP) AS VARCHAR), 1, 19) = {seconds}, "
        "false)))"
    )


def _is_zoned(x: str) -> str:
    shape = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})"
    return f"regexp_full_match({x}, '{shape}')"


def _is_same(x: str, kind: str) -> str:
    return f"coalesce(TRY_CAST(TRY_CAST({x} AS {kind}) AS VARCHAR) = {x}, false)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- a schema that a person can see ---

Schema = dict[str, dict[str, str | None]]  # report type -> column -> type; None: no value yet


def read_schema(text: str) -> Schema:
    """Read what the script prints; raises ValueError for what is no schema or no type of DuckDB."""
    told = json.loads(text)
    if not isinstance(told, dict) or not all(isinstance(each, dict) for each in told.values()):
        raise ValueError("a schema is an object of report types, each an object of columns")
    with duckdb.connect() as connection:
        return {
            report_type: {name: _known_type(connection, kind) for name, kind in columns.items()}
            for report_type, columns in told.items()
        }


def _known_type(connection: duckdb.DuckDBPyConnection, kind: object) -> str | None:
    """Return a type as DuckDB itself calls it."""
    if kind is None:
        return None
    try:
        (relation,) = connection.execute(f"DESCRIBE SELECT CAST(NULL AS {kind}) AS x").fetchall()
    except duckdb.Error as error:
        raise ValueError(f"{kind!r} is no type of DuckDB") from error
    return str(relation[1])


def widen(schema: Schema, report_type: str, cells: Cells) -> list[str]:
    """Make a schema hold one more export; returns a sentence for each column that changed."""
    columns, changes = schema.setdefault(report_type, {}), []
    names = {folded(name): name for name in columns}
    for name, kind in cells.types().items():
        name = names.get(folded(name), name)  # noqa: PLW2901 - the first spelling stands
        before = columns.get(name)
        fits = before is not None and not cells.unfit({name: before})
        after = before if fits or kind is None else wider(before, kind)
        if name not in columns or after != before:
            changes.append(f"{report_type}.{name}: {before or 'new'} -> {after} ({cells.file})")
        columns[name] = after
    return changes


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the schema of exports; returns 1 if one could not be read."""
    parser = argparse.ArgumentParser(description="Print the columns and types of exports.")
    parser.add_argument("exports", nargs="+", type=Path, metavar="EXPORT")
    parser.add_argument(
        "--schema", type=Path, help="a schema to begin with; what widens it is told"
    )
    parser.add_argument("--report-type", help="default: what the path says (report_type=…/)")
    given = parser.parse_args(arguments)
    schema = read_schema(given.schema.read_text(encoding="utf-8")) if given.schema else {}
    failures = 0
    with duckdb.connect() as connection:
        for path in given.exports:
            found = re.search(r"report_type=([^/]+)/", path.resolve().as_posix())
            report_type = given.report_type or (found[1] if found else "")
            if not report_type:
                parser.error(f"{path}: say --report-type")
            try:
                with open_export(connection, path, path.suffix[1:], str(path)) as cells:
                    changes = widen(schema, report_type, cells)
            except UnfitError as error:
                changes, failures = [f"not read: {error}"], failures + 1
            sys.stderr.writelines(f"{change}\n" for change in changes)
    json.dump(schema, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
