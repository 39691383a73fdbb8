"""The S3 servers that others wrote: how each is started, and how it is stopped whatever happens.

Both are processes on a free port of the loopback address, with their data below one folder and an
environment that holds nothing of this machine's. What they are asked is none of this module's
business.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.certificates import CertificateAuthority

__all__ = ["LOCALSTACK_RUNS_HERE", "LOCK", "SERVERS", "VENV", "Server", "serving"]

_ROOT = Path(__file__).resolve().parents[2]
LOCK = _ROOT / ".ci" / "s3-requirements.txt"
VENV = _ROOT / ".cache" / "s3" / "venv"
# .ci/s3-requirements.in: what its packages can be installed on.
LOCALSTACK_RUNS_HERE = (3, 12) <= sys.version_info[:2] < (3, 14)

_LAUNCH = _ROOT / "local" / "aws" / "launch.py"  # the server dies with us, even if we are killed
_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0  # LocalStack takes 3; a busy machine's first import more
_STOP_SECONDS = 2.0  # it has nothing to save, and LocalStack takes its time
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Server:
    """A running S3, and the only keys that it knows."""

    name: str
    port: int
    access_key_id: str
    secret_access_key: str

    @property
    def url(self) -> str:
        """Where it answers, without TLS: on this machine's loopback alone."""
        return f"http://localhost:{self.port}"


@contextmanager
def serving(name: str, folder: Path, authority: CertificateAuthority) -> Iterator[Server]:
    """Run a server from now until the end of the block; its data is below `folder`."""
    folder.mkdir(parents=True)
    server = Server(name, _free_port(), "test", "test")  # LocalStack knows only these
    command, environment = SERVERS[name](server, folder, authority)
    log_path = folder / "log.txt"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the locked venv's own programs
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *command],
            env={"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(server, process, log_path)
            yield server
        finally:
            _stop(process)


def _localstack(
    server: Server, folder: Path, authority: CertificateAuthority
) -> tuple[list[str], dict[str, str]]:
    pem = folder / "server.pem"  # else it would make one, with a newer pyOpenSSL than it knows
    pem.write_bytes(authority.server_pem())
    environment = {
        "SERVICES": "s3",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"{_LOOPBACK}:{server.port}",
        "GATEWAY_SERVER": "hypercorn",  # its other one listens on every address of the machine
        "LOCALSTACK_HOST": f"localhost:{server.port}",
        "OVERRIDE_IN_DOCKER": "0",  # in a container it would write to /var/lib and /tmp
        "FILESYSTEM_ROOT": str(folder / "files"),
        "TMPDIR": str(folder),
        "S3_SKIP_SIGNATURE_VALIDATION": "0",
        # Nothing leaves this machine: no usage events, no downloaded certificate, no name server
        # of its own, no role of this machine's.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "CUSTOM_SSL_CERT_PATH": str(pem),
        "DNS_ADDRESS": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTP_PROXY": f"http://{_LOOPBACK}:9",
        "HTTPS_PROXY": f"http://{_LOOPBACK}:9",
        "NO_PROXY": f"localhost,{_LOOPBACK}",
        # It looks up s3.localhost once; a machine without a resolver must not keep it waiting.
        "RES_OPTIONS": "timeout:1 attempts:1",
    }
    return [str(VENV / "bin" / "python"), "-m", "localstack.runtime.main"], environment


def _rclone(
    server: Server,
    folder: Path,
    authority: CertificateAuthority,  # noqa: ARG001 - as LocalStack
) -> tuple[list[str], dict[str, str]]:
    data = folder / "data"
    data.mkdir()
    command = [str(VENV / "bin" / "rclone"), "serve", "s3", str(data)]
    command += ["--addr", f"{_LOOPBACK}:{server.port}", "--config", "", "--cache-dir", str(folder)]
    command += ["--auth-key", f"{server.access_key_id},{server.secret_access_key}"]
    return command, {}


# By name: returns the command and what its environment needs beside the least.
SERVERS: dict[
    str,
    Callable[[Server, Path, CertificateAuthority], tuple[list[str], dict[str, str]]],
] = {"localstack": _localstack, "rclone": _rclone}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline, pause = time.monotonic() + _READY_SECONDS, Event()
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(server):
            return
        pause.wait(_POLL_SECONDS)
    words = log_path.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{server.name} did not start; its last words:\n{words}")


def _answers(server: Server) -> bool:
    connection = http.client.HTTPConnection(_LOOPBACK, server.port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500  # 403 is an answer, too
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
