"""Size → parts. Pure arithmetic; each bound stands beside its reason."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IN_FLIGHT", "SINGLE_PUT_BYTES", "PartRange", "plan_parts", "plan_server_side_parts"]

MIB = 1 << 20
GIB = 1 << 30

# What fits one PUT. It is held in memory, so that the checksum can go into the header, which every
# store understands; beyond it memory does not grow.
SINGLE_PUT_BYTES = 16 * MIB
# S3's connections give 40 to 80 MB/s each; eight hide the latency, and more cost memory, not CPU.
IN_FLIGHT = 8

_SMALL_PART_BYTES = 16 * MIB
_LARGE_PART_BYTES = 64 * MIB  # per TiB the PUTs cost $0.08 instead of $0.33 (design.md)
_LARGE_FROM_BYTES = IN_FLIGHT * _LARGE_PART_BYTES  # from here on large parts keep all in flight
_MAX_PARTS = 10_000  # S3's limit
_SERVER_SIDE_PART_BYTES = 512 * MIB  # S3 copies at some 100 MB/s: seconds, far below read time-outs


@dataclass(frozen=True, slots=True)
class PartRange:
    """One part: its number (from 1) and the bytes that it covers."""

    number: int
    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The last byte's offset, as Range headers count."""
        return self.start + self.size_bytes - 1


def plan_parts(size_bytes: int) -> list[PartRange]:
    """Return the parts of a streaming copy; at most 10,000, for up to S3's 48.8 TiB."""
    usual = _LARGE_PART_BYTES if size_bytes >= _LARGE_FROM_BYTES else _SMALL_PART_BYTES
    return _cut(size_bytes, usual)


def plan_server_side_parts(size_bytes: int) -> list[PartRange]:
    """Return the parts of a server-side copy: few and large, for no byte passes through us."""
    return _cut(size_bytes, _SERVER_SIDE_PART_BYTES)


def _cut(size_bytes: int, usual_bytes: int) -> list[PartRange]:
    least = -(-size_bytes // _MAX_PARTS)
    part_bytes = max(usual_bytes, -(-least // MIB) * MIB)
    return [
        PartRange(index + 1, start, min(part_bytes, size_bytes - start))
        for index, start in enumerate(range(0, size_bytes, part_bytes))
    ]
