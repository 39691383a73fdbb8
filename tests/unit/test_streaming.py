"""The streaming copy's part loop, against a store in memory and a source that makes trouble."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from archiver.errors import Deferral, Failure, Transient
from archiver.telemetry import NoSteps
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import ObjectSpec, Upload
from archiver.transfer.plan import MIB
from archiver.transfer.source import ExportSource, LinkReader, SourceChanged, SourceHead
from archiver.transfer.streaming import StreamingCopy
from tests.unit.fakes import FakeStore

SPEC = ObjectSpec("k", "text/csv", None, {})
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

    def close(self) -> None:
        """Close nothing."""


def head(checksum: str | None = None) -> SourceHead:
    """Return what the first answer told."""
    return SourceHead(SIZE_BYTES, '"source"', None, checksum)


def copy(
    store: FakeStore, source: FakeSource, *, remaining: float = 900, checksum: str | None = None
) -> None:
    """Copy in parts, without pauses."""
    streaming = StreamingCopy(store, NoSteps(), lambda: remaining, pause=lambda _: None)
    opened = cast("LinkReader", source)
    streaming.copy_large(cast("ExportSource", source), opened, head(checksum), SPEC)


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


def test_a_part_that_keeps_breaking_off_fails_and_leaves_no_upload() -> None:
    """Five tries a part, then the message's redelivery takes over."""
    store = FakeStore()
    with pytest.raises(Transient):
        copy(store, FakeSource([Transient("network", "broke off") for _ in range(15)]))
    assert store.uploads == {}
    assert store.objects == {}


@pytest.mark.parametrize("trouble", [Failure("vendor_error", "odd"), SourceChanged(), KeyError()])
def test_what_no_retry_mends_ends_the_copy_at_once(trouble: Exception) -> None:
    """The first error is the one that is told, the other workers stop, the upload is aborted."""
    store = FakeStore()
    source = FakeSource([trouble])
    with pytest.raises(type(trouble)):
        copy(store, source)
    assert len(source.reads) <= 3
    assert store.asked["abort"] == 1
    assert store.uploads == {}


def test_a_store_that_refuses_trailers_gets_the_parts_from_a_buffer() -> None:
    """Ceph over TLS: after the first refusals the parts are sent the other way."""
    store = FakeStore(takes_trailers=False)
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

        def part_sizes(self, upload: Upload) -> dict[int, int]:
            assert upload.upload_id in self.uploads
            return dict.fromkeys((1, 2, 3), 16 * MIB + 54)

    framing = Framing(tells_checksums=False)
    with pytest.raises(Failure, match="another size"):
        copy(framing, FakeSource())
    assert framing.objects == {}
    assert framing.uploads == {}


def test_out_of_time_is_a_deferral_and_leaves_no_upload() -> None:
    """No part is begun that the commit could not follow."""
    store = FakeStore()
    with pytest.raises(Deferral) as deferred:
        copy(store, FakeSource(), remaining=5)
    assert deferred.value.reason == "out_of_time"
    assert store.uploads == {}


def test_bytes_that_differ_from_the_sources_own_checksum_are_not_committed() -> None:
    """Where the link lets S3 tell the source's checksum, it is compared before the commit."""
    store = FakeStore()
    with pytest.raises(Transient, match="do not have the checksum"):
        copy(store, FakeSource(), checksum="AAAAAAAAAAA=")
    assert store.objects == {}
    right = FakeStore()
    copy(right, FakeSource(), checksum=encode_crc64nvme(crc64nvme(PAYLOAD[:SIZE_BYTES])))
    assert right.objects["k"].size_bytes == SIZE_BYTES
