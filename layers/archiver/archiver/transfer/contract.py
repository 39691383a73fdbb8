"""What the transfer needs of an object store, and its values. Pure: dataclasses and protocols."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archiver.errors import Failure

__all__ = [
    "CommitConflict",
    "Committed",
    "Copied",
    "Found",
    "ObjectExists",
    "ObjectSpec",
    "Part",
    "PartSender",
    "Slice",
    "SourceHead",
    "SourceNotGranted",
    "Store",
    "TrailerRefused",
    "UncertainCommit",
    "Upload",
    "UploadGone",
    "UploadRefused",
    "WrongBytes",
    "kept_encoding",
]

_AWS_CHUNKED = re.compile(r"(?:^|,)\s*aws-chunked\s*(?=,|$)", re.IGNORECASE)

Chunks = Callable[[], Iterator[memoryview]]


class ObjectExists(Exception):  # noqa: N818 - a cue to compare, not an error
    """412: somebody was first at this key. Compare what is there before judging."""


class CommitConflict(Exception):  # noqa: N818 - a cue to begin anew, not an error
    """409: another conditional write was under way. A PUT is tried again, an upload begun anew."""


class SourceNotGranted(Exception):  # noqa: N818 - a cue to stream instead, not an error
    """S3 refuses to copy from the source's bucket, or does not know the source there."""


class TrailerRefused(Exception):  # noqa: N818 - a cue to send the part the other way, not an error
    """The store does not take a checksum in a trailer, as it said itself; use the header."""


class UploadGone(Exception):  # noqa: N818 - a cue to look, not an error
    """S3 knows no such upload: it was committed (look first), aborted, or has expired."""


class UploadRefused(Exception):  # noqa: N818 - a cue to list the parts again, not an error
    """S3 will not make an object of this upload: `code` says what it has against it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class WrongBytes(Exception):  # noqa: N818 - a cue to copy once more, not an error
    """A full copy, not committed, whose bytes are not those that the source tells.

    `checksum`: the copy's own CRC64NVME (base64). `told`: what the source tells, in a word.
    """

    def __init__(self, source_etag: str, checksum: str, told: str) -> None:
        super().__init__(told)
        self.source_etag = source_etag
        self.checksum = checksum
        self.told = told


class UncertainCommit(Failure):
    """The commit may have happened. Look before judging; nothing there means a Failure."""

    def __init__(self, detail: str) -> None:
        super().__init__("aws_error", detail)


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """Where an export goes and what is written beside its bytes."""

    key: str
    content_type: str
    content_encoding: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceHead:
    """What the source tells of the export.

    `checksum_crc64nvme` (base64) came with an answer of the first `checksum_bytes` bytes, None: of
    the whole. `md5` (hexadecimal) is known where the ETag is surely one.
    """

    size_bytes: int
    etag: str
    content_encoding: str | None
    checksum_crc64nvme: str | None
    checksum_bytes: int | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that S3 keeps for us."""

    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part. `crc` is what we computed, `told_checksum` what the store says (base64)."""

    number: int
    etag: str
    size_bytes: int
    crc: int | None
    told_checksum: str | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What the store says of an object that it has just committed."""

    etag: str
    version_id: str | None
    checksum_crc64nvme: str | None


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that is committed, and what we know of it ourselves.

    `crc` is our checksum of the whole (None: no byte passed through us); `expected_etag` the ETag
    that an S3 without KMS makes of these bytes or parts, where we know it.
    """

    committed: Committed
    crc: int | None
    expected_etag: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What the store says of an object that was there; `md5` where the ETag is surely one."""

    size_bytes: int
    etag: str
    version_id: str | None
    checksum_crc64nvme: str | None
    metadata: Mapping[str, str]
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of an object's bytes, and the Content-Encoding under which it is stored."""

    content: bytes = field(repr=False)
    content_encoding: str | None


def kept_encoding(told: str | None) -> str | None:
    """Return the Content-Encoding that goes with the bytes; None if there is none.

    `aws-chunked` is how an upload was framed, and S3 does not keep it ("Signature calculations for
    the authorization header", Content-Encoding); other stores and clients pass it on, and a reader
    who believes it can not decode the export.
    """
    return _AWS_CHUNKED.sub("", told or "").strip(" \t,") or None


class PartSender(Protocol):
    """Sends parts over a connection of its own."""

    def send_streaming(self, upload: Upload, number: int, size_bytes: int, chunks: Chunks) -> Part:
        """Send a part as it is read."""

    def send_buffered(
        self, upload: Upload, number: int, size_bytes: int, chunks: Chunks, buffer: memoryview
    ) -> Part:
        """Send a part after it was read into the buffer, which is large enough."""

    def interrupt(self) -> None:
        """Make a send that is under way in another thread fail at once."""

    def close(self) -> None:
        """Close the connection."""


class Store(Protocol):
    """The archive bucket; aws/object_store.py says what each does and raises."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""

    @property
    def takes_trailers(self) -> bool | None:
        """Whether a part may carry its checksum in a trailer; None: the first part will tell."""

    def find(self, key: str) -> Found | None: ...  # noqa: D102 - described where it is implemented
    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed: ...  # noqa: D102
    def begin_upload(self, spec: ObjectSpec) -> Upload: ...  # noqa: D102
    def part_writer(self) -> PartSender: ...  # noqa: D102
    def copy_part(  # noqa: D102
        self,
        upload: Upload,
        number: int,
        source: Mapping[str, str],
        etag: str,
        byte_range: str | None,
    ) -> Part: ...
    def list_parts(self, upload: Upload) -> list[Part]: ...  # noqa: D102
    def uploads_at(self, key: str) -> list[Upload]: ...  # noqa: D102
    def commit_upload(  # noqa: D102
        self, upload: Upload, parts: Sequence[Part], size_bytes: int, crc: int | None
    ) -> Committed: ...
    def abort_upload(self, upload: Upload) -> None: ...  # noqa: D102
    def describe_source(self, source: Mapping[str, str]) -> SourceHead: ...  # noqa: D102
