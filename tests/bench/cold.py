"""`make bench-cold`: what a cold start costs until the first line of the handler, and why.

    python -m tests.bench.cold [--runs N] [--json PATH]

Each run is a fresh process on the built function and layers; `import boto3` with one S3 client, in
the same layer and in a stock venv, alternates with it. CPU time includes the interpreter's start.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.built import (
    LAYERS,
    function_command,
    function_environment,
    layer_folder,
    zipped_bytes,
)
from tests.bench.servers import ROOT, client_core
from tests.bench.tools import peers_python

__all__ = ["cold_collections", "cold_modules", "main"]

_LIMIT_RATIO = 1.2
_LIMIT_ZIPPED_BYTES = 20_000_000
_SHOWN_IMPORTS = 25
_IMPORT_TIME = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")


def cold_modules() -> list[str]:
    """Return the modules that are loaded when the handler's first line is reached."""
    return _run(function_command("cold_start.py", "modules"), function_environment()).split()


def cold_collections() -> tuple[bool, int]:
    """Return whether garbage is collected at the handler's first line, and how often it was.

    The interpreter's own start is not counted.
    """
    enabled, count = _run(
        function_command("cold_start.py", "garbage"), function_environment()
    ).split()
    return enabled == "True", int(count)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="make bench-cold", description="A cold start's CPU.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    times = _measure(max(1, options.runs))
    imports = _import_times()
    sizes = {name: zipped_bytes(layer_folder(name)) for name in LAYERS}
    result = _sum_up(times, imports, sizes)
    _show(result, Console())
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _measure(runs: int) -> dict[str, list[float]]:
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "handler": (function_command("cold_start.py", "handler"), function_environment()),
        "client, same layer": (function_command("cold_start.py", "client"), function_environment()),
    }
    if stock := peers_python():
        script = str(Path(__file__).with_name("cold_start.py"))
        environment = function_environment(PYTHONPATH="")
        commands["client, stock venv"] = ([stock, script, "client"], environment)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, (command, environment) in commands.items():
            seconds = float(_run(command, environment))
            if number:  # the first round only warms the page cache
                times[name].append(seconds)
    return times


def _import_times() -> list[dict[str, Any]]:
    """Return every import's own and cumulative microseconds, the dearest first."""
    command = function_command("cold_start.py", "handler", options=("-X", "importtime"))
    done = subprocess.run(  # noqa: S603 - our own script
        _pinned(command), env=function_environment(), capture_output=True, check=True, text=True
    )
    found = [
        {"module": name, "own_us": int(own), "cumulative_us": int(whole), "depth": len(indent) // 2}
        for own, whole, indent, name in _IMPORT_TIME.findall(done.stderr)
    ]
    return sorted(found, key=lambda item: -item["cumulative_us"])


def _sum_up(
    times: dict[str, list[float]], imports: list[dict[str, Any]], sizes: dict[str, int]
) -> dict[str, Any]:
    ratios = {
        name: statistics.median(a / b for a, b in zip(times["handler"], others, strict=True))
        for name, others in times.items()
        if name != "handler"
    }
    by_package: dict[str, int] = {}
    for item in imports:
        package = item["module"].partition(".")[0]
        by_package[package] = by_package.get(package, 0) + item["own_us"]
    return {
        "cpu_seconds": {
            name: {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "runs": len(values),
            }
            for name, values in times.items()
        },
        "ratio_of_handler": ratios,
        "limit_ratio": _LIMIT_RATIO,
        "zipped_bytes": sizes,
        "limit_zipped_bytes": _LIMIT_ZIPPED_BYTES,
        "imports": imports[:_SHOWN_IMPORTS],
        "own_us_by_package": dict(sorted(by_package.items(), key=lambda item: -item[1])[:15]),
        "modules": len(cold_modules()),
    }


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(
        "until", "median CPU ms", "min", "max", "runs", "handler / it", title="cold start"
    )
    for name, figures in result["cpu_seconds"].items():
        ratio = result["ratio_of_handler"].get(name)
        table.add_row(
            name,
            *(f"{figures[which] * 1000:.0f}" for which in ("median", "min", "max")),
            str(figures["runs"]),
            "" if ratio is None else f"{ratio:.2f}",
        )
    console.print(table)
    shares = Table("import", "cumulative ms", "own ms", title="imports (-X importtime, wall)")
    for item in result["imports"]:
        shares.add_row(
            item["module"], f"{item['cumulative_us'] / 1000:.1f}", f"{item['own_us'] / 1000:.1f}"
        )
    console.print(shares)
    owns = (f"{name} {own / 1000:.0f}" for name, own in result["own_us_by_package"].items())
    console.print(f"own ms by package: {', '.join(owns)}; {result['modules']} modules")
    zipped = sum(result["zipped_bytes"].values())
    for is_met, text in (
        *(
            (ratio <= _LIMIT_RATIO, f"handler / {name}: {ratio:.2f}, at most {_LIMIT_RATIO}")
            for name, ratio in result["ratio_of_handler"].items()
        ),
        (
            zipped <= _LIMIT_ZIPPED_BYTES,
            f"zipped layers: {zipped / 1e6:.1f} MB, at most 20 MB ({result['zipped_bytes']})",
        ),
    ):
        console.print(f"{'[green]✓[/]' if is_met else '[red]✗[/]'} {text}", highlight=False)


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - our own script
        _pinned(command), env=environment, cwd=ROOT, capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the cold start failed: {done.stderr[-1000:]}")
    return done.stdout


def _pinned(command: list[str]) -> list[str]:
    """Hold a command to one core, as the benchmark of the copy does."""
    launcher = Path(__file__).with_name("launcher.py")
    return [command[0], "-I", "-S", str(launcher), "/dev/null", str(client_core()), *command]


if __name__ == "__main__":
    main()
