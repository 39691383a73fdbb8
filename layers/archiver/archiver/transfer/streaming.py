"""The streaming copy: ranged reads of the link feed an upload, memory independent of the size.

What fits one PUT is read into one buffer and committed in that one request. Beyond it, workers take
parts in order, each reading through a small buffer of its own into a part upload; the commit is one
conditional Complete. A part that fails is read again from the source, never kept "in case"; a part
that is finished is never sent again, whatever happens to the attempt that sent it (checkpoint.py).

All parts that may be in flight start at once where that is known to work: in a job's first run,
with plenty of time, to a store that takes trailers. Otherwise one part goes first, alone. It shows
how long parts take (pace.py says why the copy then finishes), and whether the store refuses
trailers, at the price of that one part, the only one that is read twice.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TypeVar

from archiver.errors import Deferral, Failure, Transient
from archiver.network.outside import RunWorkers
from archiver.network.workers import run_in_threads
from archiver.receipt import Ends, bare_etag
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
from archiver.transfer.plan import IN_FLIGHT, MIB, PartPlan, PartRange
from archiver.transfer.source import ExportSource, LinkReader

__all__ = ["StreamingCopy", "commit_parts", "out_of_time"]

_T = TypeVar("_T")

_ATTEMPTS = 5  # of a part, and of asking for the export
_FIRST_PAUSE_SECONDS = 0.2
_PUT_ATTEMPTS = 3
# What AWS gives a function, 625 Mbit/s: so long does a part take, alone, until one has been timed.
_FUNCTION_BYTES_PER_SECOND = 78_000_000
# A store that refuses trailers gets whole parts from memory; two of them hide each other's waiting.
_MOST_BUFFERS = 2
_PROCESS_BYTES = 96 * MIB  # what the function takes beside them (`make bench-memory` holds it)
_LEAST_MEMORY_BYTES = 128 * MIB  # Lambda's


@dataclass
class StreamingCopy:
    """Copies by reading and writing.

    `remaining_seconds`: how long the invocation may run. `held`: whether the job is still ours.
    `memory_bytes`: what the process may take in all; only a store that refuses trailers makes use
    of it.
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
    memory_bytes: int = _LEAST_MEMORY_BYTES

    def fits_one_put(self, size_bytes: int) -> bool:
        """Tell whether an export of this size is one for `copy_small`, in the time that is left."""
        return self.plan.fits_one_put(size_bytes, self._pace().seconds_for_one())

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
        return Copied(committed, crc, expected, Ends.of(body, spec.content_encoding))

    def copy_large(
        self,
        source: ExportSource,
        opened: LinkReader,
        head: SourceHead,
        spec: ObjectSpec,
        uploads: Uploads,
    ) -> Copied:
        """Copy in parts and commit them, resuming with those that an earlier attempt finished.

        `opened` is the reader that asked for the export: the first part goes on from its answer.
        An upload that is not committed stays, for the next attempt to resume. Raises WrongBytes
        where the copy is not what the source tells: then it is of no use to anybody.
        """
        while True:
            if self._pace().seconds_left() <= 0:
                raise out_of_time(progress=False)
            lane = _Lane(opened, self.store.part_writer())  # the store may be known by its host
            upload = self._open(uploads, spec, head)
            loop = _PartLoop(self, source, head, upload, self._pace(upload.parts[0].size_bytes))
            try:
                finished = loop.run(lane, first_run=uploads.first_attempt)
            except _TooLargeForMemory:
                uploads.discard()  # now the store is known, and smaller parts are chosen
                opened = source.reader()
            else:
                break
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

    def buffers(self, part_bytes: int) -> int:
        """Return how many parts of this size may be held in memory at once."""
        return min(_MOST_BUFFERS, (self.memory_bytes - _PROCESS_BYTES) // part_bytes)

    def _pace(self, part_bytes: int = 0) -> Pace:
        guess_seconds = part_bytes / _FUNCTION_BYTES_PER_SECOND
        return Pace(self.remaining_seconds, self.monotonic, guess_seconds)

    def _open(self, uploads: Uploads, spec: ObjectSpec, head: SourceHead) -> OpenUpload:
        """Open an upload whose parts fit: into a run, and into memory where they must.

        Raises Failure("aws_error") where the export is too large for what may be held in memory.
        """
        buffered = self.store.takes_trailers is False
        room_bytes = (self.memory_bytes - _PROCESS_BYTES) / _MOST_BUFFERS
        part_bytes = self.plan.part_size(
            head.size_bytes, self._pace().seconds_for_one(), room_bytes if buffered else math.inf
        )
        if buffered and not self.buffers(part_bytes):
            needed = -(-(part_bytes + _PROCESS_BYTES) // MIB)
            raise Failure(
                "aws_error",
                "The store refuses checksums in trailers, so that parts are sent from memory; an "
                f"export of {head.size_bytes} bytes needs a MemorySize of {needed} at least.",
            )
        known = uploads.known
        if buffered and known is not None and not self.buffers(known.part_size_bytes):
            uploads.discard()
        return uploads.open(
            spec,
            head.size_bytes,
            bare_etag(head.etag),
            part_bytes,
            with_checksums=head.checksum_crc64nvme is not None,
        )

    def retrying(self, act: Callable[[], _T], give_up: Callable[[], bool] = bool) -> _T:
        """Retry what may pass within seconds, with backoff; the last error is raised.

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


@dataclass(frozen=True, slots=True)
class _Lane:
    """Two connections, one to read from and one to write to, for one worker at a time."""

    reader: LinkReader
    sender: PartSender

    def interrupt(self) -> None:
        """Make whoever waits on either fail at once."""
        self.reader.interrupt()
        self.sender.interrupt()

    def close(self) -> None:
        """Close both; either opens again when it is used again."""
        self.reader.close()
        self.sender.close()


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
    progress: bool = False

    def run(self, lane: _Lane, *, first_run: bool) -> list[Part]:
        """Return all parts in order, or raise the first error.

        Raises Deferral("out_of_time") and Deferral("in_progress_elsewhere").
        """
        self._finished = dict(self.open.finished)
        self._waiting = iter(p for p in self.open.parts if p.number not in self._finished)
        self._lanes: Sequence[_Lane] = ()
        self._buffers = _Buffers(self.copy.buffers(self.open.parts[0].size_bytes))
        try:
            self._send_all(lane, first_run=first_run)
        finally:
            self._buffers.free()  # an error's traceback may keep this loop for a while
        self._check_finished()
        return [self._finished[part.number] for part in self.open.parts]

    def _send_all(self, lane: _Lane, *, first_run: bool) -> None:
        most = self._most()
        alone = not first_run or self.copy.store.takes_trailers is None
        if most and (alone or self.pace.at_once(most) < most):
            self._work_together([lane], only_one=True)
        at_once = self.pace.at_once(self._most())
        if self.stop.is_set():
            return  # somebody may still be at it
        if at_once:
            self._work_together([lane, *(self._lane() for _ in range(at_once - 1))])
        else:
            lane.close()

    def _most(self) -> int:
        """Return how many parts may be in flight, whatever the time."""
        most = min(self.copy.in_flight, len(self.open.parts) - len(self._finished))
        refuses_trailers = self.copy.store.takes_trailers is False
        return min(most, self._buffers.count) if refuses_trailers else most

    def _lane(self) -> _Lane:
        return _Lane(self.source.reader(), self.copy.store.part_writer())

    def _work_together(self, lanes: Sequence[_Lane], *, only_one: bool = False) -> None:
        """Let each lane take a part, and then others as long as they can be expected to end."""
        self._lanes = lanes
        firsts = islice(self._waiting, len(lanes))
        errors = self.copy.run_workers(
            [
                partial(self._work, lane, part, only_one=only_one)
                for lane, part in zip(lanes, firsts, strict=True)
            ],
            seconds_left=self.pace.seconds_left,
            interrupt=self._interrupt,
        )
        for error in errors:
            if not isinstance(error, _Stopped):
                raise error

    def _check_finished(self) -> None:
        complete = len(self._finished) == len(self.open.parts)
        # A fresh attempt that finds all parts there commits them, however long that may take.
        if not complete or (self.progress and not self.pace.admits_commit(len(self.open.parts))):
            raise out_of_time(progress=self.progress)

    def _interrupt(self) -> None:
        self.stop.set()
        for lane in self._lanes:
            lane.interrupt()

    def _work(self, lane: _Lane, first: PartRange, *, only_one: bool) -> None:
        part: PartRange | None = first
        keep = False
        try:
            self._check_held()
            while part is not None:
                with self.pace.timed():
                    sent = self._send_somehow(part, lane)
                with self.lock:
                    self._finished[part.number] = sent
                    self.progress = True
                part = None if only_one else self._take()
            keep = only_one
        finally:
            if not keep:
                lane.close()

    def _send_somehow(self, part: PartRange, lane: _Lane) -> Part:
        send = partial(self._send, part, lane)
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

    def _send(self, part: PartRange, lane: _Lane) -> Part:
        def chunks() -> Iterator[memoryview]:
            for chunk in lane.reader.read(part.start, part.size_bytes, self.head):
                if self.stop.is_set():
                    raise _Stopped
                yield chunk

        upload, size_bytes = self.open.upload, part.size_bytes
        if self.copy.store.takes_trailers is not False:
            try:
                return lane.sender.send_streaming(upload, part.number, size_bytes, chunks)
            except TrailerRefused:
                pass
        if not self._buffers.count:
            raise _TooLargeForMemory
        with self._buffers.lend(self.open.parts[0].size_bytes) as buffer:
            return lane.sender.send_buffered(upload, part.number, size_bytes, chunks, buffer)


class _Buffers:
    """The few parts that are held in memory at once, whoever sends them. Made when first needed.

    They are mapped, not allocated: malloc keeps what is freed, and a runtime's third such copy left
    48 MiB more behind than its first.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free: list[memoryview] = []
        self._turns = threading.Semaphore(count)

    @contextmanager
    def lend(self, size_bytes: int) -> Iterator[memoryview]:
        """Lend a buffer of this size, the same for all calls; waits until one is free."""
        with self._turns:
            buffer = self._free.pop() if self._free else _mapped(size_bytes)
            try:
                yield buffer
            finally:
                self._free.append(buffer)

    def free(self) -> None:
        """Give the memory back."""
        self._free.clear()


def _mapped(size_bytes: int) -> memoryview:
    import mmap  # noqa: PLC0415 - AWS's S3 never has a use for it

    return memoryview(mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class _TooLargeForMemory(Exception):  # noqa: N818 - a cue to begin anew, not an error
    """The store refuses trailers, which nobody knew when the upload began with large parts."""


class _Stopped(Exception):  # noqa: N818 - a cue to a worker, not an error
    """Another worker failed, or time is up; this one's part is dropped."""


def _backoff(attempt: int) -> float:
    """Return a growing pause in seconds, jittered so that workers do not march in step."""
    return random.uniform(0, _FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret depends on it
