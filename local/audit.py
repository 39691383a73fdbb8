"""`make audit`: every receipt against the bucket, before somebody deletes the vendor's copy.

One HEAD for each receipt, with S3's own checksum; a page of receipts is held at a time, however
many there are. It sees the stack as its users do, changes nothing, and must not import `archiver`.
"""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.job_items import scan_receipts
from local.stack_outputs import read_outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

__all__ = ["audit", "run_audit"]

_AT_ONCE = 16  # HEADs in flight: 10 ms each make some 1,500 a second, a million in ten minutes
_GOOD = ("checksum", "size and ETag")
_EXPLAINED = {
    "checksum": "S3's CRC64NVME is the receipt's",
    "size and ETag": "this S3 keeps no checksum of them; size and ETag are the receipt's",
    "gone": "nothing is at the key, and the archived version is gone",
    "hidden": "a delete marker hides it; the archived version is there and can be restored",
    "replaced": "another object is at the key; the archived version is there behind it",
    "different": "what is at the key is not what was archived",
    "other MD5": "as archived, but source_etag and etag are two MD5s (or KMS made the source's);"
    " versions up to 2026-11-25 did not look into that: compare with the vendor's copy",
    "unreadable": "S3 refused to say",
}


_MD5 = re.compile(r"[0-9a-f]{32}")


def run_audit(arguments: argparse.Namespace) -> int:
    """Print each receipt that the bucket does not bear out, and the counts; 0 if there is none."""
    try:
        outputs = read_outputs(arguments.stack)
        counts = audit(outputs["ArchiveTableName"])
    except (BotoCoreError, ClientError, LookupError) as error:
        print(f"audit not finished, so that nothing is proved: {error}")
        return 1
    return _report(counts)


def audit(table: str, *, page_items: int = 500) -> Counter[str]:
    """Compare all receipts with the bucket and print what is not right; returns the counts."""
    counts: Counter[str] = Counter()
    config = Config(max_pool_connections=_AT_ONCE, retries={"mode": "standard", "max_attempts": 5})
    s3 = boto3.client("s3", config=config)
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        for page in scan_receipts(table, page_items=page_items):
            for receipt, found in workers.map(lambda one: (one, _compare(s3, one)), page):
                counts[found] += 1
                if found not in _GOOD:
                    print(f"{found:<11} job {receipt['job_id']}  {_where(receipt)}")
    return counts


def _report(counts: Counter[str]) -> int:
    total = sum(counts.values())
    bad = total - sum(counts[name] for name in _GOOD)
    for name, number in counts.items():
        print(f"{number:>11} {name}: {_EXPLAINED[name]}")
    if bad:
        print(
            f"{bad} of {total} receipts are NOT borne out: keep the vendor's copies of these jobs"
        )
        return 1
    print(f"all {total} receipts are borne out by the bucket" if total else "there is no receipt")
    return 0


def _where(receipt: Mapping[str, Any]) -> str:
    version = receipt.get("version_id")
    return f"s3://{receipt['bucket']}/{receipt['key']}" + (f" version {version}" if version else "")


def _compare(s3: S3Client, receipt: Mapping[str, Any]) -> str:
    """Return how the object at a receipt's key was verified, or what is wrong with it."""
    try:
        head = _head(s3, receipt, version_id=None)
        archived = receipt.get("version_id")
        if head is None:
            behind = archived and _head(s3, receipt, version_id=archived)
            return "hidden" if behind else "gone"
        if archived and head.get("VersionId") not in {None, archived}:
            return "replaced" if _head(s3, receipt, version_id=archived) else "different"
    except ClientError:
        return "unreadable"
    verdict = _verify(head, receipt)
    return "other MD5" if verdict in _GOOD and _etags_differ(receipt) else verdict


def _head(
    s3: S3Client, receipt: Mapping[str, Any], *, version_id: str | None
) -> Mapping[str, Any] | None:
    version: dict[str, Any] = {} if version_id is None else {"VersionId": version_id}
    try:
        return s3.head_object(
            Bucket=receipt["bucket"], Key=receipt["key"], ChecksumMode="ENABLED", **version
        )
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise


def _verify(head: Mapping[str, Any], receipt: Mapping[str, Any]) -> str:
    if head["ContentLength"] != receipt["size_bytes"]:
        return "different"
    told, known = head.get("ChecksumCRC64NVME"), receipt.get("checksum_crc64nvme")
    if told is not None and known is not None:
        return "checksum" if told == known else "different"
    same = head["ETag"].strip('"') == receipt["etag"].strip('"')
    return "size and ETag" if same else "different"


def _etags_differ(receipt: Mapping[str, Any]) -> bool:
    """Tell whether two ETags that look like MD5s of what was put at once are not the same."""
    etags = (receipt.get("source_etag") or "", receipt["etag"])
    return receipt.get("etags_agree") is False and all(_MD5.fullmatch(etag) for etag in etags)
