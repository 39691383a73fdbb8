"""What is told of a store that a local run archives to: what is not as on AWS, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.stores import look_at_store

URL = "https://ceph.example.com"


@pytest.fixture
def s3() -> Iterator[Any]:
    """Play a store that does what AWS's does, with an empty bucket."""
    with mock_aws():
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="theirs",
            aws_secret_access_key="theirs",
        )
        client.create_bucket(Bucket="archive")
        yield client


def ignore_condition(s3: Any, action: str) -> None:  # noqa: ANN401 - boto3's
    """Let the store not hear of `If-None-Match` at one action."""

    def strip(params: dict[str, Any], **_: object) -> None:
        params["headers"].pop("If-None-Match", None)

    s3.meta.events.register(f"before-call.s3.{action}", strip)


def refuse(s3: Any, action: str) -> None:  # noqa: ANN401 - boto3's
    """Let the store not know an action."""

    def fail(params: dict[str, Any], **_: object) -> None:
        params["url"] = params["url"].replace("/archive", "/no-such-bucket")

    s3.meta.events.register(f"before-call.s3.{action}", fail)


def left(s3: Any) -> tuple[list[Any], list[Any]]:  # noqa: ANN401 - boto3's
    """Return all versions, markers included, and all unfinished uploads."""
    listed = s3.list_object_versions(Bucket="archive")
    entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    return entries, s3.list_multipart_uploads(Bucket="archive").get("Uploads", [])


def test_of_a_store_like_aws_nothing_is_told(s3: Any) -> None:  # noqa: ANN401 - boto3's
    """Its bucket keeps versions from now on, and nothing lies in it."""
    assert look_at_store(s3, "archive", URL) == []
    assert s3.get_bucket_versioning(Bucket="archive")["Status"] == "Enabled"
    assert left(s3) == ([], [])


@pytest.mark.parametrize(
    ("ignored", "named"),
    [
        (["CompleteMultipartUpload"], "(CompleteMultipartUpload)"),
        (["PutObject"], "(PutObject)"),
        (["PutObject", "CompleteMultipartUpload"], "(PutObject and CompleteMultipartUpload)"),
    ],
)
def test_a_store_that_ignores_conditions_is_told(
    s3: Any,  # noqa: ANN401 - boto3's
    ignored: list[str],
    named: str,
) -> None:
    """With the requests that it is true of; no version, marker or upload of the trial stays."""
    for action in ignored:
        ignore_condition(s3, action)
    (note,) = look_at_store(s3, "archive", URL)
    assert note.startswith(f"{URL} ignores If-None-Match {named}")
    assert left(s3) == ([], [])


def test_a_bucket_that_is_not_empty_is_told_and_left_as_it_is(s3: Any) -> None:  # noqa: ANN401 - boto3's
    """By a key that is there."""
    s3.put_object(Bucket="archive", Key="theirs.csv", Body=b"theirs")
    (note,) = look_at_store(s3, "archive", URL)
    assert "is not empty (there is 'theirs.csv')" in note
    entries, uploads = left(s3)
    assert [entry["Key"] for entry in entries] == ["theirs.csv"]
    assert uploads == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("PutBucketVersioning", "does not version buckets"),
        ("ListObjectsV2", "does not list bucket archive"),
        ("CreateMultipartUpload", "could not be tried for conditional writes"),
    ],
)
def test_what_a_store_cannot_do_is_a_sentence(s3: Any, action: str, words: str) -> None:  # noqa: ANN401 - boto3's
    """Not an error: archives go there all the same."""
    refuse(s3, action)
    (note,) = look_at_store(s3, "archive", URL)
    assert words in note
    assert left(s3) == ([], [])
