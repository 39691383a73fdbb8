"""What tests of copies share: an export of two parts, what "archived" means, a granted source."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from local.apartmentiq import Export, Job, SyntheticExport, sha256_of
from tests.functional.company import Company, default_key

__all__ = ["LARGE", "MIB", "assert_archived", "assert_failed_cleanly", "grant"]

MIB = 1 << 20
LARGE = SyntheticExport(17 * MIB + 1, seed=11)


def assert_archived(company: Company, job: Job, export: Export) -> None:
    """Compare what is archived with the source, by a digest that neither of them computed."""
    content = company.content(default_key(job))
    assert len(content) == export.size_bytes
    assert hashlib.sha256(content).hexdigest() == sha256_of(export)
    assert len(company.versions(default_key(job))) == 1
    assert company.uploads() == []


def assert_failed_cleanly(company: Company, reason: str) -> None:
    """Make sure that the one delivery failed, and that readers of the bucket see nothing of it."""
    assert company.outcomes() == [("failed", reason)]
    assert company.objects() == {}
    assert len(company.uploads()) <= 1  # for the next delivery to go on with


def grant(company: Company, content: bytes, key: str = "exports/a b+ü.csv") -> tuple[Job, str]:
    """Put an export into a bucket of moto's that we may read, and let its link point there."""
    source = f"{company.name}-source-{len(content)}"
    s3 = company.people.client("s3")
    s3.create_bucket(Bucket=source)
    s3.put_object(Bucket=source, Key=key, Body=content)
    job = company.vendor.add_job(None)
    link = s3.generate_presigned_url("get_object", Params={"Bucket": source, "Key": key})
    location = {"Location": link}
    company.vendor.answer_next(
        "results", status=302, headers=location, times=None, job_id=job.job_id
    )
    company.set_environment(
        TRUSTED_LINK_HOSTS=f"{urlsplit(company.aws.url).netloc},{company.vendor.trusted_link_host}",
        SOURCE_BUCKETS=f"another, {source}",
    )
    return job, source
