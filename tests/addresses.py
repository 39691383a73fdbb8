"""How a simulated S3 says where its buckets are: by botocore itself, so that no fake guesses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from boto3.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["addressing_client"]


@cache
def addressing_client() -> S3Client:
    """Return a client of us-east-1, for its `meta` and `upload_part`: nothing is sent by it."""
    client: S3Client = Session("AKIDEXAMPLE", "secret", region_name="us-east-1").client("s3")
    return client
