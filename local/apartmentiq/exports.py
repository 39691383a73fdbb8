"""What an export is made of: bytes in hand, a file, or gigabytes that exist only while being read.

The stand-in serves exports of any size, so content here is always handed out in views of at most
one MiB. Nothing in this file may hold a whole export in memory, and nothing may depend on
`archiver`: the stand-in is independent evidence of what the archiver copied.
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from awscrt import checksums

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "BytesExport",
    "Export",
    "FileExport",
    "SyntheticExport",
    "crc64nvme_of",
    "sha256_of",
]

_MIB = 1024 * 1024
_PART_BYTES = 64 * _MIB  # what a vendor's own multipart upload might use; it only shapes the ETag
_STEP = 7919  # odd, hence coprime to the power of two that counts the rotations: none repeats early


class Export(Protocol):
    """Content that can be read from any offset, again and again, always the same."""

    @property
    def size_bytes(self) -> int:
        """Return the whole length."""
        ...

    def chunks(self, start: int, length: int) -> Iterator[memoryview]:
        """Yield the bytes of a range in views of at most 1 MiB, each valid until the next."""
        ...

    def etag(self) -> str:
        """Return the entity tag that S3 would give this content, without its quotes."""
        ...


@dataclass(frozen=True, slots=True)
class BytesExport:
    """A small export that is simply there."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        """Return the whole length."""
        return len(self.content)

    def chunks(self, start: int, length: int) -> Iterator[memoryview]:
        """Yield the bytes of a range."""
        view = memoryview(self.content)
        for offset in range(start, start + length, _MIB):
            yield view[offset : min(offset + _MIB, start + length)]

    def etag(self) -> str:
        """Return the MD5, as S3 does for an upload in one part."""
        return _md5(self.content)


@dataclass(frozen=True, slots=True)
class FileExport:
    """An export that lies on disk."""

    path: Path

    @property
    def size_bytes(self) -> int:
        """Return the file's length."""
        return self.path.stat().st_size

    def chunks(self, start: int, length: int) -> Iterator[memoryview]:
        """Yield the bytes of a range through one reused buffer."""
        buffer = memoryview(bytearray(min(_MIB, length)))
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while length > 0 and (count := file.readinto(buffer[:length])):
                length -= count
                yield buffer[:count]

    def etag(self) -> str:
        """Return the MD5 of the file's bytes."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks(0, self.size_bytes):
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class SyntheticExport:
    """An export of any size that is made while being read, the same each time.

    The content is one block of 1 MiB, again and again, each time turned by another multiple of
    `stride_bytes`: a copy that swaps, repeats or drops a part cannot have the same digest. Turning
    costs two slices and no copy, which is what keeps this faster than any network. A `block` must
    be 1 MiB long and `stride_bytes` a power of two; by default the block is pseudo-random.
    """

    size_bytes: int
    seed: int = 0
    prefix: bytes = b""
    block: bytes | None = None
    stride_bytes: int = 1

    def chunks(self, start: int, length: int) -> Iterator[memoryview]:
        """Yield the bytes of a range as slices of the block."""
        end = start + length
        if start < len(self.prefix):
            head = memoryview(self.prefix)[start:end]
            start += len(head)
            yield head
        doubled = _doubled(self.block or _random_block(self.seed))
        while start < end:
            index, within = divmod(start - len(self.prefix), _MIB)
            turn = index * _STEP % (_MIB // self.stride_bytes) * self.stride_bytes
            count = min(_MIB - within, end - start)
            yield doubled[turn + within : turn + within + count]
            start += count

    def etag(self) -> str:
        """Return a tag in the multipart form, for hashing gigabytes would tell nobody more."""
        recipe = f"{self.size_bytes}:{self.seed}:{self.stride_bytes}:".encode()
        material = recipe + self.prefix + (self.block or b"")
        return f"{_md5(material)}-{max(1, -(-self.size_bytes // _PART_BYTES))}"


def sha256_of(export: Export) -> str:
    """Return the SHA-256 of the whole content in hexadecimal, reading it in small views."""
    digest = hashlib.sha256()
    for chunk in export.chunks(0, export.size_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def crc64nvme_of(export: Export) -> bytes:
    """Return the CRC64NVME of the whole content, eight bytes in the order that S3 encodes."""
    crc = 0
    for chunk in export.chunks(0, export.size_bytes):
        crc = checksums.crc64nvme(chunk, crc)
    return int(crc).to_bytes(8, "big")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@functools.cache
def _random_block(seed: int) -> bytes:
    return random.Random(seed).randbytes(_MIB)  # noqa: S311 - file content, not a secret


@functools.lru_cache(maxsize=8)
def _doubled(block: bytes) -> memoryview:
    if len(block) != _MIB:
        raise ValueError(f"a synthetic block is {_MIB} bytes long, not {len(block)}")
    return memoryview(block + block)
