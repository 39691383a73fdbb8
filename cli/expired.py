"""Which exports are gone because KeepSupersededDays let them go (archiver/superseded.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from archiver.receipt import Receipt
from archiver.superseded import is_record_of, record_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

__all__ = ["has_expired"]


def has_expired(s3: S3Client, receipt: Mapping[str, Any], prefix: str) -> bool:
    """Tell whether it is recorded that the very object of a receipt was superseded, and may go.

    Raises ClientError where S3 does not let us look.
    """
    try:
        key = record_key(Receipt.from_fields(receipt), prefix=prefix)
        told = s3.get_object(Bucket=receipt["bucket"], Key=key)["Body"].read()
        return is_record_of(json.loads(told), receipt)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    except (TypeError, ValueError):  # a receipt that says too little to have one, or no record
        return False
