"""One measured run of one tool. It must not judge: figures.py does."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.servers import client_core
from tests.bench.tools import BUCKET

if TYPE_CHECKING:
    from tests.bench.servers import NullS3
    from tests.bench.tools import Tool

__all__ = ["Sample", "run_once"]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_RUN_SECONDS = 900.0
_keys = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took, start-up included. `problem` is None where the copy was right."""

    size_bytes: int
    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    requests: dict[str, int]
    source_bytes: int
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def run_once(tool: Tool, server: NullS3, size_bytes: int) -> Sample:
    """Copy once, on the clients' core, to a key that was never used, and look at what arrived."""
    key = f"out/{next(_keys)}.csv"
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        command = tool.command(server, size_bytes, key)
        done = subprocess.run(  # noqa: S603 - the tools are named in tools.py
            [
                *(sys.executable, "-I", "-S", str(_LAUNCHER), str(report), str(client_core())),
                *command,
            ],
            env={**server.environment(), **tool.environment(server)},
            cwd=_LAUNCHER.parents[2],
            capture_output=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
        seconds, user, system, rss_kib = (
            [float(word) for word in report.read_text().split()] if report.exists() else [0.0] * 4
        )
    stats = server.stats()
    return Sample(
        size_bytes=size_bytes,
        seconds=seconds,
        cpu_seconds=user + system,
        peak_rss_mib=rss_kib / 1024,
        requests=stats["requests"],
        source_bytes=stats["source_bytes"],
        problem=_find_problem(done, stats, key, size_bytes),
    )


def _find_problem(
    done: subprocess.CompletedProcess[bytes], stats: dict[str, Any], key: str, size_bytes: int
) -> str | None:
    if done.returncode:
        return f"status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-400:]}"
    if stats["faults"]:
        return f"{stats['faults'][0]}"
    stored = stats["objects"].get(key)
    if stored is None or stored["size_bytes"] != size_bytes:
        return f"s3://{BUCKET}/{key} is not what was to be copied: {stored}"
    return None
