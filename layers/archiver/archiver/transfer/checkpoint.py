"""Which upload a copy resumes: the one that an earlier attempt left, or a new one.

What is stored (on the job's item) is enough to resume: the upload's id, its source, and its part
size. Which parts are finished is S3's to say. The order matters: an upload is stored before its
first part is sent, so that a kill loses none; one that was created and not stored is found by its
key and aborted when the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from archiver.claim import Checkpoint
from archiver.errors import Failure
from archiver.receipt import bare_etag
from archiver.transfer.contract import ObjectSpec, Part, Store, Upload
from archiver.transfer.plan import PartRange, cut

__all__ = ["OpenUpload", "Uploads"]


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload to copy into, and what of it is there already."""

    upload: Upload
    parts: list[PartRange]
    finished: dict[int, Part]


@dataclass
class Uploads:
    """The uploads of one attempt. `save` writes a checkpoint down or forgets it (None), or raises.

    Only whoever owns the job can do either. So an upload is aborted after it was forgotten, or
    after another was written down in its place, if it was there before: no other run has it then.
    """

    store: Store
    key: str
    known: Checkpoint | None
    first_attempt: bool
    save: Callable[[Checkpoint | None], None]
    _disputed: tuple[str, str | None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Learn what an earlier attempt found."""
        if self.known is not None:
            self._disputed = (self.known.source_etag, self.known.disputed_checksum)

    def open(
        self,
        spec: ObjectSpec,
        size_bytes: int,
        source_etag: str,
        part_size_bytes: int,
        *,
        with_checksums: bool = False,
    ) -> OpenUpload:
        """Resume the known upload if it has the same source, else begin another.

        `with_checksums`: take over only parts whose checksum the store lists (S3 does), for the
        whole's is to be compared before the commit makes it visible. Raises UploadGone where the
        known upload has vanished: it may have been committed.
        """
        method = spec.metadata["copy-method"]
        known = self.known
        if known is None:
            begun = Checkpoint("", part_size_bytes, source_etag, size_bytes, method)
            if self._disputed is not None and self._disputed[0] == source_etag:
                begun = replace(begun, disputed_checksum=self._disputed[1])
            return self._begin(spec, begun)
        if not known.continues(source_etag, size_bytes, method):
            self.discard()
            return self.open(
                spec, size_bytes, source_etag, part_size_bytes, with_checksums=with_checksums
            )
        upload = Upload(self.key, known.upload_id)
        parts = cut(size_bytes, known.part_size_bytes)
        held = {part.number: part for part in self.store.list_parts(upload)}
        finished = {
            part.number: held[part.number]
            for part in parts
            if part.number in held
            and held[part.number].size_bytes == part.size_bytes
            and held[part.number].etag  # without one it cannot be named at the commit
            and (held[part.number].crc is not None or not with_checksums)
        }
        return OpenUpload(upload, parts, finished)

    def dispute(self, source_etag: str, checksum: str) -> bool:
        """Note the checksum of a full copy that is not what its source tells.

        Returns whether the full copy before it had the same; the next upload's checkpoint carries
        it, so that this holds over attempts.
        """
        source_etag = bare_etag(source_etag)
        again = self._disputed == (source_etag, checksum)
        self._disputed = (source_etag, checksum)
        return again

    def forget(self) -> None:
        """Forget the known upload, for it is gone."""
        self.known = None

    def discard(self) -> None:
        """Abort the known upload, for it is of no use any more."""
        known, self.known = self.known, None
        if known is not None:
            self.save(None)
            _abort_quietly(self.store, Upload(self.key, known.upload_id))

    def _left(self) -> list[Upload]:
        """Return what earlier attempts left unfinished at this key; best effort.

        What cannot be aborted now, the sweep takes (abandoned_uploads.py).
        """
        if self.first_attempt:
            return []
        try:
            return self.store.uploads_at(self.key)
        except Failure:
            return []

    def _begin(self, spec: ObjectSpec, what: Checkpoint) -> OpenUpload:
        """Begin an upload, write it down, and only then abort what was at this key before it."""
        left = self._left()
        upload = self.store.begin_upload(spec)
        begun = what.of(upload.upload_id)
        try:
            self.save(begun)
        except BaseException:
            _abort_quietly(self.store, upload)
            raise
        self.known = begun
        for other in left:
            _abort_quietly(self.store, other)
        return OpenUpload(upload, cut(what.size_bytes, what.part_size_bytes), {})


def _abort_quietly(store: Store, upload: Upload) -> None:
    try:
        store.abort_upload(upload)
    except Failure:
        return
