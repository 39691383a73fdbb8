"""Plans: the parts cover the export exactly, and S3's limits hold at every size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.transfer.plan import GIB, MIB, PartRange, plan_parts, plan_server_side_parts

MOST_BYTES = 10_000 * 5 * GIB  # what 10,000 parts of 5 GiB hold: S3's 48.8 TiB


def check(parts: list[PartRange], size_bytes: int) -> None:
    """Assert what S3 demands of any multipart upload, and that no byte is missing or doubled."""
    assert parts[0].start == 0
    assert parts[-1].end == size_bytes - 1
    assert all(one.end + 1 == other.start for one, other in pairwise(parts))
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert len(parts) <= 10_000
    assert all(5 * MIB <= part.size_bytes <= 5 * GIB for part in parts[:-1])
    assert 0 < parts[-1].size_bytes <= parts[0].size_bytes


@given(st.integers(1, MOST_BYTES))
def test_parts_cover_any_export_within_the_limits_of_s3(size_bytes: int) -> None:
    """Any size up to S3's own limit has a plan, streaming and server-side."""
    check(plan_parts(size_bytes), size_bytes)
    check(plan_server_side_parts(size_bytes), size_bytes)


@pytest.mark.parametrize(
    ("size_bytes", "count", "part_bytes"),
    [
        (16 * MIB + 1, 2, 16 * MIB),
        (512 * MIB - 1, 32, 16 * MIB),
        (512 * MIB, 8, 64 * MIB),
        (625 * GIB, 10_000, 64 * MIB),
        (625 * GIB + 1, 9_847, 65 * MIB),
    ],
)
def test_part_sizes_follow_the_total(size_bytes: int, count: int, part_bytes: int) -> None:
    """Small parts while eight must be kept busy, large ones for their price."""
    parts = plan_parts(size_bytes)
    assert (len(parts), parts[0].size_bytes) == (count, part_bytes)
