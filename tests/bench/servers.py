"""Starts null_s3 for whoever measures, and asks it what it saw. It must not measure anything."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ROOT", "NullS3", "client_core", "null_s3", "server_core"]

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 10.0


def client_core() -> int:
    """Return the core for what is measured: the first that we may use."""
    return min(os.sched_getaffinity(0))


def server_core() -> int:
    """Return another core for the server, where there is one."""
    return max(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class NullS3:
    """A running null S3."""

    url: str
    ca_bundle: Path

    def link(self, size_bytes: int) -> str:
        """Return a link to an export of this size, signed in looks only."""
        return f"{self.url}/source/{size_bytes}/export.csv?X-Amz-Expires=604800&X-Amz-Signature=0"

    def environment(self) -> dict[str, str]:
        """Return what a client needs to trust and to reach it, and nothing of this machine's."""
        bundle = str(self.ca_bundle)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.ca_bundle.parent),
            "LANG": "C.UTF-8",
            "SSL_CERT_FILE": bundle,
            "AWS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.url,
        }

    def reset(self) -> None:
        """Let it forget what it saw."""
        self._ask("POST", "/_reset")

    def refuse(self, what: str) -> None:
        """Let it refuse parts: "part" the next, "parts" all, "trailers" those with one, "" none."""
        self._ask("POST", f"/_refuse?what={what}")

    def stats(self) -> dict[str, Any]:
        """Return what it saw since."""
        return cast("dict[str, Any]", json.loads(self._ask("GET", "/_stats")))

    def _ask(self, method: str, path: str) -> bytes:
        host, _, port = self.url.rpartition("//")[2].partition(":")
        tls = ssl.create_default_context(cafile=str(self.ca_bundle))
        connection = http.client.HTTPSConnection(host, int(port), context=tls)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def null_s3(*options: str, core: int | None = None) -> Iterator[NullS3]:
    """Run a null S3 in a process of its own; it ends with the block, and with us."""
    with tempfile.TemporaryDirectory() as folder:
        where = ["--directory", folder, "--core", str(server_core() if core is None else core)]
        command = [sys.executable, "-m", "tests.bench.null_s3", *where, *options]
        with _running(command) as first_line:
            yield NullS3(first_line["url"], Path(first_line["ca_bundle"]))


@contextmanager
def _running(command: Sequence[str]) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise RuntimeError("null_s3 did not start; its own words stand above")
        yield json.loads(line)
    finally:
        process.communicate(timeout=_STOP_SECONDS)  # the end of its input ends it
