"""The real copy, as wiring/ composes it, between two buckets of a server that others wrote.

It puts exports into the source's bucket, signs links to them as the vendor does, runs the copy, and
looks at the outcome past the front, with a client of its own. It judges nothing: tests do.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.config import Config

from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.aws.object_store import ObjectStore
from archiver.claim import Checkpoint
from archiver.job import Job
from archiver.network.outside import Outside
from archiver.telemetry import NoSteps
from archiver.transfer.copier import Copier, Destination
from archiver.transfer.plan import PartPlan
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings
from archiver.wiring.world import real_outside
from local.apartmentiq import Export, sha256_of
from tests.s3.front import Call, Front
from tests.s3.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from archiver.receipt import StoredObject

__all__ = ["MIB", "SOURCE", "Clients", "Stage", "outside_of", "people_of"]

MIB = 1 << 20
SOURCE = "vendor-exports"
_REGION = "us-east-1"
_WEEK_SECONDS = 604_800  # the vendor's links live for 7 days


def people_of(server: Server, url: str, ca_bundle: Path | None = None) -> S3Client:
    """Return a client of the tests' own, for `url` in front of the server or the server itself."""
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name=_REGION,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        verify=str(ca_bundle) if ca_bundle else None,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return client


def outside_of(server: Server, front: Front, ca_bundle: Path) -> Outside:
    """Return the world as wiring/ makes it, of a runtime whose S3 is behind the front.

    Its clients are made once, as in a runtime that is kept, and pauses take no time.
    """
    environment = {
        # an address, so that botocore writes the bucket into the path
        "AWS_ENDPOINT_URL_S3": f"https://127.0.0.1:{front.server_address[1]}",
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_CA_BUNDLE": str(ca_bundle),
    }
    clients: dict[str, Any] = {}
    real = real_outside(str(ca_bundle), most_list_bytes=4 << 20, connections_per_host=8)

    def client(service: str, config: Config) -> Any:  # noqa: ANN401 - any service's
        if service not in clients:
            clients[service] = real.client(service, config)
        return clients[service]

    outside = replace(real, client=client, pause=lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        _compose("unused", outside)._copier.store.part_writer().close()  # asks for all of them
    return outside


def _compose(
    bucket: str, outside: Outside, source_buckets: str = "", plan: PartPlan | None = None
) -> Application:
    return Application(
        _settings(bucket, source_buckets),
        log=cast("Any", None),  # a copy alone neither logs nor counts outcomes
        outcomes=cast("Any", None),
        steps=NoSteps(),
        outside=outside,
        plan=plan,
    )


@dataclass(frozen=True, slots=True)
class Clients:
    """Who talks to a server: the tests past the front, the vendor for its links, and the copy."""

    people: S3Client
    vendor: S3Client
    outside: Outside


@dataclass
class Stage:
    """One test's bucket to archive to, and the means to copy into it."""

    server: Server
    front: Front
    clients: Clients
    bucket: str
    job: Job = field(default_factory=lambda: Job(str(uuid.uuid4()), output_format="csv"))
    checkpoint: Checkpoint | None = None  # what the job's item would hold
    links_asked: int = 0
    seconds_left: float = 900.0  # of the invocation
    looks_first: bool = False  # as at any store but AWS's; without, the server itself must refuse

    @property
    def people(self) -> S3Client:
        """The tests' own client, past the front."""
        return self.clients.people

    @property
    def key(self) -> str:
        """Where the job's export goes, in the form of the default template."""
        return f"report_type=units/format=csv/{self.job.job_id}.csv"

    def copier(
        self,
        *,
        granted: bool = False,
        part_bytes: int | None = None,
        server_side_part_bytes: int | None = None,
        in_flight: int | None = None,
    ) -> Copier:
        """Return the copy itself; the function has no other door to it.

        `granted`: as in a stack that lists the source's bucket. `part_bytes`: smaller parts, so
        that less has to be sent; `in_flight` 1 sends them one after the other.
        """
        plan = PartPlan()
        if part_bytes is not None:
            plan = replace(plan, single_put_bytes=part_bytes, large_part_bytes=part_bytes)
        if server_side_part_bytes is not None:
            plan = replace(plan, server_side_part_bytes=server_side_part_bytes)
        application = _compose(self.bucket, self.clients.outside, SOURCE if granted else "", plan)
        application._remaining_seconds = lambda: self.seconds_left
        application._store.dialect.is_aws = not self.looks_first
        copier = application._copier
        if in_flight is not None:
            copier = replace(copier, streaming=replace(copier.streaming, in_flight=in_flight))
        return copier

    @property
    def store(self) -> ObjectStore:
        """The archive bucket as the function sees it."""
        return _compose(self.bucket, self.clients.outside)._store

    # --- the vendor's side ---

    def put_export(self, export: Export, key: str | None = None) -> str:
        """Put an export into the source's bucket, once for each content; returns its key."""
        key = key or f"exports/{sha256_of(export)}.csv"
        held = self.people.list_objects_v2(Bucket=SOURCE, Prefix=key).get("KeyCount", 0)
        if not held:
            self.change_export(export, key)
        return key

    def change_export(self, export: Export, key: str) -> None:
        """Put an export over whatever is there."""
        body = b"".join(export.chunks(0, export.size_bytes))
        self.people.put_object(Bucket=SOURCE, Key=key, Body=body)

    def signed(self, key: str, **extra: str) -> str:
        """Return a link as the vendor's Location has it, signed by botocore."""
        return self.clients.vendor.generate_presigned_url(
            "get_object", Params={"Bucket": SOURCE, "Key": key, **extra}, ExpiresIn=_WEEK_SECONDS
        )

    def link(self, key: str, **extra: str) -> Link:
        """Return a good link, read as the function reads it."""
        return self.read(self.signed(key, **extra))

    def read(self, url: str) -> Link:
        """Read a link as the function does, trusting the front's host."""
        return read_link(url, TrustedHosts.parse(self.front.authority))

    # --- the copy ---

    def copy(
        self,
        key: str,
        *,
        first: Link | None = None,
        ask: Callable[[], Link] | None = None,
        attempt: int = 1,
        copier: Copier | None = None,
    ) -> StoredObject:
        """Copy an export of the source's to the job's key.

        `first` is the link to begin with, `ask` what gives fresh ones; good ones by default.
        """

        def ask_for_link() -> Link:
            self.links_asked += 1
            return self.link(key)

        destination = Destination(
            self.job,
            self.key,
            attempt,
            archived_at=datetime.now(UTC),
            checkpoint=self.checkpoint,
            save=self._save,
        )
        link = first or self.link(key)
        return (copier or self.copier()).copy(link, ask or ask_for_link, destination)

    def _save(self, checkpoint: Checkpoint | None) -> None:
        self.checkpoint = checkpoint

    # --- the outcome ---

    def archived_sha256(self) -> str:
        """Return the SHA-256 of the bytes at the job's key."""
        return hashlib.sha256(self.content(self.key)).hexdigest()

    def content(self, key: str) -> bytes:
        """Return the bytes at a key of the archive's bucket."""
        return self.people.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        """Return all keys of the archive's bucket."""
        listed = self.people.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [item["Key"] for item in listed]

    def uploads(self) -> list[str]:
        """Return the ids of the uploads that nobody has finished."""
        try:
            listed = self.people.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        except self.people.exceptions.NoSuchUpload:  # what rclone says where there is none
            return []
        return [item["UploadId"] for item in listed]

    def part_calls(self) -> list[Call]:
        """Return the parts that were sent, or copied by the server."""
        return [call for call in self.front.calls if call.part_number is not None]

    def source_calls(self) -> list[Call]:
        """Return the reads of the link."""
        path = f"/{SOURCE}/"
        return [c for c in self.front.calls if c.method == "GET" and c.path.startswith(path)]

    def to_archive(self, method: str, query: str = "") -> Callable[[Call], bool]:
        """Match calls on objects of the archive's bucket whose query begins with a text."""
        path = f"/{self.bucket}/"
        return lambda call: (
            call.method == method and call.path.startswith(path) and call.query.startswith(query)
        )

    def to_source(self, *, start: int | None = None) -> Callable[[Call], bool]:
        """Match reads of the link; `start` is the first byte that the range asks for."""

        def matches(call: Call) -> bool:
            asked = call.headers.get("range", "")
            return (
                call.method == "GET"
                and call.path.startswith(f"/{SOURCE}/")
                and (start is None or asked.startswith(f"bytes={start}-"))
            )

        return matches


def _settings(bucket: str, source_buckets: str) -> Settings:
    unused = "https://localhost"
    environment: Mapping[str, str] = {
        "APARTMENTIQ_API_BASE_URL": unused,
        "APARTMENTIQ_TOKEN_URL": unused,
        "ARCHIVE_BUCKET": bucket,
        "SOURCE_BUCKETS": source_buckets,
        "CREDENTIALS_SECRET_ARN": "unused",
        "TABLE_NAME": "unused",
        "EVENT_BUS_NAME": "unused",
        "QUEUE_URL": unused,
        "DEAD_LETTER_QUEUE_URL": unused,
    }
    return Settings.from_environ(environment)
