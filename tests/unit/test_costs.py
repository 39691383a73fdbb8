"""The cost model: its arithmetic against sums done by hand, and the page and plot it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archiver.transfer.plan import PartPlan
from tests.bench.costs import (
    AWS,
    BEGIN,
    CHOSEN_MB,
    END,
    ENGINE,
    MEASURED,
    MEMORY_SIZES_MB,
    Measured,
    Network,
    cost_of,
    gb_seconds,
    largest_export_gib,
    network_seconds,
    plot,
    prices,
    processors,
    put_between_markers,
    requests_of,
    s3_writes,
    seconds_of,
    write_tables,
)
from tests.template.resolved import read_template

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
DOCS = Path(__file__).parents[2] / "docs"
ENGINES = Measured(
    cpu_per_gib=1.769,  # so that 1,000 MB/1769 of a processor give round sums
    size_bytes=2 * GIB,
    runs=5,
    peak_rss_mib=60.0,
    measured_at="2026-01-01T00:00:00Z",
    machine="a machine",
    job_cpu_seconds=0.01769,
)


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a benchmark's JSON with the engine at 64 MiB, and a row that is too small to count."""
    row = {
        "tool": ENGINE,
        "size_bytes": 64 * MIB,
        "cpu_per_gib": 2.0,
        "runs": 3,
        "peak_rss_mib": 60.0,
        "requests": {
            "GET source": 4,
            "create_upload": 1,
            "upload_part": 4,
            "complete_upload": 1,
        },
    }
    small = {**row, "size_bytes": 0, "cpu_per_gib": None, "requests": {"put_object": 1}}
    return {
        "figures": [small, {**row, **changes}],
        "measured_at": "2026-01-01T00:00:00Z",
        "versions": {"machine": "a machine"},
    }


# --- the arithmetic ---


def test_a_processor_is_whole_at_1769_mb_and_smaller_in_proportion() -> None:
    """Lambda's rule; more than one processor is of no use to the model."""
    assert processors(1769) == 1.0
    assert processors(512) == pytest.approx(0.28943, abs=1e-5)
    assert processors(3538) == 1.0


def test_a_gigabyte_second_is_1024_mb_for_a_second() -> None:
    """512 MB for 10 s are 5 GB-seconds."""
    assert gb_seconds(512, 10) == 5.0


@pytest.mark.parametrize(
    ("size_bytes", "writes"),
    [
        (0, 1),
        (16 * MIB, 1),
        (16 * MIB + 1, 2 + 2),
        (64 * MIB, 4 + 2),
        (GIB, 4 + 2),
        (2 * GIB, 8 + 2),
        (100 * GIB, 400 + 2),
    ],
)
def test_writes_are_the_parts_and_two_more(size_bytes: int, writes: int) -> None:
    """One PUT for what fits it; else begin, parts, complete."""
    assert s3_writes(size_bytes) == writes


def test_the_network_is_what_aws_states_of_a_function() -> None:
    """625 Mbit/s are 78.125 MB/s; a single PUT is read first, then written."""
    assert AWS.per_function == 78.125
    assert network_seconds(2 * GIB, AWS) == pytest.approx(2147.483648 / 78.125)
    assert network_seconds(2 * GIB, MEASURED) == pytest.approx(2147.483648 / 70.8)
    assert network_seconds(MIB, AWS) == pytest.approx(2 * 1.048576 / 40)


def test_parts_share_what_the_function_has_and_the_last_is_alone() -> None:
    """Two parts of 16 MiB share 78.125 MB/s; what is left of the ninth has one connection's 40."""
    assert network_seconds(32 * MIB, AWS) == pytest.approx(2 * 16.777216 / 78.125)
    # 16 MiB and 1 MiB: both have 39.0625 until the small one ends, then the other has 40.
    expected = 1.048576 / 39.0625 + (16.777216 - 1.048576) / 40
    assert network_seconds(17 * MIB, AWS) == pytest.approx(expected)
    nine = PartPlan(small_part_bytes=16 * MIB, large_part_bytes=16 * MIB)
    expected = 8 * 16.777216 / 78.125 + 16.777216 / 40
    assert network_seconds(9 * 16 * MIB, AWS, nine) == pytest.approx(expected)


def test_seconds_are_the_processor_s_where_it_is_the_slower() -> None:
    """128 MB: 1.769 x 2 / (128/1769) = 48.896 s of bytes, 0.2445 of the job, 12 round trips."""
    expected = 1.769 * 2 * 1769 / 128 + 0.01769 * 1769 / 128 + 12 * 0.03
    assert expected == pytest.approx(49.5004, abs=1e-3)
    assert seconds_of(2 * GIB, 128, ENGINES, AWS) == pytest.approx(expected)


def test_seconds_are_the_network_s_where_it_is_the_slower() -> None:
    """A whole processor needs 3.54 s for 2 GiB and waits 27.49 s for the network."""
    assert seconds_of(2 * GIB, 1769, ENGINES, AWS) == pytest.approx(27.487791 + 0.01769 + 0.36)


def test_a_small_job_s_dollars_add_up() -> None:
    """1 MiB at 512 MB: 0.4135 s, $0.0000027567 of compute, two PUTs, and $11.6e-6 of requests."""
    seconds = 10 * 0.03 + 0.01769 / (512 / 1769) + 2 * 1.048576 / 40
    assert seconds == pytest.approx(0.413549, abs=1e-6)
    cost = cost_of(MIB, 512, ENGINES, AWS)
    assert cost.compute == pytest.approx(seconds / 2 * 0.0000133334)
    assert cost.s3_writes == pytest.approx(0.000010)
    # Millionths: 0.2 Lambda, 1.6 SQS, 2 EventBridge, 2.5 and 0.25 DynamoDB, 0.05 secret, 5 X-Ray.
    assert cost.other_requests == pytest.approx(11.6e-6)
    assert cost.total == pytest.approx(cost.compute + cost.s3_writes + cost.other_requests)


def test_an_upload_is_noted_and_a_longer_job_renews_its_lease() -> None:
    """A write for the checkpoint, a look, and every 15 s a write and a request of SQS."""
    short, long = requests_of(MIB, 14.9), requests_of(GIB, 31.0)
    assert long["dynamodb_write_unit"] - short["dynamodb_write_unit"] == 1 + 2
    assert long["sqs_request"] - short["sqs_request"] == 2
    assert (short.get("s3_read"), long["s3_read"]) == (None, 1)


@pytest.mark.parametrize("network", [AWS, MEASURED], ids=["AWS's", "somebody's"])
@pytest.mark.parametrize("cpu_per_gib", [1.0, 1.5, 1.65])
def test_a_tib_costs_at_most_eight_cents_with_all_requests(
    network: Network, cpu_per_gib: float
) -> None:
    """In exports of 2 GiB, by the default MemorySize and FunctionTimeout, on either network."""
    engine = replace(ENGINES, cpu_per_gib=cpu_per_gib)
    assert cost_of(2 * GIB, CHOSEN_MB, engine, network).total * (TIB // (2 * GIB)) <= 0.08
    timeout = read_template()["Parameters"]["FunctionTimeout"]["Default"]
    plan = PartPlan()
    assert plan.part_size(2 * GIB, (timeout - 12) / 1.5) == plan.large_part_bytes


def test_the_memory_that_is_told_of_is_what_is_deployed() -> None:
    """The tables' chosen row is the template's default."""
    assert read_template()["Parameters"]["MemorySize"]["Default"] == CHOSEN_MB
    assert CHOSEN_MB in MEMORY_SIZES_MB


def test_no_part_size_that_fits_into_a_run_is_cheaper() -> None:
    """Of powers of two, at the slowest network that parts are made for; more memory is dearer."""
    plan = PartPlan()
    larger = replace(plan, large_part_bytes=2 * plan.large_part_bytes)
    smaller = replace(plan, large_part_bytes=plan.large_part_bytes // 2)
    cost = cost_of(2 * GIB, CHOSEN_MB, ENGINES, AWS).total
    assert cost < cost_of(2 * GIB, CHOSEN_MB, ENGINES, AWS, smaller).total
    longest_seconds = (900 - 12) / 1.5
    assert larger.large_part_bytes / plan.slowest_bytes_per_second > longest_seconds
    totals = [cost_of(2 * GIB, mb, ENGINES, AWS).total for mb in MEMORY_SIZES_MB if mb >= 256]
    assert [cost, *totals] == sorted([cost, *totals])


def test_compute_costs_the_same_at_any_memory_that_the_processor_bounds() -> None:
    """Half the memory is half the processor for twice as long."""
    small, large = (cost_of(64 * GIB, mb, ENGINES, AWS).compute for mb in (128, 160))
    assert small == pytest.approx(large, rel=0.001)


def test_the_largest_export_is_the_last_that_ends_before_the_timeout() -> None:
    """12 s of the time-out are kept; one GiB more would not fit."""
    for memory_mb in MEMORY_SIZES_MB:
        largest = largest_export_gib(memory_mb, 300, ENGINES, AWS)
        assert seconds_of(largest * GIB, memory_mb, ENGINES, AWS) <= 288
        assert seconds_of((largest + 1) * GIB, memory_mb, ENGINES, AWS) > 288


# --- what is read ---


def test_the_largest_copy_and_the_target_are_taken() -> None:
    """Without --warm the job's CPU is the target, and says so."""
    measured = Measured.of(document())
    assert (measured.cpu_per_gib, measured.size_bytes) == (2.0, 64 * MIB)
    assert (measured.job_cpu_seconds, measured.is_job_measured) == (0.012, False)
    assert "the target, not a measurement" in write_tables(measured)


def test_a_measured_job_replaces_the_target() -> None:
    """With --warm its milliseconds are used."""
    measured = Measured.of(document(), {"small": [{"cpu_ms": 25.0}]})
    assert (measured.job_cpu_seconds, measured.is_job_measured) == (0.025, True)
    assert "the target, not a measurement" not in write_tables(measured)


def test_a_measured_start_replaces_what_was_told_before() -> None:
    """With --cold its seconds are used."""
    cold = {"cpu_seconds": {"handler": {"median": 0.5}}}
    assert Measured.of(document(), None, cold).cold_cpu_seconds == 0.5
    assert Measured.of(document()).cold_cpu_seconds > 0


def test_a_document_without_a_large_copy_is_refused() -> None:
    """CPU per GiB cannot be told from empty exports."""
    with pytest.raises(ValueError, match="no copy"):
        Measured.of(document(cpu_per_gib=None))


def test_requests_that_are_not_the_plan_s_are_refused() -> None:
    """The dollars would be of another engine."""
    with pytest.raises(ValueError, match="the plan is 6"):
        Measured.of(document(requests={"put_object": 1}))


# --- what is written ---


def test_only_what_stands_between_the_markers_changes() -> None:
    """The words around the tables are written by hand."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    changed = put_between_markers(page, "new")
    assert changed == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert put_between_markers(changed, "new") == changed


@pytest.mark.parametrize("page", ["", f"{BEGIN}", f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="must hold"):
        put_between_markers(page, "new")


def test_every_price_names_the_page_that_states_it() -> None:
    """A reader can look each one up; the tables show them all."""
    tables = write_tables(ENGINES)
    for price in prices().values():
        assert price.page.startswith("https://aws.amazon.com/")
        assert f"| {price.what} | {price.shown} | {price.page} |" in tables


def test_the_plot_draws_dollars_and_seconds_of_each_memory_size() -> None:
    """What the model says, over the whole range of sizes, within the axes."""
    for panel, value in zip(plot(ENGINES)["hconcat"], (_dollars, _seconds), strict=True):
        lines, across = panel["layer"]
        rows = lines["data"]["values"]
        axes = lines["encoding"]
        assert len({row["memory"] for row in rows}) == 3
        for row in rows:
            memory_mb = int(row["memory"].removesuffix(" MB"))
            assert row["value"] == value(row["size"], memory_mb)
            for axis, of in (("x", "size"), ("y", "value")):
                low, high = axes[axis]["scale"]["domain"]
                assert low <= row[of] <= high
        assert across["data"]["values"]


def _dollars(size_bytes: int, memory_mb: int) -> float:
    return cost_of(size_bytes, memory_mb, ENGINES, AWS).total


def _seconds(size_bytes: int, memory_mb: int) -> float:
    return seconds_of(size_bytes, memory_mb, ENGINES, AWS)


def test_the_page_in_the_docs_has_its_tables() -> None:
    """It can be generated again, and says that it is a model."""
    page = (DOCS / "costs.md").read_text(encoding="utf-8")
    tables = page.partition(BEGIN)[2].partition(END)[0]
    assert "### Per TiB" in tables
    assert put_between_markers(page, tables.strip()) == page
    assert "a model" in page
