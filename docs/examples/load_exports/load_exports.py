"""A whole consumer: on each `Export Archived`, load the export into a DuckDB file.

    python load_exports.py --queue-url URL --database exports.duckdb [--until-empty]

It reads a queue that `subscription.yaml` makes, and needs boto3 and duckdb, nothing of the
archiver's. Keys, region and endpoint come from where boto3 looks for them; the role needs
`s3:GetObject` and `s3:GetObjectVersion` on the archive (and `kms:Decrypt`, if it has a key of its
own), `sqs:ReceiveMessage` and `sqs:DeleteMessage` on the queue.

Each report type has a table, `export_units` for example: the export's columns, and before them
`_job_id`, `_start_date`, `_end_date` and `_version_id`. The table `loaded` says which exports are
in. Events come at least once, so a repeated one is looked up there; a job that was archived again
replaces its own rows; a message is deleted only after the transaction that loads its export. It
must not guess: an export that cannot be loaded stays in the queue and ends among the dead letters,
with the reason in the log.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import duckdb

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

__all__ = ["Loader", "consume", "main"]

_LOG = logging.getLogger("load_exports")
_LONG_POLL_SECONDS = 20  # SQS's longest: an idle consumer makes three requests a minute
_LAST_POLL_SECONDS = 1  # long enough to ask all of SQS's servers, which a poll of 0 does not
_CHUNK_BYTES = 1 << 20
# DuckDB reads names and types off the first rows. What does not fit them later is an error, and
# then the file is read again with all its rows in view.
_READERS = {
    "csv": (
        "read_csv(?, header = true, hive_partitioning = false)",
        "read_csv(?, header = true, hive_partitioning = false, sample_size = -1)",
    ),
    "jsonl": (
        "read_json(?, format = 'newline_delimited', hive_partitioning = false)",
        "read_json(?, format = 'newline_delimited', hive_partitioning = false, sample_size = -1)",
    ),
    "parquet": ("read_parquet(?, hive_partitioning = false)",),
}
_LEDGER = """
    CREATE TABLE IF NOT EXISTS loaded (
        job_id VARCHAR PRIMARY KEY,
        version_id VARCHAR NOT NULL,
        report_type VARCHAR NOT NULL,
        row_count BIGINT NOT NULL
    );
"""

Outcome = Literal["loaded", "already loaded"]


class Loader:
    """Puts exports into one DuckDB file, each once. DuckDB lets one process write at a time."""

    def __init__(self, database: Path, s3: S3Client) -> None:
        self._s3 = s3
        self._db = duckdb.connect(str(database))
        self._db.execute(_LEDGER)

    def close(self) -> None:
        """Give the file free for others."""
        self._db.close()

    def load(self, detail: Mapping[str, Any]) -> Outcome:
        """Load what the detail of an `Export Archived` names: wholly, or, when it raises, not."""
        job, stored = detail["job"], detail["object"]
        version_id = stored["version_id"] or ""  # null where the bucket keeps no versions
        if self._is_loaded(job["job_id"], version_id):
            return "already loaded"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "export")
            self._fetch(stored, path)
            self._read(job, version_id, path)
            self._db.begin()
            try:
                self._replace_rows(job, version_id)
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise
        return "loaded"

    def _is_loaded(self, job_id: str, version_id: str) -> bool:
        query = "SELECT 1 FROM loaded WHERE job_id = ? AND version_id = ?"
        return self._db.execute(query, [job_id, version_id]).fetchone() is not None

    def _fetch(self, stored: Mapping[str, Any], path: Path) -> None:
        """Write the very version that the event names to a file, piece by piece."""
        bucket, key, version_id = stored["bucket"], stored["key"], stored["version_id"]
        if version_id:
            answer = self._s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)
        else:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
        with path.open("wb") as file:
            file.writelines(answer["Body"].iter_chunks(_CHUNK_BYTES))
        if path.stat().st_size != stored["size_bytes"]:
            raise ValueError(f"{key} has {path.stat().st_size} bytes, not {stored['size_bytes']}")

    def _replace_rows(self, job: Mapping[str, Any], version_id: str) -> None:
        table = _quoted(f"export_{job['report_type']}")
        self._fit(table)
        self._db.execute(f"DELETE FROM {table} WHERE _job_id = ?", [job["job_id"]])  # noqa: S608 - quoted
        self._db.execute(f"INSERT INTO {table} BY NAME FROM incoming")
        count = "SELECT count(*) FROM incoming"
        self._db.execute(
            f"INSERT OR REPLACE INTO loaded SELECT ?, ?, ?, ({count})",
            [job["job_id"], version_id, job["report_type"]],
        )

    def _read(self, job: Mapping[str, Any], version_id: str, path: Path) -> None:
        """Read the file into the table `incoming`; one of zero bytes names not even columns."""
        readers = _READERS.get(job["output_format"])
        if readers is None:
            raise ValueError(f"no reader for the format {job['output_format']!r}")
        own = [job["job_id"], job["start_date"], job["end_date"], version_id]
        create = (
            "CREATE OR REPLACE TEMP TABLE incoming AS "
            "SELECT ?::VARCHAR AS _job_id, ?::VARCHAR AS _start_date, "
            "?::VARCHAR AS _end_date, ?::VARCHAR AS _version_id"
        )
        if not path.stat().st_size:
            self._db.execute(f"{create} WHERE false", own)
            return
        *sooner, last = (f"{create}, * FROM {reader}" for reader in readers)
        for query in sooner:
            with suppress(duckdb.Error):
                self._db.execute(query, [*own, str(path)])
                return
        self._db.execute(last, [*own, str(path)])

    def _fit(self, table: str) -> None:
        """Make the table take `incoming`: new columns are added, types widened as UNION does it.

        The vendor documents no columns, and DuckDB reads types off the values: unit numbers are
        whole numbers until the first "12B" makes them text.
        """
        self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM incoming LIMIT 0")
        both = f"FROM {table} UNION ALL BY NAME (FROM incoming LIMIT 0)"
        if self._shape(both) != self._shape(f"FROM {table}"):
            self._db.execute(f"CREATE OR REPLACE TABLE {table} AS {both}")

    def _shape(self, query: str) -> list[tuple[Any, ...]]:
        return [row[:2] for row in self._db.execute(f"DESCRIBE {query}").fetchall()]


def consume(sqs: SQSClient, queue_url: str, loader: Loader, *, until_empty: bool) -> int:
    """Load what the queue holds, one message at a time; returns how many could not be loaded.

    Without `until_empty` it waits for more, for ever.
    """
    failures = 0
    while True:
        messages = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=1,  # so that none waits in hand while its visibility runs out
            WaitTimeSeconds=_LAST_POLL_SECONDS if until_empty else _LONG_POLL_SECONDS,
        ).get("Messages", [])
        if until_empty and not messages:
            return failures
        for message in messages:
            if _take(loader, message["Body"]):
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            else:
                failures += 1


def _take(loader: Loader, body: str) -> bool:
    """Load one message's export; a message that fails comes back after its visibility timeout."""
    try:
        event = json.loads(body)
        known = (event["detail-type"], event["detail"]["schema_version"])
        if known != ("Export Archived", "1"):
            raise ValueError(f"cannot read {known}")  # noqa: TRY301 - the same end as any other
        _LOG.info("%s: %s", event["detail"]["object"]["key"], loader.load(event["detail"]))
    except Exception:  # noqa: BLE001 - whatever it is, the message stays and the next is tried
        _LOG.exception("not loaded: %.200s", body)
        return False
    return True


def _quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the consumer; returns 1 if, until the queue was empty, something could not be loaded."""
    parser = argparse.ArgumentParser(description="Load archived exports into a DuckDB file.")
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--database", required=True, type=Path)
    parser.add_argument("--until-empty", action="store_true", help="end when nothing is waiting")
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s")
    _LOG.setLevel(logging.INFO)
    session = boto3.Session()
    loader = Loader(given.database, session.client("s3"))
    try:
        sqs = session.client("sqs")
        failures = consume(sqs, given.queue_url, loader, until_empty=given.until_empty)
    finally:
        loader.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
