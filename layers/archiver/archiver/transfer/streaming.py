"""The streaming copy: ranged reads of the link feed an upload, memory independent of the size.

What fits one PUT is read into one buffer and committed in that one request. Beyond it, workers take
parts in order, each reading through a small buffer of its own into a part upload; the commit is one
conditional Complete. A part that fails is read again from the source, never kept "in case".
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from archiver.errors import Deferral, Failure, Transient
from archiver.telemetry import Steps
from archiver.transfer.checksum import (
    combine_crc64nvme,
    crc64nvme,
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
    Store,
    TrailerRefused,
    Upload,
)
from archiver.transfer.plan import IN_FLIGHT, PartRange, plan_parts
from archiver.transfer.source import ExportSource, LinkReader, SourceHead

__all__ = ["StreamingCopy", "commit_parts"]

_T = TypeVar("_T")

_ATTEMPTS = 5  # of a part, and of asking for the export
_FIRST_PAUSE_SECONDS = 0.2
_PUT_ATTEMPTS = 3
# Time that must remain to begin another part: a part at 5 MB/s, and the commit after it.
_RESERVE_SECONDS = 20.0
# A store that refuses trailers gets whole parts from memory; two of them bound what that takes.
_BUFFERED_IN_FLIGHT = 2


@dataclass
class StreamingCopy:
    """Copies by reading and writing. `remaining_seconds`: how long the invocation may run."""

    store: Store
    steps: Steps
    remaining_seconds: Callable[[], float]
    pause: Callable[[float], None] = time.sleep
    plan: Callable[[int], list[PartRange]] = plan_parts
    in_flight: int = IN_FLIGHT

    def copy_small(self, reader: LinkReader, head: SourceHead, spec: ObjectSpec) -> Copied:
        """Commit an export that fits one PUT."""
        body = bytearray(head.size_bytes)

        def fill() -> int:
            filled = crc = 0
            for chunk in reader.read(0, head.size_bytes, head):
                body[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
                crc = crc64nvme(chunk, crc)
            return crc

        crc = self.retrying(fill)
        check_source_checksum(head, crc)
        with self.steps.step("commit"):
            committed = self._put_once(spec, body, crc)
        # The MD5 costs 1.4 CPU s/GiB: only where the store confirms no better checksum.
        expected = single_etag(body) if committed.checksum_crc64nvme is None else None
        return Copied(committed, crc, expected)

    def copy_large(
        self, source: ExportSource, opened: LinkReader, head: SourceHead, spec: ObjectSpec
    ) -> Copied:
        """Copy in parts and commit them; an upload that is not committed is aborted.

        `opened` is the reader that asked for the export: the first part goes on from its answer.
        """
        parts = self.plan(head.size_bytes)
        upload = self.store.begin_upload(spec)
        try:
            finished = _PartLoop(self, source, head, upload, parts).run(opened)
            crc = combine_crc64nvme((part.crc or 0, part.size_bytes) for part in finished)
            check_source_checksum(head, crc)
            return commit_parts(self.store, self.steps, upload, finished, head.size_bytes, crc)
        except BaseException:
            abort_quietly(self.store, upload)
            raise

    def retrying(self, act: Callable[[], _T], give_up: Callable[[], bool] = bool) -> _T:
        """Do what may pass within seconds again, with growing pauses; the last error is raised.

        Without `give_up` every try is used (`bool()` is False).
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return act()
            except Transient:
                if give_up():
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
) -> Copied:
    """Complete an upload, after making sure that the store holds every byte of every part.

    A store that told no checksum of a part is asked for the parts' sizes first: one that took the
    framing of a trailer for content must not get as far as the commit.
    """
    if any(part.told_checksum is None for part in parts):
        held = store.part_sizes(upload)
        wrong = [p.number for p in parts if p.size_bytes and held.get(p.number) != p.size_bytes]
        if wrong:
            raise Failure("aws_error", f"The store holds part {wrong[0]} with another size.")
    with steps.step("commit"):
        committed = store.commit_upload(upload, parts, size_bytes, crc)
    return Copied(committed, crc, multipart_etag([part.etag for part in parts]))


def abort_quietly(store: Store, upload: Upload) -> None:
    """Abort an upload on the way out; the bucket's lifecycle rule takes what cannot be aborted."""
    try:
        store.abort_upload(upload)
    except Failure:
        return


def check_source_checksum(head: SourceHead, crc: int) -> None:
    """Compare with the checksum that the source told, where it told one."""
    if head.checksum_crc64nvme not in {None, encode_crc64nvme(crc)}:
        raise Transient(
            "vendor_error", "The export's bytes do not have the checksum its store tells."
        )


@dataclass
class _PartLoop:
    """The workers and what they share. The first thing that goes wrong ends all of them."""

    copy: StreamingCopy
    source: ExportSource
    head: SourceHead
    upload: Upload
    parts: list[PartRange]
    finished: dict[int, Part] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    trailers: bool = True

    def run(self, opened: LinkReader) -> list[Part]:
        """Return all parts in order, or raise the first error."""
        self._waiting = iter(self.parts[1:])
        self._buffers = threading.Semaphore(_BUFFERED_IN_FLIGHT)
        workers = min(self.copy.in_flight, len(self.parts))
        with ThreadPoolExecutor(workers, thread_name_prefix="part") as pool:
            futures = [pool.submit(self._work, opened, self.parts[0])]
            futures += [pool.submit(self._work, self.source.reader()) for _ in range(workers - 1)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self.stop.set()  # for the workers that go on after another one failed
        for future in sorted(done, key=lambda f: isinstance(f.exception(), _Stopped)):
            future.result()
        return [self.finished[part.number] for part in self.parts]

    def _work(self, reader: LinkReader, first: PartRange | None = None) -> None:
        sender = self.copy.store.part_writer()
        try:
            part = first or self._take()
            while part is not None:
                self._check_time()
                sent = self.copy.retrying(
                    partial(self._send, part, reader, sender), give_up=self.stop.is_set
                )
                with self.lock:
                    self.finished[part.number] = sent
                part = self._take()
        finally:
            reader.close()
            sender.close()

    def _take(self) -> PartRange | None:
        with self.lock:
            return None if self.stop.is_set() else next(self._waiting, None)

    def _check_time(self) -> None:
        if self.copy.remaining_seconds() < _RESERVE_SECONDS:
            raise Deferral("out_of_time", "The invocation's time was up before the last part.")

    def _send(self, part: PartRange, reader: LinkReader, sender: PartSender) -> Part:
        def chunks() -> Iterator[memoryview]:
            for chunk in reader.read(part.start, part.size_bytes, self.head):
                if self.stop.is_set():
                    raise _Stopped
                yield chunk

        if self.trailers:
            try:
                return sender.send_streaming(self.upload, part.number, part.size_bytes, chunks)
            except TrailerRefused:
                # Either this store knows no trailers, or it refuses the part itself: the other way
                # tells which, and its answer is the one to believe.
                pass
        with self._buffers:
            sent = sender.send_buffered(self.upload, part.number, part.size_bytes, chunks)
        self.trailers = False
        return sent


class _Stopped(Exception):  # noqa: N818 - a cue to a worker, not an error
    """Another worker failed; this one's part is of no use any more."""


def _backoff(attempt: int) -> float:
    """Return a growing pause in seconds, jittered so that workers do not march in step."""
    return random.uniform(0, _FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret depends on it
