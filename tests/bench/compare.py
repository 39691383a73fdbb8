"""`make bench`: the engine beside its peers and the floor, in one table.

    python -m tests.bench.compare [--runs N] [--sizes 0,1MiB,64MiB,2GiB] [--only NAME,...]
                                  [--json PATH] [--no-latency]

In each round every tool runs once, so that what the machine does meanwhile meets them all. A run
whose object is not right, byte for byte, is a failure and no figure.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.figures import (
    PRICES,
    PRICES_AS_OF,
    Figure,
    Target,
    cost_per_tib,
    figure_of,
    judge_copy_targets,
    ratio,
)
from tests.bench.measure import Sample, run_once
from tests.bench.servers import NullS3, null_s3
from tests.bench.tools import Tool, prepare_tools, versions

__all__ = ["main"]

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_BIG_BYTES = 2 << 30
_LATENCY_MS, _MEGABYTES_PER_SECOND, _LATENCY_SIZE = 30, 40, 1 << 30
_SPEED_UP = 7.2  # of eight in flight over one, behind that latency
Samples = dict[str, list[Sample]]


def main() -> None:
    """Measure, print, write."""
    options = _read_options()
    console = Console(width=max(Console().width, 150))
    tools, missing = prepare_tools()
    tools = _chosen(tools, options.only)
    for sentence in missing:
        console.print(f"[yellow]{sentence}[/]")
    with null_s3() as server:
        starts = _measure_starts(tools, server, options.runs, console)
        tools = [tool for tool in tools if tool.name in starts]
        by_size: dict[int, Samples] = {}
        for size_bytes in options.sizes:
            by_size[size_bytes] = (
                starts
                if size_bytes == 0
                else _measure_size(tools, server, size_bytes, options.runs, console)
            )
    targets = judge_copy_targets(by_size.get(_BIG_BYTES, {}), starts)
    if not options.no_latency:
        targets.append(_measure_latency(tools, min(options.runs, 3), console))
    figures = {
        size: [figure_of(name, samples, starts[name]) for name, samples in measured.items()]
        for size, measured in by_size.items()
    }
    for size, measured in by_size.items():
        console.print(_table(size, figures[size], measured, starts))
    console.print(_cost_table(figures))
    console.print(_target_table(targets))
    _print_commands(console, tools)
    if options.json:
        document = _document(options, tools, missing, by_size, figures, targets)
        options.json.write_text(json.dumps(document, indent=1) + "\n")


# --- measuring ---


def _measure_starts(tools: list[Tool], server: NullS3, runs: int, console: Console) -> Samples:
    """Measure every tool on an empty export; on one byte where a tool cannot copy that."""
    measured: Samples = defaultdict(list)
    size_of = dict.fromkeys((tool.name for tool in tools), 0)
    for number in range(max(runs, 3)):
        for tool in tools:
            sample = run_once(tool, server, size_of[tool.name])
            if number == 0 and sample.problem:
                size_of[tool.name] = 1
                sample = run_once(tool, server, 1)
            if sample.problem:
                console.print(f"[red]{tool.name}, start-up: {sample.problem}[/]")
            else:
                measured[tool.name].append(sample)
    return dict(measured)


def _measure_size(
    tools: list[Tool], server: NullS3, size_bytes: int, runs: int, console: Console
) -> Samples:
    measured: Samples = defaultdict(list)
    for number in range(runs):
        for tool in tools:
            sample = run_once(tool, server, size_bytes)
            console.print(
                f"[dim]{_shown(size_bytes)}, round {number + 1} of {runs}: {tool.name}: "
                f"{sample.cpu_seconds:.2f} s CPU, {sample.seconds:.2f} s[/]",
                highlight=False,
            )
            if sample.problem:
                console.print(f"[red]{tool.name}: {sample.problem}[/]")
            else:
                measured[tool.name].append(sample)
    return dict(measured)


def _measure_latency(tools: list[Tool], runs: int, console: Console) -> Target:
    """Compare eight parts in flight with one, behind a network like S3's (medians)."""
    seconds: dict[str, float] = {}
    weather = (f"--latency-ms={_LATENCY_MS}", f"--megabytes-per-second={_MEGABYTES_PER_SECOND}")
    with null_s3(*weather) as server:
        for tool in (tool for tool in tools if tool.name.startswith("engine")):
            empty = _seconds(tool, server, 0, runs, console)
            full = _seconds(tool, server, _LATENCY_SIZE, runs, console)
            if empty and full:
                seconds[tool.name] = statistics.median(full) - statistics.median(empty)
                console.print(f"[dim]{' '.join(weather)}: {tool.name}: {full} s[/]")
    one, eight = (seconds.get(f"engine, {n} in flight") for n in (1, 8))
    return Target(
        f"speed-up of 8 in flight over 1: {_shown(_LATENCY_SIZE)}, {_LATENCY_MS} ms, "
        f"{_MEGABYTES_PER_SECOND} MB/s per connection",
        _SPEED_UP,
        one / eight if one and eight else None,
        at_least=True,
    )


def _seconds(
    tool: Tool, server: NullS3, size_bytes: int, runs: int, console: Console
) -> list[float]:
    samples = [run_once(tool, server, size_bytes) for _ in range(runs)]
    for problem in {sample.problem for sample in samples if sample.problem}:
        console.print(f"[red]{tool.name}: {problem}[/]")
    return [round(sample.seconds, 2) for sample in samples if not sample.problem]


# --- showing ---


def _table(size_bytes: int, figures: list[Figure], measured: Samples, starts: Samples) -> Table:
    table = Table(
        title=f"{_shown(size_bytes)} (medians; CPU beyond start-up)", title_justify="left"
    )
    for column in (
        *("tool", "CPU s/GiB", "CPU s", "min-max CPU s (whole run)", "wall s", "MB/s"),
        *("peak RSS MiB", "requests", "x floor", "engine(8) / it"),
    ):
        table.add_column(column, justify="left" if column in {"tool", "requests"} else "right")
    for figure in figures:
        rate = (
            size_bytes / figure.seconds_beyond_start / 1e6
            if size_bytes and figure.seconds_beyond_start > 0
            else None
        )
        table.add_row(
            figure.tool,
            _number(figure.cpu_per_gib),
            _number(figure.cpu_beyond_start if size_bytes else figure.cpu_seconds, 3),
            f"{figure.cpu_spread[0]:.2f}-{figure.cpu_spread[1]:.2f}",
            _number(figure.seconds),
            _number(rate, 0),
            _number(figure.peak_rss_mib, 0),
            ", ".join(f"{count} {kind}" for kind, count in sorted(figure.requests.items())),
            _number(ratio(measured, starts, figure.tool, "floor")),
            _number(ratio(measured, starts, "engine, 8 in flight", figure.tool)),
        )
    return table


def _cost_table(figures: dict[int, list[Figure]]) -> Table:
    table = Table(
        title=(
            f"per TiB, at prices of {PRICES_AS_OF}: compute = CPU s/GiB x 1024 x 1.728 GB-s "
            f"per CPU s x ${PRICES['per_gb_second_arm64']}; "
            f"writes x ${PRICES['per_1000_writes']}/1000; "
            f"reads x ${PRICES['per_1000_reads']}/1000 are the vendor's"
        ),
        title_justify="left",
    )
    for column in ("exports of", "tool", "GB-s", "writes", "reads", "compute $", "writes $"):
        table.add_column(column, justify="left" if column == "tool" else "right")
    table.add_column("ours $", justify="right")
    for size, rows in figures.items():
        for figure in rows:
            if cost := cost_per_tib(figure):
                table.add_row(
                    _shown(size),
                    figure.tool,
                    *(f"{cost[name]:,.0f}" for name in ("gb_seconds", "writes", "reads")),
                    *(
                        f"{cost[name]:.3f}"
                        for name in ("compute_dollars", "writes_dollars", "our_dollars")
                    ),
                )
    return table


def _target_table(targets: list[Target]) -> Table:
    table = Table("", "target", "limit", "measured", title="targets", title_justify="left")
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "-"}
    for target in targets:
        bound = "at least" if target.at_least else "at most"
        measured = _number(target.measured) or "not measured"
        table.add_row(marks[target.is_met], target.name, f"{bound} {target.limit}", measured)
    return table


def _print_commands(console: Console, tools: list[Tool]) -> None:
    console.print("\ncommands (each on one core, the server on another):")
    for tool in tools:
        console.print(f"  {tool.name}: {tool.shown()}", highlight=False, soft_wrap=True)
    console.print(
        "versions:", ", ".join(f"{k} {v}" for k, v in versions().items()), highlight=False
    )


def _document(
    options: argparse.Namespace,
    tools: list[Tool],
    missing: list[str],
    by_size: dict[int, Samples],
    figures: dict[int, list[Figure]],
    targets: list[Target],
) -> dict[str, Any]:
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": options.runs,
        "versions": versions(),
        "commands": {tool.name: tool.shown() for tool in tools},
        "left_out": missing,
        "figures": [asdict(figure) for rows in figures.values() for figure in rows],
        "prices": {"as_of": PRICES_AS_OF, **PRICES},
        "per_tib": [
            {"tool": figure.tool, "size_bytes": size, **cost}
            for size, rows in figures.items()
            for figure in rows
            if (cost := cost_per_tib(figure))
        ],
        "targets": [asdict(target) | {"met": target.is_met} for target in targets],
        "samples": {
            str(size): {name: [s.to_json() for s in samples] for name, samples in measured.items()}
            for size, measured in by_size.items()
        },
    }


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _shown(size_bytes: int) -> str:
    for name, unit in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"


# --- options ---


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Engine, peers and floor.")
    parser.add_argument("--runs", type=int, default=5, help="rounds of every size")
    parser.add_argument("--sizes", type=_sizes, default=_sizes("0,1MiB,64MiB,2GiB"))
    parser.add_argument("--only", default="", help="tools, by the beginning of their names")
    parser.add_argument("--json", type=Path, help="write everything there as well")
    parser.add_argument("--no-latency", action="store_true", help="leave out the slow network")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def _sizes(text: str) -> list[int]:
    sizes = []
    for word in text.split(","):
        match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", word.strip())
        if match is None or match[2].upper() not in _UNITS:
            raise argparse.ArgumentTypeError(f"{word!r} is no size such as 0, 64MiB or 2GiB")
        sizes.append(int(match[1]) * _UNITS[match[2].upper()])
    return sizes


def _chosen(tools: list[Tool], only: str) -> list[Tool]:
    starts = tuple(name.strip() for name in only.split(",") if name.strip())
    chosen = [tool for tool in tools if not starts or tool.name.startswith(starts)]
    if not chosen:
        sys.exit(f"there is no tool {only!r}; there are: {', '.join(t.name for t in tools)}")
    return chosen


if __name__ == "__main__":
    main()
