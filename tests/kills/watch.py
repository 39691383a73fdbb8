"""Sees what happens to each job, writes it down, and kills at the planned moments.

It stands where the platform stands: beside the runtimes, S3 and the vendor's link server. It must
not touch what it sees, but for the deaths that the plan asks for and a deliberate breakage.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.kills.breakage import Breakage
from tests.kills.diary import Attempt, Diary, Read, State
from tests.kills.judge import Terms

if TYPE_CHECKING:
    from local.aws.runtime import Invocation, Runtime
    from local.aws.server import RequestRecord
    from local.cloud import LocalCloud
    from tests.kills.plan import Aim, Trigger

__all__ = ["Watch", "archived_events", "look_at", "reads_between"]

_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_COMPLETE = "CompleteMultipartUpload"
_NO_PROCESS_YET_SECONDS = 0.01
_LONGEST_HOLD_SECONDS = 60.0
_LOOKS = 10


class Watch:
    """One round's observer; thread-safe. `enough` says that nobody need die any more."""

    def __init__(
        self, cloud: LocalCloud, breakage: Breakage, terms: Terms, enough: Callable[[], bool]
    ) -> None:
        self._cloud = cloud
        self._breakage = breakage
        self._terms = terms
        self._enough = enough
        self._lock = Lock()
        self._diaries: dict[str, Diary] = {}
        self._runtimes: dict[int, tuple[Runtime, Diary, Attempt, object]] = {}
        self._struck_too_late: set[int] = set()  # runtimes, by identity
        self.error: Exception | None = None
        self.pool = _PoolSide(self)
        self.aws = _AwsSide(self)

    def follow(self, diary: Diary) -> None:
        """Write down what happens to a job from now on."""
        with self._lock:
            self._diaries[diary.job_id] = diary

    def of(self, job_id: str) -> Diary | None:
        """Return a job's diary, if it is followed."""
        with self._lock:
            return self._diaries.get(job_id)

    # --- the runtimes ---

    def begin(self, runtime: Runtime, event: Any) -> None:  # noqa: ANN401 - JSON as Lambda's
        """Open an attempt, note what is there, and aim."""
        began_at = time.monotonic()
        record = event["Records"][0]
        job_id = _JOB_ID.search(record["body"])
        diary = self.of(job_id.group()) if job_id else None
        if diary is None:
            return
        self._breakage.before_attempt(self._cloud, diary)
        before = look_at(self._cloud, diary.job_id)
        vendor = self._cloud.vendor
        attempt = Attempt(
            message_id=record["messageId"],
            receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
            began_at=began_at,
            before=before,
            journal_from=len(vendor.journal) if vendor else 0,
            aim=self._next_aim(diary, before),
        )
        diary.attempts.append(attempt)
        with self._lock:
            attempt.met_a_dead_process = id(runtime) in self._struck_too_late
            self._struck_too_late.discard(id(runtime))
            self._runtimes[id(runtime)] = (runtime, diary, attempt, record)
        self._reached("begun", attempt, runtime)

    def end(self, runtime: Runtime, invocation: Invocation) -> None:
        """Close an attempt: how it ended, and what became of its message."""
        with self._lock:
            known = self._runtimes.pop(id(runtime), None)
        if known is None:
            return
        _, diary, attempt, record = known
        with attempt.lock:  # from here on no signal is sent
            attempt.ended_at = time.monotonic()
            attempt.error_type = invocation.error_type
            attempt.timed_out = invocation.timed_out
            attempt.failed = (
                bool((invocation.payload or {}).get("batchItemFailures"))
                if (invocation.succeeded)
                else False
            )
            attempt.log = invocation.log
        if attempt.stopped_at is not None and not attempt.died:
            with self._lock:
                self._struck_too_late.add(id(runtime))
        if attempt.died:
            self._breakage.after_death(self._cloud, diary, record)
        attempt.hidden_seconds = self._hidden_seconds(attempt.message_id)
        if attempt.died and not attempt.was_held(self._terms.queue_visibility_seconds):
            self._cloud.bring_back(attempt.message_id)  # its wait is known, and too long for us
        attempt.over.set()

    def _next_aim(self, diary: Diary, before: State) -> Aim | None:
        if self._enough() or diary.kills >= diary.plan.kills:
            return None
        return diary.plan.next_aim(committed=bool(before.versions))

    def _hidden_seconds(self, message_id: str) -> float | None:
        for message in self._cloud.queued_messages():
            if message.message_id == message_id:
                return message.hidden_seconds
        return None

    # --- the moments ---

    def reached(self, trigger: Trigger, job_id: str) -> Attempt | None:
        """Note that a job's running attempt has come this far."""
        with self._lock:
            running = [
                (attempt, runtime)
                for runtime, diary, attempt, _ in self._runtimes.values()
                if diary.job_id == job_id
            ]
        for attempt, runtime in running:
            self._reached(trigger, attempt, runtime)
        return running[-1][0] if running else None

    def _reached(self, trigger: Trigger, attempt: Attempt, runtime: Runtime) -> None:
        aim = attempt.aim
        if aim is None or aim.trigger != trigger or aim.how == "hold":
            return
        strike = runtime.freeze if aim.how == "freeze" else runtime.kill
        _later(aim.delay_seconds, partial(self._strike, attempt, strike))

    def _strike(self, attempt: Attempt, strike: Callable[[], bool]) -> None:
        with attempt.lock:
            if attempt.ended_at is not None or attempt.stopped_at is not None:
                return
            if strike():
                attempt.stopped_at = time.monotonic()
                return
        _later(_NO_PROCESS_YET_SECONDS, partial(self._strike, attempt, strike))

    def link_bytes(self, job_id: str, _total: int) -> None:
        """Take the vendor's word that a piece of an export is on its way."""
        diary = self.of(job_id)
        attempt = diary.running if diary else None
        if attempt is not None and not attempt.copying:
            attempt.copying = True
            self.reached("copying", job_id)


class _PoolSide:
    """What the pool of runtimes tells. What goes wrong here is ours, and must end the run."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def began(self, runtime: Runtime, event: object) -> None:
        """Open an attempt."""
        with self._own_errors():
            self._watch.begin(runtime, event)

    def ended(self, runtime: Runtime, invocation: Invocation) -> None:
        """Close it."""
        with self._own_errors():
            self._watch.end(runtime, invocation)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._watch.error = error
            raise


class _AwsSide:
    """What S3 tells: when a commit arrives, and when it has been carried out."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def began(self, record: RequestRecord) -> None:
        """See a commit arrive; hold it up for as long as the plan says."""
        attempt = self._attempt_of(record, "committing")
        if attempt is None:
            return
        attempt.commit_began_at = attempt.commit_began_at or time.monotonic()
        if attempt.aim is not None and attempt.aim.how == "hold":
            attempt.stopped_at = time.monotonic()
            attempt.over.wait(_LONGEST_HOLD_SECONDS)

    def ended(self, record: RequestRecord) -> None:
        """See a commit carried out."""
        attempt = self._attempt_of(record, "committed")
        if attempt is not None:
            attempt.commit_ended_at = time.monotonic()

    def _attempt_of(self, record: RequestRecord, trigger: Trigger) -> Attempt | None:
        if record.action != _COMPLETE:
            return None
        job_id = _JOB_ID.search(record.resource)
        return self._watch.reached(trigger, job_id.group()) if job_id else None


def look_at(cloud: LocalCloud, job_id: str) -> State:
    """Return what the cloud holds of a job now.

    moto lists without a lock: disturbed by a write, it answers 500, and is asked again.
    """
    for _ in range(_LOOKS - 1):
        with suppress(ClientError):
            return _look_once(cloud, job_id)
    return _look_once(cloud, job_id)


def _look_once(cloud: LocalCloud, job_id: str) -> State:
    item = cloud.job_item(job_id) or {}
    key = item.get("key", {}).get("S")
    if key is None:
        return State()
    uploads = cloud.clients.s3.list_multipart_uploads(Bucket=cloud.bucket, Prefix=key)
    ids = [upload["UploadId"] for upload in uploads.get("Uploads", [])]
    finished = [number for upload_id in ids for number in _parts(cloud, key, upload_id)]
    return State(
        claims=int(item.get("attempts", {}).get("N", 0)),
        archived=item.get("state") == {"S": "archived"},
        finished=frozenset(finished),
        uploads=len(ids),
        versions=int(_is_there(cloud, key)),
        events=len(archived_events(cloud, job_id)),
    )


def _is_there(cloud: LocalCloud, key: str) -> bool:
    """Look for the object alone: to list versions, moto copies the content of the whole bucket."""
    try:
        cloud.clients.s3.head_object(Bucket=cloud.bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True


def archived_events(cloud: LocalCloud, job_id: str) -> list[Mapping[str, Any]]:
    """Return the details of the `Export Archived` events of a job."""
    return [
        event["detail"]
        for event in cloud.emitted_events()
        if event["detail-type"] == "Export Archived" and event["detail"]["job"]["job_id"] == job_id
    ]


def reads_between(cloud: LocalCloud, diary: Diary) -> list[list[Read]]:
    """Return what each attempt of a job asked of the source, by the vendor's journal."""
    assert cloud.vendor is not None
    entries = cloud.vendor.journal
    starts = [attempt.journal_from for attempt in diary.attempts]
    ends = [*starts[1:], len(entries)]
    return [
        [
            Read(int(asked[1]), int(asked[2]), entry.bytes_served)
            for entry in entries[start:end]
            if entry.route == "link" and entry.job_id == diary.job_id
            if (asked := _RANGE.fullmatch(entry.headers.get("range", "")))
        ]
        for start, end in zip(starts, ends, strict=True)
    ]


def _parts(cloud: LocalCloud, key: str, upload_id: str) -> list[int]:
    with suppress(ClientError):  # completed or aborted between the two looks
        answer = cloud.clients.s3.list_parts(Bucket=cloud.bucket, Key=key, UploadId=upload_id)
        return [part["PartNumber"] for part in answer.get("Parts", [])]
    return []


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = Timer(seconds, act)
    timer.daemon = True
    timer.start()
