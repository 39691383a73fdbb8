"""The streaming copy: ranged reads of the link feed an upload, memory independent of the size.

What fits one PUT is read into one buffer and committed in that one request. Beyond it, workers take
parts in order, each reading through a small buffer of its own into a part upload; the commit is one
conditional Complete. A part that fails is read again from the source, never kept "in case"; a part
that is finished is never sent again, whatever happens to the attempt that sent it (checkpoint.py).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from archiver.errors import Deferral, Failure, Transient
from archiver.outside import RunWorkers
from archiver.receipt import bare_etag
from archiver.telemetry import Steps
from archiver.transfer.checkpoint import OpenUpload, Uploads
from archiver.transfer.checksum import (
    combine_crc64nvme,
    crc64nvme,
    decode_crc64nvme,
    encode_crc64nvme,
    multipart_etag,
    single_etag,
)
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    Copied,
    ObjectSpec,
    Part,
    PartSender,
    SourceHead,
    Store,
    TrailerRefused,
    Upload,
    UploadRefused,
    WrongBytes,
)
from archiver.transfer.pace import LEAVE_SECONDS, Pace
from archiver.transfer.plan import IN_FLIGHT, PartPlan, PartRange
from archiver.transfer.source import ExportSource, LinkReader
from archiver.workers import run_in_threads

__all__ = ["StreamingCopy", "commit_parts", "out_of_time"]

_T = TypeVar("_T")

_ATTEMPTS = 5  # of a part, and of asking for the export
_FIRST_PAUSE_SECONDS = 0.2
_PUT_ATTEMPTS = 3
_FIRST_GUESS_SECONDS = 5.0  # 64 MiB at 40 MB/s, shared a little, until a part has been timed
# A store that refuses trailers gets whole parts from memory; two of them bound what that takes.
_BUFFERED_IN_FLIGHT = 2


@dataclass
class StreamingCopy:
    """Copies by reading and writing.

    `remaining_seconds`: how long the invocation may run. `held`: whether the job is still ours.
    """

    store: Store
    steps: Steps
    remaining_seconds: Callable[[], float]
    held: Callable[[], bool] = lambda: True
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    run_workers: RunWorkers = run_in_threads
    plan: PartPlan = field(default_factory=PartPlan)
    in_flight: int = IN_FLIGHT

    def copy_small(self, reader: LinkReader, head: SourceHead, spec: ObjectSpec) -> Copied:
        """Commit an export that fits one PUT; raises WrongBytes instead where it is not right."""
        body = bytearray(head.size_bytes)

        def fill() -> int:
            filled = crc = 0
            for chunk in reader.read(0, head.size_bytes, head):
                body[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
                crc = crc64nvme(chunk, crc)
            return crc

        crc = self.retrying(fill)
        confirmed = self._check(reader, head, crc)
        # The MD5 costs 1.4 CPU s/GiB, at most 22 ms: where nothing better tells right from wrong,
        # it is looked at before readers can see the object.
        if not confirmed and head.md5 is not None and head.md5 != single_etag(body):
            raise WrongBytes(head.etag, encode_crc64nvme(crc), "MD5 (its ETag)")
        with self.steps.step("commit"):
            committed = self._put_once(spec, body, crc)
        expected = single_etag(body) if committed.checksum_crc64nvme is None else None
        return Copied(committed, crc, expected)

    def copy_large(
        self,
        source: ExportSource,
        opened: LinkReader,
        head: SourceHead,
        spec: ObjectSpec,
        uploads: Uploads,
    ) -> Copied:
        """Copy in parts and commit them, going on with what an earlier attempt has finished.

        `opened` is the reader that asked for the export: the first part goes on from its answer.
        An upload that is not committed stays, for the next attempt to go on with. Raises WrongBytes
        where the copy is not what the source tells: then it is of no use to anybody.
        """
        pace = Pace(self.remaining_seconds, self.monotonic, _FIRST_GUESS_SECONDS)
        if not pace.admits_another():
            raise out_of_time(progress=False)
        etag = bare_etag(head.etag)
        part_bytes = self.plan.part_size(
            head.size_bytes, etag if self.store.makes_md5_etags else ""
        )
        upload = uploads.open(
            spec,
            head.size_bytes,
            etag,
            part_bytes,
            with_checksums=head.checksum_crc64nvme is not None,
        )
        finished = _PartLoop(self, source, head, upload, pace).run(opened)
        crc = _combined(finished)
        if crc is not None:
            self._check(source.reader(), head, crc)
        return commit_parts(self.store, self.steps, upload.upload, finished, head.size_bytes, crc)

    def confirms(self, reader: LinkReader, head: SourceHead, checksum: str) -> bool | None:
        """Tell whether the source tells this checksum of the whole; None where it tells none.

        S3 answers a range that is exactly one part of its object with that part's checksum (User
        Guide, "Checking object integrity", part-level checksums), and nothing in the answer says
        so. Before a disagreement counts, the range that the checksum came with is read once more.
        """
        told = head.checksum_crc64nvme
        if told is None or told == checksum:
            return None if told is None else True
        if head.checksum_bytes is None:
            return False

        def read() -> int:
            crc = 0
            for chunk in reader.read(0, head.checksum_bytes or 0, head):
                crc = crc64nvme(chunk, crc)
            return crc

        try:
            return None if told == encode_crc64nvme(self.retrying(read)) else False
        finally:
            reader.close()

    def _check(self, reader: LinkReader, head: SourceHead, crc: int) -> bool | None:
        """Compare with what the source tells, as `confirms` does; raises WrongBytes."""
        checksum = encode_crc64nvme(crc)
        confirmed = self.confirms(reader, head, checksum)
        if confirmed is False:
            raise WrongBytes(head.etag, checksum, "checksum")
        return confirmed

    def retrying(self, act: Callable[[], _T], give_up: Callable[[], bool] = bool) -> _T:
        """Do what may pass within seconds again, with growing pauses; the last error is raised.

        Without `give_up` (`bool()` is False) every try is used that there is time for.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return act()
            except Transient:
                if give_up() or self.remaining_seconds() <= LEAVE_SECONDS:
                    raise
                self.pause(_backoff(attempt))
        return act()

    def _put_once(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed:
        for attempt in range(1, _PUT_ATTEMPTS + 1):
            try:
                return self.store.put(spec, body, crc)
            except CommitConflict:
                if attempt == _PUT_ATTEMPTS:
                    raise Failure(
                        "aws_error", "S3 kept answering 409 to a conditional write."
                    ) from None
                self.pause(_backoff(attempt))
        raise AssertionError  # the loop returns or raises


def commit_parts(
    store: Store,
    steps: Steps,
    upload: Upload,
    parts: list[Part],
    size_bytes: int,
    crc: int | None,
    *,
    told: str | None = None,
) -> Copied:
    """Complete an upload, after making sure that the store holds every byte of every part.

    A store that told no checksum of a part is asked for the parts' sizes first: one that took the
    framing of a trailer for content must not get as far as the commit. S3 compares the whole with
    our checksum, or with the one that the source tells (`told`) where no byte passed through us.
    Raises UploadRefused where it would not complete the parts as it lists them either.
    """
    if any(part.told_checksum is None for part in parts):
        # SeaweedFS 4.48 lists a part that was sent twice twice, and takes the one whose ETag the
        # commit names; S3 lists the last.
        held = {(part.number, part.size_bytes) for part in store.list_parts(upload)}
        wrong = [p.number for p in parts if p.size_bytes and (p.number, p.size_bytes) not in held]
        if wrong:
            raise Failure("aws_error", f"The store holds part {wrong[0]} with another size.")
    expected = decode_crc64nvme(told) if crc is None and told is not None else crc
    with steps.step("commit"):
        try:
            committed = store.commit_upload(upload, parts, size_bytes, expected)
        except UploadRefused as refused:
            parts = _as_listed(store, upload, parts, refused)
            committed = store.commit_upload(upload, parts, size_bytes, expected)
    return Copied(committed, crc, multipart_etag([part.etag for part in parts]))


def out_of_time(*, progress: bool) -> Deferral:
    """Return the deferral of a copy that time ran out for; one that got on goes on at once."""
    return Deferral(
        "out_of_time",
        "The invocation's time was up before the last part; the copy goes on where it was.",
        wait_seconds=0 if progress else None,
    )


def _as_listed(
    store: Store, upload: Upload, parts: Sequence[Part], refused: UploadRefused
) -> list[Part]:
    """Return the parts under the ETags that the store lists, where it lists what we sent.

    A part that was sent twice has a new ETag where KMS encrypts. Raises `refused` otherwise.
    """
    held = {part.number: part for part in store.list_parts(upload)}
    listed = []
    for part in parts:
        found = held.get(part.number)
        if found is None or not found.etag or found.size_bytes != part.size_bytes:
            raise refused
        if None not in {found.crc, part.crc} and found.crc != part.crc:
            raise refused
        listed.append(replace(part, etag=found.etag))
    return listed


def _combined(parts: Sequence[Part]) -> int | None:
    """Return the whole's checksum; None if an earlier attempt's part is without one."""
    known = [(part.crc, part.size_bytes) for part in parts if part.crc is not None]
    if len(known) < len(parts):
        return None
    return combine_crc64nvme(known)


class _Interruptible(Protocol):
    """A connection's owner; another thread may make it fail."""

    def interrupt(self) -> None: ...


@dataclass
class _PartLoop:
    """The workers and what they share. The first thing that goes wrong ends all of them."""

    copy: StreamingCopy
    source: ExportSource
    head: SourceHead
    open: OpenUpload
    pace: Pace
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    trailers: bool = True
    progress: bool = False

    def run(self, opened: LinkReader) -> list[Part]:
        """Return all parts in order, or raise the first error.

        Raises Deferral("out_of_time") and Deferral("in_progress_elsewhere").
        """
        self._finished = dict(self.open.finished)
        missing = [part for part in self.open.parts if part.number not in self._finished]
        self._waiting = iter(missing[1:])
        self._busy: list[_Interruptible] = []
        self._buffers = threading.Semaphore(_BUFFERED_IN_FLIGHT)
        workers = [partial(self._work, opened, part) for part in missing[:1]]
        others = min(self.copy.in_flight, len(missing)) - 1
        workers += [partial(self._work, self.source.reader()) for _ in range(others)]
        errors = self.copy.run_workers(
            workers, seconds_left=self.pace.seconds_left, interrupt=self._interrupt
        )
        for error in errors:
            if not isinstance(error, _Stopped):
                raise error
        self._check_finished()
        return [self._finished[part.number] for part in self.open.parts]

    def _check_finished(self) -> None:
        complete = len(self._finished) == len(self.open.parts)
        # A fresh attempt that finds all parts there commits them, however long that may take.
        if not complete or (self.progress and not self.pace.admits_commit(len(self.open.parts))):
            raise out_of_time(progress=self.progress)

    def _interrupt(self) -> None:
        self.stop.set()
        with self.lock:
            busy = list(self._busy)
        for one in busy:
            one.interrupt()

    def _work(self, reader: LinkReader, first: PartRange | None = None) -> None:
        sender = self.copy.store.part_writer()
        with self.lock:
            self._busy += [reader, sender]
        try:
            part = first or self._take()
            while part is not None:
                with self.pace.timed():
                    sent = self._send_somehow(part, reader, sender)
                with self.lock:
                    self._finished[part.number] = sent
                    self.progress = True
                part = self._take()
        finally:
            reader.close()
            sender.close()

    def _send_somehow(self, part: PartRange, reader: LinkReader, sender: PartSender) -> Part:
        send = partial(self._send, part, reader, sender)
        try:
            return self.copy.retrying(send, give_up=self.stop.is_set)
        except Transient:
            if self.stop.is_set():  # it broke off because we interrupted it
                raise _Stopped from None
            raise

    def _take(self) -> PartRange | None:
        self._check_held()
        with self.lock:
            if self.stop.is_set() or not self.pace.admits_another():
                return None
            return next(self._waiting, None)

    def _check_held(self) -> None:
        if not self.copy.held():
            raise Deferral("in_progress_elsewhere", "Another run has taken this job over.")

    def _send(self, part: PartRange, reader: LinkReader, sender: PartSender) -> Part:
        def chunks() -> Iterator[memoryview]:
            for chunk in reader.read(part.start, part.size_bytes, self.head):
                if self.stop.is_set():
                    raise _Stopped
                yield chunk

        upload: Upload = self.open.upload
        if self.trailers:
            try:
                return sender.send_streaming(upload, part.number, part.size_bytes, chunks)
            except TrailerRefused:
                # Either this store knows no trailers, or it refuses the part itself: the other way
                # tells which, and its answer is the one to believe.
                pass
        with self._buffers:
            sent = sender.send_buffered(upload, part.number, part.size_bytes, chunks)
        self.trailers = False
        return sent


class _Stopped(Exception):  # noqa: N818 - a cue to a worker, not an error
    """Another worker failed, or time is up; this one's part is dropped."""


def _backoff(attempt: int) -> float:
    """Return a growing pause in seconds, jittered so that workers do not march in step."""
    return random.uniform(0, _FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret depends on it
