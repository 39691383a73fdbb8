"""Gets one export to its key, by whichever way works, and says how its bytes were verified.

Server-side first if the stack lists the source's bucket; what S3 refuses there is streamed. An
object that is already at the key is compared by its metadata: the same job and source means
archived, anything else is a conflict for a person. Nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from archiver import VERSION
from archiver.apartmentiq.link import Link
from archiver.claim import Checkpoint
from archiver.errors import Rejection, Transient
from archiver.job import Job
from archiver.receipt import StoredObject, bare_etag, iso_utc
from archiver.telemetry import Steps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.checksum import encode_crc64nvme
from archiver.transfer.contract import (
    CommitConflict,
    Copied,
    Found,
    ObjectExists,
    ObjectSpec,
    SourceHead,
    SourceNotGranted,
    Store,
    UncertainCommit,
    UploadGone,
    UploadRefused,
    WrongBytes,
)
from archiver.transfer.server_side import GrantedSource, ServerSideCopy
from archiver.transfer.source import ExportSource, SourceChanged
from archiver.transfer.streaming import StreamingCopy

__all__ = ["Copier", "Destination"]

_CONTENT_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_STARTS = 3  # of a copy in one attempt; a source that changes more often is no finished export


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one job's export goes. `attempt` above 1: an earlier one may have committed it.

    `checkpoint` is what that one left; `save` writes one of ours down or forgets it, or raises.
    """

    job: Job
    key: str
    attempt: int
    archived_at: datetime
    checkpoint: Checkpoint | None
    save: Callable[[Checkpoint | None], None]


@dataclass(frozen=True, slots=True)
class Copier:
    """Chooses between the two ways and verifies the outcome of either."""

    store: Store
    streaming: StreamingCopy
    server_side: ServerSideCopy
    source_buckets: frozenset[str]
    open_source: Callable[[Link, Callable[[], Link]], ExportSource]
    steps: Steps

    def copy(
        self, link: Link, ask_for_link: Callable[[], Link], destination: Destination
    ) -> StoredObject:
        """Put the export at its key, exactly once, verified.

        Raises Rejection("object_conflict") where another object is there, Deferral("out_of_time" or
        "in_progress_elsewhere"), and Failure. An uncommitted upload then stays, to be resumed.
        """
        uploads = Uploads(
            self.store,
            destination.key,
            destination.checkpoint,
            first_attempt=destination.attempt == 1,
            save=destination.save,
        )
        stored = self._copy_server_side(link, destination, uploads)
        if stored is None:
            stored = self._stream_somehow(link, ask_for_link, destination, uploads)
        return stored

    def _copy_server_side(
        self, link: Link, destination: Destination, uploads: Uploads
    ) -> StoredObject | None:
        if link.bucket is None or link.key is None or link.bucket not in self.source_buckets:
            return None
        name = {"Bucket": link.bucket, "Key": link.key}
        if link.version_id:
            name["VersionId"] = link.version_id
        try:
            granted = self.server_side.look(name)
            if granted.size_bytes == 0:
                return None  # there is no part to copy: one PUT does it
            start = partial(self._copy_granted, granted, uploads)
            return _start_afresh(start, destination, uploads)
        except SourceNotGranted:
            # An upload that is known may be a streaming one, to be gone on with; one of this way's
            # is discarded where the other begins its own.
            return None

    def _copy_granted(
        self, source: GrantedSource, uploads: Uploads, destination: Destination
    ) -> StoredObject:
        def confirms(checksum: str) -> bool | None:
            told = source.checksum_crc64nvme
            return None if told is None else told == checksum

        spec = _spec(destination, source.etag, "server_side", source.content_encoding)
        same = _Same(
            destination.job.job_id, bare_etag(source.etag), source.size_bytes, confirms, None
        )
        earlier = self._find_earlier(destination, same)
        if earlier is not None:
            return earlier
        try:
            copied = self.server_side.copy(source, spec, uploads)
        except (ObjectExists, UncertainCommit) as cue:
            return self._settle(same, cue, uploads)
        except UploadRefused as refused:
            # What S3 itself has copied is not what it says of the source: reading it tells why.
            uploads.discard()
            raise SourceNotGranted(refused.code) from refused
        return self._verify(copied, spec, same)

    def _stream_somehow(
        self,
        link: Link,
        ask_for_link: Callable[[], Link],
        destination: Destination,
        uploads: Uploads,
    ) -> StoredObject:
        source = self.open_source(link, ask_for_link)
        return _start_afresh(partial(self._stream, source, uploads), destination, uploads)

    def _stream(
        self, source: ExportSource, uploads: Uploads, destination: Destination
    ) -> StoredObject:
        reader = source.reader()
        # The answer goes on as the first part; where that may be finished, one byte tells enough.
        first_bytes = self.streaming.plan.single_put_bytes if uploads.known is None else 1
        try:
            head = self.streaming.retrying(lambda: reader.open(first_bytes))
            spec = _spec(destination, head.etag, "streaming", head.content_encoding)
            same = _Same(
                destination.job.job_id,
                bare_etag(head.etag),
                head.size_bytes,
                partial(self._confirms, source, head),
                head.md5,
            )
            earlier = self._find_earlier(destination, same)
            if earlier is not None:
                return earlier
            goes_on = uploads.known is not None and uploads.known.continues(
                same.source_etag, same.size_bytes, spec.metadata["copy-method"]
            )
            if not goes_on and self.streaming.fits_one_put(head.size_bytes):
                uploads.discard()
                copied = self.streaming.copy_small(reader, head, spec)
            else:
                copied = self.streaming.copy_large(source, reader, head, spec, uploads)
        except (ObjectExists, UncertainCommit) as cue:
            return self._settle(same, cue, uploads)
        finally:
            reader.close()
        return self._verify(copied, spec, same)

    def _confirms(self, source: ExportSource, head: SourceHead, checksum: str) -> bool | None:
        return self.streaming.confirms(source.reader(), head, checksum)

    def _find_earlier(self, destination: Destination, same: _Same) -> StoredObject | None:
        """Look before copying again: an attempt that died may have died after its commit."""
        if destination.attempt == 1:
            return None
        found = self.store.find(destination.key)
        return None if found is None else same.recognise(destination.key, found)

    def _settle(
        self, same: _Same, cue: ObjectExists | UncertainCommit, uploads: Uploads
    ) -> StoredObject:
        """Resolve "somebody was first" and "it may have happened" by looking."""
        if isinstance(cue, ObjectExists):
            uploads.discard()
        found = self.store.find(uploads.key)
        if found is not None:
            return same.recognise(uploads.key, found)
        if isinstance(cue, UncertainCommit):
            raise cue
        raise Transient("aws_error", "S3 refused the write as existing, and then knew no object.")

    def _verify(self, copied: Copied, spec: ObjectSpec, same: _Same) -> StoredObject:
        """Say how we know that the object is right; what is not right is never called archived."""
        committed = copied.committed
        told, etag = committed.checksum_crc64nvme, committed.etag
        version_id = committed.version_id
        if told is None or not etag:  # an S3-compatible server: look for what S3 itself answers
            found = self.store.find(spec.key)
            if found is None:
                raise Transient(
                    "aws_error", f"S3 said that it committed {spec.key}, and holds nothing there."
                )
            if found.size_bytes != same.size_bytes:
                raise Rejection("object_conflict", f"The store holds another size at {spec.key}.")
            told, etag = told or found.checksum_crc64nvme, found.etag
            version_id = version_id or found.version_id
        ours = None if copied.crc is None else encode_crc64nvme(copied.crc)
        agrees = None
        if told is not None:
            agrees = same.confirms(told) if ours is None else told == ours
        if agrees is False:
            raise Rejection("object_conflict", f"The store tells another checksum at {spec.key}.")
        if told is not None:
            verified_by = "crc64nvme" if agrees else "size_and_source_etag"
        else:
            same_parts = bare_etag(etag) == copied.expected_etag
            verified_by = "size_and_etag" if same_parts else "size"
        return StoredObject(
            key=spec.key,
            size_bytes=same.size_bytes,
            etag=bare_etag(etag),
            version_id=version_id,
            checksum_crc64nvme=told or ours,
            source_etag=same.source_etag,
            copy_method=spec.metadata["copy-method"],
            verified_by=verified_by,
            etags_agree=same.has_etag(etag),
            ends=copied.ends,
        )


@dataclass(frozen=True, slots=True)
class _Same:
    """What makes an object at the key the one that we would put there.

    `confirms` compares a checksum of the whole with the source's; None where that tells none.
    """

    job_id: str
    source_etag: str
    size_bytes: int
    confirms: Callable[[str], bool | None]
    md5: str | None

    def has_etag(self, etag: str) -> bool | None:
        """Return True where an object's ETag is the source's: a proof from end to end, for free.

        Else None: parts of other sizes, KMS and the like make other ETags of the same bytes, and
        MD5s that differ have been found out before this.
        """
        return bare_etag(etag) == self.source_etag or None

    def recognise(self, key: str, found: Found) -> StoredObject:
        """Return what was found as our archived object; raises Rejection("object_conflict")."""
        ours = (
            found.metadata.get("job-id") == self.job_id
            and bare_etag(found.metadata.get("source-etag", "")) == self.source_etag
            and found.size_bytes == self.size_bytes
        )
        if not ours:
            raise Rejection(
                "object_conflict",
                f"There is a different object at {key}. It was not touched. Move it away and "
                "redrive this message, or delete the message if that object is right.",
            )
        told = found.checksum_crc64nvme
        agrees = None if told is None else self.confirms(told)
        etags_agree = self.has_etag(found.etag)
        other_md5 = None not in {self.md5, found.md5} and self.md5 != found.md5
        if agrees is False or (agrees is None and other_md5):
            raise Rejection(
                "object_conflict",
                f"An earlier attempt's object at {key} does not have the "
                f"{'MD5 (its ETag)' if agrees is None else 'checksum'} that its source tells. It "
                "was not touched. Move it away and redrive this message.",
            )
        return StoredObject(
            key=key,
            size_bytes=found.size_bytes,
            etag=bare_etag(found.etag),
            version_id=found.version_id,
            checksum_crc64nvme=found.checksum_crc64nvme,
            source_etag=self.source_etag,
            copy_method=found.metadata.get("copy-method", "streaming"),
            verified_by=(
                "crc64nvme"
                if agrees
                else "size_and_etag"
                if etags_agree
                else "size_and_source_etag"
            ),
            etags_agree=etags_agree,
        )


def _start_afresh(
    start: Callable[[Destination], StoredObject], destination: Destination, uploads: Uploads
) -> StoredObject:
    """Copy, and begin anew where the upload or the source came to nothing.

    Raises the reason of the last start, and Rejection("vendor_error") where two full copies agree
    with each other and not with what the source tells of itself: no third would.
    """
    why = Transient("aws_error", "The copy was not begun.")
    for _ in range(_STARTS):
        try:
            return start(destination)
        except UploadGone:
            uploads.forget()
            why = Transient("aws_error", "S3 did not know the upload any more.")
        except CommitConflict:
            uploads.discard()  # S3 wants every part again
            why = Transient("aws_error", "S3 kept answering 409 to the commit.")
        except UploadRefused as refused:
            uploads.discard()
            why = Transient("aws_error", f"S3 would not complete the upload: {refused.code}.")
        except SourceChanged:
            uploads.discard()
            why = Transient("vendor_error", "The export kept changing while it was copied.")
        except WrongBytes as wrong:
            uploads.discard()
            if uploads.dispute(wrong.source_etag, wrong.checksum):
                raise Rejection(
                    "vendor_error",
                    "Two full copies of the export agree with each other, and not with the "
                    f"{wrong.told} that its own store tells. Nothing was archived.",
                ) from wrong
            why = Transient(
                "vendor_error", f"The export's bytes do not have the {wrong.told} its store tells."
            )
        # Whatever took the upload away may have been its commit: look before the next start.
        destination = replace(destination, attempt=destination.attempt + 1)
    raise why


def _spec(
    destination: Destination, source_etag: str, method: str, content_encoding: str | None = None
) -> ObjectSpec:
    job = destination.job
    metadata = {
        "job-id": job.job_id,
        "source-etag": bare_etag(source_etag),
        "archived-at": iso_utc(destination.archived_at),
        "archiver-version": VERSION,
        "copy-method": method,
    }
    content_type = _CONTENT_TYPES.get(job.output_format, "application/octet-stream")
    return ObjectSpec(destination.key, content_type, content_encoding, metadata)
