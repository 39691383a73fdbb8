"""docs/iam/reader.json and the statements for another account: reading, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.security.iam import ALLOWED, DENIED, NOT_ALLOWED, Request, decide
from tests.security.test_document import policy as documented
from tests.template.resolved import Stack

POLICIES = Path(__file__).resolve().parents[2] / "docs" / "iam"
BUCKET = "<ArchiveBucket>"
READER = "arn:aws:iam::999999999999:role/Analyst"
KEY = "arn:aws:kms:us-east-1:123456789012:key/a"
ATHENA = "arn:aws:athena:us-east-1:999999999999:workgroup/analysts"
OVER_TLS = {"aws:PrincipalArn": READER, "aws:SecureTransport": "true"}
EXPORT = "arn:aws:s3:::<ArchiveBucket>/exports/report_type=units/k.csv"


def filled(name: str) -> Any:  # noqa: ANN401 - a file's JSON
    """Return a file of docs/iam, filled in."""
    text = (POLICIES / name).read_text(encoding="utf-8")
    for placeholder, value in {
        "READER_ROLE_ARN": READER,
        "READER_ACCOUNT": "999999999999",
        "RESULTS_BUCKET": "results",
        "KEY_PREFIX": "exports/",
        "KMS_KEY_ARN": KEY,
        "WORKGROUP": "analysts",
        "DATABASE": "apartmentiq",
        "PARTITION": "aws",
        "REGION": "us-east-1",
        "BUCKET": BUCKET,
    }.items():
        text = text.replace(placeholder, value)
    return json.loads(text)


def bucket_policy() -> list[dict[str, Any]]:
    """Return the stack's statements on its bucket, the bucket named as in an identity's policy."""
    statements = Stack().properties("ArchiveBucketPolicy")["PolicyDocument"]["Statement"]
    text = json.dumps(statements).replace("<ArchiveBucket.Arn>", f"arn:aws:s3:::{BUCKET}")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def reading() -> list[Request]:
    """Return what S3, and Athena in a reader's name, ask for (Athena guide, "Access control")."""
    bucket, results = f"arn:aws:s3:::{BUCKET}", "arn:aws:s3:::results"
    glue = "arn:aws:glue:us-east-1:999999999999:"
    return [
        *(Request(a, bucket, OVER_TLS) for a in ("s3:GetBucketLocation", "s3:ListBucket")),
        Request("s3:GetObject", EXPORT, OVER_TLS),
        *(Request(a, results, OVER_TLS) for a in ("s3:GetBucketLocation", "s3:ListBucket")),
        *(Request(a, f"{results}/1.csv", OVER_TLS) for a in ("s3:GetObject", "s3:PutObject")),
        *(Request(f"athena:{a}", ATHENA, OVER_TLS)
          for a in ("StartQueryExecution", "GetQueryExecution", "GetQueryResults")),
        Request("glue:GetDatabase", f"{glue}database/apartmentiq", OVER_TLS),
        *(Request(f"glue:{a}", f"{glue}table/apartmentiq/units", OVER_TLS)
          for a in ("GetTable", "GetPartitions")),
        Request("kms:Decrypt", KEY, {**OVER_TLS, "kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ]  # fmt: skip


@pytest.mark.parametrize("request_", reading(), ids=lambda r: f"{r.action} {r.resource[-12:]}")
def test_a_reader_of_this_account_may_read(request_: Request) -> None:
    """The bucket's own policy refuses none of it."""
    both = [*filled("reader.json")["Statement"], *bucket_policy()]
    assert decide(both, request_) == ALLOWED


def test_across_accounts_both_sides_allow() -> None:
    """The bucket's side by the two statements, the key's by those of docs/security.md."""
    ours = [*bucket_policy(), *filled("reader-of-another-account.json")]
    for request in reading():
        if BUCKET in request.resource:
            assert decide(ours, request) == ALLOWED, request.action
            assert decide(bucket_policy(), request) == NOT_ALLOWED, request.action
    key = json.loads(
        json.dumps(documented("archive-key"))
        .replace("READER_ROLE_ARN", READER)
        .replace("REGION", "us-east-1")
    )
    assert decide(key, reading()[-1]) == ALLOWED


@pytest.mark.parametrize("name", ["reader.json", "reader-of-another-account.json"])
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", EXPORT),
        ("s3:DeleteObject", EXPORT),
        ("s3:DeleteObjectVersion", EXPORT),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::{BUCKET}"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/other/k"),
        ("s3:GetObject", "arn:aws:s3:::payroll/k"),
        ("kms:GenerateDataKey", KEY),
        ("glue:CreateTable", "arn:aws:glue:us-east-1:999999999999:table/apartmentiq/x"),
    ],
)
def test_a_reader_may_do_nothing_else(name: str, action: str, resource: str) -> None:
    """Neither write, nor delete, nor read what is not below the prefix."""
    policy = filled(name)
    statements = policy if isinstance(policy, list) else policy["Statement"]
    keys = {**OVER_TLS, "kms:ViaService": "s3.us-east-1.amazonaws.com"}
    assert decide(statements, Request(action, resource, keys)) in {NOT_ALLOWED, DENIED}


def test_nobody_reads_without_tls() -> None:
    """Whatever else is allowed."""
    ours = [*bucket_policy(), *filled("reader-of-another-account.json")]
    plain = {**OVER_TLS, "aws:SecureTransport": "false"}
    assert decide(ours, Request("s3:GetObject", EXPORT, plain)) == DENIED
