"""The bytes that every benchmark copies: free to make at any offset, and different at each.

A block of noise is repeated. Its length is a prime, so that a part that lands at the wrong place
shows: two offsets look alike only if they differ by a multiple of that prime, which is no multiple
of any part's size. Nothing may be generated while a copy runs.
"""

from __future__ import annotations

import ctypes
import random
from typing import ClassVar

from awscrt import checksums

__all__ = ["MAX_PIECE_BYTES", "PERIOD_BYTES", "Checker", "pattern_at"]

PERIOD_BYTES = 4_194_301  # the largest prime below 4 MiB
MAX_PIECE_BYTES = 1 << 20  # of one piece that is made or compared at once
_PROBE_BYTES = 32  # enough noise to know where a part belongs

_noise = random.Random(3).randbytes(PERIOD_BYTES)  # noqa: S311 - sample bytes, not a secret
_block = bytearray(_noise + _noise[:MAX_PIECE_BYTES])  # ctypes tells only writable bytes' address
_view = memoryview(_block)
_address = ctypes.addressof(ctypes.c_char.from_buffer(_block))

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int


def pattern_at(offset: int, size_bytes: int) -> memoryview:
    """Return the bytes at an offset, at most MAX_PIECE_BYTES, not copied: leave them alone."""
    phase = offset % PERIOD_BYTES
    return _view[phase : phase + size_bytes]


class Checker:
    """Compares every byte of one body with the pattern, and sums it up as clients do.

    Where the body belongs is guessed (`expected_offset`) or found from its first bytes; `phase` is
    the offset modulo PERIOD_BYTES, and whoever joins the parts compares it with the true one. A
    body too small to be recognised is kept in `tiny`, to be compared where the parts are joined.
    """

    _SUMS: ClassVar = {
        "crc64nvme": checksums.crc64nvme,
        "crc32c": checksums.crc32c,
        "crc32": checksums.crc32,
    }

    def __init__(self, expected_offset: int, algorithm: str) -> None:
        self.size_bytes = 0
        self.phase = expected_offset % PERIOD_BYTES
        self.is_right = True
        self.tiny = b""
        self.sums = {name: 0 for name in self._SUMS if name in {"crc64nvme", algorithm}}

    def take(self, piece: memoryview, address: int) -> None:
        """Compare and add the next piece; `address` is where it lies in memory."""
        if self.size_bytes == 0 and len(piece) < _PROBE_BYTES:
            self.tiny = bytes(piece)
        else:
            self._compare(piece, address)
        for name, value in self.sums.items():
            self.sums[name] = self._SUMS[name](piece, value)
        self.size_bytes += len(piece)

    def belongs_at(self, offset: int) -> bool:
        """Tell whether this body, right in itself, belongs at an offset of the whole."""
        if self.tiny:
            return pattern_at(offset, len(self.tiny)) == self.tiny
        return self.size_bytes == 0 or self.phase == offset % PERIOD_BYTES

    def _compare(self, piece: memoryview, address: int) -> None:
        if self.size_bytes == 0:
            self._find_phase(bytes(piece[:_PROBE_BYTES]))
        elif self.tiny:  # more came after all: the guess must do
            self.is_right = pattern_at(self.phase, len(self.tiny)) == self.tiny
            self.tiny = b""
        at = _address + (self.phase + self.size_bytes) % PERIOD_BYTES
        if self.is_right and _memcmp(address, at, len(piece)) != 0:
            self.is_right = False

    def _find_phase(self, probe: bytes) -> None:
        if pattern_at(self.phase, _PROBE_BYTES) != probe:
            found = _block.find(probe)
            self.is_right = found >= 0
            self.phase = max(found, 0) % PERIOD_BYTES
