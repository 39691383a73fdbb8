"""What a copy costs in dollars and takes in seconds on Lambda: a model on top of `make bench`.

    python -m tests.bench.costs --measured JSON [--warm JSON] [--cold JSON]
                                [--markdown docs/costs.md] [--svg docs/costs.svg]

JSON is what `python -m tests.bench.compare --json` wrote, for --warm `tests.bench.warm --json`, and
for --cold `tests.bench.cold --json`.
Pure arithmetic: it measures nothing and asks nobody. All prices are in `prices()`, all assumptions
in the constants above the model; docs/costs.md prints both, so that nobody takes it for a bill.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archiver.transfer.plan import IN_FLIGHT, PartPlan, PartRange, cut
from tests.bench.figures import PRICES, PRICES_AS_OF
from tests.pictures.draw import draw

__all__ = [
    "CHOSEN_MB",
    "MEMORY_SIZES_MB",
    "Cost",
    "Measured",
    "Network",
    "cost_of",
    "gb_seconds",
    "largest_export_gib",
    "main",
    "plot",
    "prices",
    "put_between_markers",
    "requests_of",
    "seconds_of",
    "write_tables",
]

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
MEMORY_SIZES_MB = (128, 160, 192, 256, 384, 512, 768, 1024)
CHOSEN_MB = 192  # MemorySize's default; a test holds the template to it
BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"

# --- the assumptions ---

ENGINE = f"engine, {IN_FLIGHT} in flight"  # its name in the benchmark
# Lambda gives one whole processor at this size and less in proportion below it (Lambda Developer
# Guide, "Configure Lambda function memory").
_ONE_PROCESSOR_MB = 1769
_PLAN = PartPlan()
# What a warm small job may cost outside the bytes, by the benchmark's target; --warm replaces it.
_TARGET_JOB_CPU_SECONDS = 0.012
# What a cold start took when its benchmark was last told of here; --cold replaces it.
_COLD_CPU_SECONDS = 0.376  # 2026-11-26, `python -m tests.bench.cold --runs 5`, AMD EPYC
_ROUND_TRIP_SECONDS = 0.03  # the benchmark's latency
# One after the other: the job's item, status, claim, results, link, put, last size, entry, event,
# receipt.
_ROUND_TRIPS = 10
# A multipart upload begins and completes, in place of one put, and is looked at.
_MULTIPART_ROUND_TRIPS = 12
_RESERVE_SECONDS = 12  # claim and link before the copy, and what pace.py leaves at the end
_BEAT_SECONDS = 15  # a job's lease is renewed so often, its message hidden anew (wiring/)
_JOBS_PER_SECRET_READ = 100  # a function's environment reads the secret once and lives for hours
_TIMEOUTS_SECONDS = (300, 900)  # FunctionTimeout's former default, and Lambda's limit, its own now
_PART_SIZES_MIB = (16, 64, 128, 256, 512)

# What one job asks of each service, however large its export is.
_PER_JOB: Mapping[str, float] = {
    "lambda_request": 1,  # BatchSize 1
    "sqs_request": 4,  # sent, received, hidden for one lease, deleted
    "event": 2,  # "Job Completed" comes by the bus, "Export Archived" goes
    # The claim, the receipt, by which the item has more than 1 KB, and the last size of its kind.
    "dynamodb_write_unit": 4,
    "dynamodb_read_unit": 2,  # the job's item and the throttle's, read consistently, up to 4 KB
    "secret_read": 1 / _JOBS_PER_SECRET_READ,
    "trace": 1,  # at the most: X-Ray samples one a second and 5 % of the rest by default
}
# What a beat asks for: the job's item, and the message hidden for another lease.
_PER_BEAT: Mapping[str, float] = {"dynamodb_write_unit": 1, "sqs_request": 1}
# Its checkpoint, in the job's item, and a look at its first bytes (of Parquet: one more).
_PER_UPLOAD: Mapping[str, float] = {"dynamodb_write_unit": 1, "s3_read": 1}
_ENTRIES = 1  # of the catalogue, a PUT each


@dataclass(frozen=True, slots=True)
class Network:
    """How fast bytes come and go, in megabytes (10^6) a second; each way has this much."""

    name: str
    per_connection: float
    per_function: float


# What S3 gives one connection, roughly: the benchmark's own weather. (AWS's advice is a request for
# each 85 to 90 MB/s: "Best practices design patterns: optimizing Amazon S3 performance".)
_PER_CONNECTION = 40.0
# "Network bandwidth per execution environment: 625 Mbps" (Lambda Developer Guide, "Lambda quotas";
# more only above 2,048 MB, outside a VPC, on request: AWS, What's New, 5 August 2026). Read as 625
# Mbit/s in each direction.
AWS = Network("625 Mbit/s", _PER_CONNECTION, 625 / 8)
# What somebody measured of a copy, in and out at once: 15 GB at 512 MB on arm64.
MEASURED = Network("70.8 MB/s", _PER_CONNECTION, 70.8)


@dataclass(frozen=True, slots=True)
class Price:
    """One price in dollars, for how many of what, and AWS's page that states it."""

    dollars: float
    per: int
    what: str
    page: str

    @property
    def shown(self) -> str:
        """The price in words, without an exponent."""
        dollars = f"{self.dollars:.10f}".rstrip("0").rstrip(".")
        return f"${dollars}" if self.per == 1 else f"${dollars} per {self.per:,}"

    @property
    def each(self) -> float:
        """Dollars for one."""
        return self.dollars / self.per


def prices() -> dict[str, Price]:
    """Return all prices: us-east-1, on demand, first tier, no free tier (see PRICES_AS_OF)."""
    million = 1_000_000
    compute, write, read = (
        PRICES[name] for name in ("per_gb_second_arm64", "per_1000_writes", "per_1000_reads")
    )
    pages = "https://aws.amazon.com"
    aws_lambda, s3 = f"{pages}/lambda/pricing/", f"{pages}/s3/pricing/"
    dynamodb = f"{pages}/dynamodb/pricing/on-demand/"
    return {
        "gb_second": Price(compute, 1, "Lambda GB-second, arm64", aws_lambda),
        "lambda_request": Price(0.20, million, "Lambda requests", aws_lambda),
        "s3_write": Price(write, 1000, "S3 Standard PUT, COPY, POST, LIST", s3),
        "s3_read": Price(read, 1000, "S3 Standard GET (of the link: the vendor's bill)", s3),
        "dynamodb_write_unit": Price(
            0.625, million, "DynamoDB write request units, on demand", dynamodb
        ),
        "dynamodb_read_unit": Price(
            0.125, million, "DynamoDB read request units, on demand", dynamodb
        ),
        "event": Price(
            1.00, million, "EventBridge custom events (64 KB each)", f"{pages}/eventbridge/pricing/"
        ),
        "sqs_request": Price(0.40, million, "SQS standard requests", f"{pages}/sqs/pricing/"),
        "secret_read": Price(
            0.05, 10_000, "Secrets Manager API calls", f"{pages}/secrets-manager/pricing/"
        ),
        "trace": Price(5.00, million, "X-Ray traces recorded", f"{pages}/xray/pricing/"),
    }


# --- the model ---


@dataclass(frozen=True, slots=True)
class Measured:
    """What the benchmark says of the engine. Times in CPU seconds, memory in MiB."""

    cpu_per_gib: float
    size_bytes: int  # of the export that cpu_per_gib was measured on
    runs: int
    peak_rss_mib: float
    measured_at: str
    machine: str
    job_cpu_seconds: float = _TARGET_JOB_CPU_SECONDS
    is_job_measured: bool = False
    cold_cpu_seconds: float = _COLD_CPU_SECONDS

    @classmethod
    def of(
        cls,
        document: Mapping[str, Any],
        warm: Mapping[str, Any] | None = None,
        cold: Mapping[str, Any] | None = None,
    ) -> Measured:
        """Read the largest copy of the engine, the smallest job (warm), and a start (cold).

        Raises ValueError if there is no copy large enough to tell CPU seconds per GiB, or if the
        requests that were counted are not those of the part plan.
        """
        rows = [
            row
            for row in document["figures"]
            if row["tool"] == ENGINE and row["cpu_per_gib"] is not None
        ]
        if not rows:
            raise ValueError(f"there is no copy of {ENGINE!r} of 16 MiB or more in it")
        for row in rows:
            _check_requests(row)
        largest = max(rows, key=lambda row: int(row["size_bytes"]))
        return cls(
            cpu_per_gib=largest["cpu_per_gib"],
            size_bytes=largest["size_bytes"],
            runs=largest["runs"],
            peak_rss_mib=largest["peak_rss_mib"],
            measured_at=document["measured_at"],
            machine=document["versions"].get("machine", "unknown"),
            job_cpu_seconds=warm["small"][0]["cpu_ms"] / 1000 if warm else _TARGET_JOB_CPU_SECONDS,
            is_job_measured=warm is not None,
            cold_cpu_seconds=cold["cpu_seconds"]["handler"]["median"]
            if cold
            else _COLD_CPU_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars of one job, by what they are paid for."""

    compute: float
    s3_writes: float
    other_requests: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.s3_writes + self.other_requests


def _parts(size_bytes: int, plan: PartPlan) -> list[PartRange]:
    """Return an export's parts; none where it fits one PUT."""
    if size_bytes <= plan.single_put_bytes:
        return []
    return cut(size_bytes, plan.part_size(size_bytes))


def s3_writes(size_bytes: int, plan: PartPlan = _PLAN) -> int:
    """Return the requests of S3's dear class that a copy costs."""
    parts = len(_parts(size_bytes, plan))
    return parts + 2 if parts else 1  # begin and complete


def processors(memory_mb: int) -> float:
    """Return the share of a processor that a function of this size has; at most one is used."""
    return min(1.0, memory_mb / _ONE_PROCESSOR_MB)


def network_seconds(size_bytes: int, network: Network, plan: PartPlan = _PLAN) -> float:
    """Return how long the bytes take if the processor costs nothing.

    A single PUT is read first and written then; parts are read and written at once, eight of them
    sharing what the function has, each on a connection of its own. Those of a round end together.
    """
    parts = _parts(size_bytes, plan)
    if not parts:
        return 2 * size_bytes / 1e6 / min(network.per_connection, network.per_function)
    rounds = (len(parts) - 1) // IN_FLIGHT
    each = min(network.per_connection, network.per_function / IN_FLIGHT)
    seconds = rounds * parts[0].size_bytes / 1e6 / each
    left = sorted(part.size_bytes for part in parts[rounds * IN_FLIGHT :])
    moved = 0
    while left:  # when the smallest ends, the others share what it had
        each = min(network.per_connection, network.per_function / len(left))
        seconds += (left[0] - moved) / 1e6 / each
        moved = left.pop(0)
    return seconds


def seconds_of(
    size_bytes: int,
    memory_mb: int,
    measured: Measured,
    network: Network,
    plan: PartPlan = _PLAN,
) -> float:
    """Return a warm job's billed seconds: waiting, its own CPU, and the bytes.

    While bytes move the slower of processor and network decides: the other hides behind it.
    """
    trips = _MULTIPART_ROUND_TRIPS if _parts(size_bytes, plan) else _ROUND_TRIPS
    share = processors(memory_mb)
    bytes_cpu = measured.cpu_per_gib * size_bytes / GIB / share
    moving = max(bytes_cpu, network_seconds(size_bytes, network, plan))
    return trips * _ROUND_TRIP_SECONDS + measured.job_cpu_seconds / share + moving


def gb_seconds(memory_mb: int, seconds: float) -> float:
    """Return what Lambda bills: the memory that is set, in GB of 1,024 MB, times seconds."""
    return memory_mb / 1024 * seconds


def requests_of(size_bytes: int, seconds: float, plan: PartPlan = _PLAN) -> dict[str, float]:
    """Return what a job of so many seconds asks of each service beside S3's writes."""
    asked = dict(_PER_JOB)
    beats = int(seconds // _BEAT_SECONDS)
    uploads = 1 if _parts(size_bytes, plan) else 0
    for times, each in ((beats, _PER_BEAT), (uploads, _PER_UPLOAD)):
        for name, count in each.items():
            asked[name] = asked.get(name, 0) + times * count
    return {name: count for name, count in asked.items() if count}


def cost_of(
    size_bytes: int,
    memory_mb: int,
    measured: Measured,
    network: Network,
    plan: PartPlan = _PLAN,
) -> Cost:
    """Return what one job with an export of this size costs."""
    price = prices()
    seconds = seconds_of(size_bytes, memory_mb, measured, network, plan)
    asked = requests_of(size_bytes, seconds, plan)
    return Cost(
        compute=gb_seconds(memory_mb, seconds) * price["gb_second"].each,
        s3_writes=(s3_writes(size_bytes, plan) + _ENTRIES) * price["s3_write"].each,
        other_requests=sum(count * price[name].each for name, count in asked.items()),
    )


def largest_export_gib(
    memory_mb: int, timeout_seconds: float, measured: Measured, network: Network
) -> int:
    """Return the largest export, in whole GiB, that one invocation copies before its timeout."""
    limit = timeout_seconds - _RESERVE_SECONDS
    fits, too_large = 0, TIB // GIB
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if seconds_of(middle * GIB, memory_mb, measured, network) <= limit:
            fits = middle
        else:
            too_large = middle
    return fits


def _check_requests(row: Mapping[str, Any]) -> None:
    """Make sure that the copies that were measured asked S3 what the plan says."""
    kinds = ("put_object", "create_upload", "upload_part", "complete_upload")
    counted = sum(row["requests"].get(kind, 0) for kind in kinds)
    planned = s3_writes(row["size_bytes"])
    if counted != planned:
        raise ValueError(f"{row['size_bytes']} bytes took {counted} writes, the plan is {planned}")


# --- the tables ---

_BENCH_BYTES = 2 * GIB


def write_tables(measured: Measured) -> str:
    """Return everything that docs/costs.md shows between its markers, as markdown."""
    return "\n\n".join(
        (
            _told_inputs(measured),
            "### Per TiB, in exports of 2 GiB",
            _table_per_tib(measured),
            "### Which MemorySize",
            _table_of_memory(measured),
            f"### Which parts: per TiB, in exports of 2 GiB, at {CHOSEN_MB} MB",
            _table_of_parts(measured),
            "### Per 1,000 jobs",
            _table_per_1000_jobs(measured),
            "### How far one invocation gets",
            _table_of_reach(measured),
            f"### One row by hand: {CHOSEN_MB} MB, per TiB",
            _worked_row(measured),
            "### Storage, per TiB",
            _table_of_storage(),
            "### Prices",
            _table_of_prices(),
        )
    )


def _told_inputs(measured: Measured) -> str:
    size = f"{measured.size_bytes / MIB:,.0f} MiB"
    job = f"{measured.job_cpu_seconds * 1000:.1f} ms"
    source = (
        f"{job} of CPU outside the bytes, measured by `python -m tests.bench.warm --json PATH`"
        if measured.is_job_measured
        else f"{job} of CPU outside the bytes: **the target, not a measurement** (no `--warm`)"
    )
    return (
        f"- **Measured** {measured.measured_at} by `python -m tests.bench.compare --json PATH` on "
        f"{measured.machine}: {ENGINE}, {size}, median of {measured.runs}: "
        f"**{measured.cpu_per_gib:.2f} CPU s/GiB**, peak memory {measured.peak_rss_mib:.0f} MiB "
        "(the engine's process alone).\n"
        f"- **A warm job**: {source}.\n"
        f"- **A cold start**: {measured.cold_cpu_seconds:.3f} s of CPU up to the handler's first "
        "line (`python -m tests.bench.cold --json PATH`).\n"
        "- All that follows is computed from these three by the model above."
    )


def _table_per_tib(measured: Measured) -> str:
    copies = TIB // _BENCH_BYTES
    rows = []
    for memory_mb in MEMORY_SIZES_MB:
        seconds = seconds_of(_BENCH_BYTES, memory_mb, measured, AWS)
        cost = cost_of(_BENCH_BYTES, memory_mb, measured, AWS)
        slower = cost_of(_BENCH_BYTES, memory_mb, measured, MEASURED)
        rows.append(
            (
                str(memory_mb),
                f"{seconds:.1f}",
                _bound_by(_BENCH_BYTES, memory_mb, measured),
                f"{gb_seconds(memory_mb, seconds) * copies:,.0f}",
                f"{cost.compute * copies:.3f}",
                f"{cost.s3_writes * copies:.3f}",
                f"{cost.other_requests * copies:.3f}",
                f"**{cost.total * copies:.3f}**",
                f"{slower.total * copies:.3f}",
            )
        )
    header = (
        *("MB", "s per export", "held up by", "GB-s", "compute $", "S3 writes $"),
        *("other requests $", "**$ per TiB**", f"$ per TiB at {MEASURED.name}"),
    )
    return _markdown(header, rows)


def _table_of_memory(measured: Measured) -> str:
    """Show the curve that the choice is made on: what each size costs, and what waits for it."""
    price, rows = prices()["gb_second"].each, []
    for memory_mb in MEMORY_SIZES_MB:
        share = processors(memory_mb)
        cold_seconds = measured.cold_cpu_seconds / share
        per_tib = cost_of(_BENCH_BYTES, memory_mb, measured, AWS).total * (TIB // _BENCH_BYTES)
        cells = (
            str(memory_mb),
            f"{share:.3f}",
            f"{share * network_seconds(GIB, AWS):.2f}",
            f"{seconds_of(_BENCH_BYTES, memory_mb, measured, AWS):.1f}",
            f"{per_tib:.3f}",
            f"{seconds_of(KIB, memory_mb, measured, AWS):.2f}",
            f"{cost_of(KIB, memory_mb, measured, AWS).total * 1000:.4f}",
            f"{cold_seconds:.1f}",
            f"{gb_seconds(memory_mb, cold_seconds) * price * 1000:.4f}",
        )
        chosen = memory_mb == CHOSEN_MB
        rows.append(tuple(f"**{cell}**" for cell in cells) if chosen else cells)
    header = (
        *("MB", "of a processor", "CPU s/GiB that the network allows", "s per 2 GiB", "$ per TiB"),
        *("s per 1 KiB, warm", "$ per 1,000 of 1 KiB", "s of a cold start"),
        "$ per 1,000 cold starts",
    )
    return _markdown(header, rows)


def _table_of_parts(measured: Measured) -> str:
    copies, rows = TIB // _BENCH_BYTES, []
    for part_mib in _PART_SIZES_MIB:
        part_bytes = part_mib * MIB
        plan = replace(_PLAN, small_part_bytes=part_bytes, large_part_bytes=part_bytes)
        cost = cost_of(_BENCH_BYTES, CHOSEN_MB, measured, AWS, plan)
        slowest_seconds = part_bytes / _PLAN.slowest_bytes_per_second
        cells = (
            str(part_mib),
            f"{(s3_writes(_BENCH_BYTES, plan) + _ENTRIES) * copies:,}",
            f"{cost.s3_writes * copies:.3f}",
            f"{cost.compute * copies:.3f}",
            f"{cost.total * copies:.3f}",
            f"{slowest_seconds:.0f}",
        )
        chosen = part_bytes == _PLAN.large_part_bytes
        rows.append(tuple(f"**{cell}**" for cell in cells) if chosen else cells)
    slowest = f"{_PLAN.slowest_bytes_per_second / 1e6:g} MB/s"
    header = (
        *("MiB a part", "writes", "S3 writes $", "compute $", "$ per TiB"),
        f"s of a part alone at {slowest}",
    )
    return _markdown(header, rows)


def _table_per_1000_jobs(measured: Measured) -> str:
    sizes = ((KIB, "1 KiB"), (MIB, "1 MiB"), (64 * MIB, "64 MiB"), (GIB, "1 GiB"))
    rows = []
    for memory_mb in MEMORY_SIZES_MB:
        small = cost_of(MIB, memory_mb, measured, AWS)
        rows.append(
            (
                str(memory_mb),
                f"{seconds_of(MIB, memory_mb, measured, AWS):.2f}",
                f"{small.compute * 1000:.4f}",
                f"{small.s3_writes * 1000:.4f}",
                f"{small.other_requests * 1000:.4f}",
                *(
                    f"**{cost_of(size, memory_mb, measured, AWS).total * 1000:.3f}**"
                    for size, _ in sizes
                ),
            )
        )
    header = (
        *("MB", "s per job, 1 MiB", "compute $", "S3 writes $", "other requests $"),
        *(f"**$ per 1,000 of {name}**" for _, name in sizes),
    )
    return _markdown(header, rows)


def _table_of_reach(measured: Measured) -> str:
    columns = [(network, timeout) for network in (AWS, MEASURED) for timeout in _TIMEOUTS_SECONDS]
    header = ("MB", *(f"GiB in {timeout} s, {network.name}" for network, timeout in columns))
    rows = [
        (
            str(memory_mb),
            *(
                str(largest_export_gib(memory_mb, timeout, measured, network))
                for network, timeout in columns
            ),
        )
        for memory_mb in MEMORY_SIZES_MB
    ]
    return _markdown(header, rows)


def _worked_row(measured: Measured) -> str:
    """Show the arithmetic of the row that is deployed by default."""
    memory_mb, copies = CHOSEN_MB, TIB // _BENCH_BYTES
    share, price = processors(memory_mb), prices()
    seconds = seconds_of(_BENCH_BYTES, memory_mb, measured, AWS)
    billed = gb_seconds(memory_mb, seconds) * copies
    writes = s3_writes(_BENCH_BYTES)
    cost = cost_of(_BENCH_BYTES, memory_mb, measured, AWS)
    asked = requests_of(_BENCH_BYTES, seconds)
    reads = (writes - 2) * copies
    cpu, net = measured.cpu_per_gib * 2 / share, network_seconds(_BENCH_BYTES, AWS)
    trips, own = _MULTIPART_ROUND_TRIPS, measured.job_cpu_seconds
    waiting, theirs = trips * _ROUND_TRIP_SECONDS, reads * price["s3_read"].each
    terms = {
        "processor": f"{memory_mb} / {_ONE_PROCESSOR_MB} = {share:.4f}",
        "bytes, CPU": f"{measured.cpu_per_gib:.3f} CPU s/GiB x 2 GiB / {share:.4f} = {cpu:.2f} s",
        "bytes, network": f"2,147.48 MB / {AWS.per_function:g} MB/s = {net:.2f} s",
        "the slower one": f"{max(cpu, net):.2f} s",
        "waiting": f"{trips} round trips x {_ROUND_TRIP_SECONDS} s = {waiting:.2f} s",
        "the job's CPU": f"{own:.4f} s / {share:.4f} = {own / share:.3f} s",
        "one export": f"{seconds:.2f} s; a TiB is {copies} of them",
        "GB-seconds": f"{memory_mb}/1024 GB x {seconds:.2f} s x {copies} = {billed:,.0f}",
        "compute": f"{billed:,.0f} x {price['gb_second'].shown} = ${cost.compute * copies:.3f}",
        "S3 writes": f"({writes - 2} parts + begin + complete + entry) x {copies} = "
        f"{(writes + _ENTRIES) * copies:,}",
        "their price": f"x {price['s3_write'].shown} = ${cost.s3_writes * copies:.3f}",
        "other requests": f"{copies} x the sum of: = ${cost.other_requests * copies:.4f}",
        **{f"  {name}": f"{count:g} x {price[name].shown}" for name, count in asked.items()},
        "a TiB": f"${cost.total * copies:.3f}",
        "for the vendor": f"at least {reads:,} reads x {price['s3_read'].shown} = ${theirs:.3f}",
    }
    lines = [f"{name:<22}{term}" for name, term in terms.items()]
    return "\n".join(("```text", *lines, "```"))


# Dollars for a GB and month, for reading a GB, for moving 1,000 objects there, and the least days
# that are paid for (S3's pricing page names them so).
_STORAGE: tuple[tuple[str, float, float, float, int], ...] = (
    ("none (S3 Standard)", 0.023, 0.0, 0.0, 0),
    ("STANDARD_IA", 0.0125, 0.01, 0.01, 30),
    ("INTELLIGENT_TIERING, not read for 30 days", 0.0125, 0.0, 0.01, 0),
    ("INTELLIGENT_TIERING, not read for 90 days", 0.004, 0.0, 0.01, 0),
    ("GLACIER_IR", 0.004, 0.03, 0.02, 90),
)


def _table_of_storage() -> str:
    copies = TIB // _BENCH_BYTES
    rows = [
        (
            name,
            f"{1024 * month:.2f}",
            f"{1024 * read:.2f}",
            f"{copies / 1000 * move:.3f}",
            str(days or "none"),
        )
        for name, month, read, move, days in _STORAGE
    ]
    header = (
        *("ArchiveStorageClass", "$ per TiB and month", "$ to read a TiB"),
        *("$ to move a TiB there, in exports of 2 GiB", "days paid at the least"),
    )
    return _markdown(header, rows)


def _table_of_prices() -> str:
    rows = [(price.what, price.shown, price.page) for price in prices().values()]
    title = f"us-east-1, on demand, first tier, no free tier, noted from {PRICES_AS_OF} on:"
    return f"{title}\n\n{_markdown(('what', 'dollars', 'AWS states it at'), rows)}"


def _bound_by(size_bytes: int, memory_mb: int, measured: Measured) -> str:
    bytes_cpu = measured.cpu_per_gib * size_bytes / GIB / processors(memory_mb)
    return "processor" if bytes_cpu > network_seconds(size_bytes, AWS) else "network"


def _markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def put_between_markers(page: str, tables: str) -> str:
    """Return the page with what stands between its two markers replaced; ValueError without."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page must hold {BEGIN} and then {END}, once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


# --- the plot ---

_PLOTTED_MB = (128, CHOSEN_MB, 1024)
_SMALLEST, _LARGEST = MIB, 100 * GIB
_POINTS_PER_DOUBLING = 4
_SIZE_TICKS = {
    MIB: "1 MiB",
    10 * MIB: "10 MiB",
    100 * MIB: "100 MiB",
    GIB: "1 GiB",
    10 * GIB: "10 GiB",
    100 * GIB: "100 GiB",
}
# Where the plan changes, and what it does from there on.
_STEPS = {
    _PLAN.single_put_bytes: "above 16 MiB|in parts: four|requests, not one",
    _PLAN.fewest_parts * _PLAN.large_part_bytes: "from 1 GiB on|256 MiB a part",
}


def plot(measured: Measured) -> dict[str, Any]:
    """Return what the picture shows, as Vega-Lite: dollars and seconds of one export, by size."""
    asked = [(size, memory_mb) for memory_mb in _PLOTTED_MB for size in _plotted_sizes()]
    named = [{"size": size, "memory": f"{memory_mb} MB"} for size, memory_mb in asked]
    dollars = [cost_of(*of, measured, AWS).total for of in asked]
    seconds = [seconds_of(*of, measured, AWS) for of in asked]
    time_outs = [{"value": limit, "says": f"time-out {limit} s"} for limit in _TIMEOUTS_SECONDS]
    steps = [{"size": size, "says": says} for size, says in _STEPS.items()]
    return {
        "description": "A model: dollars and seconds of archiving one export, over its size (1 MiB "
        f"to 100 GiB), for functions of {', '.join(map(str, _PLOTTED_MB))} MB",
        "spacing": 30,
        "hconcat": [
            _panel(
                "dollars per export",
                _rows(named, dollars),
                [10.0**p for p in range(-5, 0)],
                "'$'",
                "''",
                steps,
            ),
            _panel(
                "seconds per export",
                _rows(named, seconds),
                [10.0**p for p in range(-1, 5)],
                "''",
                "' s'",
                time_outs,
            ),
        ],
    }


def _rows(named: list[dict[str, Any]], values: list[float]) -> list[dict[str, Any]]:
    return [{**name, "value": value} for name, value in zip(named, values, strict=True)]


def _panel(
    title: str,
    rows: list[dict[str, Any]],
    ticks: list[float],
    before: str,
    after: str,
    lines: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return a log-log chart with lines across it; `before` and `after` each number on its y."""
    size = {
        "field": "size",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [_SMALLEST, _LARGEST], "nice": False},
        "axis": {
            "title": "size of the export (log scale)",
            "values": list(_SIZE_TICKS),
            "labelExpr": f"({json.dumps(_SIZE_TICKS)})[datum.value]",
        },
    }
    value = {
        "field": "value",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [ticks[0], ticks[-1]]},
        "axis": {
            "title": None,
            "values": ticks,
            "labelExpr": f"{before} + format(datum.value, '~f') + {after}",
        },
    }
    # Lines differ in their dashes as well as in their colours.
    memory = {
        "field": "memory",
        "sort": None,
        "legend": {"orient": "top", "title": "memory of the function:", "titleOrient": "left"},
    }
    across = {"x": size} if "size" in lines[0] else {"y": value}
    beside = {"y": {"value": 4}} if "size" in lines[0] else {"x": {"value": 4}}
    return {
        "title": title,
        "width": 310,
        "height": 280,
        "layer": [
            {
                "data": {"values": rows},
                "mark": {"type": "line", "clip": True},
                "encoding": {"x": size, "y": value, "color": memory, "strokeDash": memory},
            },
            {
                "data": {"values": lines},
                "encoding": across,
                "layer": [
                    {"mark": {"type": "rule", "strokeDash": [2, 3]}},
                    {
                        "mark": {
                            "type": "text",
                            "align": "left",
                            "baseline": "top",
                            "dx": 4,
                            "dy": 4,
                            "lineBreak": "|",
                        },
                        "encoding": {**beside, "text": {"field": "says"}},
                    },
                ],
            },
        ],
    }


def _plotted_sizes() -> list[int]:
    sizes, step = [], 2 ** (1 / _POINTS_PER_DOUBLING)
    size = float(_SMALLEST)
    while size < _LARGEST:
        sizes.append(round(size))
        size *= step
    # The last that fits one PUT and the first that does not: a step is drawn as one.
    single = _PLAN.single_put_bytes
    return sorted({*sizes, single, single + 1, _LARGEST})


# --- options ---


def main() -> None:
    """Compute, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.costs", description=__doc__)
    parser.add_argument("--measured", type=Path, required=True, help="of tests.bench.compare")
    parser.add_argument("--warm", type=Path, help="of tests.bench.warm; else its target is taken")
    parser.add_argument("--cold", type=Path, help="of tests.bench.cold; else what it last told")
    parser.add_argument("--markdown", type=Path, help="a page with the two markers")
    parser.add_argument("--svg", type=Path, help="where to write the plot")
    options = parser.parse_args()
    warm, cold = (
        json.loads(path.read_text()) if path else None for path in (options.warm, options.cold)
    )
    measured = Measured.of(json.loads(options.measured.read_text()), warm, cold)
    tables = write_tables(measured)
    print(tables)  # noqa: T201 - a command's output
    if options.markdown:
        page = options.markdown.read_text(encoding="utf-8")
        options.markdown.write_text(put_between_markers(page, tables), encoding="utf-8")
    if options.svg:
        options.svg.write_text(draw(plot(measured)), encoding="utf-8")


if __name__ == "__main__":
    main()
