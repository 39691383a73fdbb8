"""The server-side copy: S3 copies bucket to bucket, no byte passes through us.

It works only where the source's bucket grants our role `s3:GetObject` (a link authorises nothing
but a GET), and goes by UploadPartCopy and a conditional Complete at every size above zero:
conditional CopyObject is young, emulators ignore it, and a 5 GiB CopyObject outlasts read time-outs
(design.md).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from archiver.errors import Deferral
from archiver.telemetry import Steps
from archiver.transfer.contract import Copied, ObjectSpec, Part, Store, Upload
from archiver.transfer.plan import IN_FLIGHT, PartRange, plan_server_side_parts
from archiver.transfer.streaming import abort_quietly, commit_parts

__all__ = ["GrantedSource", "ServerSideCopy"]

_RESERVE_SECONDS = 60.0  # a part of 512 MiB, and the commit after it


@dataclass(frozen=True, slots=True)
class GrantedSource:
    """An object in another bucket that our role may read, as it was when the copy began."""

    name: dict[str, str]  # Bucket, Key and, where the link names one, VersionId
    size_bytes: int
    etag: str


@dataclass
class ServerSideCopy:
    """Copies by asking S3 to. `remaining_seconds` says how long the invocation may still run."""

    store: Store
    steps: Steps
    remaining_seconds: Callable[[], float]

    def look(self, name: dict[str, str]) -> GrantedSource:
        """Ask whether we may read the source, and what it is; raises SourceNotGranted."""
        size_bytes, etag = self.store.describe_source(name)
        return GrantedSource(name, size_bytes, etag)

    def copy(self, source: GrantedSource, spec: ObjectSpec) -> Copied:
        """Copy and commit; raises SourceNotGranted, after which the caller streams."""
        upload = self.store.begin_upload(spec)
        try:
            parts = self._copy_parts(source, upload)
            return commit_parts(self.store, self.steps, upload, parts, source.size_bytes, crc=None)
        except BaseException:
            abort_quietly(self.store, upload)
            raise

    def _copy_parts(self, source: GrantedSource, upload: Upload) -> list[Part]:
        plan = plan_server_side_parts(source.size_bytes)

        def copy_part(part: PartRange) -> Part:
            if self.remaining_seconds() < _RESERVE_SECONDS:
                raise Deferral("out_of_time", "The invocation's time was up before the last part.")
            # S3 takes a range only of sources above 5 MB; the only part needs none.
            byte_range = None if len(plan) == 1 else f"bytes={part.start}-{part.end}"
            done = self.store.copy_part(upload, part.number, source.name, source.etag, byte_range)
            return replace(done, size_bytes=part.size_bytes)

        with ThreadPoolExecutor(min(IN_FLIGHT, len(plan)), thread_name_prefix="copy") as pool:
            try:
                return list(pool.map(copy_part, plan))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
