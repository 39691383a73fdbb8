"""The streaming copy's part loop, against a store in memory and a source that makes trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from archiver.claim import Checkpoint
from archiver.errors import Deferral, Failure, Transient
from archiver.network.outside import RunWorkers
from archiver.network.workers import run_in_threads
from archiver.telemetry import NoSteps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import ObjectSpec, Part, Upload, UploadGone, WrongBytes
from archiver.transfer.plan import MIB
from archiver.transfer.source import ExportSource, LinkReader, SourceChanged, SourceHead
from archiver.transfer.streaming import StreamingCopy
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "streaming"})
SIZE_BYTES = 40 * MIB + 7  # three parts
PAYLOAD = bytes(range(256)) * (SIZE_BYTES // 256 + 1)


@dataclass
class FakeSource:
    """An export in memory. `troubles` are raised, one after the other, by the reads that come."""

    troubles: list[Exception] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reader(self) -> FakeSource:
        """Return itself: it is safe for threads."""
        return self

    def read(self, start: int, size_bytes: int, head: SourceHead) -> Iterator[memoryview]:
        """Yield the range in pieces; trouble comes after the first piece."""
        assert head.size_bytes == SIZE_BYTES
        with self.lock:
            self.reads.append(start)
            trouble = self.troubles.pop(0) if self.troubles else None
        view = memoryview(PAYLOAD)[start : start + size_bytes]
        for offset in range(0, size_bytes, MIB):
            yield view[offset : offset + MIB]
            if trouble is not None:
                raise trouble

    def interrupt(self) -> None:
        """Interrupt nothing: memory is quick."""

    def close(self) -> None:
        """Close nothing."""


def head(checksum: str | None = None) -> SourceHead:
    """Return what the first answer told."""
    return SourceHead(SIZE_BYTES, '"source"', None, checksum)


@dataclass
class Attempt:
    """What one attempt writes down, and hands to the next."""

    store: FakeStore
    known: Checkpoint | None = None
    first: bool = True
    saved: list[Checkpoint] = field(default_factory=list)

    def copy(
        self,
        source: FakeSource,
        *,
        remaining: Callable[[], float] = lambda: 900,
        held: Callable[[], bool] = lambda: True,
        checksum: str | None = None,
        in_flight: int = 8,
        run_workers: RunWorkers = run_in_threads,
    ) -> None:
        """Copy in parts, without pauses."""
        streaming = StreamingCopy(
            self.store,
            NoSteps(),
            remaining,
            held=held,
            pause=lambda _: None,
            in_flight=in_flight,
            run_workers=run_workers,
        )
        uploads = Uploads(self.store, "k", self.known, self.first, self._save)
        opened = cast("LinkReader", source)
        streaming.copy_large(cast("ExportSource", source), opened, head(checksum), SPEC, uploads)

    def _save(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            self.saved.append(checkpoint)

    def next(self) -> Attempt:
        """Return the attempt that goes on."""
        return Attempt(self.store, self.saved[-1], first=False)


def copy(
    store: FakeStore, source: FakeSource, *, remaining: float = 900, checksum: str | None = None
) -> None:
    """Copy in a first attempt."""
    Attempt(store).copy(source, remaining=lambda: remaining, checksum=checksum)


def test_parts_of_any_order_make_the_whole_with_its_checksum() -> None:
    """The combined checksum is that of the export's bytes; each byte is read once."""
    store, source = FakeStore(), FakeSource()
    copy(store, source)
    whole = encode_crc64nvme(crc64nvme(PAYLOAD[:SIZE_BYTES]))
    assert store.objects["k"].checksum_crc64nvme == whole
    assert sorted(source.reads) == [0, 16 * MIB, 32 * MIB]
    assert store.asked == {"create": 1, "part": 3, "complete": 1}


def test_a_part_that_breaks_off_is_read_again_and_no_other() -> None:
    """Two broken reads cost two more, of the same parts; the upload goes on."""
    store = FakeStore()
    source = FakeSource([Transient("network", "broke off"), Transient("network", "broke off")])
    copy(store, source)
    assert len(source.reads) == 5
    assert store.asked["create"] == 1
    assert store.objects["k"].size_bytes == SIZE_BYTES


def test_a_part_that_keeps_breaking_off_fails_and_keeps_what_is_finished() -> None:
    """Five tries a part, then the message's redelivery goes on with the upload."""
    store = FakeStore()
    attempt = Attempt(store)
    with pytest.raises(Transient):
        attempt.copy(FakeSource([Transient("network", "broke off") for _ in range(15)]))
    assert store.asked["abort"] == 0
    assert store.objects == {}
    attempt.next().copy(FakeSource())
    assert store.objects["k"].size_bytes == SIZE_BYTES
    assert store.asked["create"] == 1


@pytest.mark.parametrize("trouble", [Failure("vendor_error", "odd"), SourceChanged(), KeyError()])
def test_what_no_retry_mends_ends_the_copy_at_once(trouble: Exception) -> None:
    """The first error is the one that is told, and the other workers stop."""
    store = FakeStore()
    source = FakeSource([trouble])
    with pytest.raises(type(trouble)):
        copy(store, source)
    assert len(source.reads) <= 3
    assert store.objects == {}


def test_a_store_that_refuses_trailers_gets_the_parts_from_a_buffer() -> None:
    """Ceph over TLS: after the first refusals the parts are sent the other way."""
    store = FakeStore(refuses_trailers=True, takes_trailers=None)
    copy(store, FakeSource())
    assert store.objects["k"].size_bytes == SIZE_BYTES
    assert 1 <= store.asked["refused"] <= 3


def test_a_store_that_tells_no_checksums_is_asked_for_sizes_before_the_commit() -> None:
    """One that took a trailer's framing for content is found out in time."""
    store = FakeStore(tells_checksums=False)
    copy(store, FakeSource())
    assert store.asked["list"] == 1

    class Framing(FakeStore):
        """Holds the framing with the part."""

        def list_parts(self, upload: Upload) -> list[Part]:
            return [replace(part, size_bytes=16 * MIB + 54) for part in super().list_parts(upload)]

    framing = Framing(tells_checksums=False)
    with pytest.raises(Failure, match="another size"):
        copy(framing, FakeSource())
    assert framing.objects == {}


def test_a_store_that_lists_every_sending_of_a_part_is_asked_for_the_right_one() -> None:
    """What was sent under the number before is not named at the commit, and does not matter."""

    class Keeping(FakeStore):
        def list_parts(self, upload: Upload) -> list[Part]:
            return [
                each
                for part in super().list_parts(upload)
                for each in (replace(part, size_bytes=9), part, replace(part, size_bytes=8))
            ]

    store = Keeping(tells_checksums=False)
    Attempt(store).copy(FakeSource())
    assert store.objects["k"].size_bytes == SIZE_BYTES


def test_without_time_for_a_part_nothing_is_begun() -> None:
    """No upload is created that this invocation could put nothing into."""
    store = FakeStore()
    with pytest.raises(Deferral) as deferred:
        copy(store, FakeSource(), remaining=5)
    assert deferred.value.reason == "out_of_time"
    assert deferred.value.wait_seconds is None
    assert store.asked == {}


def test_out_of_time_after_a_part_goes_on_at_once_and_sends_no_part_again() -> None:
    """The next attempt reads from the source only what the first did not finish."""
    store = FakeStore()
    first = Attempt(store)
    source = FakeSource()
    with pytest.raises(Deferral) as deferred:
        first.copy(source, remaining=lambda: 1 if store.asked["part"] else 900, in_flight=1)
    assert deferred.value.reason == "out_of_time"
    assert deferred.value.wait_seconds == 0
    assert source.reads == [0]
    resumed = FakeSource()
    first.next().copy(resumed)
    assert sorted(resumed.reads) == [16 * MIB, 32 * MIB]
    assert store.asked["create"] == 1
    whole = encode_crc64nvme(crc64nvme(PAYLOAD[:SIZE_BYTES]))
    assert store.objects["k"].checksum_crc64nvme == whole


def test_a_copy_whose_parts_are_all_there_is_only_committed() -> None:
    """However little time such an attempt has: S3 finishes a Complete without us."""
    store = FakeStore()
    first = Attempt(store)
    with pytest.raises(WrongBytes):  # S3 holds all parts, and the attempt ended there
        first.copy(FakeSource(), checksum="AAAAAAAAAAA=")
    source = FakeSource()
    first.next().copy(source)
    assert source.reads == []
    assert store.asked["complete"] == 1


def test_a_source_that_changed_between_attempts_begins_a_new_upload() -> None:
    """Parts of two exports never meet in one object; the old upload is aborted."""
    store = FakeStore()
    before = Checkpoint("upload-0", 16 * MIB, "other", SIZE_BYTES, "streaming")
    store.uploads["upload-0"] = {}
    Attempt(store, before, first=False).copy(FakeSource())
    assert store.asked["abort"] == 1
    assert store.uploads == {}
    assert store.objects["k"].size_bytes == SIZE_BYTES


def test_an_upload_that_vanished_is_said_to_be_gone() -> None:
    """It may have been committed: the caller looks before anything is copied again."""
    store, source = FakeStore(), FakeSource()
    known = Checkpoint("upload-9", 16 * MIB, "source", SIZE_BYTES, "streaming")
    with pytest.raises(UploadGone):
        Attempt(store, known, first=False).copy(source)
    assert source.reads == []


def test_an_upload_that_was_never_written_down_is_aborted_by_the_next_attempt() -> None:
    """A kill between the creation and the writing leaves nothing behind."""
    store = FakeStore()
    store.uploads["upload-0"] = {}
    Attempt(store, known=None, first=False).copy(FakeSource())
    assert store.uploads == {}
    assert store.objects["k"].size_bytes == SIZE_BYTES


def test_an_upload_that_cannot_be_written_down_is_aborted() -> None:
    """Nobody would go on with it."""
    store = FakeStore()

    def refuse(_: Checkpoint | None) -> None:
        raise Deferral("in_progress_elsewhere", "taken over")

    uploads = Uploads(store, "k", None, True, refuse)  # noqa: FBT003 - the first attempt
    with pytest.raises(Deferral):
        uploads.open(SPEC, SIZE_BYTES, "source", 16 * MIB)
    assert store.uploads == {}


def test_a_part_of_another_size_is_sent_again() -> None:
    """What S3 lists counts only if it is the part that the plan asks for."""
    store = FakeStore()
    first = Attempt(store)
    with pytest.raises(WrongBytes):
        first.copy(FakeSource(), checksum="AAAAAAAAAAA=")
    upload_id = first.saved[0].upload_id
    store.uploads[upload_id][2] = replace(store.uploads[upload_id][2], size_bytes=5 * MIB)
    source = FakeSource()
    first.next().copy(source)
    assert source.reads == [16 * MIB]


def test_a_run_that_was_overtaken_takes_no_further_part() -> None:
    """Another runtime holds the job: this one ends quietly."""
    with pytest.raises(Deferral) as deferred:
        Attempt(FakeStore()).copy(FakeSource(), held=lambda: False)
    assert deferred.value.reason == "in_progress_elsewhere"


def test_a_worker_that_hangs_when_time_is_up_does_not_hold_the_others() -> None:
    """The copy ends in time, and the parts that were finished count."""
    store = FakeStore()
    hanging = threading.Event()

    def hang(number: int) -> None:
        if number == 2:
            hanging.wait(30)

    def soon(
        tasks: Sequence[Callable[[], None]],
        *,
        seconds_left: Callable[[], float],  # noqa: ARG001 - 890 here
        interrupt: Callable[[], None],
    ) -> Sequence[BaseException]:
        return run_in_threads(tasks, seconds_left=lambda: 0.2, interrupt=interrupt)

    store.on_part = hang
    first = Attempt(store)
    try:
        with pytest.raises(Deferral) as deferred:
            first.copy(FakeSource(), run_workers=soon)
    finally:
        hanging.set()
    assert deferred.value.reason == "out_of_time"
    assert 2 not in store.uploads[first.saved[0].upload_id]


def test_bytes_that_differ_from_the_sources_own_checksum_are_not_committed() -> None:
    """Where the link lets S3 tell the source's checksum, it is compared before the commit."""
    store = FakeStore()
    with pytest.raises(WrongBytes):
        copy(store, FakeSource(), checksum="AAAAAAAAAAA=")
    assert store.objects == {}
    right = FakeStore()
    copy(right, FakeSource(), checksum=encode_crc64nvme(crc64nvme(PAYLOAD[:SIZE_BYTES])))
    assert right.objects["k"].size_bytes == SIZE_BYTES
