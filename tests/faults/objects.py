"""S3 in memory: versions, conditional commits, multipart uploads, checksums that are checked.

Documents: Amazon S3 User Guide, "Conditional writes", "Checking object integrity", "Multipart
upload overview"; API Reference, the errors of each operation. A part's least size is scaled down
(`least_part_bytes`), so that exports of some KiB have several parts.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from awscrt import checksums

from archiver.catalogue import FOLDER
from tests.addresses import addressing_client
from tests.faults.aws_calls import call_aws, client_error, service_faults
from tests.faults.chaos import COPY_WEIGHT, FOREVER_SECONDS, Chaos, Fault, Stall

__all__ = ["ARCHIVE", "S3_HOST", "SOURCE", "Objects", "Source", "Upload", "Version", "encode_crc"]

ARCHIVE = "archive"
SOURCE = "vendor-exports"
S3_HOST = f"{ARCHIVE}.s3.amazonaws.com"  # as botocore has it in us-east-1
_FAULTS = service_faults("s3")
_COMMIT_WEIGHT = 5.0  # and the commit is the moment that counts


@dataclass(frozen=True)
class Version:
    """One committed object."""

    key: str
    version_id: str
    body: bytes
    etag: str
    crc: str
    metadata: Mapping[str, str]
    at: float
    by: str


@dataclass
class Upload:
    """A multipart upload, what was ever stored in it, and what runs know of that."""

    upload_id: str
    key: str
    metadata: Mapping[str, str]
    by: str
    at: float
    parts: dict[int, bytes] = field(default_factory=dict)
    state: str = "open"  # completed, aborted, given up (by S3 itself)
    ended_by: str = ""
    log: list[tuple[int, int, str]] = field(default_factory=list)  # number, size, by whom
    known: set[tuple[str, int]] = field(default_factory=set)  # who knows of which finished part


@dataclass(frozen=True)
class Source:
    """An export as it is now, and what it is called."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class _Body:
    """A body to be read; what it shows of itself is what it holds (exhaustive.py, `plain`)."""

    content: bytes

    def read(self) -> bytes:
        """Return all of it."""
        return self.content


def encode_crc(body: bytes) -> str:
    """Return CRC64NVME as S3 writes it."""
    return base64.b64encode(int(checksums.crc64nvme(body)).to_bytes(8, "big")).decode()


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _minutes(draw: random.Random) -> float:
    return draw.choice([draw.uniform(1.0, 60.0), draw.uniform(60.0, 400.0)])


# S3 goes on with a commit whether or not anybody waits. While it assembles an object it sends white
# space to keep the connection, then says what became of it (API Reference,
# CompleteMultipartUpload).
_LATE_COMMITS = (
    Fault(
        "commit takes long in silence",
        1,
        None,
        "aws",
        stall=lambda draw, _: Stall(before=_minutes(draw), late=True),
    ),
)
_DRIPPING_COMMITS = (
    *[
        Fault(
            "complete drips, then it is done",
            1,
            None,
            "aws",
            stall=lambda draw, _: Stall(before=_minutes(draw), late=True, drips=True),
        )
    ]
    * 2,
    Fault(
        "complete drips, then an error",
        0,
        lambda: client_error("InternalError", 500, "CompleteMultipartUpload"),
        "aws",
        stall=lambda draw, _: Stall(before=_minutes(draw), drips=True),
        retried=True,
    ),
    Fault(
        "complete drips for ever",
        0,
        lambda: TimeoutError("timed out"),
        "aws",
        stall=lambda *_: Stall(before=FOREVER_SECONDS / 2, drips=True),
    ),
)


class Objects:
    """A client's methods, and what is behind them."""

    def __init__(self, chaos: Chaos, *, least_part_bytes: int) -> None:
        self.versions: dict[str, list[Version]] = {}  # of exports
        self.entries: dict[str, list[Version]] = {}  # of the catalogue
        self.uploads: dict[str, Upload] = {}
        self.page = 2  # of ListParts and ListMultipartUploads; S3's own is 1,000
        self.meta = addressing_client().meta
        self.upload_part = addressing_client().upload_part  # asked where parts go; sends nothing
        self.on_commit: Callable[[Version], None] = lambda _: None
        self.on_entry: Callable[[Version], None] = lambda _: None
        self.on_begin: Callable[[Upload], None] = lambda _: None
        self.on_first_part: Callable[[Upload], None] = lambda _: None
        self.on_abort: Callable[[Upload], None] = lambda _: None
        self.sources: Callable[[str], Source | None] = lambda _: None  # what our role may read
        self._chaos = chaos
        self._least_part_bytes = least_part_bytes
        self._count = 0

    # --- what the function calls ---

    def head_object(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Look at an object, ours or a source."""
        return self._call(f"HeadObject {call['Key'][-12:]}", lambda: self._head(call))

    def get_object(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Read a range of an object."""
        return self._call(f"GetObject {call['Key'][-12:]}", lambda: self._get(call))

    def put_object(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Commit an object at once."""
        conflict = Fault("put answered 409", 0, lambda: _conflict("PutObject"), "aws")
        return self._call(
            "PutObject", lambda: self._put(call), conflict, *_LATE_COMMITS, weight=_COMMIT_WEIGHT
        )

    def create_multipart_upload(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Begin an upload."""
        return self._call("CreateMultipartUpload", lambda: self._create(call))

    def upload_part_copy(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Copy a part from a source."""
        name = f"UploadPartCopy {call['PartNumber']}"
        answer = self._call(name, lambda: self._copy(call), self._vanishing(call))
        self.deliver(call["UploadId"], call["PartNumber"])
        return answer

    def complete_multipart_upload(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Commit an upload."""

        def vanish() -> None:
            self.give_up(call["UploadId"])

        operation = "CompleteMultipartUpload"
        return self._call(
            operation,
            lambda: self._complete(call),
            self._vanishing(call),
            *[Fault("complete answered 409", 0, lambda: _conflict(operation), "aws", vanish)] * 3,
            Fault(
                "complete answered InvalidPart",
                0,
                lambda: client_error("InvalidPart", 400, operation),
                "aws",
            ),
            # botocore finds an error in a 200 and raises it as a 500, after its own retries.
            *[
                Fault(
                    "complete answered 200 with an error inside",
                    0,
                    lambda: client_error("InternalError", 500, operation),
                    "aws",
                    retried=True,
                )
            ]
            * 3,
            *_LATE_COMMITS,
            *_DRIPPING_COMMITS,
            weight=_COMMIT_WEIGHT,
        )

    def abort_multipart_upload(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Give an upload up."""
        return self._call("AbortMultipartUpload", lambda: self._abort(call))

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """Return what lists an upload's parts, or a prefix's uploads."""
        pages = {"list_parts": self._list_parts, "list_multipart_uploads": self._list_uploads}
        return SimpleNamespace(paginate=pages[operation])

    # --- what parts.py hands on ---

    def store_part(self, key: str, upload_id: str, number: int, body: bytes) -> str:
        """Store a part; returns its ETag."""
        upload = self._open_upload(key, upload_id, "UploadPart")
        if (self._who(), number) in upload.known:
            raise self._chaos.violate(f"part {number} of {upload_id} was copied twice")
        if not upload.parts:
            self.on_first_part(upload)
        upload.parts[number] = body
        upload.log.append((number, len(body), self._who()))
        return f'"{_md5(body)}"'

    def deliver(self, upload_id: str, number: int) -> None:
        """Note that a run has heard that its part is stored."""
        self.uploads[upload_id].known.add((self._who(), number))

    def give_up(self, upload_id: str) -> None:
        """Let S3 lose an upload."""
        upload = self.uploads.get(upload_id)
        if upload is not None and upload.state == "open":
            upload.state, upload.ended_by = "given up", self._who()

    # --- inside ---

    def _call(
        self,
        name: str,
        act: Any,  # noqa: ANN401 - a closure
        *more: Fault,
        weight: float = COPY_WEIGHT,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = call_aws(
            self._chaos,
            f"s3 {name}",
            act,
            (*_FAULTS, *more),
            weight=weight,
            locked=False,
        )
        return answer

    def _who(self) -> str:
        run = self._chaos.run()
        return run.name if run else "-"

    def _vanishing(self, call: Mapping[str, Any]) -> Fault:
        return Fault(
            "s3 gave the upload up", 1, None, "aws", lambda: self.give_up(call["UploadId"])
        )

    def _head(self, call: Mapping[str, Any]) -> dict[str, Any]:
        if call["Bucket"] == SOURCE:
            source = self._granted(call["Key"], "HeadObject")
            return {"ContentLength": len(source.body), "ETag": source.etag}
        current = self._current(call["Key"])
        if current is None:
            raise client_error("404", 404, "HeadObject")
        told = {"ChecksumCRC64NVME": current.crc} if call.get("ChecksumMode") == "ENABLED" else {}
        return {
            "ContentLength": len(current.body),
            "ETag": current.etag,
            "VersionId": current.version_id,
            "Metadata": dict(current.metadata),
            **told,
        }

    def _get(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._check_bucket(call)
        current = self._current(call["Key"])
        if current is None:
            raise client_error("NoSuchKey", 404, "GetObject")
        if call.get("IfMatch", current.etag) != current.etag:
            raise client_error("PreconditionFailed", 412, "GetObject")
        first, _, last = call["Range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(current.body):
            raise client_error("InvalidRange", 416, "GetObject")
        body = current.body[int(first) : int(last) + 1]
        return {"Body": _Body(body), "ContentRange": f"bytes {first}-{last}/*"}

    def _put(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._check_bucket(call)
        body = bytes(call["Body"])
        self._check_condition(call, "PutObject")
        if call.get("ChecksumCRC64NVME") != encode_crc(body):
            raise client_error("BadDigest", 400, "PutObject")
        return self._commit(call["Key"], body, f'"{_md5(body)}"', call.get("Metadata", {}))

    def _create(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._check_bucket(call)
        if (call["ChecksumAlgorithm"], call["ChecksumType"]) != ("CRC64NVME", "FULL_OBJECT"):
            raise self._chaos.violate("an upload without a checksum of the whole object")
        self._count += 1
        upload = Upload(
            f"u{self._count}.{call['Key'][-8:]}",
            call["Key"],
            call.get("Metadata", {}),
            self._who(),
            self._chaos.scheduler.now,
        )
        self.uploads[upload.upload_id] = upload
        self.on_begin(upload)
        return {"UploadId": upload.upload_id}

    def _copy(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._check_bucket(call)
        source = self._granted(call["CopySource"]["Key"], "UploadPartCopy")
        if call["CopySourceIfMatch"] != source.etag:
            raise client_error("PreconditionFailed", 412, "UploadPartCopy")
        body = source.body
        if "CopySourceRange" in call:
            first, _, last = call["CopySourceRange"].removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1]
        etag = self.store_part(call["Key"], call["UploadId"], call["PartNumber"], body)
        return {"CopyPartResult": {"ETag": etag, "ChecksumCRC64NVME": encode_crc(body)}}

    def _complete(self, call: Mapping[str, Any]) -> dict[str, Any]:
        operation = "CompleteMultipartUpload"
        self._check_bucket(call)
        upload = self._open_upload(call["Key"], call["UploadId"], operation)
        self._check_condition(call, operation)
        named = call["MultipartUpload"]["Parts"]
        numbers = [part["PartNumber"] for part in named]
        if numbers != sorted(set(numbers)):
            raise client_error("InvalidPartOrder", 400, operation)
        for part in named:
            self._check_part(upload, part, operation)
        bodies = [upload.parts[number] for number in numbers]
        if any(len(body) < self._least_part_bytes for body in bodies[:-1]):
            raise client_error("EntityTooSmall", 400, operation)
        whole = b"".join(bodies)
        if call.get("MpuObjectSize", len(whole)) != len(whole):
            raise client_error("InvalidRequest", 400, operation)
        if call.get("ChecksumCRC64NVME", encode_crc(whole)) != encode_crc(whole):
            raise client_error("BadDigest", 400, operation)
        upload.state, upload.ended_by = "completed", self._who()
        joined = b"".join(bytes.fromhex(_md5(body)) for body in bodies)
        return self._commit(upload.key, whole, f'"{_md5(joined)}-{len(bodies)}"', upload.metadata)

    def _check_part(self, upload: Upload, part: Mapping[str, Any], operation: str) -> None:
        body = upload.parts.get(part["PartNumber"])
        if body is None or part["ETag"].strip('"') != _md5(body):
            raise client_error("InvalidPart", 400, operation)
        if part.get("ChecksumCRC64NVME", encode_crc(body)) != encode_crc(body):
            raise client_error("InvalidPart", 400, operation)

    def _abort(self, call: Mapping[str, Any]) -> dict[str, Any]:
        upload = self._open_upload(call["Key"], call["UploadId"], "AbortMultipartUpload")
        upload.state, upload.ended_by = "aborted", self._who()
        self.on_abort(upload)
        return {}

    def _list_parts(self, **call: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's own
        def page(after: int) -> dict[str, Any]:
            upload = self._open_upload(call["Key"], call["UploadId"], "ListParts")
            numbers = [number for number in sorted(upload.parts) if number > after][: self.page]
            upload.known |= {(self._who(), number) for number in numbers}
            return {"Parts": [_listed(number, upload.parts[number]) for number in numbers]}

        after = 0
        while True:
            answer = self._call("ListParts", lambda after=after: page(after), self._vanishing(call))
            yield answer
            if len(answer["Parts"]) < self.page:
                return
            after = answer["Parts"][-1]["PartNumber"]

    def _list_uploads(self, **call: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's own
        self._check_bucket(call)
        prefix = call.get("Prefix", "")

        def page(skip: int) -> dict[str, Any]:
            found = [u for u in self.open_uploads() if u.key.startswith(prefix)]
            return {
                "Uploads": [
                    {"Key": u.key, "UploadId": u.upload_id} for u in found[skip : skip + self.page]
                ]
            }

        skip = 0
        while True:
            answer = self._call("ListMultipartUploads", lambda skip=skip: page(skip))
            yield answer if answer["Uploads"] else {}
            if len(answer["Uploads"]) < self.page:
                return
            skip += self.page

    def open_uploads(self) -> list[Upload]:
        """Return what would cost money until the lifecycle rule takes it."""
        return [upload for upload in self.uploads.values() if upload.state == "open"]

    def _open_upload(self, key: str, upload_id: str, operation: str) -> Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise self._chaos.violate(f"{operation} of an upload that never was: {upload_id}")
        if upload.state != "open":
            raise client_error("NoSuchUpload", 404, operation)
        return upload

    def _check_condition(self, call: Mapping[str, Any], operation: str) -> None:
        if call.get("IfNoneMatch") == "*" and self._current(call["Key"]) is not None:
            raise client_error("PreconditionFailed", 412, operation)

    def _commit(
        self, key: str, body: bytes, etag: str, metadata: Mapping[str, str]
    ) -> dict[str, Any]:
        is_entry = key.startswith(FOLDER)
        versions = (self.entries if is_entry else self.versions).setdefault(key, [])
        version = Version(
            key,
            f"v{len(versions) + 1}",
            body,
            etag,
            encode_crc(body),
            metadata,
            self._chaos.scheduler.now,
            self._who(),
        )
        versions.append(version)
        self._chaos.note(f"COMMITTED {key[-20:]} {version.version_id} ({len(body)} bytes)")
        (self.on_entry if is_entry else self.on_commit)(version)
        return {
            "ETag": version.etag,
            "VersionId": version.version_id,
            "ChecksumCRC64NVME": version.crc,
        }

    def _current(self, key: str) -> Version | None:
        versions = (self.entries if key.startswith(FOLDER) else self.versions).get(key)
        return versions[-1] if versions else None

    def _granted(self, key: str, operation: str) -> Source:
        source = self.sources(key)
        if source is None:
            raise client_error("AccessDenied", 403, operation)
        return source

    def _check_bucket(self, call: Mapping[str, Any]) -> None:
        if call["Bucket"] != ARCHIVE:
            raise self._chaos.violate(f"a write to another bucket: {call['Bucket']}")


def _listed(number: int, body: bytes) -> dict[str, Any]:
    return {
        "PartNumber": number,
        "Size": len(body),
        "ETag": f'"{_md5(body)}"',
        "ChecksumCRC64NVME": encode_crc(body),
    }


def _conflict(operation: str) -> Exception:
    return client_error("ConditionalRequestConflict", 409, operation)
