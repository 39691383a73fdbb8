"""Copies objects into a folder, so that people can open them without any AWS tool.

Keys come from outside; none may lead out of the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

__all__ = ["MirrorFolder"]

_CHUNK_BYTES = 1 << 20


class MirrorFolder:
    """A folder with a bucket's keys as relative paths."""

    def __init__(self, folder: Path, s3: S3Client) -> None:
        self._folder = folder.resolve()
        self._s3 = s3

    def fetch(self, bucket: str, key: str) -> None:
        """Write one object to its path; raises ValueError for a key that leads outside."""
        path = (self._folder / key).resolve()
        if self._folder not in path.parents:
            raise ValueError(f"{key!r} leads out of {self._folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        # One GET: download_file asks for many ranges, and moto reads the whole object for each.
        body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
        with path.open("wb") as file:
            file.writelines(body.iter_chunks(_CHUNK_BYTES))
