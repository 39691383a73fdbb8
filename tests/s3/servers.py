"""The S3 servers that others wrote: what each cannot do, how it is started, and how it is stopped.

All are processes on a free port of the loopback address, with their data below one folder and an
environment that holds nothing of this machine's. What they are asked is none of this module's
business.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.certificates import CertificateAuthority

__all__ = ["CANNOT", "LOCALSTACK_RUNS_HERE", "LOCK", "SERVERS", "VENV", "Server", "serving"]

_ROOT = Path(__file__).resolve().parents[2]
LOCK = _ROOT / ".ci" / "s3-requirements.txt"
VENV = _ROOT / ".cache" / "s3" / "venv"
# .ci/s3-requirements.in: what its packages can be installed on.
LOCALSTACK_RUNS_HERE = (3, 12) <= sys.version_info[:2] < (3, 14)

# What each cannot do, and what it does instead, as seen by running LocalStack 4.14, rclone 1.75 and
# SeaweedFS 4.48. The one place that says so: tests name what they need, and run on whoever has it.
CANNOT: dict[str, dict[str, str]] = {
    "localstack": {"request signatures": "checks those of links alone"},
    "rclone": {
        "conditions": "ignores If-None-Match on PutObject and Complete, and If-Match on a GET",
        "checksums": "checks none, and tells none of what it holds; of a PUT it repeats ours",
        "listed checksums": "as above",
        "checksum types": "as above",
        "upload metadata": "an object that was uploaded in parts has none",
        "other content": "refuses it for a part that it has",
        "copied parts": "takes UploadPartCopy for an upload of an empty part, and says 200",
        "versions": "has none",
    },
    "seaweedfs": {
        "listed checksums": "ListParts tells none, though a part's own answer does",
        "checksum types": "tells a checksum of a single PUT without ChecksumType",
    },
}

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

    def can(self, what: str) -> bool:
        """Tell whether it does what AWS's S3 does there."""
        return what not in CANNOT[self.name]

    @property
    def url(self) -> str:
        """Where it answers, without TLS: on this machine's loopback alone."""
        return f"http://localhost:{self.port}"


@dataclass(frozen=True, slots=True)
class _Launch:
    """A command, what its environment needs beside the least, and what it leaves elsewhere."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    leaves: list[Path] = field(default_factory=list)


@contextmanager
def serving(name: str, folder: Path, authority: CertificateAuthority) -> Iterator[Server]:
    """Run a server from now until the end of the block; its data is below `folder`."""
    folder.mkdir(parents=True)
    server = Server(name, _free_port(), "test", "test")  # LocalStack knows only these
    launch = SERVERS[name](server, folder, authority)
    log_path = folder / "log.txt"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the locked venv's own programs
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *launch.command],
            env={"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", **launch.environment},
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
            for path in launch.leaves:
                path.unlink(missing_ok=True)


def _localstack(server: Server, folder: Path, authority: CertificateAuthority) -> _Launch:
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
    return _Launch([str(VENV / "bin" / "python"), "-m", "localstack.runtime.main"], environment)


def _rclone(
    server: Server,
    folder: Path,
    authority: CertificateAuthority,  # noqa: ARG001 - as LocalStack
) -> _Launch:
    data = folder / "data"
    data.mkdir()
    command = [str(VENV / "bin" / "rclone"), "serve", "s3", str(data)]
    command += ["--addr", f"{_LOOPBACK}:{server.port}", "--config", "", "--cache-dir", str(folder)]
    command += ["--auth-key", f"{server.access_key_id},{server.secret_access_key}"]
    return _Launch(command)


def _seaweedfs(
    server: Server,
    folder: Path,
    authority: CertificateAuthority,  # noqa: ARG001 - as LocalStack
) -> _Launch:
    (folder / "data").mkdir()
    # A bucket is a collection of volumes, made seven at a time: too many for a bucket a test.
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    keys = {"accessKey": server.access_key_id, "secretKey": server.secret_access_key}
    everything = {"name": "archiver", "credentials": [keys], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [everything]}))
    options: dict[str, object] = {
        "dir": folder / "data",
        "ip": _LOOPBACK,
        "ip.bind": _LOOPBACK,
        "volume.max": 2000,
        "volume.preStopSeconds": 0,
        "master.telemetry": "false",  # else it reports to its maker
        "s3.config": folder / "s3.json",
        "s3.port": server.port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        # Below its working directory, where they go with it: a socket's path may be 107 bytes long.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
    }
    leaves = []
    for name in ("master", "volume", "filer", "s3"):
        grpc_port = options[f"{name}.port.grpc"] = _free_port()
        options.setdefault(f"{name}.port", _free_port())
        leaves.append(Path(f"/tmp/seaweedfs-{name}-grpc-{grpc_port}.sock"))  # noqa: S108 - its own choice
    flags = [f"-{name}={value}" for name, value in options.items()]
    command = [str(VENV / "bin" / "weed"), "server", "-filer", "-s3", *flags]
    # Without a key of its own it answers a write that asks for AES256, as all of ours do, with 500.
    return _Launch(command, {"WEED_S3_SSE_KEY": "the key of a test"}, leaves)


SERVERS: dict[str, Callable[[Server, Path, CertificateAuthority], _Launch]] = {
    "localstack": _localstack,
    "rclone": _rclone,
    "seaweedfs": _seaweedfs,
}


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
