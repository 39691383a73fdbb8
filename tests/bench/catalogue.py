"""`archiver audit` and what mends, at the size of years: requests, CPU seconds, peak memory.

The commands run whole, and so does the function's part; the services are answered in this process,
from numbers, so that what is measured is ours. boto3's share (about 1.5 ms of CPU a request), TLS
and the network come on top: requests are counted for that. `make bench-catalogue N=365000`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock

import boto3

from archiver.archiving.catalogue_upkeep import CatalogueUpkeep
from archiver.archiving.cataloguing import Catalogue
from archiver.catalogue import entry_key, entry_line
from archiver.claim import KnownJob
from archiver.receipt import Receipt
from archiver.transfer.checksum import encode_crc64nvme
from archiver.transfer.contract import Committed, ObjectSpec, Slice
from cli.audit import show_audit
from cli.compact import compact
from cli.rebuild import rebuild
from cli.write_catalogue import write_catalogue

MIB = 1 << 20
BUCKET, PREFIX = "apartmentiq-archive", ""
KINDS = [
    (kind, form)
    for kind in ("floorplans", "property", "units")
    for form in ("csv", "jsonl", "parquet")
]
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)  # one year of exports, so that all its months are over
OLD = datetime(2025, 6, 1, tzinfo=UTC)
CHECKSUM = "AAAAAAAAAP8="
_NUMBER = re.compile(r"00000000-0000-4000-8000-([0-9a-f]{12})")


def receipt_of(number: int, total: int) -> Receipt:
    """Return the receipt of one of `total` exports of a year."""
    kind, form = KINDS[number % len(KINDS)]
    at = FIRST_DAY + timedelta(days=365) * number / total
    job_id = f"00000000-0000-4000-8000-{number:012x}"
    day = f"{at:%Y-%m-%d}"
    return Receipt(
        job_id=job_id,
        report_type=kind,
        output_format=form,
        start_date=day,
        end_date=day,
        bucket=BUCKET,
        key=f"report_type={kind}/format={form}/start_date={day}/end_date={day}/{job_id}.{form}",
        version_id="3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY",
        size_bytes=1_000_000 + number,
        etag="9b2cf535f27731c974343645a3985328",
        checksum_crc64nvme=CHECKSUM,
        source_etag="9b2cf535f27731c974343645a3985328",
        copy_method="streaming",
        verified_by="crc64nvme",
        archived_at=f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
        duration_seconds=0.25,
        etags_agree=True,
        completed_at=f"{at:%Y-%m-%dT%H:%M:%S}+00:00",
        order_name="daily-units",
        window=day,
        cycle=day,
        created_at=f"{at:%Y-%m-%dT%H:%M:%S}.000000+00:00",
        property_set="0" * 24,
    )


def number_in(key: str) -> int:
    """Return which export a key is of."""
    found = _NUMBER.search(key)
    assert found is not None, key
    return int(found[1], 16)


def counted(method: Callable[..., Any]) -> Callable[..., Any]:
    """Count the calls of a service's method, and take its CPU for the world's."""

    @wraps(method)
    def call(world: World, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - boto3's
        begun = time.thread_time()
        answer = method(world, *given, **named)
        with world.lock:
            world.requests[method.__name__] += 1
            world.cpu_seconds += time.thread_time() - begun
        return answer

    return call


class World:
    """Table, bucket and function, made of numbers."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.has_items, self.has_small = True, True
        self.months: dict[str, list[int]] = {}
        self.requests: Counter[str] = Counter()
        self.cpu_seconds = self.function_cpu_seconds = 0.0
        self.lock = threading.Lock()
        receipts = [receipt_of(number, total) for number in range(total)]
        self._exports = sorted(receipt.key for receipt in receipts)
        self._small = sorted(entry_key(receipt, prefix=PREFIX) for receipt in receipts)
        self.meta = SimpleNamespace(endpoint_url="https://s3.example")

    def client(self, service: str, **_: object) -> World:
        """Stand for boto3.client: all services are this one."""
        assert service
        return self

    # --- what the stack says ---

    @counted
    def describe_stacks(self, **_: object) -> dict[str, Any]:
        """Tell the outputs."""
        outputs = {
            "ArchiveExportFunctionName": "f",
            "ArchiveBucketName": BUCKET,
            "ArchiveTableName": "t",
        }
        told = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
        return {"Stacks": [{"Outputs": told}]}

    @counted
    def get_function_configuration(self, **_: object) -> dict[str, Any]:
        """Tell the environment."""
        return {"Environment": {"Variables": {"KEY_PREFIX": PREFIX}}}

    # --- S3 ---

    def get_paginator(self, _: str) -> SimpleNamespace:
        """Return what lists."""

        def paginate(*, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's
            assert Bucket
            keys = sorted([*(self._small if self.has_small else ()), *self.months])
            keys = keys if Prefix else keys + self._exports
            for first in range(0, len(keys), 1_000):
                yield self.list_objects_v2(keys[first : first + 1_000])

        return SimpleNamespace(paginate=paginate)

    @counted
    def list_objects_v2(self, keys: Sequence[str]) -> dict[str, Any]:
        """List a page."""
        return {"Contents": [{"Key": key, "LastModified": OLD} for key in keys]}

    @counted
    def head_object(self, *, Key: str, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's
        """Tell of an export."""
        receipt = receipt_of(number_in(Key), self.total)
        return {
            "ContentLength": receipt.size_bytes,
            "VersionId": receipt.version_id,
            "ChecksumCRC64NVME": CHECKSUM,
            "ETag": f'"{receipt.etag}"',
        }

    @counted
    def get_object(self, *, Key: str, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's
        """Return an object of the catalogue."""
        return {"Body": io.BytesIO(self._content(Key))}

    @counted
    def delete_objects(self, **_: object) -> dict[str, Any]:
        """Delete nothing: the next command is measured on the same."""
        return {}

    def _content(self, key: str) -> bytes:
        numbers = self.months.get(key) or [number_in(key)]
        return b"".join(entry_line(receipt_of(number, self.total)) for number in numbers)

    # --- DynamoDB ---

    def scan(self, *, Limit: int, ExclusiveStartKey: int = 0, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's
        """Tell a page of items."""
        return self.scan_page(Limit, ExclusiveStartKey)  # type: ignore[no-any-return] # counted

    @counted
    def scan_page(self, limit: int, first: int) -> dict[str, Any]:
        """Tell them, counted."""
        if not self.has_items:
            return {"Items": []}
        last = min(self.total, first + limit)
        items = []
        for number in range(first, last):
            told = receipt_of(number, self.total).to_fields()
            items.append(
                {"id": {"S": f"job#{told['job_id']}"}, **{n: typed(v) for n, v in told.items()}}
            )
        more = {"LastEvaluatedKey": last} if last < self.total else {}
        return {"Items": items, **more}

    @counted
    def update_item(self, **_: object) -> dict[str, Any]:
        """Take a write."""
        return {}

    # --- the function ---

    def invoke(self, *, Payload: bytes, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's
        """Do the function's part, and measure that apart."""
        begun, theirs = time.thread_time(), self.cpu_seconds
        upkeep = CatalogueUpkeep(
            FunctionsStore(self),
            FunctionsJobs(self),
            Catalogue(FunctionsStore(self), PREFIX, mock.Mock()),
            lambda: datetime.now(UTC),
            lambda: 900.0,
        )
        answer = upkeep.answer(json.loads(Payload)["catalogue"])
        self.function_cpu_seconds += time.thread_time() - begun - (self.cpu_seconds - theirs)
        self.requests["invoke"] += 1
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


class FunctionsStore:
    """The bucket, as archive_export sees it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find(self, _key: str) -> None:
        """Tell that nothing is there: asked for only where a write was refused, and none is."""

    def read(self, key: str, first: int, last: int, *, etag: str | None = None) -> Slice:
        """Return what is there."""
        answer = self._world.get_object(Key=key, IfMatch=etag)
        return Slice(answer["Body"].read()[first : last + 1], None)

    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed:
        """Take an object; of a month it is known what it holds."""
        self._world.requests["put_object"] += 1
        if spec.key.endswith(".jsonl"):
            numbers = [number_in(line.decode()) for line in body.splitlines()]
            self._world.months[spec.key] = numbers
        return Committed(etag="e", version_id=None, checksum_crc64nvme=encode_crc64nvme(crc))


class FunctionsJobs:
    """The table, as archive_export sees it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, job_id: str) -> KnownJob:
        """Return what is there."""
        self._world.requests["batch_get_item"] += 1
        return KnownJob(receipt=receipt_of(number_in(job_id), self._world.total))

    def move(self, _: object) -> bool:
        """Take a move."""
        self._world.requests["update_item"] += 1
        return True


def typed(value: object) -> dict[str, Any]:
    """Return a value as DynamoDB tells it."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


class Peak:
    """The most memory that this process has, above what it has now, while the block runs."""

    def __enter__(self) -> Self:
        self._before = self._most = self._now()
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()
        self.mib = (self._most - self._before) / MIB

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, self._now())

    def _now(self) -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def tell(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure(world: World, name: str, run: Callable[[], int]) -> None:
    """Run one command, and print its line."""
    world.requests.clear()
    world.cpu_seconds = world.function_cpu_seconds = 0.0
    begun = time.process_time()
    said = io.StringIO()
    with (
        Peak() as peak,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        code = run()
    assert code == 0, said.getvalue()
    ours = time.process_time() - begun - world.cpu_seconds - world.function_cpu_seconds
    requests = ", ".join(f"{n:,} {what}" for what, n in sorted(world.requests.items()) if n > 1)
    tell(
        f"| {name} | {requests} | {ours:.0f} | {world.function_cpu_seconds:.0f} | {peak.mib:.0f} |"
    )


def main() -> None:
    """Measure all commands at one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exports", type=int, default=365_000)
    world = World(parser.parse_args().exports)
    size = len(entry_line(receipt_of(0, world.total)))
    tell(f"{world.total:,} exports in a year, {size} bytes an entry")
    tell("| command | requests | CPU s | the function's | MiB |\n| --- | --- | --- | --- | --- |")
    with mock.patch.object(boto3, "client", world.client):
        world.has_small = False
        measure(world, "--write-catalogue, of all", lambda: write_catalogue("s", as_json=True))
        world.has_small = True
        measure(world, "audit, small entries", lambda: show_audit("s", as_json=True))
        world.has_items = False
        measure(world, "--rebuild, small entries", lambda: rebuild("s", as_json=True))
        run = lambda: compact("s", None, delete=False, as_json=True)  # noqa: E731 - as the others
        measure(world, "--compact", run)
        measure(
            world,
            "--compact --delete-compacted",
            lambda: compact("s", None, delete=True, as_json=True),
        )
        world.has_small = False
        measure(world, f"--rebuild, {len(world.months)} months", lambda: rebuild("s", as_json=True))
        world.has_items = True
        measure(world, f"audit, {len(world.months)} months", lambda: show_audit("s", as_json=True))


if __name__ == "__main__":
    main()
