"""`make bench-warm`: what a job costs a warm function, and a large one inside the whole handler.

    python -m tests.bench.warm [--jobs N] [--large-mib N] [--json PATH]

The function is the built one, in a process of its own, traced as in Lambda; AWS (moto) and the
vendor are another process, and the large export goes from and to null_s3. Small jobs go through
moto's S3 too, so that the counts are of everything that the function asks.

Jobs follow each other at once and AWS's connections are kept (keep_alive.py). A function that has
waited so long that AWS hung up pays a TLS handshake for each service once more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from tests.bench.built import function_command, function_environment
from tests.bench.servers import ROOT, NullS3, client_core, null_s3, server_core

__all__ = ["Talk", "main", "start_company"]

_KIB, _MIB = 1 << 10, 1 << 20
_WARM_UP_JOBS = 5
_CPU_LIMIT_MS = 12.0
_MEMORY_LIMIT_MIB = 96.0
_STOP_SECONDS = 20.0
# One small job of a warm function, counted over all services (the targets).
_COUNT_LIMITS = {
    "vendor token": 0.0,  # once in a token's lifetime, which the first job has paid for
    "vendor job": 1.0,
    "vendor results": 1.0,
    "vendor link": 1.0,
    "s3 PutObject": 1.0,
    "s3 requests": 1.0,  # nothing but the PUT
    "dynamodb writes": 2.0,
    "events PutEvents": 1.0,
}
_DYNAMODB_WRITES = ("PutItem", "UpdateItem", "DeleteItem")


@dataclass(frozen=True, slots=True)
class Talk:
    """A process that is spoken to in JSON lines; RuntimeError when it has ended."""

    process: subprocess.Popen[str]

    def hear(self) -> Any:  # noqa: ANN401 - JSON
        """Return its next line."""
        line = cast("IO[str]", self.process.stdout).readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended; its own words stand above")
        return json.loads(line)

    def ask(self, **order: object) -> Any:  # noqa: ANN401 - JSON
        """Give it an order and return its answer."""
        stdin = cast("IO[str]", self.process.stdin)
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return self.hear()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="make bench-warm", description="A warm function's jobs.")
    parser.add_argument("--jobs", type=int, default=40, help="of each small size")
    parser.add_argument("--large-mib", type=int, default=2048, help="0 leaves the large copy out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(null_s3())
        company = start_company(stack, folder, server)
        environment = company.hear()
        small = _measure_small(stack, company, environment, folder, max(1, options.jobs))
        large = None
        if options.large_mib:
            large = _measure_large(stack, company, environment, folder, server, options.large_mib)
    result = {"small": small, "large": large, "targets": _judge(small, large)}
    _show(result, Console())
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


# --- measuring ---


def _measure_small(
    stack: ExitStack, company: Talk, environment: dict[str, str], folder: Path, jobs: int
) -> list[dict[str, Any]]:
    function = _start_function(stack, environment, folder)
    results = []
    function.ask(messages=company.ask(add=_KIB, times=_WARM_UP_JOBS, at=None))
    for name, size_bytes in (("1 KiB", _KIB), ("1 MiB", _MIB)):
        messages = company.ask(add=size_bytes, times=jobs, at=None)
        company.ask(counts=True)
        for title in (name, f"{name}, archived already"):
            done = function.ask(messages=messages)
            results.append(_sum_up(title, done, company.ask(counts=True), jobs))
    return results


def _sum_up(title: str, done: dict[str, Any], counts: dict[str, int], jobs: int) -> dict[str, Any]:
    if failures := sum(invocation["failures"] for invocation in done["invocations"]):
        raise RuntimeError(f"{title}: {failures} of {jobs} jobs failed")
    cpus = [invocation["cpu_seconds"] * 1000 for invocation in done["invocations"]]
    asked = {name: count / jobs for name, count in sorted(counts.items())}
    return {
        "job": title,
        "cpu_ms": statistics.median(cpus),
        "cpu_ms_spread": [min(cpus), max(cpus)],
        "wall_ms": statistics.median(i["seconds"] * 1000 for i in done["invocations"]),
        "requests_per_job": asked,
        "peak_rss_mib": done["peak_rss_mib"],
    }


def _measure_large(
    stack: ExitStack,
    company: Talk,
    environment: dict[str, str],
    folder: Path,
    server: NullS3,
    size_mib: int,
) -> list[dict[str, Any]]:
    """Copy one large export through the whole handler, and a smaller one for comparison."""
    hosts = f"{environment['TRUSTED_LINK_HOSTS']},{server.url.partition('://')[2]}"
    changed = {**environment, "TRUSTED_LINK_HOSTS": hosts, "AWS_ENDPOINT_URL_S3": server.url}
    results = []
    for mib in sorted({64, size_mib}):
        function = _start_function(stack, changed, folder)
        function.ask(messages=company.ask(add=_KIB, times=2, at=None))  # everything is built now
        job = company.ask(add=_KIB, times=1, at=server.link(mib * _MIB))
        server.reset()
        done = function.ask(messages=job)
        stats = server.stats()
        sizes = [stored["size_bytes"] for stored in stats["objects"].values()]
        if stats["faults"] or sizes != [mib * _MIB]:
            raise RuntimeError(f"the large copy is not right: {stats['faults'] or sizes}")
        cpu = done["invocations"][0]["cpu_seconds"]
        results.append(
            {
                "size_mib": mib,
                "cpu_seconds": cpu,
                "cpu_per_gib": cpu * 1024 / mib,
                "seconds": done["invocations"][0]["seconds"],
                "peak_rss_mib": done["peak_rss_mib"],
                "requests": stats["requests"],
                "source_bytes_per_byte": stats["source_bytes"] / (mib * _MIB),
            }
        )
    return results


def _judge(small: list[dict[str, Any]], large: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    first, again = small[0], small[1]
    asked = dict(first["requests_per_job"])
    asked["dynamodb writes"] = sum(asked.get(f"dynamodb {name}", 0) for name in _DYNAMODB_WRITES)
    asked["s3 requests"] = sum(n for name, n in asked.items() if name.startswith("s3 "))
    outside = sum(
        count
        for name, count in again["requests_per_job"].items()
        if name.startswith(("vendor", "s3"))
    )
    rows: list[tuple[str, float, float]] = [
        ("CPU ms of a 1 KiB job", first["cpu_ms"], _CPU_LIMIT_MS),
        *((f"{n} of a 1 KiB job", asked.get(n, 0.0), limit) for n, limit in _COUNT_LIMITS.items()),
        ("vendor and S3 calls of a job archived already", outside, 0.0),
        *(
            (f"peak MiB, {row['size_mib']} MiB", row["peak_rss_mib"], _MEMORY_LIMIT_MIB)
            for row in large or []
        ),
    ]
    return [
        {"target": name, "measured": measured, "limit": limit, "met": measured <= limit}
        for name, measured, limit in rows
    ]


# --- processes ---


def start_company(stack: ExitStack, folder: Path, server: NullS3) -> Talk:
    """Start company_process; what it says first is the function's environment."""
    where = [str(folder), str(server_core()), str(server.ca_bundle)]
    return _start(stack, [sys.executable, "-m", "tests.bench.company_process", *where], None)


def _start_function(stack: ExitStack, environment: dict[str, str], folder: Path) -> Talk:
    command = function_command("function_process.py", str(folder / "function.log"))
    launcher = str(Path(__file__).with_name("launcher.py"))
    pinned = [command[0], "-I", "-S", launcher, "/dev/null", str(client_core()), *command]
    return _start(stack, pinned, function_environment(**environment))


def _start(stack: ExitStack, command: list[str], environment: dict[str, str] | None) -> Talk:
    process = subprocess.Popen(  # noqa: S603 - our own scripts
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.communicate, timeout=_STOP_SECONDS)  # the end of its input ends it
    return Talk(process)


# --- showing ---


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table("job", "CPU ms", "min-max", "wall ms", "asked per job", title="warm jobs")
    for row in result["small"]:
        asked = ", ".join(f"{count:g} {name}" for name, count in row["requests_per_job"].items())
        low, high = row["cpu_ms_spread"]
        table.add_row(
            row["job"],
            f"{row['cpu_ms']:.1f}",
            f"{low:.1f}-{high:.1f}",
            f"{row['wall_ms']:.1f}",
            asked,
        )
    console.print(table)
    if result["large"]:
        whole = Table("MiB", "CPU s/GiB", "wall s", "peak RSS MiB", "requests", "source bytes/byte")
        for row in result["large"]:
            whole.add_row(
                str(row["size_mib"]),
                f"{row['cpu_per_gib']:.2f}",
                f"{row['seconds']:.2f}",
                f"{row['peak_rss_mib']:.1f}",
                ", ".join(f"{count} {kind}" for kind, count in row["requests"].items()),
                f"{row['source_bytes_per_byte']:.4f}",
            )
        console.print("inside the whole handler:")
        console.print(whole)
    for target in result["targets"]:
        mark = "[green]✓[/]" if target["met"] else "[red]✗[/]"
        measured = f"{target['measured']:.3g}"
        console.print(f"{mark} {target['target']}: {measured}, at most {target['limit']:g}")


if __name__ == "__main__":
    main()
