"""What people should know of an S3 server that they let a local run archive to (`--s3-endpoint`).

It is tried out beside the archive, and nothing of that is left. It must not decide anything: a
store that cannot do something is told, and archived to.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

__all__ = ["look_at_store"]

_PROBES = "apartmentiq-archiver-probe/"  # and a UUID: no key of a job


def look_at_store(s3: S3Client, bucket: str, url: str) -> list[str]:
    """Switch the bucket's versions on, and return a sentence for each thing that is not as on AWS.

    Raises nothing that the server says or does not say: that is a sentence, too.
    """
    return [*_look_inside(s3, bucket, url), *_version(s3, bucket, url), *_try(s3, bucket, url)]


def _look_inside(s3: S3Client, bucket: str, url: str) -> Iterator[str]:
    try:
        listed = s3.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents", [])
    except (BotoCoreError, ClientError) as error:
        yield f"{url} does not list bucket {bucket} ({error})"
        return
    if listed:
        yield (
            f"bucket {bucket} at {url} is not empty (there is {listed[0].get('Key')!r}); what lies "
            "there is neither changed nor written over, and a job whose key it has is rejected as "
            "object_conflict"
        )


def _version(s3: S3Client, bucket: str, url: str) -> Iterator[str]:
    try:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    except (BotoCoreError, ClientError) as error:
        yield f"{url} does not version buckets ({error}); archives go on without"


def _try(s3: S3Client, bucket: str, url: str) -> Iterator[str]:
    """Write onto an object of our own, in both of the ways in which the function commits."""
    key = f"{_PROBES}{uuid.uuid4()}"
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"first")
        ignored = [
            name
            for name, write in (("PutObject", _put), ("CompleteMultipartUpload", _complete))
            if _is_written(lambda write=write: write(s3, bucket, key))  # type: ignore[misc]
        ]
    except (BotoCoreError, ClientError) as error:
        yield f"{url} could not be tried for conditional writes ({error})"
    else:
        if ignored:
            yield (
                f"{url} ignores If-None-Match ({' and '.join(ignored)}); the function looks at the "
                "key before it commits, and what others write there in that very moment is lost"
            )
    finally:
        with suppress(BotoCoreError, ClientError):
            _remove(s3, bucket, key)


def _is_written(write: Callable[[], object]) -> bool:
    """Tell whether a store did what it should have refused; raises what it says otherwise."""
    try:
        write()
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
            return False
        raise
    return True


def _put(s3: S3Client, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")


def _complete(s3: S3Client, bucket: str, key: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    try:
        part = s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=b"third"
        )
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
            IfNoneMatch="*",
        )
    except ClientError:
        with suppress(BotoCoreError, ClientError):
            s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        raise


def _remove(s3: S3Client, bucket: str, key: str) -> None:
    """Delete every version, so that no marker stays; a store without versions has the object."""
    entries: list[Any] = []
    with suppress(ClientError):
        listed = s3.list_object_versions(Bucket=bucket, Prefix=key)
        entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    for entry in entries:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=entry["VersionId"])
    if not entries:
        s3.delete_object(Bucket=bucket, Key=key)
