"""What is odd about a content: told by its ends, of each format, and never by raising."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import zlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.archiving.parquet_footer import num_rows
from archiver.archiving.quality import LOOKED_AT, is_shrunken, judge, kind_of
from archiver.receipt import ENDS_BYTES, Ends
from tests.unit.test_catalogue import RECEIPT

LONG = b"x" * ENDS_BYTES


def judged(output_format: str, content: bytes, encoding: str | None = None) -> str | None:
    """Judge a whole content, as a copy that was in memory does."""
    return judge(output_format, len(content), Ends.of(bytearray(content), encoding))


def parquet(rows: int, columns: int = 3, **options: object) -> bytes:
    """Return a table as a file."""
    table = pa.table({f"column {n}": pa.array(range(rows), pa.int64()) for n in range(columns)})
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"unit,rent\n101,1000\n", None),
        (b"unit,rent\n", "header_only"),
        (b"unit,rent", "header_only"),
        (b"\xef\xbb\xbfunit,rent\r\n\r\n\r\n", "header_only"),
        (b"\xef\xbb\xbf", "header_only"),
        (b"\n\n", "header_only"),
        (b'"unit\nnumber","rent, ""net"""\n', "header_only"),
        (b'"unit\nnumber",rent\n101,1\n', None),
        (b"unit,rent\r101,1\r", None),
        (b"unit\n#102\n", None),
        ("größe\n1\n".encode(), None),
        ("größe\n1\n".encode("latin-1"), "unreadable"),
        ("unit,rent\n1,2\n".encode("utf-16"), "unreadable"),
        (b"unit,rent\n1,\0\n", "unreadable"),
        (b'unit,rent\n"101,1000\n', "unreadable"),  # the quote is never closed
        (b'unit,rent\n"101"x,1000\n', "unreadable"),
        (b"unit \xe2\x82", "unreadable"),  # a character that is never finished
        (LONG, "header_only"),
        (LONG + b",y\n1,2\n", None),  # the first record is longer than what is looked at
        (b'"' + LONG + b'"\n1\n', None),
        (b"unit\n" + LONG, None),
        (b"unit\n1\n" + b"x" * (ENDS_BYTES - 8) + "€".encode() + b"\n", None),  # it is cut there
        (b"unit\n1\n" + b"x" * (ENDS_BYTES - 10) + b"\xff\n" + LONG, "unreadable"),
    ],
)
def test_csv(content: bytes, told: str | None) -> None:
    """One record is a header; quotes count; what is cut off is not judged."""
    assert judged("csv", content) == told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"unit": 101}\n{"unit": 102}\n', None),
        (b'{"unit": 101}', None),
        (b'\xef\xbb\xbf\r\n{"unit": 101}\r\n', None),
        (b"\n \n", "header_only"),
        (b"[1, 2]\n", "unreadable"),
        (b"unit,rent\n101,1\n", "unreadable"),
        (b'{"unit": 101\n', "unreadable"),
        (b'{"unit": "\xff"}\n', "unreadable"),
        (b'{"unit": ' + b"9" * 5000 + b"}\n", None),
        (b'{"a": ' + b"[" * 20_000 + b"\n", "unreadable"),
        (b'{"unit": "' + LONG + b'"}\n', None),
        (b'{"unit": "a\xe2\x80\xa8b"}\n', None),  # a line separator that ends no line here
    ],
)
def test_json_lines(content: bytes, told: str | None) -> None:
    """The first line is an object, if it ends within what is looked at."""
    assert judged("jsonl", content) == told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (parquet(3), None),
        (parquet(0), "header_only"),
        (parquet(0, 200), "header_only"),
        (parquet(100_000, 1), None),
        (parquet(0, 3_000), None),  # its footer is longer than what is looked at
        (parquet(3)[:-1], "unreadable"),
        (parquet(3)[1:], "unreadable"),
        (parquet(100_000, 1, compression="none")[:-1], "unreadable"),
        (b"PAR1", "unreadable"),
        (b"PAR1PAR1", "unreadable"),
        (b"PAR1\0\0\0\0PAR1", "unreadable"),
        (b"PAR1\xff\xff\xff\xffPAR1", "unreadable"),
        (b"PAR1\x15\x01\0\0\0PAR1", "unreadable"),
        (b"unit,rent\n1,2\n", "unreadable"),
        (b"PARE\x15\x02\0\0\0PARE", "unreadable"),  # its footer would be longer than the file
        (b"PARE" + bytes(40) + b"\x20\0\0\0PARE", None),  # who has no key cannot read on
    ],
)
def test_parquet(content: bytes, told: str | None) -> None:
    """Both marks, a footer that fits, and its number of rows."""
    assert judged("parquet", content) == told


@pytest.mark.parametrize(
    ("output_format", "content", "told"),
    [
        ("csv", gzip.compress(b"unit,rent\n1,2\n"), None),
        ("csv", gzip.compress(b"unit,rent\n"), "header_only"),
        ("csv", gzip.compress(b"unit\n") + gzip.compress(b"1\n"), None),  # two members are one
        ("csv", gzip.compress(b""), "header_only"),
        ("csv", gzip.compress(b"unit,rent\n1,\0\n"), "unreadable"),
        ("csv", gzip.compress(b"unit\n" + bytes(100 << 20)), "unreadable"),
        ("csv", gzip.compress(LONG * 100), None),
        ("csv", b"\x1f\x8bnothing of the kind", "unreadable"),
        ("csv", gzip.compress(b"unit,rent\n")[:12], None),
        ("jsonl", gzip.compress(b"[]\n"), "unreadable"),
        ("parquet", gzip.compress(parquet(0)), "header_only"),
        ("parquet", gzip.compress(b"unit,rent\n1,2\n"), "unreadable"),
    ],
    ids=itertools.count(),  # what gzip packs has the second in it, a name must not
)
def test_what_is_packed_is_unpacked_first(
    output_format: str, content: bytes, told: str | None
) -> None:
    """By its mark, whatever the Content-Encoding says, and no further than what is looked at."""
    for encoding in (None, "gzip", "GZIP "):
        assert judged(output_format, content, encoding) == told


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, br"])
def test_what_is_packed_in_another_way_is_not_judged(encoding: str) -> None:
    """Nobody here can unpack it."""
    assert judged("csv", b"\xff\xfe\0", encoding) is None


def test_an_unknown_format_is_not_judged() -> None:
    """Nobody here knows what it should look like."""
    assert judged("xlsx", b"\0") is None


@given(st.sampled_from(sorted(LOOKED_AT)), st.binary(min_size=1, max_size=300))
def test_any_bytes_are_judged_without_an_error(output_format: str, content: bytes) -> None:
    """Whatever comes from elsewhere, packed or not."""
    for each in (content, gzip.compress(content), b"\x1f\x8b" + content):
        assert judged(output_format, each) in {None, "unreadable", "header_only"}


@given(st.binary(max_size=200), st.integers(1, 10_000))
def test_any_footer_is_read_without_an_error(footer: bytes, size_bytes: int) -> None:
    """A footer that is none raises ValueError alone, whatever lengths it names."""
    ending = len(footer).to_bytes(4, "little") + b"PAR1"
    content = b"PAR1" + footer + ending
    assert judged("parquet", content) in {None, "unreadable", "header_only"}
    assert judge("parquet", size_bytes, Ends.of(bytearray(content), None)) != "empty"


@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from(["none", "snappy", "zstd"]))
def test_the_number_of_rows_is_what_arrow_wrote(rows: int, columns: int, packed: str) -> None:
    """The reader of another house writes the footer."""
    content = parquet(rows, columns, compression=packed)
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    assert num_rows(content[-8 - footer_bytes : -8]) == rows


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"\0",
        b"\x39\x01",  # num_rows as a list
        b"\x36\x01",  # -1 of them
        b"\x19\xff" + b"\xff" * 9 + b"\x01",  # a list of 2^64 elements
        b"\x18" + b"\xff" * 9 + b"\x01",  # a text of as many bytes
        b"\x1b\xff\xff\xff\xff\x0f\x77",  # a map of as many numbers of 8 bytes
        b"\x1c" * 5_000,  # structs without an end
        b"\x19\x1c" * 5_000,
        b"\x1e",  # no such type
        b"\x15" + b"\xff" * 50,
    ],
)
def test_a_footer_that_lies_costs_no_more_than_its_length(footer: bytes) -> None:
    """It raises as soon as it ends."""
    with pytest.raises(ValueError, match=r"."):
        num_rows(footer)


@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=4), min_size=1, max_size=4))
def test_what_csv_writes_is_told_by_its_records(rows: list[list[str]]) -> None:
    """Whatever is in the cells: header_only is one record, and nothing that csv wrote is odd."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    content = text.getvalue().replace("\0", "").encode("utf-8", "ignore")
    assert judged("csv", content) == ("header_only" if len(rows) == 1 else None)


@given(st.lists(st.dictionaries(st.text(), st.integers()), min_size=1, max_size=3))
def test_what_json_writes_is_not_odd(rows: list[dict[str, int]]) -> None:
    """In ASCII or not."""
    for ascii_only in (True, False):
        lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
        content = lines.encode("utf-8", "ignore")
        assert judged("jsonl", content) is None


@pytest.mark.parametrize(
    ("size_bytes", "last", "told"),
    [(49, 100, "shrunken"), (50, 100, ""), (1, None, ""), (1, 0, ""), (0, 1, "shrunken")],
)
def test_shrunken_is_less_than_half(size_bytes: int, last: int | None, told: str) -> None:
    """Half is not less, and the first of its kind has nothing to be compared with."""
    assert is_shrunken(size_bytes, last) is bool(told)


def test_a_kind_is_a_type_format_properties_and_length() -> None:
    """Windows of whole months are as long as their months, others as their days."""
    october = kind_of(RECEIPT)
    assert october is not None
    february = replace(RECEIPT, start_date="2026-02-01", end_date="2026-02-28")
    assert kind_of(february) == october
    others = [
        replace(RECEIPT, start_date="2026-10-02", end_date="2026-11-01"),  # 31 days, too
        replace(RECEIPT, end_date="2026-11-30"),
        replace(RECEIPT, end_date="2026-10-30"),
        replace(RECEIPT, start_date="2026-10-31"),
        replace(RECEIPT, report_type="leases"),
        replace(RECEIPT, output_format="jsonl"),
        replace(RECEIPT, property_set="1" * 24),
    ]
    kinds = [kind_of(other) for other in others]
    assert len({october, *kinds}) == len(others) + 1
    assert None not in kinds
    day = replace(RECEIPT, start_date="2026-10-31", end_date="2026-10-31")
    assert kind_of(day) == kind_of(replace(day, start_date="2026-02-28", end_date="2026-02-28"))


@pytest.mark.parametrize(
    "missing",
    [
        {"property_set": None},
        {"report_type": "unknown"},
        {"output_format": "unknown"},
        {"start_date": "unknown"},
        {"end_date": "unknown"},
        {"end_date": "9999-12-31"},
    ],
)
def test_what_is_not_told_in_full_has_no_kind(missing: dict[str, str | None]) -> None:
    """Nothing is compared with it."""
    assert kind_of(replace(RECEIPT, **missing)) is None  # type: ignore[arg-type] # texts or None


def test_a_small_head_of_much_is_unpacked_within_its_bound() -> None:
    """A thousandfold does not grow in memory."""
    head = zlib.compress(bytes(100 << 20))
    assert judged("csv", b"\x1f\x8b" + head) == "unreadable"
