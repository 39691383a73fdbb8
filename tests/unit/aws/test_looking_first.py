"""A commit looks at its key first where the store is not AWS's; AWS is asked nothing more for it.

The clients are boto3's own, with its own endpoints; each request is answered where it would go out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from urllib3.response import HTTPResponse

from archiver.aws.dialect import Dialect
from archiver.aws.object_store import ObjectStore
from archiver.errors import Failure
from archiver.transfer.contract import ObjectExists, ObjectSpec, Part, Upload

KEY = "report_type=units/x.csv"
SPEC = ObjectSpec(KEY, "text/csv", None)
UPLOAD = Upload(KEY, "upload")
COMPLETED = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
NOTHING, SOMETHING, FORBIDDEN = 404, 200, 403
AWS: dict[str, dict[str, Any]] = {
    "its own": {},
    "China": {"region_name": "cn-north-1"},
    "dual stack": {"config": Config(use_dualstack_endpoint=True)},
    "accelerated": {"config": Config(s3={"use_accelerate_endpoint": True})},
    "GovCloud, FIPS": {"region_name": "us-gov-west-1", "config": Config(use_fips_endpoint=True)},
    "an isolated one": {"region_name": "us-iso-east-1"},
    "a VPC endpoint": {
        "endpoint_url": "https://bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com"
    },
}
ELSEWHERE = (
    "https://localhost:8000",
    "http://127.0.0.1:8000",
    "https://ceph.example.com",
    "https://account.r2.cloudflarestorage.com",
    "https://s3.us-east-1.amazonaws.com.example.com",
    "https://amazonaws.com.example.com:8443",
)


def put(store: ObjectStore) -> object:
    """Commit in one request."""
    return store.put(SPEC, bytearray(b"x"), 1)


def complete(store: ObjectStore) -> object:
    """Commit an upload of one part."""
    return store.commit_upload(UPLOAD, [Part(1, '"e"', 1, 1, None)], 1, 1)


COMMITS = pytest.mark.parametrize("commit", [put, complete])


def store_of(
    head_status: int,
    requests: list[str],
    **where: Any,  # noqa: ANN401 - boto3's
) -> ObjectStore:
    """Return a store whose HEAD is answered so and whose commits all succeed."""
    session = boto3.session.Session("id", "secret", region_name="us-east-1")
    client = session.client("s3", **where)

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        requests.append(str(request.method))
        status = head_status if request.method == "HEAD" else 200
        told = {"ETag": '"e"', "Content-Length": "1"}
        body = io.BytesIO(COMPLETED if request.method == "POST" else b"")
        raw = HTTPResponse(body, preload_content=False)
        return AWSResponse(str(request.url), status, HTTPHeaders.from_dict(told), raw)

    events: Any = client.meta.events  # its types allow for no answer
    events.register("before-send.s3", answer)
    credentials: Any = session.get_credentials()
    return ObjectStore(client, credentials, "bucket", None, connect=no_connection)


def no_connection(*_: object, **__: object) -> Any:  # noqa: ANN401 - never made
    """Refuse: no part is sent here."""
    raise AssertionError


@COMMITS
@pytest.mark.parametrize("where", AWS.values(), ids=AWS)
def test_aws_is_asked_nothing_more(
    where: dict[str, Any], commit: Callable[[ObjectStore], object]
) -> None:
    """Wherever its S3 answers, one request is all that a commit costs: the condition is kept."""
    requests: list[str] = []
    store = store_of(SOMETHING, requests, **where)
    for _ in range(2):
        commit(store)
    assert requests == ["PUT" if commit is put else "POST"] * 2


@COMMITS
@pytest.mark.parametrize("url", ELSEWHERE)
def test_any_other_store_is_looked_at_before_each_commit(
    url: str, commit: Callable[[ObjectStore], object]
) -> None:
    """Once; where nothing lies there, the commit goes on."""
    requests: list[str] = []
    store = store_of(NOTHING, requests, endpoint_url=url)
    for _ in range(2):
        commit(store)
    assert requests == ["HEAD", "PUT" if commit is put else "POST"] * 2


@COMMITS
def test_what_lies_there_is_not_written_over(commit: Callable[[ObjectStore], object]) -> None:
    """It is taken for a 412, and the commit is not sent: this store would have said 200."""
    requests: list[str] = []
    store = store_of(SOMETHING, requests, endpoint_url=ELSEWHERE[0])
    with pytest.raises(ObjectExists):
        commit(store)
    assert requests == ["HEAD"]


@COMMITS
def test_where_nobody_may_look_nothing_is_written(
    commit: Callable[[ObjectStore], object],
) -> None:
    """A refused HEAD says nothing of the key; the failure names its code."""
    requests: list[str] = []
    store = store_of(FORBIDDEN, requests, endpoint_url=ELSEWHERE[0])
    with pytest.raises(Failure, match="Looking at the archived object"):
        commit(store)
    assert requests == ["HEAD"]


def test_a_probe_hears_the_store_itself() -> None:
    """Its second write is sent, whatever lies there: our own look would prove nothing."""
    requests: list[str] = []
    store_of(SOMETHING, requests, endpoint_url=ELSEWHERE[0]).put_blindly(SPEC, bytearray(b"x"), 1)
    assert requests == ["PUT"]


def test_every_partition_of_aws_is_known_by_its_hosts() -> None:
    """Botocore's own list of them, the isolated ones and those of dual stack included."""
    path = Path(botocore.__file__).parent / "data" / "partitions.json"
    partitions = json.loads(path.read_text(encoding="utf-8"))["partitions"]
    assert len(partitions) >= 8
    for outputs in (partition["outputs"] for partition in partitions):
        for suffix in (outputs["dnsSuffix"], outputs["dualStackDnsSuffix"]):
            dialect = Dialect()
            dialect.meet(f"bucket.s3.some-region-1.{suffix}")
            assert dialect.is_aws, suffix
