"""A whole consumer: on each `Export Archived`, load the export into a DuckDB file.

    python load_exports.py --queue-url URL --database exports.duckdb [--schema FILE] [--until-empty]
    python load_exports.py --database exports.duckdb --show-schema > schema.json

It reads a queue that `subscription.yaml` makes, and needs `export_reader.py` beside it, boto3 and
duckdb, nothing of the archiver's. Keys, region and endpoint come from where boto3 looks for them;
the role needs `s3:GetObject` and `s3:GetObjectVersion` on the archive (and `kms:Decrypt`, if it has
a key of its own), `sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:GetQueueAttributes` on the
queue, `sqs:GetQueueUrl` and `sqs:SendMessage` on its dead letters.

Each report type has a table, `export_units` for example: the export's columns, and before them
`_job_id`, `_start_date`, `_end_date` and `_version_id`. The table's types are the schema: made from
the exports, widened only by values that are there and where every row stays as it stands, which the
log and the table `schema_changes` tell. `--schema` pins it: nothing is added or widened then.

Of each window and set of properties the current revision is in, and no other: of jobs with equal
type, format, dates and `property_set` the one that was created last (then: the greater job id).
Where an event does not say all of these, its job stands by itself. The table `loaded` says which
exports are in, `revisions` which are known. Events come at least once and in any order, and the
rows are the same at the end: a job that was archived again replaces its own rows, an older
archiving never does. A message is deleted only after the transaction that loads its export. It must
not guess: what does not fit becomes a dead letter with the file, the line and the column, and
whatever else fails stays in the queue.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import duckdb
from botocore.exceptions import ClientError

from export_reader import (
    TEXT,
    Cells,
    Schema,
    UnfitError,
    folded,
    is_exact_as_text,
    open_export,
    quoted,
    read_schema,
    wider,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

__all__ = ["Loader", "consume", "main"]

_LOG = logging.getLogger("load_exports")
_LONG_POLL_SECONDS = 20  # SQS's longest: an idle consumer makes three requests a minute
_LAST_POLL_SECONDS = 1  # long enough to ask all of SQS's servers, which a poll of 0 does not
_CHUNK_BYTES = 1 << 20
_MOST_ATTRIBUTE_CHARACTERS = 1000  # of a dead letter's detail
_OWN_COLUMNS = ("_job_id", "_start_date", "_end_date", "_version_id")
# How an upload was framed is no encoding of the object; gzip is told by the bytes themselves.
_READ_ENCODINGS = {"", "identity", "gzip", "x-gzip", "aws-chunked"}
_AS_TEXT = "and as text the rows that are loaded would not read as they stood (pin it, load anew)"
_LEDGER = """
    CREATE TABLE IF NOT EXISTS loaded (
        job_id VARCHAR PRIMARY KEY,
        version_id VARCHAR NOT NULL,
        report_type VARCHAR NOT NULL,
        row_count BIGINT NOT NULL
    );
    ALTER TABLE loaded ADD COLUMN IF NOT EXISTS archived_at VARCHAR;
    CREATE TABLE IF NOT EXISTS revisions (
        job_id VARCHAR PRIMARY KEY,
        report_type VARCHAR NOT NULL,
        output_format VARCHAR NOT NULL,
        start_date VARCHAR NOT NULL,
        end_date VARCHAR NOT NULL,
        property_set VARCHAR,
        created_at VARCHAR,
        detail VARCHAR NOT NULL
    );
    CREATE TABLE IF NOT EXISTS schema_changes (
        report_type VARCHAR NOT NULL,
        column_name VARCHAR NOT NULL,
        type_before VARCHAR,
        type_after VARCHAR NOT NULL,
        file VARCHAR NOT NULL,
        changed_at TIMESTAMP NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );
"""

_REVISIONS = """
    SELECT detail FROM revisions
    WHERE report_type = ? AND output_format = ? AND start_date = ? AND end_date = ?
        AND property_set = ? AND job_id <> ?
"""

Outcome = Literal["loaded", "already loaded", "older than what is loaded", "superseded"]


@dataclass(frozen=True, slots=True)
class _Revision:
    """A job's last archiving that is known, as its event told it."""

    detail: Mapping[str, Any]

    @property
    def job(self) -> Mapping[str, Any]:
        """What the event says of the job."""
        told: Mapping[str, Any] = self.detail["job"]
        return told

    @property
    def job_id(self) -> str:
        return str(self.job["job_id"])

    @property
    def version_id(self) -> str:
        return self.detail["object"]["version_id"] or ""  # null where the bucket keeps no versions

    @property
    def archived_at(self) -> str | None:
        return self.detail.get("archived_at")

    @property
    def window(self) -> list[str] | None:
        """What revisions of one another have in common; None where not all of it is told."""
        names = ("report_type", "output_format", "start_date", "end_date", "property_set")
        told = [self.job.get(name) for name in names]
        return None if None in told or "unknown" in told else [str(each) for each in told]

    @property
    def rank(self) -> tuple[str, str]:
        """What is greater of the later revision. Times are in UTC and written alike."""
        return self.job.get("created_at") or "", self.job_id

    def with_what(self, other: _Revision) -> _Revision:
        """Return this archiving, with what another event of it told of the job and this did not."""
        return _Revision({**self.detail, "job": {**other.job, **self.job}})

    def fields(self) -> list[Any]:
        """Return its row of the table `revisions`."""
        names = ("job_id", "report_type", "output_format", "start_date", "end_date")
        told = [self.job.get(name) for name in (*names, "property_set", "created_at")]
        return [*told, json.dumps(self.detail)]


class Loader:
    """Puts exports into one DuckDB file, each once. DuckDB lets one process write at a time."""

    def __init__(self, database: Path, s3: S3Client, schema: Schema | None = None) -> None:
        self._s3 = s3
        self._pinned = schema
        self.connection = duckdb.connect(str(database))
        self.connection.execute(_LEDGER)

    def close(self) -> None:
        """Give the file free for others."""
        self.connection.close()

    def load(self, detail: Mapping[str, Any]) -> Outcome:
        """Load what the detail of an `Export Archived` names, if it is current.

        Whatever it supersedes is taken out. All of it is done or, when this raises, nothing.
        """
        now = _Revision(detail)
        before = self._revision(now.job_id)
        order = self._order(now, before)
        if order == "older":
            return "older than what is loaded"
        if before is not None and order == "same":
            now = now.with_what(before)
        if before is not None and before.window != now.window and (left := self._others(before)):
            self._settle(left)
        loaded = self._settle([*self._others(now), now], now)
        if loaded == now.job_id:
            return "loaded"
        return "already loaded" if self._loaded(now.job_id) else "superseded"

    def _others(self, one: _Revision) -> list[_Revision]:
        """Return the revisions of a job's window that are known, but for its own."""
        if one.window is None:
            return []
        rows = self.connection.execute(_REVISIONS, [*one.window, one.job_id]).fetchall()
        return [_Revision(json.loads(detail)) for (detail,) in rows]

    def _settle(self, known: Sequence[_Revision], news: _Revision | None = None) -> str | None:
        """Have of a window's revisions the current one in, and no other; returns what was loaded.

        `news`: the one of which this is the first word.
        """
        current = max(known, key=lambda each: each.rank)
        if self._is_in(current):
            with self._transaction():
                self._note(news, known, current)
            return None
        stored = current.detail["object"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "export")
            self._fetch(stored, path)
            output_format = current.job["output_format"]
            with (
                open_export(self.connection, path, output_format, stored["key"]) as cells,
                self._transaction(),
            ):
                self._note(news, known, current)
                self._put_in(current, cells)
        return current.job_id

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.begin()
        try:
            yield
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise

    def _note(self, news: _Revision | None, known: Sequence[_Revision], current: _Revision) -> None:
        if news is not None:
            self.connection.execute(
                "INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", news.fields()
            )
        for each in known:
            if each.job_id != current.job_id:
                self._delete_rows(each.job_id)
                self.connection.execute("DELETE FROM loaded WHERE job_id = ?", [each.job_id])

    def _put_in(self, revision: _Revision, cells: Cells) -> None:
        """Load a revision's rows in place of those that there are of its job."""
        self._delete_rows(revision.job_id)
        self._insert_rows(revision.job, revision.version_id, cells)
        told = [revision.job_id, revision.version_id, revision.job["report_type"]]
        self.connection.execute(
            "INSERT OR REPLACE INTO loaded VALUES (?, ?, ?, ?, ?)",
            [*told, cells.row_count, revision.archived_at],
        )

    def _delete_rows(self, job_id: str) -> None:
        """Delete the rows of a job that are in, from the table that they were loaded into."""
        if found := self._loaded(job_id):
            table = quoted(f"export_{found[2]}")
            self.connection.execute(f"DELETE FROM {table} WHERE _job_id = ?", [job_id])  # noqa: S608 - quoted

    def schema(self) -> Schema:
        """Return the columns and types of each report type, as `--schema` takes them."""
        told: Schema = {}
        for (name,) in self.connection.execute(
            "SELECT DISTINCT report_type FROM loaded"
        ).fetchall():
            table = quoted(f"export_{name}")
            told[name] = {
                column: None if kind == TEXT and self._is_empty(table, column) else kind
                for column, kind in self._types(table).items()
            }
        return told

    def _revision(self, job_id: str) -> _Revision | None:
        query = "SELECT detail FROM revisions WHERE job_id = ?"
        found = self.connection.execute(query, [job_id]).fetchone()
        return None if found is None else _Revision(json.loads(found[0]))

    def _loaded(self, job_id: str) -> tuple[str, str | None, str] | None:
        """Return the version of a job that is in, when it was archived, and its report type."""
        query = "SELECT version_id, archived_at, report_type FROM loaded WHERE job_id = ?"
        found: tuple[str, str | None, str] | None
        found = self.connection.execute(query, [job_id]).fetchone()
        return found

    def _is_in(self, revision: _Revision) -> bool:
        found = self._loaded(revision.job_id)
        return found is not None and _compared(revision, found[0], found[1]) == "same"

    def _order(self, now: _Revision, before: _Revision | None) -> str:
        """Compare an archiving with what is known of its job: rows never go back to an older one.

        Earlier versions of this consumer wrote no `revisions`; what they loaded is in `loaded`.
        """
        if before is not None:
            return _compared(now, before.version_id, before.archived_at)
        found = self._loaded(now.job_id)
        return "newer" if found is None else _compared(now, found[0], found[1])

    def _fetch(self, stored: Mapping[str, Any], path: Path) -> None:
        """Write the very version that the event names to a file, piece by piece."""
        bucket, key, version_id = stored["bucket"], stored["key"], stored["version_id"]
        if version_id:
            answer = self._s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)
        else:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
        encodings = {text.strip() for text in answer.get("ContentEncoding", "").lower().split(",")}
        if not encodings <= _READ_ENCODINGS:
            raise UnfitError(f"it is stored as {', '.join(sorted(encodings))}", file=key)
        with path.open("wb") as file:
            file.writelines(answer["Body"].iter_chunks(_CHUNK_BYTES))
        if path.stat().st_size != stored["size_bytes"]:
            raise ValueError(f"{key} has {path.stat().st_size} bytes, not {stored['size_bytes']}")

    def _insert_rows(self, job: Mapping[str, Any], version_id: str, cells: Cells) -> None:
        table = quoted(f"export_{job['report_type']}")
        own = ", ".join(f"{name} VARCHAR" for name in _OWN_COLUMNS)
        self.connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({own})")
        types = self._fit(job["report_type"], table, cells)
        if cells.names:
            told = ", ".join(f"?::VARCHAR AS {name}" for name in _OWN_COLUMNS)
            self.connection.execute(
                f"INSERT INTO {table} BY NAME SELECT {told}, * FROM ({cells.select(types)})",  # noqa: S608 - quoted
                [job["job_id"], job["start_date"], job["end_date"], version_id],
            )

    def _fit(self, report_type: str, table: str, cells: Cells) -> dict[str, str]:
        """Make the table take the cells; returns each column's type, or raises UnfitError."""
        now = self._types(table)
        spelled = {folded(name): name for name in now}
        if own := [name for name in cells.names if folded(name) in _OWN_COLUMNS]:
            raise UnfitError("this name is the consumer's own", file=cells.file, column=own[0])
        if self._pinned is None:
            wanted = self._widened(table, now, spelled, cells)
        else:
            wanted = self._pinned_types(report_type, cells)
        changed = {
            column: kind
            for name, kind in wanted.items()
            if now.get(column := spelled.get(folded(name), name)) != kind
        }
        for column, kind in changed.items():
            self._change(report_type, table, column, now.get(column), kind, cells)
        return wanted

    def _widened(
        self, table: str, now: Mapping[str, str], spelled: Mapping[str, str], cells: Cells
    ) -> dict[str, str]:
        """Return the types that hold what is in the table and what is in the file."""
        known: dict[str, str] = {}
        for name in cells.names:
            column = spelled.get(folded(name))
            if column and not (now[column] == TEXT and self._is_empty(table, column)):
                known[name] = now[column]
        unfit = cells.unfit(known)
        new = (
            {name: kind or TEXT for name, kind in cells.types().items()}
            if (unfit or len(known) < len(cells.names))
            else {}
        )
        wanted = {name: known.get(name) or new[name] for name in cells.names}
        for name, row in unfit.items():
            kind = known[name]
            wanted[name] = wider(kind, new[name])
            if wanted[name] == TEXT and not is_exact_as_text(kind):
                cells.raise_unfit(name, row, kind, _AS_TEXT)
        for name, row in cells.unfit(wanted).items():
            cells.raise_unfit(name, row, wanted[name], "nor of any type that loses nothing")
        return wanted

    def _pinned_types(self, report_type: str, cells: Cells) -> dict[str, str]:
        columns = (self._pinned or {}).get(report_type, {})
        types = {folded(name): kind or TEXT for name, kind in columns.items()}
        for name in cells.names:
            if folded(name) not in types:
                raise UnfitError(
                    "the schema has no such column", file=cells.file, line=1, column=name
                )
        wanted = {name: types[folded(name)] for name in cells.names}
        for name, row in cells.unfit(wanted).items():
            cells.raise_unfit(name, row, wanted[name], "as the schema says")
        return wanted

    def _change(
        self, report_type: str, table: str, column: str, before: str | None, kind: str, cells: Cells
    ) -> None:
        """Add a column, or give it another type that each of its loaded rows has a value of."""
        name = quoted(column)
        if before is None:
            self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        else:
            back = f"TRY_CAST(TRY_CAST({name} AS {kind}) AS {before})"
            lost = f"SELECT count(*) FROM {table} WHERE {back} IS DISTINCT FROM {name}"  # noqa: S608 - quoted
            if (self.connection.execute(lost).fetchone() or (0,))[0]:
                why = f"rows that are loaded as {before} would not be the same as {kind}"
                raise UnfitError(why, file=cells.file, column=column)
            replaced = f"CAST({name} AS {kind}) AS {name}"
            self.connection.execute(
                f"CREATE OR REPLACE TABLE {table} AS "  # noqa: S608 - quoted
                f"SELECT * REPLACE ({replaced}) FROM {table}"
            )
        self.connection.execute(
            "INSERT INTO schema_changes BY NAME SELECT ? AS report_type, ? AS column_name, "
            "? AS type_before, ? AS type_after, ? AS file",
            [report_type, column, before, kind, cells.file],
        )
        _LOG.warning(
            "schema: %s.%s: %s -> %s (%s)", report_type, column, before or "new", kind, cells.file
        )

    def _types(self, table: str) -> dict[str, str]:
        rows = self.connection.execute(f"DESCRIBE {table}").fetchall()
        return {name: kind for name, kind, *_ in rows if name not in _OWN_COLUMNS}

    def _is_empty(self, table: str, column: str) -> bool:
        """Whether no row has a value here: then the column has no type yet, whatever is said."""
        query = f"SELECT 1 FROM {table} WHERE {quoted(column)} IS NOT NULL LIMIT 1"  # noqa: S608 - quoted
        return self.connection.execute(query).fetchone() is None


def _compared(now: _Revision, version_id: str, archived_at: str | None) -> str:
    """Tell whether an archiving is newer or older than another of its job, or the same."""
    if archived_at and now.archived_at:
        then, this = datetime.fromisoformat(archived_at), datetime.fromisoformat(now.archived_at)
        if then != this:
            return "newer" if this > then else "older"
    return "same" if now.version_id == version_id else "newer"


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
            failures += not _take(sqs, queue_url, loader, message)


def _take(sqs: SQSClient, queue_url: str, loader: Loader, message: MessageTypeDef) -> bool:
    """Load one message's export; what fails for now comes back after its visibility timeout."""
    body = message["Body"]
    try:
        event = json.loads(body)
        known = (event["detail-type"], event["detail"]["schema_version"])
        if known != ("Export Archived", "1"):
            raise ValueError(f"cannot read {known}")  # noqa: TRY301 - the same end as any other
        _LOG.info("%s: %s", event["detail"]["object"]["key"], loader.load(event["detail"]))
    except UnfitError as error:
        _LOG.exception("not loaded: %.200s", body)
        if _bury(sqs, queue_url, body, error):
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return False
    except Exception:  # noqa: BLE001 - whatever it is, the message stays and the next is tried
        _LOG.exception("not loaded: %.200s", body)
        return False
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return True


def _bury(sqs: SQSClient, queue_url: str, body: str, error: UnfitError) -> bool:
    """Send what will never fit to the queue's dead letters, with the place.

    Returns False where that cannot be done: the message then stays, and SQS moves it in the end.
    """
    told = {"reason": "does_not_fit", "detail": str(error)[:_MOST_ATTRIBUTE_CHARACTERS]}
    places = {"file": error.file, "line": error.line, "column": error.column}
    told |= {name: str(place) for name, place in places.items() if place is not None}
    try:
        asked = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(asked["Attributes"]["RedrivePolicy"])
        account, name = policy["deadLetterTargetArn"].split(":")[-2:]
        target = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        sqs.send_message(
            QueueUrl=target,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": _sendable(text)}
                for name, text in told.items()
            },
        )
    except (ClientError, KeyError):  # no right to it, or no dead letters
        _LOG.exception("no dead letter was sent")
        return False
    return True


def _sendable(text: str) -> str:
    """Return a text as SQS takes it: not empty, and of control characters only three."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text) or "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the consumer; returns 1 if, until the queue was empty, something could not be loaded."""
    parser = argparse.ArgumentParser(description="Load archived exports into a DuckDB file.")
    parser.add_argument("--queue-url", help="needed but with --show-schema")
    parser.add_argument("--database", required=True, type=Path)
    parser.add_argument("--schema", type=Path, help="pin columns and types to what this file says")
    parser.add_argument("--show-schema", action="store_true", help="print the schema, load nothing")
    parser.add_argument("--until-empty", action="store_true", help="end when nothing is waiting")
    given = parser.parse_args(arguments)
    if not given.queue_url and not given.show_schema:
        parser.error("say --queue-url")
    logging.basicConfig(format="%(levelname)s %(message)s")
    _LOG.setLevel(logging.INFO)
    schema = read_schema(given.schema.read_text(encoding="utf-8")) if given.schema else None
    session = boto3.Session()
    loader = Loader(given.database, session.client("s3"), schema)
    try:
        if given.show_schema:
            json.dump(loader.schema(), sys.stdout, indent=2, ensure_ascii=False)
            sys.stdout.write("\n")
            return 0
        sqs = session.client("sqs")
        failures = consume(sqs, given.queue_url, loader, until_empty=given.until_empty)
    finally:
        loader.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
