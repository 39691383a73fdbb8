"""The server-side copy: S3 copies bucket to bucket, no byte passes through us.

It works only where the source's bucket grants our role `s3:GetObject` (a link authorises nothing
but a GET), and goes by UploadPartCopy and a conditional Complete at every size above zero:
conditional CopyObject is young, emulators ignore it, and a 5 GiB CopyObject outlasts read time-outs
(design.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from archiver.errors import Deferral
from archiver.outside import RunWorkers
from archiver.receipt import bare_etag
from archiver.telemetry import Steps
from archiver.transfer.checkpoint import OpenUpload, Uploads
from archiver.transfer.contract import Copied, ObjectSpec, Part, Store
from archiver.transfer.pace import Pace
from archiver.transfer.plan import IN_FLIGHT, PartPlan, PartRange
from archiver.transfer.streaming import commit_parts, out_of_time
from archiver.workers import run_in_threads

__all__ = ["GrantedSource", "ServerSideCopy"]

_FIRST_GUESS_SECONDS = 10.0  # 512 MiB at some 100 MB/s, twice over, until a part has been timed


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
        """Copy and commit, going on with what an earlier attempt has finished.

        Raises SourceNotGranted, after which the caller streams, and Deferral("out_of_time").
        """
        pace = Pace(self.remaining_seconds, self.monotonic, _FIRST_GUESS_SECONDS)
        if not pace.admits_another():
            raise out_of_time(progress=False)
        part_bytes = self.plan.server_side_part_size(source.size_bytes)
        upload = uploads.open(spec, source.size_bytes, bare_etag(source.etag), part_bytes)
        parts = _Asking(self, source, upload, pace).run()
        told = source.checksum_crc64nvme
        return commit_parts(
            self.store, self.steps, upload.upload, parts, source.size_bytes, crc=None, told=told
        )


@dataclass
class _Asking:
    """The requests that are under way at once. The first error ends all of them."""

    copy: ServerSideCopy
    source: GrantedSource
    open: OpenUpload
    pace: Pace

    def run(self) -> list[Part]:
        """Return all parts in order, or raise the first error."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._finished = dict(self.open.finished)
        missing = [part for part in self.open.parts if part.number not in self._finished]
        waiting = iter(missing)
        errors = self.copy.run_workers(
            [partial(self._work, waiting)] * min(IN_FLIGHT, len(missing)),
            seconds_left=self.pace.seconds_left,
            interrupt=self._stop.set,
        )
        for error in errors:
            raise error
        progress = len(self._finished) > len(self.open.finished)
        complete = len(self._finished) == len(self.open.parts)
        if not complete or (progress and not self.pace.admits_commit(len(self.open.parts))):
            raise out_of_time(progress=progress)
        return [self._finished[part.number] for part in self.open.parts]

    def _work(self, waiting: Iterator[PartRange]) -> None:
        while (part := self._take(waiting)) is not None:
            with self.pace.timed():
                done = self._copy_part(part)
            with self._lock:
                self._finished[part.number] = done

    def _take(self, waiting: Iterator[PartRange]) -> PartRange | None:
        if not self.copy.held():
            raise Deferral("in_progress_elsewhere", "Another run has taken this job over.")
        with self._lock:
            if self._stop.is_set() or not self.pace.admits_another():
                return None
            return next(waiting, None)

    def _copy_part(self, part: PartRange) -> Part:
        # S3 takes a range only of sources above 5 MB; the only part needs none.
        whole = len(self.open.parts) == 1
        byte_range = None if whole else f"bytes={part.start}-{part.end}"
        done = self.copy.store.copy_part(
            self.open.upload, part.number, self.source.name, self.source.etag, byte_range
        )
        return replace(done, size_bytes=part.size_bytes)
