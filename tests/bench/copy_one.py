"""Runs the function's own copy once, on any link: no vendor, no table, no queue.

    python -m tests.bench.copy_one LINK s3://bucket/key [--endpoint-url URL] [--in-flight N]
                                   [--part-size-mib N]

It is for measuring from outside, on a link and a store of anybody's. The copy is the one that
wiring/ composes for the function, so it must not build one of its own. Trust comes from
SSL_CERT_FILE and AWS_CA_BUNDLE, the keys of the destination from AWS_ACCESS_KEY_ID and so on. One
JSON line is printed. Bad input ends with status 2 and a sentence, a failed copy with 1.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.errors import Interruption
from archiver.job import Job
from archiver.network.https import ByteConnection
from archiver.receipt import StoredObject
from archiver.telemetry import NoSteps
from archiver.transfer.copier import Copier, Destination
from archiver.transfer.plan import IN_FLIGHT, PartPlan
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings

__all__ = ["main"]

_MIB = 1 << 20
_PART_MIB = range(5, 5 * 1024 + 1)  # S3's limits of a part
_MAX_IN_FLIGHT = 64
_DESTINATION = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Task:
    link: Link
    bucket: str
    key: str
    in_flight: int
    plan: PartPlan


def main() -> None:
    """Copy, and print what it took."""
    logging.getLogger().setLevel(logging.ERROR)
    task = _read_arguments(sys.argv[1:])
    requests: Counter[str] = Counter()
    copier = _compose(task, requests)
    destination = Destination(
        Job(str(uuid.uuid4())),
        task.key,
        attempt=1,
        archived_at=datetime.now(UTC),
        checkpoint=None,
        save=lambda _: None,  # nobody goes on with a measurement
    )
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        stored = copier.copy(task.link, lambda: task.link, destination)
    except Interruption as error:
        sys.stderr.write(f"copy_one: not copied ({error.reason}): {error}\n")
        sys.exit(1)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    report = _report(task, stored, requests)
    report |= {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}
    sys.stdout.write(json.dumps(report) + "\n")


def _compose(task: _Task, requests: Counter[str]) -> Copier:
    """Let the function's wiring build its copy, and count what that sends."""
    application = Application(
        _settings(task.bucket),
        log=cast("Any", None),  # a copy alone neither logs nor counts outcomes
        outcomes=cast("Any", None),
        steps=NoSteps(),
    )
    copier = application._copier  # the very one; the function has no other door to it
    # The server stands for AWS's S3, which is known by its name.
    application._store.dialect.meet("s3.us-east-1.amazonaws.com")
    _count_requests(application, requests)
    streaming = replace(copier.streaming, plan=task.plan, in_flight=task.in_flight)
    return replace(copier, streaming=streaming)


def _settings(bucket: str) -> Settings:
    unused = "https://localhost"
    return Settings.from_environ(
        {
            "APARTMENTIQ_API_BASE_URL": unused,
            "APARTMENTIQ_TOKEN_URL": unused,
            "ARCHIVE_BUCKET": bucket,
            "CREDENTIALS_SECRET_ARN": "unused",
            "TABLE_NAME": "unused",
            "EVENT_BUS_NAME": "unused",
            "QUEUE_URL": unused,
            "DEAD_LETTER_QUEUE_URL": unused,
            "AWS_CA_BUNDLE": os.environ.get("AWS_CA_BUNDLE", ""),
        }
    )


def _count_requests(application: Application, requests: Counter[str]) -> None:
    """Count by method, in both of the ways in which the engine sends."""
    begin = ByteConnection.begin

    def counted(
        connection: ByteConnection, method: str, target: str, headers: Mapping[str, str]
    ) -> None:
        requests[method] += 1
        begin(connection, method, target, headers)

    ByteConnection.begin = counted  # type: ignore[method-assign, assignment] # counting is all it adds

    def count(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's AWSPreparedRequest
        requests[request.method] += 1

    application._store.client.meta.events.register("before-send.s3", count)


def _report(task: _Task, stored: StoredObject, requests: Counter[str]) -> dict[str, Any]:
    size_bytes = stored.size_bytes
    small = size_bytes <= task.plan.single_put_bytes
    part_bytes = size_bytes if small else task.plan.part_size(size_bytes)
    return {
        "bytes": stored.size_bytes,
        "cpu_seconds_total": round(time.process_time(), 4),
        "peak_rss_mib": round(_peak_rss_mib(), 1),
        "requests": dict(sorted(requests.items())),
        "checksum": stored.checksum_crc64nvme,
        "verified_by": stored.verified_by,
        "part_size_bytes": part_bytes,
        "in_flight": max(1, min(task.in_flight, -(-size_bytes // max(1, part_bytes)))),
    }


def _peak_rss_mib() -> float:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 - a pseudo file
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    return int(found[1]) / 1024 if found else 0.0


# --- arguments ---


def _read_arguments(arguments: list[str]) -> _Task:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.copy_one", description="Copy one link to S3 and measure it."
    )
    parser.add_argument("link", metavar="LINK", help="an https URL that answers GET")
    parser.add_argument("destination", metavar="s3://bucket/key")
    parser.add_argument(
        "--endpoint-url", help="of another S3 than AWS's; https, or http on loopback"
    )
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="parts at once")
    parser.add_argument("--part-size-mib", type=int, help="instead of the function's own plan")
    options = parser.parse_args(arguments)
    match = _DESTINATION.fullmatch(options.destination)
    if match is None:
        parser.error(f"the destination must look like s3://bucket/key, not {options.destination!r}")
    if not 1 <= options.in_flight <= _MAX_IN_FLIGHT:
        parser.error(f"--in-flight must be between 1 and {_MAX_IN_FLIGHT}")
    if options.part_size_mib is not None and options.part_size_mib not in _PART_MIB:
        parser.error("--part-size-mib must be between 5 and 5120, S3's own limits of a part")
    if problem := _prepare_environment(options.endpoint_url):
        parser.error(problem)
    try:
        link = _read_any_link(options.link)
    except (Interruption, ValueError) as error:
        parser.error(str(error))
    size_mib = options.part_size_mib
    plan = PartPlan() if size_mib is None else _plan_of(size_mib * _MIB)
    return _Task(link, match["bucket"], match["key"], options.in_flight, plan)


def _prepare_environment(endpoint_url: str | None) -> str | None:
    """Set what boto3 reads from the environment; returns what is wrong with it."""
    if endpoint_url is not None:
        parts = urlsplit(endpoint_url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            return f"--endpoint-url must be an http(s) URL, not {endpoint_url!r}"
        os.environ["AWS_ENDPOINT_URL_S3"] = endpoint_url
    # OpenSSL reads SSL_CERT_FILE by itself; boto3 reads AWS_CA_BUNDLE alone.
    if roots := os.environ.get("SSL_CERT_FILE"):
        os.environ.setdefault("AWS_CA_BUNDLE", roots)
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and not os.access(path, os.R_OK):
            return f"{name} names a file that cannot be read: {path}"
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    return None


def _read_any_link(text: str) -> Link:
    """Read a link as the function does, but trust whatever host it names, even an address."""
    authority = text.partition("://")[2].partition("/")[0].partition("?")[0]
    host, _, port = authority.partition(":")
    try:
        address = str(ipaddress.IPv4Address(host))
    except ValueError:
        trusted = TrustedHosts.parse(authority) if authority else TrustedHosts()
        return read_link(text, trusted)
    named = text.replace(authority, f"localhost:{port or 443}", 1)
    return replace(read_link(named, TrustedHosts.parse(f"localhost:{port or 443}")), host=address)


def _plan_of(part_bytes: int) -> PartPlan:
    return PartPlan(small_part_bytes=part_bytes, large_part_bytes=part_bytes)


if __name__ == "__main__":
    main()
