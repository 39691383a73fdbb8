"""The example consumer keeps what it says: each export once, whole, and nothing guessed.

It runs as it is documented, against S3 and SQS of the embedded AWS, subscribed by its own template.
"""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from local.aws.clients import Credentials, Endpoint, LocalClients
from local.aws.moto_resources import teach_moto
from local.aws.queues import read_depth
from local.aws.server import EmbeddedAws
from local.certificates import CertificateAuthority
from local.loader import EXAMPLE, deploy_subscription, write_aws_config
from local.sample_exports import SampleExport, floorplans_parquet, property_jsonl, units_csv

BUS, BUCKET = "company", "archive"
SAMPLES = {"csv": units_csv, "jsonl": property_jsonl, "parquet": floorplans_parquet}
ROWS = {"csv": 200, "jsonl": 60, "parquet": 50_000}


def load_example() -> ModuleType:
    """Import the example from its file, as Python does for a script."""
    spec = importlib.util.spec_from_file_location("load_exports", EXAMPLE / "load_exports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def content_of(sample: SampleExport) -> bytes:
    """Return a sample's bytes."""
    return b"".join(sample.content.chunks(0, sample.content.size_bytes))


@dataclass
class Lake:
    """An archive with a bus, the example's subscription, and its database."""

    clients: LocalClients
    aws: EmbeddedAws
    queue_url: str
    config: Path
    database: Path
    example: ModuleType

    def archive(self, content: bytes, **job: str) -> dict[str, Any]:
        """Store an export and return the detail that is emitted about it."""
        job = {
            "job_id": str(uuid.uuid4()),
            "report_type": "units",
            "output_format": "csv",
            "start_date": "2025-01-01",
            "end_date": "2025-01-31",
            **job,
        }
        key = f"{job['job_id']}.{job['output_format']}"
        stored = self.clients.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return {
            "schema_version": "1",
            "job": job,
            "object": {
                "bucket": BUCKET,
                "key": key,
                "version_id": stored["VersionId"],
                "size_bytes": len(content),
            },
        }

    def emit(self, detail: dict[str, Any], kind: str = "Export Archived") -> None:
        """Put an event on the bus."""
        answer = self.clients.events.put_events(
            Entries=[
                {
                    "Source": "apartmentiq.archiver",
                    "DetailType": kind,
                    "Detail": json.dumps(detail),
                    "EventBusName": BUS,
                }
            ]
        )
        assert not answer["FailedEntryCount"]

    def run(self) -> int:
        """Run the consumer until its queue is empty, as its command line does."""
        arguments = ["--queue-url", self.queue_url, "--database", str(self.database)]
        code: int = self.example.main([*arguments, "--until-empty"])
        return code

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database that the consumer leaves behind."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def left(self) -> int:
        """Count what is still in the queue, visible or not."""
        return read_depth(self.clients.sqs, self.queue_url).total

    def forget(self) -> None:
        """Empty the queue between two tests."""
        self.aws.forget_messages(self.queue_url.rpartition("/")[2], "us-east-1")


@pytest.fixture(scope="module")
def shared_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Run the embedded AWS with an archive bucket, a bus and the example's subscription."""
    folder = tmp_path_factory.mktemp("lake")
    authority = CertificateAuthority.create(folder / "ca")
    aws = EmbeddedAws(authority.server_context())
    aws.start()
    endpoint = Endpoint(aws.url, Credentials("PEOPLE", "people"))
    clients = LocalClients(endpoint, region="us-east-1", ca_bundle=authority.bundle_path)
    clients.s3.create_bucket(Bucket=BUCKET)
    clients.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    clients.events.create_event_bus(Name=BUS)
    teach_moto([], endpoint_url=aws.url, open_function_url=str)  # there is no function here
    config = folder / "aws-config"
    write_aws_config(config, endpoint, endpoint, "us-east-1", authority.bundle_path)
    queue_url = deploy_subscription(clients, BUS)
    yield Lake(clients, aws, queue_url, config, Path(), load_example())
    aws.stop()


@pytest.fixture
def lake(shared_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Return the shared lake with an empty queue and a new database, found as AWS's tools do."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(shared_lake.config))
    shared_lake.forget()
    shared_lake.database = tmp_path / "exports.duckdb"
    return shared_lake


@pytest.mark.parametrize("output_format", SAMPLES)
def test_an_export_of_each_format_is_loaded_whole(lake: Lake, output_format: str) -> None:
    """Every row is there, with the job's id and period, and the message is gone."""
    sample = SAMPLES[output_format]()
    report_type = sample.order.report_type
    detail = lake.archive(content_of(sample), report_type=report_type, output_format=output_format)
    lake.emit(detail)
    assert lake.run() == 0
    table = lake.query(f"FROM export_{report_type}")
    job_id, version_id = detail["job"]["job_id"], detail["object"]["version_id"]
    assert {row[:4] for row in table} == {(job_id, "2025-01-01", "2025-01-31", version_id)}
    assert len(table) == ROWS[output_format]
    assert lake.left() == 0


def test_an_event_that_comes_twice_is_loaded_once(lake: Lake) -> None:
    """Events come at least once, also after the consumer was restarted."""
    detail = lake.archive(b"unit_id,rent\n1,1000\n")
    for _ in range(2):
        lake.emit(detail)
        lake.emit(detail)
        assert lake.run() == 0
    assert lake.query("SELECT unit_id, rent FROM export_units") == [(1, 1000)]
    assert lake.left() == 0


def test_a_job_that_was_archived_again_replaces_its_own_rows(lake: Lake) -> None:
    """A new version of the same job's export is no second export; other jobs' rows stay."""
    lake.emit(lake.archive(b"unit_id,rent\n9,900\n"))
    first = lake.archive(b"unit_id,rent\n1,1000\n2,1100\n")
    lake.emit(first)
    assert lake.run() == 0
    again = lake.archive(b"unit_id,rent\n1,1000\n", job_id=first["job"]["job_id"])
    assert again["object"]["version_id"] != first["object"]["version_id"]
    lake.emit(again)
    assert lake.run() == 0
    assert lake.query("SELECT unit_id, rent FROM export_units ORDER BY 1") == [(1, 1000), (9, 900)]


def test_the_version_that_the_event_names_is_loaded(lake: Lake) -> None:
    """Not whatever is at the key when the message is read."""
    detail = lake.archive(b"unit_id,rent\n1,1000\n")
    lake.clients.s3.put_object(Bucket=BUCKET, Key=detail["object"]["key"], Body=b"something else")
    lake.emit(detail)
    assert lake.run() == 0
    assert lake.query("SELECT unit_id, rent FROM export_units") == [(1, 1000)]


def test_columns_and_types_may_grow(lake: Lake) -> None:
    """The vendor documents no columns: a new one is added, a number that is text later is text."""
    lake.emit(lake.archive(b"unit_id,rent\n17,1000\n"))
    lake.emit(lake.archive(b"unit_id,rent,pets\n12B,1000.5,two cats\n"))
    lake.emit(lake.archive(b"rent,unit_id\n900,18\n"))
    assert lake.run() == 0
    rows = lake.query("SELECT unit_id, rent, pets FROM export_units ORDER BY rent")
    assert rows == [("18", 900.0, None), ("17", 1000.0, None), ("12B", 1000.5, "two cats")]


@pytest.mark.parametrize("output_format", ["csv", "jsonl"])
def test_what_shows_late_in_a_file_is_not_missed(lake: Lake, output_format: str) -> None:
    """DuckDB looks at some 20,000 rows; a text or a name that comes after them counts, too."""
    numbers = range(30_000)
    if output_format == "csv":
        text = "unit_id,rent\n" + "".join(f"{n},{n}\n" for n in numbers) + "12B,5.5\n"
    else:
        text = "".join(f'{{"unit_id": "{n}"}}\n' for n in numbers)
        text += '{"unit_id": "12B", "rent": 5.5}\n'
    lake.emit(lake.archive(text.encode(), output_format=output_format))
    assert lake.run() == 0
    assert lake.query("SELECT rent FROM export_units WHERE unit_id = '12B'") == [(5.5,)]
    assert lake.query("SELECT row_count FROM loaded") == [(30_001,)]


def test_an_export_without_a_byte_has_no_rows(lake: Lake) -> None:
    """It counts as loaded, before and after exports with rows."""
    for content in (b"", b"unit_id\n1\n", b""):
        lake.emit(lake.archive(content))
    assert lake.run() == 0
    assert lake.query("SELECT row_count, count(*) FROM loaded GROUP BY 1 ORDER BY 1") == [
        (0, 2),
        (1, 1),
    ]


def test_what_cannot_be_loaded_stays_and_harms_no_neighbour(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged file, an unknown format, a size that is not the announced one: nothing of it."""
    lake.emit(lake.archive(b"PAR1 and then nothing", output_format="parquet"))
    lake.emit(lake.archive(b"?", output_format="unknown"))
    short = lake.archive(b"unit_id,rent\n1,1000\n")
    short["object"]["size_bytes"] += 1
    lake.emit(short)
    lake.emit(lake.archive(b"unit_id,rent\n2,1100\n"))
    assert lake.run() == 1
    assert lake.query("SELECT unit_id FROM export_units") == [(2,)]
    assert lake.query("SELECT count(*) FROM loaded") == [(1,)]
    assert lake.left() == 3
    assert len([record for record in caplog.records if record.exc_info]) == 3


@pytest.mark.parametrize("report_type", ["loaded", 'a"; DROP TABLE loaded; --', "Units of 2025"])
def test_a_report_type_of_any_name_is_only_a_name(lake: Lake, report_type: str) -> None:
    """What comes from outside is quoted, and cannot meet the consumer's own table."""
    lake.emit(lake.archive(b"unit_id\n1\n", report_type=report_type))
    assert lake.run() == 0
    assert lake.query("SELECT report_type, row_count FROM loaded") == [(report_type, 1)]


def test_the_queue_gets_what_the_consumer_can_read_and_nothing_else(lake: Lake) -> None:
    """Neither other events, nor a version of the event that this consumer does not know."""
    detail = lake.archive(b"unit_id\n1\n")
    lake.emit(detail, kind="Export Rejected")
    lake.emit({**detail, "schema_version": "2"})
    assert lake.left() == 0
    lake.clients.sqs.send_message(QueueUrl=lake.queue_url, MessageBody='{"detail-type": "x"}')
    assert lake.run() == 1
    assert lake.left() == 1
