"""`archiver audit`: every receipt against the bucket, before somebody deletes the vendor's copy.

One HEAD for each receipt, with S3's own checksum; a page of receipts is held at a time, however
many there are, and eight bytes of each. Then one listing of the bucket below the prefix tells what
of table, catalogue and bucket is alone (survey.py). It sees the stack as its users do, and changes
nothing; what mends is asked for apart (write_catalogue.py, rebuild.py, compact.py).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.catalogue import AT_ONCE, archive_of
from cli.expired import has_expired
from cli.failure import ASKED_IN_VAIN, NO, Failure, explain
from cli.job_items import scan_receipts
from cli.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

__all__ = ["EXPLAINED", "FINE", "GOOD", "audit", "compare", "show_audit"]

GOOD = ("checksum", "size and ETag")
FINE = (*GOOD, "expired")  # as it is to be
_WENT = frozenset({"gone", "hidden"})  # the lifecycle first hides a version, then deletes it
EXPLAINED = {
    "checksum": "S3's CRC64NVME is the receipt's",
    "size and ETag": "this S3 keeps no checksum of them; size and ETag are the receipt's",
    "gone": "nothing is at the key, and the archived version is gone",
    "hidden": "a delete marker hides it; the archived version is there and can be restored",
    "replaced": "another object is at the key; the archived version is there behind it",
    "different": "what is at the key is not what was archived",
    "other MD5": "as archived, but source_etag and etag are two MD5s (or KMS made the source's);"
    " versions up to 2026-11-25 did not look into that: compare with the vendor's copy",
    "unreadable": "S3 refused to say",
    "expired": "superseded, and by KeepSupersededDays expired: its record in the catalogue says so",
}


# An export is in the bucket some seconds before its receipt is in the table; a run that dies in
# between is gone on with within 15 minutes.
_UNDER_WAY = timedelta(hours=1)
_MD5 = re.compile(r"[0-9a-f]{32}")


def show_audit(stack: str, *, as_json: bool) -> int:
    """Print each receipt that the bucket does not bear out, and the counts; 0 if there is none.

    What has no entry in the catalogue, or no receipt, is counted and no reason for a 1: the exports
    are there. As JSON: a line for each such receipt, and one with the counts. Raises Failure.
    """
    counts: Counter[str] = Counter()
    try:
        archive = archive_of(stack)
        survey = Survey(archive, datetime.now(UTC) - _UNDER_WAY)
        for receipt, found in audit(archive.table, archive.prefix):
            counts[found] += 1
            survey.add_receipt(receipt)
            if found in FINE:
                continue
            if as_json:
                print(json.dumps({"found": found, **receipt}))
            else:
                print(f"{found:<11} job {receipt['job_id']}  {_where(receipt)}")
        for page in archive.pages(archive.prefix):
            for listed in page:
                survey.add_object(listed)
    except ASKED_IN_VAIN as error:
        raise Failure(
            f"not finished, so that nothing is proved: {explain(error, stack=stack)}"
        ) from error
    alone = survey.result()
    bad = counts.total() - sum(counts[name] for name in FINE)
    if as_json:
        told = {"receipts": counts.total(), "not_borne_out": bad, "found": counts}
        print(json.dumps({**told, "alone": alone.to_fields()}))
    else:
        _report(counts, bad)
        for sentence in alone.sentences(stack):
            print(sentence)
    return NO if bad else 0


def audit(
    table: str, prefix: str, *, page_items: int = 500
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every receipt, with how the bucket bears it out or what is wrong there."""
    config = Config(max_pool_connections=AT_ONCE, retries={"mode": "standard", "max_attempts": 5})
    s3 = boto3.client("s3", config=config)
    with ThreadPoolExecutor(AT_ONCE) as workers:
        for page in scan_receipts(table, page_items=page_items):
            yield from workers.map(lambda one: (one, compare(s3, one, prefix)), page)


def _report(counts: Counter[str], bad: int) -> None:
    for name, number in counts.items():
        print(f"{number:>11} {name}: {EXPLAINED[name]}")
    total = counts.total()
    if bad:
        print(
            f"{bad} of {total} receipts are NOT borne out: keep the vendor's copies of these jobs"
        )
    else:
        print(
            f"all {total} receipts are borne out by the bucket" if total else "there is no receipt"
        )


def _where(receipt: Mapping[str, Any]) -> str:
    version = receipt.get("version_id")
    return f"s3://{receipt['bucket']}/{receipt['key']}" + (f" version {version}" if version else "")


def compare(s3: S3Client, receipt: Mapping[str, Any], prefix: str) -> str:
    """Return how the object at a receipt's key was verified, or what is wrong with it (EXPLAINED).

    What S3 refuses is "unreadable", so that one of many stops nothing. `prefix`: KeyPrefix, below
    which it is recorded what was superseded.
    """
    try:
        verdict = _compare(s3, receipt)
        return "expired" if verdict in _WENT and has_expired(s3, receipt, prefix) else verdict
    except ClientError:
        return "unreadable"


def _compare(s3: S3Client, receipt: Mapping[str, Any]) -> str:
    head = _head(s3, receipt, version_id=None)
    archived = receipt.get("version_id")
    if head is None:
        behind = archived and _head(s3, receipt, version_id=archived)
        return "hidden" if behind else "gone"
    if archived and head.get("VersionId") not in {None, archived}:
        return "replaced" if _head(s3, receipt, version_id=archived) else "different"
    verdict = _verify(head, receipt)
    return "other MD5" if verdict in GOOD and _etags_differ(receipt) else verdict


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
