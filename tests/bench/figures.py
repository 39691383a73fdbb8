"""From samples to figures: medians, ratios, targets, dollars. Pure arithmetic; nothing is run here.

CPU "beyond start-up" is a run's CPU time less the median of the same tool's runs on an empty export
(on one byte, for a tool that cannot copy an empty one). Ratios are medians over rounds: in a round
every tool ran once, in the same minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Sample

__all__ = [
    "GIB",
    "PRICES",
    "PRICES_AS_OF",
    "Figure",
    "Target",
    "cost_per_tib",
    "figure_of",
    "judge_copy_targets",
    "ratio",
]

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40

# us-east-1, in dollars, as the issue of this benchmark stated them: S3 Standard requests, Lambda on
# arm64 in its first tier. Look them up again before a total matters.
PRICES_AS_OF = "2026-11-23"
PRICES = {
    "per_1000_writes": 0.005,
    "per_1000_reads": 0.0004,
    "per_gb_second_arm64": 0.0000133334,
    # Lambda gives one whole processor at 1,769 MB ("Configure Lambda function memory"), and less in
    # proportion below it: a second of CPU is 1769 / 1024 = 1.728 GB-seconds at any size up to that.
    "gb_seconds_per_cpu_second": 1769 / 1024,
}
_WRITES = ("put_object", "create_upload", "upload_part", "complete_upload", "PUT bucket")


@dataclass(frozen=True, slots=True)
class Figure:
    """One tool at one size: medians, and the spread of the CPU time."""

    tool: str
    size_bytes: int
    runs: int
    cpu_seconds: float
    cpu_spread: tuple[float, float]
    cpu_beyond_start: float
    cpu_per_gib: float | None
    seconds: float
    seconds_beyond_start: float
    peak_rss_mib: float
    requests: Mapping[str, int]
    reread: float | None  # bytes read from the source per byte of it


@dataclass(frozen=True, slots=True)
class Target:
    """One target of the transfer engine, and what was measured."""

    name: str
    limit: float
    measured: float | None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether it is met; None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def figure_of(tool: str, samples: Sequence[Sample], start: Sequence[Sample]) -> Figure:
    """Sum up the runs of one tool at one size."""
    size_bytes = samples[0].size_bytes
    cpus = [sample.cpu_seconds for sample in samples]
    cpu, wall = statistics.median(cpus), statistics.median(s.seconds for s in samples)
    beyond = cpu - _start_cpu(start)
    return Figure(
        tool=tool,
        size_bytes=size_bytes,
        runs=len(samples),
        cpu_seconds=cpu,
        cpu_spread=(min(cpus), max(cpus)),
        cpu_beyond_start=beyond,
        cpu_per_gib=beyond * GIB / size_bytes if size_bytes >= 16 * MIB else None,
        seconds=wall,
        seconds_beyond_start=wall - statistics.median(s.seconds for s in start),
        peak_rss_mib=statistics.median(s.peak_rss_mib for s in samples),
        requests=samples[-1].requests,
        reread=samples[-1].source_bytes / size_bytes if size_bytes else None,
    )


def ratio(
    samples: Mapping[str, Sequence[Sample]],
    starts: Mapping[str, Sequence[Sample]],
    one: str,
    other: str,
) -> float | None:
    """Return the median over rounds of one tool's CPU beyond start-up to the other's."""
    if one not in samples or other not in samples:
        return None
    pairs = zip(samples[one], samples[other], strict=False)
    start_one, start_other = _start_cpu(starts[one]), _start_cpu(starts[other])
    ratios = [
        (a.cpu_seconds - start_one) / (b.cpu_seconds - start_other)
        for a, b in pairs
        if a.size_bytes >= 16 * MIB and b.cpu_seconds > start_other
    ]
    return statistics.median(ratios) if ratios else None


def judge_copy_targets(
    samples: Mapping[str, Sequence[Sample]], starts: Mapping[str, Sequence[Sample]]
) -> list[Target]:
    """Hold the 2 GiB copy to the issue's targets; against peers the default of eight in flight."""
    one, eight = "engine, 1 in flight", "engine, 8 in flight"
    pairs = [
        (eight, "rclone copyurl", 0.58),
        (eight, "boto3 upload_fileobj", 0.58),
        (eight, "obstore", 0.88),
        (one, "rclone copyurl", 0.58),
        (one, "boto3 upload_fileobj", 0.58),
        (one, "obstore", 0.88),
        (one, "floor", 1.42),
        (eight, "floor", 1.52),
    ]
    targets = [
        Target(f"CPU: {mine} / {other}", limit, ratio(samples, starts, mine, other))
        for mine, other, limit in pairs
    ]
    if eight in samples:
        rss = statistics.median(sample.peak_rss_mib for sample in samples[eight])
        targets.append(Target(f"peak memory, MiB: {eight}", 96.0, rss))
    return targets


def cost_per_tib(figure: Figure) -> dict[str, Any] | None:
    """Turn a figure into GB-seconds, requests and dollars per TiB of exports of this size.

    Compute counts CPU alone: waiting for a network slower than loopback comes on top, and is what
    parts in flight hide. Reads are of the link, which the bucket's owner (the vendor) pays for.
    """
    if figure.cpu_per_gib is None:
        return None
    copies = TIB / figure.size_bytes
    writes = sum(figure.requests.get(kind, 0) for kind in _WRITES) * copies
    reads = figure.requests.get("GET source", 0) * copies
    gb_seconds = figure.cpu_per_gib * (TIB / GIB) * PRICES["gb_seconds_per_cpu_second"]
    compute = gb_seconds * PRICES["per_gb_second_arm64"]
    written = writes / 1000 * PRICES["per_1000_writes"]
    return {
        "gb_seconds": gb_seconds,
        "writes": writes,
        "reads": reads,
        "compute_dollars": compute,
        "writes_dollars": written,
        "reads_dollars_of_the_vendor": reads / 1000 * PRICES["per_1000_reads"],
        "our_dollars": compute + written,
    }


def _start_cpu(start: Sequence[Sample]) -> float:
    return statistics.median(sample.cpu_seconds for sample in start)
