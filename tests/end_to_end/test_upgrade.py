"""A stack of the released version is updated to this one: nothing is lost, nothing archived twice.

The released version is that of commit 9a2b77d (tests/data/released): its template, and what its own
function left behind of an archived, a waiting, a half-copied and a dead-lettered job. The update is
CloudFormation's; then the function of today meets all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.apartmentiq import SyntheticExport, VendorStandIn
from local.aws.clients import LocalClients
from local.aws.stack import DeployedStack
from local.cloud import LocalCloud
from tests.kills.watch import look_at

RELEASED = Path(__file__).parents[1] / "data" / "released"
# What holds data, or is known by its name to others (docs/events.md).
KEPT = [
    *("ArchiveBucket", "ArchiveTable", "ArchiveQueue", "DeadLetterQueue", "EventBus"),
    *("CredentialsSecret", "CallbackTokenSecret"),
]


def released() -> Any:  # noqa: ANN401 - JSON
    """Return what the released version left behind."""
    return json.loads((RELEASED / "stack.json").read_text(encoding="utf-8"))


class Upgraded:
    """A stack that was updated, and what was in it before."""

    def __init__(self) -> None:
        self.left = released()
        self.before: DeployedStack | None = None
        self.upload_id = ""

    def fill(self, clients: LocalClients, stack: DeployedStack) -> None:
        """Put into the released stack what its function had left in it."""
        self.before = stack
        environment = stack.function("ArchiveExportFunction").environment
        bucket = environment["ARCHIVE_BUCKET"]
        archived, half = self.left["archived"], self.left["half_copied"]
        put = clients.s3.put_object(
            Bucket=bucket,
            Key=archived["key"],
            Body=archived["content"].encode(),
            Metadata=archived["metadata"],
            ContentType=archived["content_type"],
        )
        upload = clients.s3.create_multipart_upload(
            Bucket=bucket,
            Key=half["key"],
            ChecksumAlgorithm="CRC64NVME",
            Metadata={"job-id": self.left["jobs"]["half_copied"]},
        )
        self.upload_id = upload["UploadId"]
        export, size = SyntheticExport(half["size_bytes"], seed=half["seed"]), half["size_bytes"]
        for number in half["parts"]:
            start = (number - 1) * half["part_size_bytes"]
            body = b"".join(export.chunks(start, min(half["part_size_bytes"], size - start)))
            clients.s3.upload_part(
                Bucket=bucket,
                Key=half["key"],
                UploadId=self.upload_id,
                PartNumber=number,
                Body=body,
            )
        text = json.dumps(self.left["items"]).replace("{bucket}", bucket)
        text = text.replace(half["upload_id"], self.upload_id)
        text = text.replace(archived["version_id"], put["VersionId"])
        for item in json.loads(text):
            clients.dynamodb.put_item(TableName=environment["TABLE_NAME"], Item=item)
        for message in self.left["messages"]:
            # Nobody may take it before its job is at the vendor.
            _send(clients, environment["QUEUE_URL"], message, delay_seconds=900)
        for letter in self.left["letters"]:
            _send(clients, environment["DEAD_LETTER_QUEUE_URL"], letter)


def _send(clients: LocalClients, url: str, message: Any, delay_seconds: int = 0) -> None:  # noqa: ANN401 - JSON
    clients.sqs.send_message(
        QueueUrl=url,
        MessageBody=message["body"],
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in message["attributes"].items()
        },
        DelaySeconds=delay_seconds,
    )


@pytest.fixture(scope="module")
def upgraded() -> Upgraded:
    """Return what is put into the released stack."""
    return Upgraded()


@pytest.fixture(scope="module")
def cloud(upgraded: Upgraded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Update a released stack to this version, and enter its jobs at the vendor."""
    with LocalCloud(
        state_folder=tmp_path_factory.mktemp("upgrade"),
        maximum_runtimes=2,
        mirror_archive=False,
        upgrade_from=RELEASED / "template.yaml",
        before_upgrade=upgraded.fill,
    ) as local:
        assert local.vendor is not None
        _enter_jobs(local.vendor, upgraded.left)
        yield local


def _enter_jobs(vendor: VendorStandIn, left: Any) -> None:  # noqa: ANN401 - JSON
    jobs, half = left["jobs"], left["half_copied"]
    vendor.add_job(left["archived"]["content"].encode(), job_id=jobs["archived"])
    vendor.add_job(b"it has finished since\n", job_id=jobs["waiting"])
    half_copied = SyntheticExport(half["size_bytes"], seed=half["seed"])
    vendor.add_job(half_copied, job_id=jobs["half_copied"])
    vendor.add_job(left["dead_lettered_content"].encode(), job_id=jobs["dead_lettered"])


@pytest.mark.parametrize("logical_id", KEPT)
def test_what_holds_data_keeps_its_name(
    cloud: LocalCloud, upgraded: Upgraded, logical_id: str
) -> None:
    """Bucket, table, queues, secrets and bus are the same resources after the update."""
    assert upgraded.before is not None
    assert cloud.stack.physical_id(logical_id) == upgraded.before.physical_id(logical_id)


def test_every_job_of_the_released_version_ends_archived_once(
    cloud: LocalCloud, upgraded: Upgraded
) -> None:
    """Waiting goes on, half-copied goes on behind its parts, a dead letter can be redriven."""
    assert cloud.vendor is not None
    jobs, half = upgraded.left["jobs"], upgraded.left["half_copied"]
    cloud.send({"job_id": jobs["archived"]})
    (letter,) = cloud.dead_letters()
    cloud.send(letter.body)
    cloud.skip_waiting()
    cloud.wait_until_quiet(120)

    for name, job_id in jobs.items():
        seen = look_at(cloud, job_id)
        told = 0 if name == "archived" else 1  # by the released version
        assert (seen.archived, seen.uploads, seen.versions, seen.events) == (True, 0, 1, told), name
    missing = half["size_bytes"] - sum(
        min(half["part_size_bytes"], half["size_bytes"] - (n - 1) * half["part_size_bytes"])
        for n in half["parts"]
    )
    assert cloud.vendor.link_bytes(jobs["half_copied"]) <= missing + 1  # and the probe's byte
    (version,) = cloud.object_versions(half["key"])
    body = cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=half["key"])["Body"].read()
    assert version["Size"] == half["size_bytes"] == len(body)
    export = SyntheticExport(half["size_bytes"], seed=half["seed"])
    assert b"".join(export.chunks(0, half["size_bytes"])) == body
