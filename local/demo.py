"""`make demo`: the deployed stack archives a handful of exports before one's eyes.

It orders jobs at the stand-in, sends them by every way in, watches the bytes move, and then checks
what came of each: it fetches every archived object back and compares its SHA-256 with the source's.
It must not soften what it sees: anything that is not as promised is said in a sentence, and the
exit code is 1. How that looks is local/demo_screen.py's.
"""

from __future__ import annotations

import hashlib
import sys
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import urllib3
from rich.text import Text

from local.apartmentiq import sha256_of
from local.aws.expansion import ParameterError
from local.aws.runtime_installation import InstallationError
from local.aws.stack import StackError
from local.cloud import CloudError, LocalCloud
from local.demo_orders import MONTHS, ORDER_SCHEDULE, order_a_year
from local.demo_screen import (
    Copies,
    CopyJob,
    Coverage,
    Finding,
    Letter,
    Phases,
    lake_table,
    make_console,
    next_steps,
    show_coverage,
    show_event,
    show_findings,
    show_letters,
    show_waterfall,
)
from local.export_reader import UnfitError
from local.lake import read_lake
from local.loader import ExampleLoader
from local.sample_exports import (
    empty_export,
    floorplans_parquet,
    large_csv,
    property_jsonl,
    units_csv,
)
from local.state_folder import DEMO_FOLDER, StateFolderError
from local.surroundings import NoRoomError, Room, sentence_of, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from local.apartmentiq import VendorStandIn
    from local.aws.queues import Message
    from local.aws.traces import Trace
    from local.sample_exports import SampleExport

__all__ = ["run_demo"]

_MIB = 1024 * 1024
_LOOK_SECONDS = 0.5
_STEP_SECONDS = 5.0
_BASE_DEADLINE_SECONDS = 90.0  # the promise for 256 MiB on two cores
_SECONDS_PER_MIB = 0.35  # beyond that: moto needs 20 s for a GiB, a slow disk three times as long
_PLAN_SECONDS = 60.0  # for what takes 6 on two cores
_SHA256_CHUNK_BYTES = _MIB
# moto keeps an object's value in temporary files and copies it with the object: 605 MiB were seen
# for 64, 1,180 for 128 (moto 5.2.5). In the state folder lie the copy for people and the consumer's
# database: 190 MiB for 128. The rest is slack for logs and the small exports.
_TEMPORARY_COPIES, _KEPT_COPIES, _SLACK_BYTES = 10, 2, 64 * _MIB

_ENDS = {  # what the bars call it
    "Export Archived": "archived",
    "Export Rejected": "rejected",
    "Export Failed At Vendor": "ended",
}

Outcome = Literal["archived", "rejected", "ended at the vendor"]


@dataclass(frozen=True, slots=True)
class Errand:
    """One job of the demo: how it is sent, and what must come of it."""

    number: int
    export: str
    sent_as: str
    job_id: str
    send: Callable[[LocalCloud], object]
    expected: Outcome = "archived"
    reason: str | None = None
    sample: SampleExport | None = None
    times: int = 1

    @property
    def title(self) -> str:
        """The job as sentences name it."""
        return f"job {self.number} ({self.export}, {self.sent_as})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an errand; `problems` is empty when all was as promised."""

    errand: Errand
    outcome: str
    detail: Mapping[str, Any] | None
    checksum_equal: bool | None
    peak_rss_bytes: int | None
    problems: tuple[str, ...]


def run_demo(size_mib: int, coverage: Callable[[LocalCloud], Coverage]) -> int:
    """Run the demo with a large export of `size_mib` and return the exit code.

    `coverage` tells of a stack's orders. Ctrl-C ends all that was started and then reaches the
    caller as KeyboardInterrupt.
    """
    try:
        return _run(make_console(), size_mib, coverage)
    except (
        *(CloudError, ParameterError, StackError),
        *(StateFolderError, InstallationError, NoRoomError),
    ) as error:
        print(f"local demo: {error}", file=sys.stderr)
    except OSError as error:
        if (sentence := sentence_of(error)) is None:
            raise
        print(f"local demo: {sentence}", file=sys.stderr)
    return 1


def _run(console: Console, size_mib: int, coverage: Callable[[LocalCloud], Coverage]) -> int:
    started_at = time.monotonic()
    parameters = {"OrderSchedule": ORDER_SCHEDULE}
    cloud = LocalCloud(state_folder=DEMO_FOLDER, parameters=parameters)
    phases = Phases(console)
    room = _room(cloud, size_mib)
    room.check()
    with room.watched(), ExitStack() as running:
        with phases.phase("deploy", "template.yaml into the embedded cloud"):
            running.enter_context(cloud)
            loader = ExampleLoader.subscribe(cloud)
        if cloud.vendor is None:
            raise ValueError("the demo needs the stand-in, not another vendor")
        with phases.phase("order", "exports at ApartmentIQ's stand-in"):
            errands = _prepare_errands(cloud, cloud.vendor, size_mib)
        deadline = _BASE_DEADLINE_SECONDS + max(0, size_mib - 256) * _SECONDS_PER_MIB
        problems = _send_and_watch(phases, console, cloud, errands, room, deadline)
        with phases.phase("verify", "every object, byte by byte, against its source"):
            verdicts = [_judge(cloud, errand) for errand in errands]
        problems += _all_problems(cloud, errands, verdicts)
        if problems:
            room.raise_if_full()
        with phases.phase("load", "what was archived, by the example consumer"):
            code, log = loader.run()
        _show(console, cloud, verdicts)
        problems += _check_lake(console, cloud, loader, verdicts, None if code == 0 else log)
        problems += _order_a_year(phases, console, cloud, cloud.vendor, coverage)
        with phases.phase("stop", "the embedded cloud"):
            running.close()
    if problems:
        room.raise_if_full()
    for problem in problems:
        console.print(Text(f"NOT AS PROMISED: {problem}", style="bold red"))
    if problems:
        console.print(f"The function's own logs are in {_shown(cloud.logs_path)}", soft_wrap=True)
        return 1
    console.print(f"All as promised, in {time.monotonic() - started_at:.0f} s.")
    next_steps(console, _shown(cloud.archive_path))
    return 0


def _room(cloud: LocalCloud, size_mib: int) -> Room:
    large_bytes = size_mib * _MIB
    return Room(
        {
            temporary_folder(): large_bytes * _TEMPORARY_COPIES + _SLACK_BYTES,
            cloud.state_folder: large_bytes * _KEPT_COPIES + _SLACK_BYTES,
        }
    )


# --- what is ordered and how it is sent ---


def _prepare_errands(cloud: LocalCloud, vendor: VendorStandIn, size_mib: int) -> list[Errand]:
    customer = _Customer(cloud, vendor)
    return [
        customer.errand(large_csv(size_mib), "id", _send_id),
        customer.errand(empty_export(), "id", _send_id),
        customer.errand(units_csv(), "id", _send_id),
        customer.errand(floorplans_parquet(), "event", _put_event),
        customer.errand(property_jsonl(), "job object", _send_object),
        customer.errand(units_csv(), "id, 3 times", _send_id, times=3),
        customer.called_back_errand(floorplans_parquet()),
        customer.unknown_errand(),
        customer.failed_errand(),
    ]


class _Customer:
    """Orders jobs through the vendor's API with a token of its own, as a company's system would."""

    def __init__(self, cloud: LocalCloud, vendor: VendorStandIn) -> None:
        self._vendor = vendor
        self._callback_url = cloud.callback_url
        self._numbers = count(1)
        self._http = urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False)

    def errand(
        self,
        sample: SampleExport,
        sent_as: str,
        send: Callable[[LocalCloud, dict[str, Any]], object],
        times: int = 1,
    ) -> Errand:
        """Order an export, let the vendor complete it, and say how it is to be sent."""
        job_id = self._order(sample)
        job = self._vendor.complete_job(job_id, sample.content).document()
        return Errand(
            next(self._numbers),
            sample.title,
            sent_as,
            job_id,
            lambda cloud: send(cloud, job),
            sample=sample,
            times=times,
        )

    def called_back_errand(self, sample: SampleExport) -> Errand:
        """Order an export with our callback URL: the vendor itself says when it is finished."""
        job_id = self._order(sample, callback_url=self._callback_url)

        def complete_and_wait(_: LocalCloud) -> None:
            self._vendor.complete_job(job_id, sample.content)
            self._vendor.callbacks.wait_for(job_id)

        number = next(self._numbers)
        return Errand(number, sample.title, "callback", job_id, complete_and_wait, sample=sample)

    def unknown_errand(self) -> Errand:
        """Send a job that the vendor does not know, in a message too old to wait until it does."""
        job_id = str(uuid.uuid4())
        seen = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        return Errand(
            next(self._numbers),
            "nobody's job",
            "id",
            job_id,
            lambda cloud: cloud.send({"job_id": job_id}, {"first_seen_at": seen}),
            expected="rejected",
            reason="no_such_job",
        )

    def failed_errand(self) -> Errand:
        """Order an export and let the job fail at the vendor."""
        job_id = self._order(units_csv())
        job = self._vendor.fail_job(job_id, "The report could not be generated").document()
        return Errand(
            next(self._numbers),
            "failed there",
            "id",
            job_id,
            lambda cloud: _send_id(cloud, job),
            expected="ended at the vendor",
            reason="job_failed",
        )

    def _order(self, sample: SampleExport, callback_url: str | None = None) -> str:
        order = sample.order
        fields: dict[str, object] = {
            "report_type": order.report_type,
            "output_format": order.output_format,
            "start_date": order.start_date,
            "end_date": order.end_date,
            "property_ids": list(order.property_ids),
        }
        if callback_url is not None:
            fields["callback_url"] = callback_url
        answer = self._http.request(
            "POST",
            f"{self._vendor.api_base_url}/bulk_api/jobs",
            json=fields,
            headers={"Authorization": f"Bearer {self._vendor.access_token}"},
        )
        return str(answer.json()["job_id"])


def _send_id(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.send({"job_id": job["job_id"]})


def _send_object(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.send(job)


def _put_event(cloud: LocalCloud, job: dict[str, Any]) -> None:
    cloud.put_event({"job_id": job["job_id"]})


# --- while it runs ---


def _send_and_watch(
    phases: Phases,
    console: Console,
    cloud: LocalCloud,
    errands: Sequence[Errand],
    room: Room,
    deadline_seconds: float,
) -> list[str]:
    """Send every errand and wait for the last; returns what is wrong with the waiting."""
    copies = Copies([_copy_job(errand) for errand in errands])
    assert cloud.vendor is not None  # noqa: S101 - _run has looked
    cloud.vendor.on_link_bytes = copies.read
    with phases.phase("copy", "each job's export into the bucket", copies):
        for errand in errands:
            for _ in range(errand.times):
                errand.send(cloud)
        return _wait(console, cloud, copies, room, deadline_seconds)


def _copy_job(errand: Errand) -> CopyJob:
    size_bytes = errand.sample.content.size_bytes if errand.sample else 0
    return CopyJob(errand.number, errand.job_id, errand.export, size_bytes)


def _wait(
    console: Console, cloud: LocalCloud, copies: Copies, room: Room, deadline_seconds: float
) -> list[str]:
    """Wait until all is done; a message that only waits for its time is told that it has come."""
    started_at = stepped_at = time.monotonic()
    while (now := time.monotonic()) < started_at + deadline_seconds:
        try:
            cloud.wait_until_quiet(_LOOK_SECONDS)
        except TimeoutError:
            room.raise_if_full()
            _tell_ends(cloud, copies)
            if now - stepped_at < _STEP_SECONDS or cloud.running_count:
                continue
            stepped_at = now
            if waiting := cloud.skip_waiting():
                console.print(f"{waiting} message(s) wait for a later try; the demo makes it now.")
        else:
            return []
    return [f"the queue was not empty after {deadline_seconds:.0f} s"]


def _tell_ends(cloud: LocalCloud, copies: Copies) -> None:
    for event in cloud.emitted_events():
        detail = event["detail"]
        outcome = _ENDS.get(event["detail-type"])
        if outcome and (job_id := _job_id(detail)):
            copies.end(job_id, outcome, float(detail.get("duration_seconds", 0.0)))


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
    outcome = "archived" if events else "MISSING"
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
    outcome = f"ended: {', '.join(reasons) or 'NO EVENT'}"
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


def _check_lake(
    console: Console,
    cloud: LocalCloud,
    loader: ExampleLoader,
    verdicts: Sequence[Verdict],
    failure: str | None,
) -> list[str]:
    """Hold what the example consumer loaded against what the archived files themselves say."""
    current = _current_jobs([verdict.detail for verdict in verdicts if verdict.detail])
    loaded = loader.loaded_rows() if failure is None else {}
    problems = []
    if loaded.keys() != current:
        console.print(failure or "")
        problems.append("the example consumer did not load exactly what is current")
    try:
        lake = read_lake(cloud.archive_path)
    except UnfitError as error:
        return [*problems, f"an archived file cannot be read: {error}"]
    if not problems and sum(row.current_row_count for row in lake) != sum(loaded.values()):
        problems.append("the current archived files hold other rows than the consumer loaded")
    rows = f"{len(loaded)} exports with {sum(loaded.values()):,} rows"
    lake_table(console, lake, f"Loaded on the events by the example consumer: {rows}.")
    return problems


def _current_jobs(details: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return of each window and set of properties the job that was created last (docs/athena.md).

    The stand-in tells all of every job, so none is by itself.
    """
    names = ("report_type", "output_format", "start_date", "end_date", "property_set")
    jobs = [detail["job"] for detail in details]
    jobs.sort(key=lambda job: (job["created_at"], job["job_id"]))
    return set({tuple(job[name] for name in names): str(job["job_id"]) for job in jobs}.values())


# --- what is ordered by a plan ---


def _order_a_year(
    phases: Phases,
    console: Console,
    cloud: LocalCloud,
    vendor: VendorStandIn,
    coverage: Callable[[LocalCloud], Coverage],
) -> list[str]:
    """Let a plan come true although an answer is lost; show what is archived of it."""
    console.print()
    with phases.phase("plan", f"{MONTHS} months of units, and one answer lost"):
        problems = order_a_year(cloud, vendor, _PLAN_SECONDS)
    found = coverage(cloud)
    show_coverage(console, found.lines)
    if found.missing_windows or len(found.archived) != MONTHS:
        problems.append(
            f"archiver coverage tells {len(found.archived)} of {MONTHS} months archived, and "
            f"{found.missing_windows} missing"
        )
    return problems


# --- what is shown ---


def _show(console: Console, cloud: LocalCloud, verdicts: Sequence[Verdict]) -> None:
    show_findings(console, [_finding(verdict) for verdict in verdicts])
    numbers = {verdict.errand.job_id: f"#{verdict.errand.number}" for verdict in verdicts}
    show_letters(
        console,
        [
            Letter(numbers.get(job_id := _attribute(letter, "job_id"), job_id), reason, detail)
            for letter in cloud.dead_letters()
            for reason, detail in [(_attribute(letter, "reason"), _attribute(letter, "detail"))]
        ],
    )
    events = cloud.emitted_events()
    first = (events[0]["detail-type"], events[0]["detail"]) if events else None
    show_event(console, Counter(event["detail-type"] for event in events), first)
    largest = verdicts[0].errand
    if trace := _trace_of(cloud, largest.job_id):
        show_waterfall(console, trace, largest.title)


def _finding(verdict: Verdict) -> Finding:
    errand, detail = verdict.errand, verdict.detail or {}
    stored = detail.get("object", {})
    return Finding(
        number=errand.number,
        export=errand.export,
        sent_as=errand.sent_as,
        outcome=verdict.outcome,
        key=stored.get("key"),
        size_bytes=stored.get("size_bytes"),
        seconds=detail.get("duration_seconds"),
        copy_method=detail.get("copy_method"),
        checksum_equal=verdict.checksum_equal,
        peak_rss_bytes=verdict.peak_rss_bytes,
        is_as_promised=not verdict.problems,
    )


def _shown(path: Path) -> str:
    """Return a path as a person in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _trace_of(cloud: LocalCloud, job_id: str) -> Trace | None:
    for trace in cloud.traces():
        if any(segment.annotations.get("job_id") == job_id for segment in trace.walk()):
            return trace
    return None
