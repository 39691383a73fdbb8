"""What boto3's requests get back by our own network: whole answers, and none beyond measure."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError

from archiver.aws.sending import send_by

MIB = 1 << 20


class Endless(io.RawIOBase):
    """A body that goes on for as long as it is read, and counts."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - of bytes
        """Fill a buffer."""
        self.read_bytes += len(buffer)
        return len(buffer)


def client(body: Any, headers: dict[str, str]) -> Any:  # noqa: ANN401 - of S3
    """Return a client of S3 whose every answer is this one."""
    made = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def urlopen(*_: object, **__: object) -> urllib3.HTTPResponse:
        return urllib3.HTTPResponse(body, headers, 200, preload_content=False)

    network = SimpleNamespace(
        pool=lambda _: SimpleNamespace(urlopen=urlopen),
        timeout=lambda connect, read: urllib3.Timeout(connect=connect, read=read),
        deadline=SimpleNamespace(check=lambda: None),
    )
    return send_by(network, made)  # type: ignore[arg-type] # as much of one as is used


def test_a_store_that_knows_no_ranges_does_not_fill_the_memory() -> None:
    """An export of any size instead of its first bytes: left off, and no answer."""
    body = Endless()
    with pytest.raises(HTTPClientError, match="more than"):
        client(body, {}).get_object(Bucket="b", Key="k", Range="bytes=0-9")
    assert body.read_bytes < 32 * MIB


def test_an_answer_that_breaks_off_is_none() -> None:
    """Fewer bytes than its Content-Length: nobody takes them for the object's beginning."""
    broken = client(io.BytesIO(b"abc"), {"content-length": "10"})
    with pytest.raises((HTTPClientError, IncompleteReadError, ResponseStreamingError)):
        broken.get_object(Bucket="b", Key="k")["Body"].read()


def test_a_body_is_read_as_of_any_client() -> None:
    """Whole, and in pieces."""
    whole = client(io.BytesIO(b"abc"), {"content-length": "3"})
    answer = whole.get_object(Bucket="b", Key="k")
    assert (answer["Body"].read(2), answer["Body"].read()) == (b"ab", b"c")
