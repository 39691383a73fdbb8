"""The server-side copy: S3 copies bucket to bucket, no byte passes through us.

It works only where the source's bucket grants our role `s3:GetObject` (a link authorises nothing
but a GET), and goes by UploadPartCopy and a conditional Complete at every size above zero, even
where one CopyObject would do (docs/decisions/2026-11-26-server-side-as-fast-as-s3-allows.md).

S3 copies a part at some 80 MB/s and many at once, so all that we can do is to ask for many. What S3
refuses for the moment (SlowDown, any 5xx, no answer) is asked for again, half as many at once; as
long as it refuses nothing, the number grows back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from archiver.errors import Deferral, Failure
from archiver.network.outside import RunWorkers
from archiver.network.workers import run_in_threads
from archiver.receipt import bare_etag
from archiver.telemetry import Steps
from archiver.transfer.checkpoint import OpenUpload, Uploads
from archiver.transfer.contract import Copied, ObjectSpec, Part, Store
from archiver.transfer.pace import LEAVE_SECONDS, Pace
from archiver.transfer.plan import COPIES_AT_ONCE, GIB, MIB, PartPlan, PartRange
from archiver.transfer.streaming import commit_parts, out_of_time

__all__ = ["GrantedSource", "ServerSideCopy"]

# How long S3 takes for a part, fitted to awslabs/aws-c-s3 #288: 64 MiB 2.7 to 3.7 s, 128 MiB 3.7 to
# 4.8, 256 MiB 5.5 to 6.7, 512 MiB 8.5 to 11.5, 1 GiB 13.9 to 17.2.
_SECONDS_A_PART = 2.5
_SECONDS_A_MIB = 0.0135
_PARTS_A_RUN = 3  # a part takes at most this share of a run, so that short runs have smaller parts

_STEP = COPIES_AT_ONCE // 8  # eight good passes make up for a refusal at worst
_ROUNDS = 2  # what a pass with less than all asks for, before it asks for more at once
_BARREN_PASSES = 8  # 128 are halved to 1 in seven; who then still refuses is out of order


@dataclass(frozen=True, slots=True)
class GrantedSource:
    """An object in another bucket that our role may read, as it was when the copy began."""

    name: dict[str, str]  # Bucket, Key and, where the link names one, VersionId
    size_bytes: int
    etag: str
    content_encoding: str | None = None
    checksum_crc64nvme: str | None = None  # of the whole, where S3 keeps one


@dataclass
class ServerSideCopy:
    """Copies by asking S3 to. The fields are those of StreamingCopy."""

    store: Store
    steps: Steps
    remaining_seconds: Callable[[], float]
    held: Callable[[], bool] = lambda: True
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    run_workers: RunWorkers = run_in_threads
    plan: PartPlan = field(default_factory=PartPlan)

    def look(self, name: dict[str, str]) -> GrantedSource:
        """Ask whether we may read the source, and what it is; raises SourceNotGranted."""
        head = self.store.describe_source(name)
        return GrantedSource(
            name, head.size_bytes, head.etag, head.content_encoding, head.checksum_crc64nvme
        )

    def copy(self, source: GrantedSource, spec: ObjectSpec, uploads: Uploads) -> Copied:
        """Copy and commit, resuming with the parts that an earlier attempt finished.

        Raises SourceNotGranted, after which the caller streams, Deferral("out_of_time"), and the
        Failure of an S3 that refuses even one part at a time.
        """
        part_bytes = self.plan.server_side_part_size(source.size_bytes, self._most_part_bytes())
        if not self._pace(min(part_bytes, source.size_bytes)).admits_another():
            raise out_of_time(progress=False)
        upload = uploads.open(spec, source.size_bytes, bare_etag(source.etag), part_bytes)
        parts = _Asking(self, source, upload, self._pace(upload.parts[0].size_bytes)).run()
        told = source.checksum_crc64nvme
        return commit_parts(
            self.store, self.steps, upload.upload, parts, source.size_bytes, crc=None, told=told
        )

    def _most_part_bytes(self) -> int:
        seconds = (self.remaining_seconds() - LEAVE_SECONDS) / _PARTS_A_RUN - _SECONDS_A_PART
        return min(GIB, max(0, int(seconds / _SECONDS_A_MIB)) * MIB)

    def _pace(self, part_bytes: int) -> Pace:
        guess_seconds = _SECONDS_A_PART + part_bytes / MIB * _SECONDS_A_MIB
        return Pace(self.remaining_seconds, self.monotonic, guess_seconds)


@dataclass
class _Asking:
    """The requests that are under way at once, pass after pass; one pass if nothing is refused."""

    copy: ServerSideCopy
    source: GrantedSource
    open: OpenUpload
    pace: Pace

    def run(self) -> list[Part]:
        """Return all parts in order, or raise the first error."""
        self._lock = threading.Lock()
        self._late = threading.Event()
        self._finished = dict(self.open.finished)
        self._ask_until_done()
        progress = len(self._finished) > len(self.open.finished)
        if self._missing() or (progress and not self.pace.admits_commit(len(self.open.parts))):
            raise out_of_time(progress=progress)
        return [self._finished[part.number] for part in self.open.parts]

    def _ask_until_done(self) -> None:
        at_once, barren = COPIES_AT_ONCE, 0
        while (missing := self._missing()) and not self._late.is_set():
            refused = self._ask(missing, at_once)
            if refused is None:
                at_once = min(COPIES_AT_ONCE, at_once + _STEP)
                continue
            at_once = max(1, at_once // 2)
            barren = barren + 1 if len(self._missing()) == len(missing) else 0
            if barren == _BARREN_PASSES or (barren and self._late.is_set()):
                raise refused
            # Runs that S3 refused at the same time do not come back at the same time.
            self.copy.pause(random.uniform(0, 1 + barren))  # noqa: S311 - no secret depends on it

    def _missing(self) -> list[PartRange]:
        return [part for part in self.open.parts if part.number not in self._finished]

    def _ask(self, missing: list[PartRange], at_once: int) -> Failure | None:
        """Ask for parts until one is refused; return the refusal when all others have ended."""
        self._refused: Failure | None = None
        full = at_once == COPIES_AT_ONCE
        waiting = iter(missing if full else missing[: _ROUNDS * at_once])
        errors = self.copy.run_workers(
            [partial(self._work, waiting)] * min(at_once, len(missing)),
            seconds_left=self.pace.seconds_left,
            interrupt=self._late.set,
        )
        for error in errors:
            raise error
        return self._refused

    def _work(self, waiting: Iterator[PartRange]) -> None:
        while (part := self._take(waiting)) is not None:
            try:
                with self.pace.timed():
                    done = self._copy_part(part)
            except Failure as refused:
                if not self._late.is_set():  # else it was we who broke it off
                    self._refused = refused
                return
            with self._lock:
                self._finished[part.number] = done

    def _take(self, waiting: Iterator[PartRange]) -> PartRange | None:
        if not self.copy.held():
            raise Deferral("in_progress_elsewhere", "Another run has taken this job over.")
        with self._lock:
            if self._late.is_set() or self._refused is not None:
                return None
            part = next(waiting, None)
            if part is not None and not self.pace.admits_another():
                self._late.set()
                return None
            return part

    def _copy_part(self, part: PartRange) -> Part:
        # S3 takes a range only of sources above 5 MB; the only part needs none.
        whole = len(self.open.parts) == 1
        byte_range = None if whole else f"bytes={part.start}-{part.end}"
        done = self.copy.store.copy_part(
            self.open.upload, part.number, self.source.name, self.source.etag, byte_range
        )
        return replace(done, size_bytes=part.size_bytes)
