"""The archive bucket's unfinished uploads, for the sweep: all below the prefix, page by page.

The one S3 adapter that the sweep has; it may neither read nor write objects (object_store.py does).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated
from archiver.sweep.abandoned_uploads import UnfinishedUpload, UploadsPage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["UnfinishedUploads"]


class UnfinishedUploads:
    """Implements `abandoned_uploads.Uploads`."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def page(self, which: Mapping[str, str]) -> UploadsPage:
        """Return up to 1,000 uploads (S3's limit), by key; raises Failure("aws_error")."""
        markers: dict[str, Any] = {**which}
        with translated("Listing unfinished uploads"):
            answer = self._client.list_multipart_uploads(
                Bucket=self._bucket, Prefix=self._prefix, **markers
            )
        following = {
            "KeyMarker": answer.get("NextKeyMarker", ""),
            "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
        }
        more = answer.get("IsTruncated", False) and following["KeyMarker"]
        return UploadsPage(
            uploads=[
                UnfinishedUpload(upload["Key"], upload["UploadId"], upload["Initiated"])
                for upload in answer.get("Uploads", [])
            ],
            next_page=following if more else None,
        )

    def abort(self, upload: UnfinishedUpload) -> None:
        """Abort an upload; one that is gone already is fine. Raises Failure("aws_error")."""
        with translated("Aborting an abandoned upload"):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload.key, UploadId=upload.upload_id
                )
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
