"""An S3 in memory that keeps its promises, and notes what it was asked.

It stands behind the same interface as aws/object_store.py (transfer/contract.py), so that the
transfer can be tried at sizes and with faults that no server on this machine could take.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import (
    Committed,
    Found,
    ObjectExists,
    ObjectSpec,
    Part,
    SourceHead,
    SourceNotGranted,
    TrailerRefused,
    Upload,
    UploadGone,
)

__all__ = ["FakeStore"]

Chunks = Callable[[], Iterator[memoryview]]


@dataclass
class FakeStore:
    """One bucket. `granted` are the sources that it may copy from: (size in bytes, ETag)."""

    bucket: str = "archive"
    granted: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    refuses_trailers: bool = False
    takes_trailers: bool | None = True  # as far as it is known
    tells_checksums: bool = True
    asked: Counter[str] = field(default_factory=Counter)
    objects: dict[str, Found] = field(default_factory=dict)
    uploads: dict[str, dict[int, Part]] = field(default_factory=dict)
    buffers: dict[int, int] = field(default_factory=dict)  # their sizes, by identity
    ranges: list[str | None] = field(default_factory=list)
    on_part: Callable[[int], None] = lambda number: None  # noqa: ARG005 - a hook for faults
    lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key: str) -> Found | None:
        """HEAD."""
        self.asked["head"] += 1
        return self.objects.get(key)

    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed:
        """PutObject with If-None-Match."""
        self.asked["put"] += 1
        assert crc == crc64nvme(body)
        return self._commit(spec.key, len(body), encode_crc64nvme(crc), spec.metadata)

    def begin_upload(self, spec: ObjectSpec) -> Upload:
        """CreateMultipartUpload."""
        self.asked["create"] += 1
        upload = Upload(spec.key, f"upload-{self.asked['create']}")
        self.uploads[upload.upload_id] = {}
        return upload

    def part_writer(self) -> FakePartWriter:
        """Return a writer of parts into this store."""
        return FakePartWriter(self)

    def copy_part(
        self,
        upload: Upload,
        number: int,
        source: Mapping[str, str],
        etag: str,
        byte_range: str | None,
    ) -> Part:
        """UploadPartCopy with CopySourceIfMatch."""
        self.on_part(number)
        size_bytes, current = self._granted(source)
        if current != etag:
            raise SourceNotGranted("PreconditionFailed")
        if byte_range is None:
            copied = size_bytes
        else:
            start, _, end = byte_range.removeprefix("bytes=").partition("-")
            copied = int(end) - int(start) + 1
        with self.lock:
            self.asked["copy"] += 1
            self.ranges.append(byte_range)
            part = Part(number, f'"{number:032x}"', copied, None, None)
            self.uploads[upload.upload_id][number] = part
        return replace(part, size_bytes=0)

    def list_parts(self, upload: Upload) -> list[Part]:
        """ListParts."""
        self.asked["list"] += 1
        if upload.upload_id not in self.uploads:
            raise UploadGone
        held = self.uploads[upload.upload_id]
        return [held[number] for number in sorted(held)]

    def uploads_at(self, key: str) -> list[Upload]:
        """ListMultipartUploads."""
        self.asked["list_uploads"] += 1
        return [Upload(key, upload_id) for upload_id in self.uploads]

    def commit_upload(
        self, upload: Upload, parts: Sequence[Part], size_bytes: int, crc: int | None
    ) -> Committed:
        """CompleteMultipartUpload with If-None-Match; it refuses what S3 refuses."""
        self.asked["complete"] += 1
        if upload.upload_id not in self.uploads:
            raise UploadGone
        held = self.uploads[upload.upload_id]
        sizes = [held[number].size_bytes for number in sorted(held)]
        assert [part.number for part in parts] == sorted(held)
        assert sum(sizes) == size_bytes
        assert all(size >= 5 << 20 for size in sizes[:-1])
        told = encode_crc64nvme(crc) if crc is not None and self.tells_checksums else None
        committed = self._commit(upload.key, size_bytes, told, {})
        del self.uploads[upload.upload_id]
        return committed

    def abort_upload(self, upload: Upload) -> None:
        """AbortMultipartUpload."""
        self.asked["abort"] += 1
        self.uploads.pop(upload.upload_id, None)

    def describe_source(self, source: Mapping[str, str]) -> SourceHead:
        """HEAD of a source."""
        self.asked["head_source"] += 1
        return SourceHead(*self._granted(source), None, None)

    def _granted(self, source: Mapping[str, str]) -> tuple[int, str]:
        try:
            return self.granted[source["Bucket"], source["Key"]]
        except KeyError:
            raise SourceNotGranted("AccessDenied") from None

    def _commit(
        self, key: str, size_bytes: int, told: str | None, metadata: Mapping[str, str]
    ) -> Committed:
        if key in self.objects:
            raise ObjectExists
        self.objects[key] = Found(size_bytes, '"etag"', "v1", told, metadata)
        return Committed('"etag"', "v1", told)


@dataclass
class FakePartWriter:
    """Reads a part as the real one does, and keeps only its size and checksum."""

    store: FakeStore

    def send_streaming(self, upload: Upload, number: int, size_bytes: int, chunks: Chunks) -> Part:
        """UploadPart with a trailer."""
        if self.store.refuses_trailers:
            for _ in chunks():  # as Ceph, which answers at the end
                pass
            self.store.asked["refused"] += 1
            self.store.takes_trailers = False
            raise TrailerRefused
        part = self._send(upload, number, size_bytes, chunks)
        self.store.takes_trailers = True
        return part

    def send_buffered(
        self, upload: Upload, number: int, size_bytes: int, chunks: Chunks, buffer: memoryview
    ) -> Part:
        """UploadPart with a header."""
        assert len(buffer) >= size_bytes
        with self.store.lock:
            self.store.buffers |= {id(buffer): len(buffer)}
        return self._send(upload, number, size_bytes, chunks)

    def _send(self, upload: Upload, number: int, size_bytes: int, chunks: Chunks) -> Part:
        self.store.on_part(number)
        crc = held = 0
        for chunk in chunks():
            crc, held = crc64nvme(chunk, crc), held + len(chunk)
        assert held == size_bytes
        told = encode_crc64nvme(crc) if self.store.tells_checksums else None
        part = Part(number, f'"{number:032x}"', held, crc, told)
        with self.store.lock:
            self.store.asked["part"] += 1
            if upload.upload_id not in self.store.uploads:
                raise UploadGone
            listed = part if told else replace(part, crc=None)
            self.store.uploads[upload.upload_id][number] = listed
        return part

    def interrupt(self) -> None:
        """Interrupt nothing: memory is quick."""

    def close(self) -> None:
        """Close nothing."""
