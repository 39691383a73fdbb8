"""`make bench-memory`: the whole function held to a small function's memory, at several sizes.

    python -m tests.bench.memory [--memory-mib N] [--large] [--json PATH]

AWS's own runtime emulator and runtime client load the built function and layers, traced as in
Lambda. The process is held to the memory: `RLIMIT_DATA`, small thread stacks, two malloc arenas,
and a watcher that kills what outgrows it, as Lambda does (local/aws/runtime.py). Each size has a
process of its own, for VmHWM counts from a process's start. The vendor and AWS are another process;
the export goes from and to null_s3, which checks every byte. It measures memory alone, not CPU.

Then what a store's refusals cost: one part that is refused (403), every part, and a store that
knows no trailers, whose parts are sent from memory. Each is met by two runs in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local.aws.clients import Credentials
from local.aws.definitions import AsyncInvokeDefinition, FunctionDefinition
from local.aws.runtime import Invocation, Runtime, RuntimeSettings
from local.aws.runtime_installation import install_runtime
from tests.bench.built import LAYERS, function_environment, layer_folder
from tests.bench.function_process import sqs_record
from tests.bench.servers import NullS3, null_s3
from tests.bench.warm import Talk, start_company

__all__ = ["main"]

_KIB, _MIB = 1 << 10, 1 << 20
_SINGLE_PUT_MIB = 16  # the most that one PUT takes: the largest body that is held in memory
_SIZES_MIB = (_SINGLE_PUT_MIB, 256, 2048)  # four parts in flight, and eight
_LARGE_MIB = 8192
_REFUSED_MIB = 1536  # six parts of 256 MiB; eight buffers of 64 MiB killed the function once
_REFUSALS = {"part": "one part 403", "parts": "every part 403", "trailers": "no trailers"}
_PLAIN = ("part", "parts")  # nothing is held in memory for these
_LARGEST_PART_MIB = 256  # plan.py's, at this size
_SMALLEST_FUNCTION_MIB = 128  # Lambda's least
_LIMIT_MIB = 96.0
_SPREAD_LIMIT = 1.05
_TIMEOUT_SECONDS = 900  # Lambda's longest


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all sizes share."""

    folder: Path
    company: Talk
    environment: dict[str, str]
    server: NullS3
    memory_mib: int


def main() -> None:
    """Measure, print, write."""
    options = _read_options()
    sizes = [_KIB, *(mib * _MIB for mib in _SIZES_MIB), *([_LARGE_MIB * _MIB] * options.large)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(null_s3())
        company = start_company(stack, folder, server)
        bench = _Bench(folder, company, company.hear(), server, options.memory_mib)
        rows = [_measure(bench, size_bytes) for size_bytes in sizes]
        refused = [_measure_refused(bench, what) for what in _REFUSALS]
    result = {
        "memory_mib": options.memory_mib,
        "sizes": rows,
        "refused": refused,
        "targets": [*_judge(rows), *_judge_refused(refused, options.memory_mib)],
    }
    _show(result, Console())
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-memory", description="The whole function in a small function's memory."
    )
    parser.add_argument("--memory-mib", type=int, default=_SMALLEST_FUNCTION_MIB, help="MemorySize")
    parser.add_argument("--large", action="store_true", help="8 GiB too: a minute or less")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


# --- measuring ---


def _measure(bench: _Bench, size_bytes: int) -> dict[str, Any]:
    """Archive one export in a fresh process; an end by the limit is a result, not an error."""
    runtime = Runtime(_function(bench), _settings(bench), number=size_bytes)
    runtime.start()
    try:
        (message,) = bench.company.ask(add=_KIB, times=1, at=bench.server.link(size_bytes))
        bench.server.reset()
        invocation = runtime.invoke({"Records": [sqs_record(message)]})
    finally:
        runtime.stop()
    stats = bench.server.stats()
    stored = [entry["size_bytes"] for entry in stats["objects"].values()]
    right = stored == [size_bytes] and not stats["faults"]
    peak_bytes = invocation.peak_rss_bytes
    return {
        "size_bytes": size_bytes,
        "archived": _succeeded(invocation) and right,
        "ended_by": invocation.error_type,
        "peak_rss_mib": None if peak_bytes is None else peak_bytes / _MIB,
        "seconds": invocation.duration_seconds,
        "requests": stats["requests"],
        "faults": stats["faults"],
    }


def _measure_refused(bench: _Bench, what: str) -> dict[str, Any]:
    """Archive two exports in one process at a store that refuses parts so."""
    runtime = Runtime(_function(bench), _settings(bench), number=len(what))
    runtime.start()
    bench.server.refuse(what)
    bench.server.reset()
    size_bytes = _REFUSED_MIB * _MIB
    try:
        messages = bench.company.ask(add=_KIB, times=2, at=bench.server.link(size_bytes))
        runs = [runtime.invoke({"Records": [sqs_record(message)]}) for message in messages]
    finally:
        runtime.stop()
        bench.server.refuse("")
    stats = bench.server.stats()
    peaks = [run.peak_rss_bytes for run in runs if run.peak_rss_bytes is not None]
    return {
        "refused": what,
        "archived": [_succeeded(run) for run in runs],
        "ended_by": [run.error_type for run in runs],
        "stored": [entry["size_bytes"] for entry in stats["objects"].values()],
        "peak_rss_mib": max(peaks) / _MIB if len(peaks) == len(runs) else None,
        "seconds": sum(run.duration_seconds for run in runs),
        "source_bytes": stats["source_bytes"],
        "requests": stats["requests"],
        "faults": stats["faults"],
    }


def _succeeded(invocation: Invocation) -> bool:
    return invocation.succeeded and not invocation.payload["batchItemFailures"]


def _judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    peaks = [row["peak_rss_mib"] for row in rows if row["archived"]]
    streamed = _SIZES_MIB[1] * _MIB
    copies = [
        row["peak_rss_mib"] for row in rows if row["archived"] and row["size_bytes"] >= streamed
    ]
    wanted: list[tuple[str, float | None, float]] = [
        ("exports that were not archived", len(rows) - len(peaks), 0),
        ("peak MiB", max(peaks, default=None), _LIMIT_MIB),
        (
            "largest peak by smallest, from 256 MiB on",
            max(copies) / min(copies) if copies else None,
            _SPREAD_LIMIT,
        ),
    ]
    return [_target(*each) for each in wanted]


def _judge_refused(rows: list[dict[str, Any]], memory_mib: int) -> list[dict[str, Any]]:
    """Judge what refusals cost. No run may die: that it fails with S3's reason is right."""
    by = {row["refused"]: row for row in rows}
    archived = {"part": [False, True], "parts": [False, False], "trailers": [True, True]}
    wrong = [
        what
        for what, row in by.items()
        if row["archived"] != archived[what] or any(row["ended_by"]) or row["faults"]
    ]
    again = by["trailers"]["source_bytes"] / _MIB - 2 * _REFUSED_MIB
    return [
        _target("refusals that did not end as they should", len(wrong), 0),
        *(_target(f"peak MiB, {_REFUSALS[w]}", by[w]["peak_rss_mib"], _LIMIT_MIB) for w in _PLAIN),
        _target(f"peak MiB, {_REFUSALS['trailers']}", by["trailers"]["peak_rss_mib"], memory_mib),
        _target("MiB read twice where trailers are refused", again, _LARGEST_PART_MIB),
    ]


def _target(name: str, measured: float | None, limit: float) -> dict[str, Any]:
    met = measured is not None and measured <= limit
    return {"target": name, "measured": measured, "limit": limit, "met": met}


# --- the function ---


def _function(bench: _Bench) -> FunctionDefinition:
    hosts = f"{bench.environment['TRUSTED_LINK_HOSTS']},{bench.server.url.partition('://')[2]}"
    environment = function_environment(**{**bench.environment, "TRUSTED_LINK_HOSTS": hosts})
    return FunctionDefinition(
        logical_id="ArchiveExportFunction",
        name="archive_export",
        arn="arn:aws:lambda:us-east-1:123456789012:function:archive_export",
        handler="archive_export.handle",
        runtime="python3.13",
        memory_mib=bench.memory_mib,
        timeout_seconds=_TIMEOUT_SECONDS,
        environment=environment,
        task_root=Path(environment["LAMBDA_TASK_ROOT"]),
        layers=tuple(layer_folder(name) for name in LAYERS),
        log_group="/aws/lambda/archive_export",
        json_logs=True,
        asynchronous=AsyncInvokeDefinition(),
    )


def _settings(bench: _Bench) -> RuntimeSettings:
    return RuntimeSettings(
        installation=install_runtime(bench.folder / "runtime"),
        credentials=Credentials("FUNCTIONROLE", "nothing"),
        region="us-east-1",
        environment={"AWS_ENDPOINT_URL_S3": bench.server.url},
        logs_folder=bench.folder / "logs",
        enforce_memory=True,
    )


# --- showing ---


def _show(result: dict[str, Any], console: Console) -> None:
    title = f"the whole function in {result['memory_mib']} MiB"
    table = Table("export", "peak RSS MiB (VmHWM)", "wall s", "came to", "requests", title=title)
    for row in result["sizes"]:
        peak = row["peak_rss_mib"]
        table.add_row(
            _size(row["size_bytes"]),
            "gone" if peak is None else f"{peak:.1f}",
            f"{row['seconds']:.1f}",
            "archived" if row["archived"] else row["ended_by"] or "not archived",
            ", ".join(f"{count} {kind}" for kind, count in row["requests"].items()),
        )
    for row in result["refused"]:
        peak = row["peak_rss_mib"]
        table.add_row(
            f"2 x {_REFUSED_MIB} MiB, {_REFUSALS[row['refused']]}",
            "gone" if peak is None else f"{peak:.1f}",
            f"{row['seconds']:.1f}",
            ", ".join("archived" if each else "not archived" for each in row["archived"]),
            ", ".join(f"{count} {kind}" for kind, count in row["requests"].items()),
        )
    console.print(table)
    for target in result["targets"]:
        mark = "[green]✓[/]" if target["met"] else "[red]✗[/]"
        measured = "unknown" if target["measured"] is None else f"{target['measured']:.3g}"
        console.print(f"{mark} {target['target']}: {measured}, at most {target['limit']:g}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes // _KIB} KiB" if size_bytes < _MIB else f"{size_bytes // _MIB} MiB"


if __name__ == "__main__":
    main()
