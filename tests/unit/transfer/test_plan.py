"""Plans: the parts cover the export exactly, and S3's limits hold at every size."""

from __future__ import annotations

import math
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
        (64 * MIB, 4, 16 * MIB),
        (64 * MIB + 1, 4, 17 * MIB),
        (512 * MIB, 4, 128 * MIB),
        (GIB, 4, 256 * MIB),
        (2 * GIB, 8, 256 * MIB),
        (2500 * GIB, 10_000, 256 * MIB),
        (2500 * GIB + 1, 9_962, 257 * MIB),
    ],
)
def test_part_sizes_follow_the_total(size_bytes: int, count: int, part_bytes: int) -> None:
    """A quarter of the export each, for four fill the network; 16 MiB at the least, 256 at most."""
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
    ("size_bytes", "seconds", "room_bytes", "part_bytes"),
    [
        (GIB, 890 / 1.5, math.inf, 256 * MIB),
        (GIB, 290 / 1.5, math.inf, 92 * MIB),  # a function of 300 s
        (GIB, 50 / 1.5, math.inf, 15 * MIB),  # of a minute
        (GIB, 19 / 1.5, math.inf, 6 * MIB),  # the shortest that can be deployed
        (GIB, 1.0, math.inf, 5 * MIB),  # S3's least
        (2500 * GIB + 1, 19 / 1.5, math.inf, 257 * MIB),  # S3's most: 10,000
        (GIB, math.inf, 16 * MIB, 16 * MIB),  # two buffers beside a process in 128 MiB
        (GIB, math.inf, 16.9 * MIB, 16 * MIB),
        (20 * MIB, math.inf, 48 * MIB, 16 * MIB),
        (625 * GIB + 1, math.inf, 16 * MIB, 65 * MIB),
    ],
)
def test_parts_are_smaller_where_time_or_memory_ask_for_it(
    size_bytes: int, seconds: float, room_bytes: float, part_bytes: int
) -> None:
    """A part fits into a run at 0.5 MB/s and into a buffer, as far as S3's limits allow."""
    assert PLAN.part_size(size_bytes, seconds, room_bytes) == part_bytes


@given(st.integers(1, MOST_BYTES), st.floats(0, 1e6), st.floats(0, 1e12))
def test_no_lack_of_time_or_memory_leads_beyond_the_limits_of_s3(
    size_bytes: int, seconds: float, room_bytes: float
) -> None:
    """Whatever is lacking, the parts are at most 10,000, at least 5 MiB, and cover the export."""
    check(cut(size_bytes, PLAN.part_size(size_bytes, seconds, room_bytes)), size_bytes)


@pytest.mark.parametrize(
    ("seconds", "most_bytes"),
    [
        (890 / 1.5, 16 * MIB),
        (290 / 1.5, 16 * MIB),
        (50 / 1.5, 8_333_333),
        (19 / 1.5, 3_166_666),
        (0, MIB),
    ],
)
def test_one_put_is_for_what_can_be_read_and_written_in_a_run(
    seconds: float, most_bytes: int
) -> None:
    """No other run could go on with it; the least exports are tried all the same."""
    assert PLAN.fits_one_put(most_bytes, seconds)
    assert not PLAN.fits_one_put(most_bytes + 1, seconds)
