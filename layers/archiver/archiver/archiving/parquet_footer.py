"""Reads the number of rows out of a Parquet file's footer, and nothing else. Pure.

The footer is a Thrift struct in the compact protocol (Parquet's specification, "Metadata":
FileMetaData is 1: version, 2: schema, 3: num_rows, …; Apache Thrift, "Thrift Compact protocol
encoding"). What comes before num_rows is skipped. Each step takes a byte at least, so that no
footer takes longer than its length, whatever lengths it names.
"""

from __future__ import annotations

__all__ = ["num_rows"]

_NUM_ROWS = 3  # the field's number
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE = range(8)
_BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(8, 14)
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_MOST_VARINT_BYTES = 10  # of 64 bits
_DEEPEST = 8  # a schema is a list of flat structs, but for what a later version may nest


def num_rows(footer: bytes) -> int:
    """Return how many rows a footer tells; raises ValueError where it is none."""
    reader, field = _Reader(footer), 0
    while True:
        kind, field = reader.field(after=field)
        if kind == _STOP:
            raise ValueError("A footer without num_rows.")
        if field == _NUM_ROWS:
            rows = reader.number() if kind == _I64 else -1
            if rows < 0:
                raise ValueError("num_rows is no number of rows.")
            return rows
        reader.skip(kind, 0)


class _Reader:
    """Goes through a struct; raises ValueError at its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def field(self, *, after: int) -> tuple[int, int]:
        """Return a field's type and number."""
        byte = self._take()
        kind, delta = byte & 0x0F, byte >> 4
        if kind == _STOP:
            return _STOP, after
        return kind, after + delta if delta else self.number()

    def number(self) -> int:
        """Return a zigzag number."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int) -> None:
        """Go past a value of a field."""
        if kind in _FIXED_BYTES:
            self._pass(_FIXED_BYTES[kind])
        elif kind in {_I16, _I32, _I64}:
            self._varint()
        elif kind == _BINARY:
            self._pass(self._varint())
        elif depth == _DEEPEST:
            raise ValueError("It nests too deep.")
        elif kind in {_LIST, _SET}:
            self._skip_list(depth + 1)
        elif kind == _STRUCT:
            while (inner := self.field(after=0)[0]) != _STOP:
                self.skip(inner, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth + 1)
        elif kind not in {_TRUE, _FALSE}:  # these two are their own values
            raise ValueError(f"There is no type {kind}.")

    def _skip_list(self, depth: int) -> None:
        byte = self._take()
        count = byte >> 4 if byte >> 4 < 15 else self._varint()
        for _ in range(count):
            self._skip_element(byte & 0x0F, depth)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._take() if count else 0
        for _ in range(count):
            self._skip_element(kinds >> 4, depth)
            self._skip_element(kinds & 0x0F, depth)

    def _skip_element(self, kind: int, depth: int) -> None:
        if kind in {_TRUE, _FALSE}:  # in a list they take a byte
            self._pass(1)
        else:
            self.skip(kind, depth)

    def _varint(self) -> int:
        value = 0
        for position in range(_MOST_VARINT_BYTES):
            byte = self._take()
            value |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                return value
        raise ValueError("A number without an end.")

    def _take(self) -> int:
        self._pass(1)
        return self._data[self._at - 1]

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("It ends too soon.")
