"""What `archiver verify` cannot try with its caller's permissions: writing to the bucket.

The bucket policy denies writes to people, so the function tries them, and must leave nothing behind
and change nothing: a part goes to an upload that is aborted again, and both commits are ones that
S3 must refuse. The result is in Lambda's answer alone. Not imported by a run that archives.
"""

from __future__ import annotations

from typing import Protocol

from archiver.errors import Failure
from archiver.receipt import Receipt
from archiver.transfer.checksum import crc64nvme
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    Found,
    ObjectExists,
    ObjectSpec,
    PartSender,
    TrailerRefused,
    Upload,
    UploadGone,
)

__all__ = ["PROBE", "PROBE_NAME", "Store", "prove_writes"]

PROBE = b"written by `archiver verify`; it should not be here, delete it\n"
PROBE_NAME = "apartmentiq-archiver-probe"  # no job's key: each has its job's id in it


class Store(Protocol):
    """The archive bucket, as far as a probe needs it (aws/object_store.py)."""

    @property
    def bucket(self) -> str: ...  # noqa: D102 - described where it is implemented
    def find(self, key: str) -> Found | None: ...  # noqa: D102
    def put_blindly(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed: ...  # noqa: D102
    def begin_upload(self, spec: ObjectSpec) -> Upload: ...  # noqa: D102
    def part_writer(self) -> PartSender: ...  # noqa: D102
    def refusal_without_condition(self, upload: Upload) -> str: ...  # noqa: D102
    def abort_upload(self, upload: Upload) -> None: ...  # noqa: D102


def prove_writes(store: Store, key_prefix: str, receipt: Receipt | None) -> dict[str, str]:
    """Try three writes and return what S3 made of each, in a word or in a sentence.

    `trailer`: "confirmed", "unconfirmed" (no checksum told), "refused". `unconditional_write`: S3's
    code; AccessDenied is the bucket's policy. `second_write`, onto the receipt's object: "refused"
    (412), "not tried" (it could do harm), or "written as version …". Whatever else went wrong is a
    sentence in its place.
    """
    spec = ObjectSpec(f"{key_prefix}{PROBE_NAME}", "text/plain", None)
    told = {"probe": "writes", "second_write": _second_write(store, receipt)}
    try:
        upload = store.begin_upload(spec)
    except Failure as failure:
        return {**told, "trailer": failure.detail, "unconditional_write": failure.detail}
    try:
        told["trailer"] = _trailer(store, upload)
        told["unconditional_write"] = _unconditional_write(store, upload)
    finally:
        store.abort_upload(upload)
    return told


def _trailer(store: Store, upload: Upload) -> str:
    writer = store.part_writer()
    try:
        part = writer.send_streaming(upload, 1, len(PROBE), lambda: iter([memoryview(PROBE)]))
    except TrailerRefused:
        return "refused"
    except UploadGone:
        return "The upload was gone before its first part."
    except Failure as failure:
        return failure.detail
    finally:
        writer.close()
    return "confirmed" if part.told_checksum else "unconfirmed"  # another one was a Failure


def _unconditional_write(store: Store, upload: Upload) -> str:
    try:
        return store.refusal_without_condition(upload)
    except Failure as failure:
        return failure.detail


def _second_write(store: Store, receipt: Receipt | None) -> str:
    """Write onto an archived object, where even an S3 that lets it happen loses nothing by it."""
    if receipt is None or receipt.version_id in {None, "null"} or receipt.bucket != store.bucket:
        return "not tried"
    try:
        found = store.find(receipt.key)
        if found is None or found.version_id != receipt.version_id:
            return "not tried"
        written = store.put_blindly(
            ObjectSpec(receipt.key, "text/plain", None), bytearray(PROBE), crc64nvme(PROBE)
        )
    except ObjectExists:
        return "refused"
    except CommitConflict:  # something else is being written there right now
        return "not tried"
    except Failure as failure:
        return failure.detail
    return f"written as version {written.version_id}"
