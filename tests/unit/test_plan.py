"""Plans: the parts cover the export exactly, and S3's limits hold at every size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.transfer.plan import GIB, MIB, PartPlan, PartRange, cut

PLAN = PartPlan()
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
    check(cut(size_bytes, PLAN.part_size(size_bytes)), size_bytes)
    for most_bytes in (0, 300 * MIB, GIB):  # what a short run, a longer and a usual one allow
        check(cut(size_bytes, PLAN.server_side_part_size(size_bytes, most_bytes)), size_bytes)


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
    parts = cut(size_bytes, PLAN.part_size(size_bytes))
    assert (len(parts), parts[0].size_bytes) == (count, part_bytes)


@pytest.mark.parametrize(
    ("size_bytes", "count", "part_bytes"),
    [
        (1, 1, 128 * MIB),
        (10 * GIB, 80, 128 * MIB),
        (16 * GIB, 128, 128 * MIB),
        (100 * GIB, 128, 800 * MIB),
        (2 * 10**12, 1_863, GIB),
        (10_000 * GIB + 1, 9_991, 1025 * MIB),
        (MOST_BYTES, 10_000, 5 * GIB),
    ],
)
def test_server_side_parts_are_copied_all_at_once_as_long_as_none_is_large(
    size_bytes: int, count: int, part_bytes: int
) -> None:
    """128 MiB to 1 GiB, so that up to 128 GiB take one round; beyond 10,000 of them, larger."""
    parts = cut(size_bytes, PLAN.server_side_part_size(size_bytes))
    assert len(parts) == count
    assert PLAN.server_side_part_size(size_bytes) == part_bytes


@pytest.mark.parametrize(
    ("size_bytes", "parts_of_source", "part_bytes"),
    [
        (200 * MIB, 7, 32 * MIB),
        (GIB, 16, 64 * MIB),
        (100 * MIB, 25, 16 * MIB),  # 4 MiB: not worth following
        (20 * MIB, 1, 16 * MIB),  # 32, 64 or more: nobody knows
        (10 * GIB, 1280, 64 * MIB),  # boto3's 8 MiB
    ],
)
def test_parts_follow_the_sources_etag_where_one_usual_size_explains_it(
    size_bytes: int, parts_of_source: int, part_bytes: int
) -> None:
    """Equal parts make equal ETags, which prove the copy from end to end."""
    etag = f'"{"0123456789abcdef" * 2}-{parts_of_source}"'
    assert PLAN.part_size(size_bytes, etag) == part_bytes


@given(st.integers(1, MOST_BYTES), st.integers(1, 10_000))
def test_no_etag_of_a_source_leads_beyond_the_limits_of_s3(size_bytes: int, count: int) -> None:
    """Whatever number of parts a source tells, ours are at most 10,000 and cover it."""
    check(cut(size_bytes, PLAN.part_size(size_bytes, f"{'0' * 32}-{count}")), size_bytes)
