"""`make demo`: the deployed stack archives a handful of exports before one's eyes.

It orders jobs at the stand-in, sends them by every way in, watches the bytes move, and then checks
what came of each: it fetches every archived object back and compares its SHA-256 with the source's.
It must not soften what it sees: anything that is not as promised is said in a sentence, and the
exit code is 1.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import urllib3
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from local.apartmentiq import sha256_of
from local.aws.expansion import ParameterError
from local.aws.runtime_installation import InstallationError
from local.aws.stack import StackError
from local.cloud import CloudError, LocalCloud
from local.lake import read_lake
from local.loader import ExampleLoader
from local.sample_exports import (
    empty_export,
    floorplans_parquet,
    large_csv,
    property_jsonl,
    units_csv,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from local.apartmentiq import VendorStandIn
    from local.aws.queues import Message
    from local.aws.traces import Segment, Trace
    from local.lake import LakeRow
    from local.sample_exports import SampleExport

__all__ = ["run_demo"]

_MIB = 1024 * 1024
_WIDTH_WITHOUT_TERMINAL = 190
_BAR_CHARACTERS = 60
_STEP_SECONDS = 5.0
_BASE_DEADLINE_SECONDS = 90.0  # the promise for 256 MiB on two cores
_SECONDS_PER_MIB = 0.35  # beyond that: moto needs 20 s for a GiB, a slow disk three times as long
_SHA256_CHUNK_BYTES = _MIB

Outcome = Literal["archived", "rejected", "ended at the vendor"]


@dataclass(frozen=True, slots=True)
class Errand:
    """One job of the demo: how it is sent, and what must come of it."""

    title: str
    job_id: str
    send: Callable[[LocalCloud], object]
    expected: Outcome = "archived"
    reason: str | None = None
    sample: SampleExport | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an errand; `problems` is empty when all was as promised."""

    errand: Errand
    outcome: str
    detail: Mapping[str, Any] | None
    checksum_equal: bool | None
    peak_rss_bytes: int | None
    problems: tuple[str, ...]


def run_demo(arguments: argparse.Namespace) -> int:
    """Run the demo with `arguments.size_mib` for the large export and return the exit code.

    Ctrl-C ends all that was started and then reaches the caller as KeyboardInterrupt.
    """
    try:
        return _run(_make_console(), arguments.size_mib)
    except (CloudError, ParameterError, StackError, InstallationError) as error:
        print(f"local demo: {error}", file=sys.stderr)
        return 1


def _make_console() -> Console:
    """Return a console that takes square brackets for what they are: details are full of them."""
    console = Console(markup=False, highlight=False)
    if console.is_terminal:
        return console
    return Console(markup=False, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def _run(console: Console, size_mib: int) -> int:
    started_at = time.monotonic()
    console.print("Deploying template.yaml into the embedded cloud …")
    with LocalCloud() as cloud:
        if cloud.vendor is None:
            raise ValueError("the demo needs the stand-in, not another vendor")
        seconds = time.monotonic() - started_at
        console.print(f"Up after {seconds:.1f} s. Ordering exports and sending their jobs.\n")
        loader = ExampleLoader.subscribe(cloud)
        errands = _prepare_errands(cloud, cloud.vendor, size_mib)
        deadline = _BASE_DEADLINE_SECONDS + max(0, size_mib - 256) * _SECONDS_PER_MIB
        quiet = _send_and_watch(console, cloud, cloud.vendor, errands, deadline)
        verdicts = [_judge(cloud, errand) for errand in errands]
        problems = [*quiet, *_all_problems(cloud, errands, verdicts)]
        _show(console, cloud, verdicts)
        problems += _load_and_query(console, cloud, loader, verdicts)
    elapsed_seconds = time.monotonic() - started_at
    console.print(f"\nOpen the archived files in {cloud.archive_path}")
    for problem in problems:
        console.print(Text(f"NOT AS PROMISED: {problem}", style="bold red"))
    if problems:
        console.print(f"The function's own logs are in {cloud.state_folder / 'logs'}")
        return 1
    console.print(f"All as promised, in {elapsed_seconds:.0f} s.")
    return 0


# --- what is ordered and how it is sent ---


def _prepare_errands(cloud: LocalCloud, vendor: VendorStandIn, size_mib: int) -> list[Errand]:
    customer = _Customer(cloud, vendor)
    return [
        _large(customer, size_mib),
        customer.errand(empty_export(), "queue, {job_id}", _send_id),
        customer.errand(units_csv(), "queue, {job_id}", _send_id),
        customer.errand(floorplans_parquet(), "EventBridge event", _put_event),
        customer.errand(property_jsonl(), "queue, job object", _send_object),
        customer.errand(units_csv(), "queue, three times", _send_id, times=3),
        customer.called_back_errand(floorplans_parquet()),
        _unknown(),
        customer.failed_errand(),
    ]


class _Customer:
    """Orders jobs through the vendor's API with a token of its own, as a company's system would."""

    def __init__(self, cloud: LocalCloud, vendor: VendorStandIn) -> None:
        self._vendor = vendor
        self._callback_url = cloud.callback_url
        self._http = urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False)

    def errand(
        self,
        sample: SampleExport,
        way: str,
        send: Callable[[LocalCloud, dict[str, Any]], object],
        times: int = 1,
    ) -> Errand:
        """Order an export, let the vendor complete it, and say how it is to be sent."""
        job_id = self._order(sample)
        job = self._vendor.complete_job(job_id, sample.content).document()
        title = f"{sample.title} ({way})"
        return Errand(title, job_id, lambda cloud: send(cloud, job), sample=sample, times=times)

    def called_back_errand(self, sample: SampleExport) -> Errand:
        """Order an export with our callback URL: the vendor itself says when it is finished."""
        job_id = self._order(sample, callback_url=self._callback_url)

        def complete_and_wait(_: LocalCloud) -> None:
            self._vendor.complete_job(job_id, sample.content)
            self._vendor.callbacks.wait_for(job_id)

        return Errand(f"{sample.title} (callback)", job_id, complete_and_wait, sample=sample)

    def failed_errand(self) -> Errand:
        """Order an export and let the job fail at the vendor."""
        job_id = self._order(units_csv())
        job = self._vendor.fail_job(job_id, "The report could not be generated").document()
        return Errand(
            "failed at the vendor (queue, {job_id})",
            job_id,
            lambda cloud: _send_id(cloud, job),
            expected="ended at the vendor",
            reason="job_failed",
        )

    def _order(self, sample: SampleExport, callback_url: str | None = None) -> str:
        order = sample.order
        fields = {
            "report_type": order.report_type,
            "output_format": order.output_format,
            "start_date": order.start_date,
            "end_date": order.end_date,
            "property_ids": list(order.property_ids),
            "callback_url": callback_url,
        }
        answer = self._http.request(
            "POST",
            f"{self._vendor.api_base_url}/bulk_api/jobs",
            json=fields,
            headers={"Authorization": f"Bearer {self._vendor.access_token}"},
        )
        return str(answer.json()["job_id"])


def _large(customer: _Customer, size_mib: int) -> Errand:
    return customer.errand(large_csv(size_mib), "queue, {job_id}", _send_id)


def _unknown() -> Errand:
    """Send a job that the vendor does not know, in a message too old to wait until it does."""
    job_id = str(uuid.uuid4())
    seen = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    return Errand(
        "nobody's job (queue, {job_id})",
        job_id,
        lambda cloud: cloud.send({"job_id": job_id}, {"first_seen_at": seen}),
        expected="rejected",
        reason="no_such_job",
    )


def _send_id(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.send({"job_id": job["job_id"]})


def _send_object(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.send(job)


def _put_event(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.put_event({"job_id": job["job_id"]})


# --- while it runs ---


def _send_and_watch(
    console: Console,
    cloud: LocalCloud,
    vendor: VendorStandIn,
    errands: Sequence[Errand],
    deadline_seconds: float,
) -> list[str]:
    """Send every errand and wait for the last; returns what is wrong with the waiting."""
    with _bars(console, errands) as on_link_bytes:
        vendor.on_link_bytes = on_link_bytes
        for errand in errands:
            for _ in range(errand.times):
                errand.send(cloud)
        return _wait(console, cloud, deadline_seconds)


def _wait(console: Console, cloud: LocalCloud, deadline_seconds: float) -> list[str]:
    """Wait until all is done; a message that only waits for its time is told that it has come."""
    deadline = time.monotonic() + deadline_seconds
    while time.monotonic() < deadline:
        try:
            cloud.wait_until_quiet(_STEP_SECONDS)
        except TimeoutError:
            if not cloud.running_count and (count := cloud.skip_waiting()):
                console.print(f"{count} message(s) wait for a later try; the demo makes it now.")
        else:
            return []
    return [f"the queue was not empty after {deadline_seconds:.0f} s"]


@contextmanager
def _bars(console: Console, errands: Sequence[Errand]) -> Iterator[Callable[[str, int], None]]:
    """Show a bar per export, or lines where nobody can see a bar; yields what is to be told."""
    if not console.is_terminal:
        yield _Lines(console, errands).tell
        return
    columns = (
        TextColumn("{task.description:<40}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}
        for errand in errands:
            if errand.sample and errand.sample.content.size_bytes:
                total = errand.sample.content.size_bytes
                tasks[errand.job_id] = progress.add_task(errand.title, total=total)

        def tell(job_id: str, total_bytes: int) -> None:
            if job_id in tasks:
                progress.update(tasks[job_id], completed=total_bytes)

        yield tell


class _Lines:
    """Tells of each quarter of an export in a line of its own."""

    def __init__(self, console: Console, errands: Sequence[Errand]) -> None:
        self._console = console
        self._errands = {errand.job_id: errand for errand in errands}
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}

    def tell(self, job_id: str, total_bytes: int) -> None:
        """Take the running total of a job's bytes."""
        errand = self._errands.get(job_id)
        if errand is None or errand.sample is None:
            return
        quarters = total_bytes * 4 // max(1, errand.sample.content.size_bytes)
        with self._lock:  # parts are served by several threads at once
            if quarters > self._told.get(job_id, 0):
                self._told[job_id] = quarters
                self._console.print(f"{errand.title}: {quarters * 25} % ({_size(total_bytes)})")


# --- what came of it ---


def _judge(cloud: LocalCloud, errand: Errand) -> Verdict:
    judges = {
        "archived": _judge_archived,
        "rejected": _judge_rejected,
        "ended at the vendor": _judge_ended,
    }
    return judges[errand.expected](cloud, errand)


def _judge_archived(cloud: LocalCloud, errand: Errand) -> Verdict:
    events = _events(cloud, "Export Archived", errand.job_id)
    problems = []
    if len(events) != 1:
        problems.append(f"{errand.title} has {len(events)} Export Archived events, not one")
    detail = events[0]["detail"] if events else None
    equal = _has_same_bytes(cloud, errand, detail["object"]) if detail else None
    if detail and not equal:
        problems.append(f"{errand.title}: the archived bytes are not the source's")
    versions = len(cloud.object_versions(detail["object"]["key"])) if detail else 0
    if detail and versions != 1:
        problems.append(f"{errand.title} has {versions} object versions, not one")
    outcome = f"archived ({errand.times} messages)" if errand.times > 1 else "archived"
    outcome = outcome if events else "MISSING"
    return Verdict(errand, outcome, detail, equal, _peak_rss(cloud, errand), tuple(problems))


def _judge_rejected(cloud: LocalCloud, errand: Errand) -> Verdict:
    reasons = [_attribute(letter, "reason") for letter in _letters(cloud, errand)]
    problems = _unless_exactly(errand, "dead letters", reasons)
    outcome = f"rejected: {', '.join(reasons) or 'NO DEAD LETTER'}"
    return Verdict(errand, outcome, None, None, _peak_rss(cloud, errand), problems)


def _judge_ended(cloud: LocalCloud, errand: Errand) -> Verdict:
    events = _events(cloud, "Export Failed At Vendor", errand.job_id)
    reasons = [str(event["detail"].get("reason")) for event in events]
    problems = _unless_exactly(errand, "Export Failed At Vendor events", reasons)
    outcome = f"ended at the vendor: {', '.join(reasons) or 'NO EVENT'}"
    return Verdict(errand, outcome, None, None, _peak_rss(cloud, errand), problems)


def _unless_exactly(errand: Errand, what: str, reasons: list[str]) -> tuple[str, ...]:
    if reasons == [errand.reason]:
        return ()
    return (f"{errand.title}: {what} with reasons {reasons}, not one with {errand.reason!r}",)


def _all_problems(
    cloud: LocalCloud, errands: Sequence[Errand], verdicts: Sequence[Verdict]
) -> list[str]:
    """Return every errand's problems, and dead letters or messages that nobody expected."""
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    expected = {errand.job_id for errand in errands if errand.expected == "rejected"}
    problems.extend(
        f"an unexpected dead letter: {_attribute(letter, 'reason')}: {_attribute(letter, 'detail')}"
        for letter in cloud.dead_letters()
        if _attribute(letter, "job_id") not in expected
    )
    return problems


def _events(cloud: LocalCloud, detail_type: str, job_id: str) -> list[dict[str, Any]]:
    return [
        event
        for event in cloud.emitted_events()
        if event["detail-type"] == detail_type and _job_id(event["detail"]) == job_id
    ]


def _job_id(detail: Mapping[str, Any]) -> str | None:
    job = detail.get("job", detail)
    return str(job["job_id"]) if isinstance(job, dict) and job.get("job_id") else None


def _letters(cloud: LocalCloud, errand: Errand) -> list[Message]:
    letters = cloud.dead_letters()
    return [letter for letter in letters if _attribute(letter, "job_id") == errand.job_id]


def _attribute(letter: Message, name: str) -> str:
    return letter.attributes.get(name, f"no {name}")


def _has_same_bytes(cloud: LocalCloud, errand: Errand, stored: Mapping[str, Any]) -> bool:
    """Fetch the archived object back and compare its SHA-256 with the source's, in small pieces."""
    if errand.sample is None:
        return False
    answer = cloud.clients.s3.get_object(Bucket=stored["bucket"], Key=stored["key"])
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(_SHA256_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest() == sha256_of(errand.sample.content)


def _peak_rss(cloud: LocalCloud, errand: Errand) -> int | None:
    """Return the most memory (VmHWM) of the runtimes that this job ran in, up to its end."""
    peaks = [
        invocation.peak_rss_bytes
        for invocation in cloud.invocations()
        if invocation.peak_rss_bytes and errand.job_id in invocation.log
    ]
    return max(peaks, default=None)


# --- what others make of it ---


def _load_and_query(
    console: Console, cloud: LocalCloud, loader: ExampleLoader, verdicts: Sequence[Verdict]
) -> list[str]:
    """Let the example consumer load what it was told of, then ask the archived files themselves."""
    code, log = loader.run()
    archived = {verdict.errand.job_id for verdict in verdicts if verdict.detail}
    problems = []
    if code or (loaded := loader.loaded_rows()).keys() != archived:
        console.print(log)
        problems.append("the example consumer did not load exactly what was archived")
        loaded = {}
    lake = read_lake(cloud.archive_path)
    if not problems and sum(row.row_count for row in lake) != sum(loaded.values()):
        problems.append("the archived files hold other rows than the example consumer loaded")
    console.print(_lake_table(lake))
    count, rows = len(loaded), sum(loaded.values())
    console.print(
        f"By DuckDB, over the files in {cloud.archive_path}; on the events, the example consumer "
        f"loaded {count} exports with {rows:,} rows into {loader.database.name}."
    )
    return problems


def _lake_table(lake: Sequence[LakeRow]) -> Table:
    table = Table(title="\nThe archived lake")
    for name in ("report_type", "format", "start_date", "end_date"):
        table.add_column(name)
    for name in ("exports", "rows"):
        table.add_column(name, justify="right")
    for row in lake:
        partition = (row.report_type, row.format, row.start_date, row.end_date)
        table.add_row(*partition, f"{row.export_count}", f"{row.row_count:,}")
    return table


# --- what is shown ---


def _show(console: Console, cloud: LocalCloud, verdicts: Sequence[Verdict]) -> None:
    console.print(_results_table(verdicts))
    console.print(_letters_table(cloud.dead_letters()))
    events = cloud.emitted_events()
    counts = Counter(event["detail-type"] for event in events)
    console.print("\nEmitted events: " + ", ".join(f"{n} x {kind}" for kind, n in counts.items()))
    for event in events[:1]:
        console.print(f"The first, {event['detail-type']}:")
        console.print_json(json.dumps(event["detail"]))
    largest = verdicts[0].errand
    if trace := _trace_of(cloud, largest.job_id):
        _show_waterfall(console, trace, largest.title)


def _results_table(verdicts: Sequence[Verdict]) -> Table:
    caption = "peak MiB: VmHWM of the runtime's process, from its start to this job's end"
    table = Table(title="\nWhat became of each job", caption=caption, show_lines=True)
    for name in ("job", "outcome", "key"):
        table.add_column(name, overflow="fold")
    for name in ("size", "MB/s", "copy", "SHA-256", "peak MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for verdict in verdicts:
        table.add_row(*_row(verdict), style="red" if verdict.problems else None)
    return table


def _row(verdict: Verdict) -> tuple[str, ...]:
    peak = f"{verdict.peak_rss_bytes / _MIB:.0f}" if verdict.peak_rss_bytes else "?"
    if verdict.detail is None:
        return (verdict.errand.title, verdict.outcome, "", "", "", "", "", peak)
    stored, seconds = verdict.detail["object"], float(verdict.detail["duration_seconds"])
    size_bytes = int(stored["size_bytes"])
    return (
        verdict.errand.title,
        verdict.outcome,
        stored["key"],
        _size(size_bytes),
        f"{size_bytes / seconds / 1e6:,.3g}" if size_bytes and seconds else "-",
        verdict.detail["copy_method"],
        "✓ equal" if verdict.checksum_equal else "✗ DIFFERS",
        peak,
    )


def _letters_table(letters: Sequence[Message]) -> Table:
    table = Table(title="\nDead letters")
    for name in ("job", "reason", "detail"):
        table.add_column(name, overflow="fold")
    for letter in letters:
        table.add_row(*(_attribute(letter, name) for name in ("job_id", "reason", "detail")))
    return table


def _size(size_bytes: int) -> str:
    if size_bytes >= _MIB:
        return f"{size_bytes / _MIB:.0f} MiB"
    return f"{size_bytes:,} B"


def _trace_of(cloud: LocalCloud, job_id: str) -> Trace | None:
    for trace in cloud.traces():
        if any(segment.annotations.get("job_id") == job_id for segment in trace.walk()):
            return trace
    return None


def _show_waterfall(console: Console, trace: Trace, title: str) -> None:
    console.print(f"\nOne trace, of {title}:")
    start = min(segment.start for segment in trace.walk())
    end = max(segment.end or segment.start for segment in trace.walk())
    seconds_per_character = max(end - start, 1e-6) / _BAR_CHARACTERS
    table = Table.grid(padding=(0, 1))
    for root in trace.roots:
        for depth, segment in _with_depth(root):
            offset = int((segment.start - start) / seconds_per_character)
            duration_seconds = (segment.end or end) - segment.start
            length = max(1, round(duration_seconds / seconds_per_character))
            bar = Text(" " * offset + "━" * length, style="red" if segment.failed else "green")
            table.add_row("  " * depth + segment.name, f"{duration_seconds * 1000:,.0f} ms", bar)
    console.print(table)


def _with_depth(segment: Segment, depth: int = 0) -> Iterator[tuple[int, Segment]]:
    yield depth, segment
    for child in segment.subsegments:
        yield from _with_depth(child, depth + 1)
