"""The example consumer keeps what it says: each export once, whole, and nothing guessed.

It runs as it is documented, against S3 and SQS of the embedded AWS, subscribed by its own template.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import load_exports
from local.aws.clients import Credentials, Endpoint, LocalClients
from local.aws.moto_resources import teach_moto
from local.aws.queues import read_depth
from local.aws.server import EmbeddedAws
from local.certificates import CertificateAuthority
from local.loader import deploy_subscription, write_aws_config
from local.sample_exports import SampleExport, floorplans_parquet, property_jsonl, units_csv

BUS, BUCKET = "company", "archive"
SAMPLES = {"csv": units_csv, "jsonl": property_jsonl, "parquet": floorplans_parquet}
ROWS = {"csv": 200, "jsonl": 60, "parquet": 50_000}


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

    def archive(
        self,
        content: bytes,
        archived_at: str = "2026-11-26T10:00:00+00:00",
        encoding: str = "",
        **job: str,
    ) -> dict[str, Any]:
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
        stored = self.clients.s3.put_object(
            Bucket=BUCKET, Key=key, Body=content, ContentEncoding=encoding
        )
        return {
            "schema_version": "1",
            "job": job,
            "object": {
                "bucket": BUCKET,
                "key": key,
                "version_id": stored["VersionId"],
                "size_bytes": len(content),
            },
            "archived_at": archived_at,
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

    def run(self, *options: str) -> int:
        """Run the consumer until its queue is empty, as its command line does."""
        arguments = ["--queue-url", self.queue_url, "--database", str(self.database)]
        return load_exports.main([*arguments, "--until-empty", *options])

    def letters(self) -> list[dict[str, str]]:
        """Return the attributes of the dead letters, which are then gone."""
        found: list[dict[str, str]] = []
        while messages := self.clients.sqs.receive_message(
            QueueUrl=self.dead_letters_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        ).get("Messages", []):
            for message in messages:
                told = message.get("MessageAttributes", {})
                found.append({name: value["StringValue"] for name, value in told.items()})
                self.clients.sqs.delete_message(
                    QueueUrl=self.dead_letters_url, ReceiptHandle=message["ReceiptHandle"]
                )
        return found

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database that the consumer leaves behind."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def left(self) -> int:
        """Count what is still in the queue, visible or not."""
        return read_depth(self.clients.sqs, self.queue_url).total

    def forget(self) -> None:
        """Empty the queues between two tests."""
        for url in (self.queue_url, self.dead_letters_url):
            self.aws.forget_messages(url.rpartition("/")[2], "us-east-1")

    @property
    def dead_letters_url(self) -> str:
        """The queue that the subscription's template sends dead letters to."""
        policy = self.clients.sqs.get_queue_attributes(
            QueueUrl=self.queue_url, AttributeNames=["RedrivePolicy"]
        )["Attributes"]["RedrivePolicy"]
        name = json.loads(policy)["deadLetterTargetArn"].rpartition(":")[2]
        return self.clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]


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
    yield Lake(clients, aws, queue_url, config, Path())
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
    again = lake.archive(
        b"unit_id,rent\n1,1000\n", "2026-11-26T11:00:00+00:00", job_id=first["job"]["job_id"]
    )
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
    assert rows == [("18", 900, None), ("17", 1000, None), ("12B", Decimal("1000.5"), "two cats")]


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


def test_what_cannot_be_loaded_harms_no_neighbour(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged file or an unknown format is a dead letter; another size may be right later."""
    damaged = lake.archive(b"PAR1 and then nothing", output_format="parquet")
    unknown = lake.archive(b"?", output_format="unknown")
    short = lake.archive(b"unit_id,rent\n1,1000\n")
    short["object"]["size_bytes"] += 1
    for detail in (damaged, unknown, short, lake.archive(b"unit_id,rent\n2,1100\n")):
        lake.emit(detail)
    assert lake.run() == 1
    assert lake.query("SELECT unit_id FROM export_units") == [(2,)]
    assert lake.query("SELECT count(*) FROM loaded") == [(1,)]
    assert lake.left() == 1
    assert {letter["file"] for letter in lake.letters()} == {
        damaged["object"]["key"],
        unknown["object"]["key"],
    }
    assert len([record for record in caplog.records if record.exc_info]) == 3


# --- nothing is guessed ---


def test_a_row_that_looks_like_a_comment_is_a_row(lake: Lake) -> None:
    """There are no comments in a CSV, whatever a sniffer makes of `#102`."""
    lake.emit(lake.archive(b"unit,rent\n101,1000\n#102,1100\n103,1200\n"))
    assert lake.run() == 0
    assert lake.query("SELECT unit, rent FROM export_units ORDER BY 1") == [
        ("#102", 1100),
        ("101", 1000),
        ("103", 1200),
    ]


@pytest.mark.parametrize(
    "text",
    ["03/04/2025", "1E1", "10-1-1", "007", "1,000", " 5", "+5", "TRUE", "infinity", "#", ";"],
)
def test_a_text_that_has_another_spelling_stays_text(lake: Lake, text: str) -> None:
    """A value has a type only if it is written in the one way of that type."""
    lake.emit(lake.archive(f'what\n"{text}"\n'.encode()))
    lake.emit(lake.archive(json.dumps({"what": text}).encode(), output_format="jsonl"))
    assert lake.run() == 0
    assert lake.query("SELECT what FROM export_units") == [(text,), (text,)]


def test_long_ids_and_fractions_of_json_are_exact(lake: Lake) -> None:
    """They are not rounded to what a double can hold."""
    content = b'{"id": 12345678901234567890123, "share": 0.12345678901234567890}\n{"id": 5}\n'
    lake.emit(lake.archive(content, output_format="jsonl"))
    assert lake.run() == 0
    assert lake.query("SELECT id, share FROM export_units") == [
        (Decimal(12345678901234567890123), Decimal("0.12345678901234567890")),
        (Decimal(5), None),
    ]


def test_a_header_alone_or_an_empty_column_is_no_text(lake: Lake) -> None:
    """A column without a value has no type yet: the first value gives it one."""
    for content in (b"unit_id,rent\n", b"unit_id,rent\n17,\n", b"unit_id,rent\n18,1000\n"):
        lake.emit(lake.archive(content))
    assert lake.run() == 0
    assert lake.query("SELECT unit_id, rent FROM export_units ORDER BY 1") == [
        (17, None),
        (18, 1000),
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"unit,rent\n101,1000\n102,1100,12\n", 3),
        (b'unit,rent\n"10\n1",1000\n102\n', 4),
        (b"unit,rent\n101;1000\n", 2),
        (b"unit,rent\n101,1000\n102,1100,\n", 3),
        (b'unit,rent\n101,"1000\n', 2),
        (b"unit,rent\n101,1000\n\xff,1\n", 3),
    ],
)
def test_a_file_whose_width_changes_is_a_dead_letter_with_its_line(
    lake: Lake, content: bytes, line: int
) -> None:
    """And so is one whose quote never ends, or whose bytes are no UTF-8."""
    detail = lake.archive(content)
    lake.emit(detail)
    assert lake.run() == 1
    (letter,) = lake.letters()
    assert (letter["file"], letter["line"]) == (detail["object"]["key"], str(line))
    assert letter["reason"] == "does_not_fit"
    assert lake.left() == 0
    assert lake.query("SELECT count(*) FROM loaded") == [(0,)]


def test_what_a_pinned_schema_does_not_say_is_a_dead_letter(lake: Lake, tmp_path: Path) -> None:
    """With the file, the line and the column; what fits is loaded as the schema says."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"units": {"unit": "varchar", "rent": "decimal(8,2)"}}')
    bad = lake.archive(b'unit,rent\n"a\nb",1000\n102,1000.555\n')
    more = lake.archive(b"unit,rent,pets\n101,1,2\n")
    for detail in (lake.archive(b"unit,rent\n101,1000.5\n"), bad, more):
        lake.emit(detail)
    assert lake.run("--schema", str(schema)) == 1
    assert lake.query("SELECT unit, rent FROM export_units") == [("101", Decimal("1000.50"))]
    told = {letter["file"]: (letter["line"], letter["column"]) for letter in lake.letters()}
    assert told == {bad["object"]["key"]: ("4", "rent"), more["object"]["key"]: ("1", "pets")}


def test_the_schema_can_be_seen_and_each_change_of_it_is_told(
    lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shown pins: the same exports fit it, and nothing is widened any more."""
    caplog.set_level(logging.WARNING)
    lake.emit(lake.archive(b"unit_id,rent,pets\n17,1000,\n"))
    lake.emit(lake.archive(b"unit_id,rent,pets\n12B,1000.5,\n"))
    assert lake.run() == 0
    assert load_exports.main(["--database", str(lake.database), "--show-schema"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["units"].keys() == {"unit_id", "rent", "pets"}
    assert json.loads(shown)["units"]["pets"] is None
    changes = lake.query(
        "SELECT column_name, type_before, type_after FROM schema_changes "
        "WHERE type_before IS NOT NULL ORDER BY 1"
    )
    assert [change[:2] for change in changes] == [("rent", "BIGINT"), ("unit_id", "BIGINT")]
    assert "units.unit_id: BIGINT -> VARCHAR" in caplog.text
    pinned = tmp_path / "schema.json"
    pinned.write_text(shown)
    lake.emit(lake.archive(b"unit_id,rent,pets\n18,1.5,\n"))
    lake.emit(lake.archive(b"unit_id,rent,pets\n19,many,\n"))
    assert lake.run("--schema", str(pinned)) == 1
    assert lake.query("SELECT count(*) FROM loaded") == [(3,)]


def test_what_is_loaded_reads_on_as_it_stood(lake: Lake) -> None:
    """Decimals do not become text: `1000.5` would read `1000.50`. That export is a dead letter."""
    lake.emit(lake.archive(b"rent\n1000.5\n999.25\n"))
    refused = lake.archive(b"rent\n1\nn/a\n")
    lake.emit(refused)
    assert lake.run() == 1
    (letter,) = lake.letters()
    assert (letter["line"], letter["column"]) == ("3", "rent")
    assert lake.query("SELECT rent FROM export_units ORDER BY 1") == [
        (Decimal("999.25"),),
        (Decimal("1000.5"),),
    ]


def test_a_queue_without_dead_letters_keeps_what_does_not_fit(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    """The consumer goes on, and the message is tried again."""
    bare = lake.clients.sqs.create_queue(QueueName="bare")["QueueUrl"]
    detail = lake.archive(b'unit\n"1\n')
    body = {"detail-type": "Export Archived", "detail": detail}
    lake.clients.sqs.send_message(QueueUrl=bare, MessageBody=json.dumps(body))
    arguments = ["--queue-url", bare, "--database", str(lake.database), "--until-empty"]
    assert load_exports.main(arguments) == 1
    assert read_depth(lake.clients.sqs, bare).total == 1
    assert "no dead letter was sent" in caplog.text


def test_a_column_of_any_name_is_told_in_its_dead_letter(lake: Lake) -> None:
    """SQS refuses most control characters in an attribute; they are spelled there."""
    lake.emit(lake.archive(b'"a\x01\nb"\n1.5\n'))
    lake.emit(lake.archive(b'"a\x01\nb"\nx\n'))
    assert lake.run() == 1
    (letter,) = lake.letters()
    assert letter["column"] == "a\\x01\\nb"
    assert letter["line"] == "3"


# --- never back ---


@pytest.mark.parametrize("late", ["2026-11-26T09:00:00+00:00", "2026-11-26T11:30:00+02:00"])
def test_an_older_archiving_never_replaces_a_newer_one(lake: Lake, late: str) -> None:
    """Two events in reverse order, or a replay of the first after a re-archive."""
    old = lake.archive(b"unit_id\n1\n", late)
    new = lake.archive(b"unit_id\n2\n", job_id=old["job"]["job_id"])
    for detail in (new, old, new, old):
        lake.emit(detail)
        assert lake.run() == 0
    assert lake.query("SELECT unit_id, _version_id FROM export_units") == [
        (2, new["object"]["version_id"])
    ]
    assert lake.left() == 0


def test_a_re_archive_in_a_bucket_without_versions_is_loaded(lake: Lake) -> None:
    """There the version is null both times; the time of archiving tells them apart."""
    first = lake.archive(b"unit_id\n1\n")
    again = lake.archive(
        b"unit_id\n2\n", "2026-11-26T11:00:00+00:00", job_id=first["job"]["job_id"]
    )
    for detail in (first, again):
        detail["object"]["version_id"] = None
    lake.emit(again)
    assert lake.run() == 0
    lake.emit(first)
    assert lake.run() == 0
    assert lake.query("SELECT unit_id FROM export_units") == [(2,)]


def test_a_database_of_the_first_loader_goes_on(lake: Lake) -> None:
    """It has no time of archiving, and types that were guessed; both are taken as they are."""
    with duckdb.connect(str(lake.database)) as connection:
        connection.execute(
            "CREATE TABLE loaded (job_id VARCHAR PRIMARY KEY, version_id VARCHAR NOT NULL, "
            "report_type VARCHAR NOT NULL, row_count BIGINT NOT NULL);"
            "CREATE TABLE export_units (_job_id VARCHAR, _start_date VARCHAR, _end_date VARCHAR, "
            "_version_id VARCHAR, unit_id BIGINT, rent DOUBLE);"
        )
        again = lake.archive(b"unit_id,rent\n1,1000\n")
        job = again["job"]["job_id"]
        connection.execute("INSERT INTO loaded VALUES (?, 'older', 'units', 1)", [job])
        connection.execute("INSERT INTO export_units VALUES (?, '', '', 'older', 1, 0.1)", [job])
    lake.emit(again)
    lake.emit(lake.archive(b"unit_id,rent\n12B,1000.5\n"))
    assert lake.run() == 0
    assert lake.query("SELECT unit_id, rent FROM export_units ORDER BY 1") == [
        ("1", 1000.0),
        ("12B", 1000.5),
    ]


# --- how it is stored ---


@pytest.mark.parametrize("output_format", SAMPLES)
@pytest.mark.parametrize("encoding", ["gzip", ""])
def test_an_export_that_is_stored_packed_is_loaded(
    lake: Lake, output_format: str, encoding: str
) -> None:
    """The archive keeps bytes and Content-Encoding as the source has them; S3 unpacks nothing."""
    sample = SAMPLES[output_format]()
    packed = gzip.compress(content_of(sample))
    lake.emit(lake.archive(packed, encoding=encoding, output_format=output_format))
    assert lake.run() == 0
    assert lake.query("SELECT row_count FROM loaded") == [(ROWS[output_format],)]


def test_an_encoding_that_nobody_unpacks_is_told(lake: Lake) -> None:
    """Not read as if it were text."""
    lake.emit(lake.archive(b"unit_id\n1\n", encoding="br"))
    assert lake.run() == 1
    (letter,) = lake.letters()
    assert "stored as br" in letter["detail"]


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
