"""Sends one part at a time, its checksum computed on the way: the hot path, instead of boto3's.

boto3's upload_part hashes or re-chunks the body in Python, at 1.4 to 1.8 x the CPU
(docs/decisions/2026-11-23-parts-are-sent-by-our-own-writer.md). Here the part goes out as a single
aws-chunk with its CRC64NVME in the trailer, so that memory does not depend on the part's size.
Stores that refuse trailers (dialect.py) get the part from a buffer, with the checksum in the
header. The signature is botocore's own. S3 User Guide: "Checking object integrity", trailing
checksums; SigV4 with an unsigned payload is allowed over TLS, and S3 checks the checksum on
receipt.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest

from archiver.aws.bucket_address import Address, BucketAddress
from archiver.aws.dialect import DAMAGED, Dialect, error_code
from archiver.errors import Failure, Transient
from archiver.network.https import NETWORK_ERRORS
from archiver.network.outside import Connect, Connection
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import Chunks, Part, TrailerRefused, Upload, UploadGone

if TYPE_CHECKING:
    from botocore.credentials import Credentials

__all__ = ["PartWriter"]

_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_MAX_ERROR_BYTES = 64 * 1024
_PASSING = DAMAGED | {"RequestTimeout", "SlowDown", "IncompleteBody", "408", "429"}


class _Signer(S3SigV4Auth):
    """SigV4 that puts the constant we name in the place of the payload's hash."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["payload"])


@dataclass
class PartWriter:
    """Writes parts over one connection. Not shared by threads; the address is."""

    address: BucketAddress
    connect: Connect
    credentials: Credentials
    dialect: Dialect
    _to: Address = field(init=False)  # whom the connection is to
    _connection: Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare a connection; raises what botocore raises where it knows no address."""
        self._turn_to(self.address.current())
        self.dialect.meet(self._to.host)

    def send_streaming(self, upload: Upload, number: int, size_bytes: int, chunks: Chunks) -> Part:
        """Send a part of exactly `size_bytes` (at least 1) as it is read, checksum in the trailer.

        Raises TrailerRefused (the answer is about the trailer itself), UploadGone, Transient (worth
        another try), Failure("aws_error") with S3's code, and whatever reading the chunks raises.
        """
        head = b"%x\r\n" % size_bytes
        tail_bytes = len(b"\r\n0\r\nx-amz-checksum-crc64nvme:") + 12 + len(b"\r\n\r\n")
        headers = {
            "X-Amz-Sdk-Checksum-Algorithm": "CRC64NVME",
            "X-Amz-Trailer": "x-amz-checksum-crc64nvme",
            "X-Amz-Decoded-Content-Length": str(size_bytes),
            "Content-Encoding": "aws-chunked",
            "Content-Length": str(len(head) + size_bytes + tail_bytes),
        }
        crc = 0

        def body() -> Iterator[bytes | memoryview]:
            nonlocal crc
            crc = 0  # a part that S3 sends elsewhere is read from the start again
            yield head
            for chunk in chunks():
                crc = crc64nvme(chunk, crc)
                yield chunk
            yield f"\r\n0\r\nx-amz-checksum-crc64nvme:{encode_crc64nvme(crc)}\r\n\r\n".encode()

        status, answer_headers, error = self._put(upload, number, _TRAILER, headers, body)
        if self.dialect.refuses_trailer(status, error):
            raise TrailerRefused
        return self._judge(number, size_bytes, crc, status, answer_headers, error)

    def send_buffered(
        self, upload: Upload, number: int, size_bytes: int, chunks: Chunks, buffer: memoryview
    ) -> Part:
        """Send a part from a buffer that holds it, checksum in the header; raises as above."""
        filled = crc = 0
        for chunk in chunks():
            buffer[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
            crc = crc64nvme(chunk, crc)
        headers = {
            "X-Amz-Sdk-Checksum-Algorithm": "CRC64NVME",
            "X-Amz-Checksum-Crc64nvme": encode_crc64nvme(crc),
            "Content-Length": str(size_bytes),
        }
        status, answer_headers, error = self._put(
            upload, number, _UNSIGNED, headers, lambda: iter([buffer[:size_bytes]])
        )
        return self._judge(number, size_bytes, crc, status, answer_headers, error)

    def interrupt(self) -> None:
        """Make a send that is under way in another thread fail at once."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _put(
        self,
        upload: Upload,
        number: int,
        payload: str,
        headers: dict[str, str],
        body: Callable[[], Iterator[bytes | memoryview]],
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a part, and once more if S3 says that the bucket is in another region."""
        answer = self._put_once(upload, number, payload, headers, body())
        if self._to.is_left_by(*answer):
            self.address.leave(self._to, *answer[1:])
            answer = self._put_once(upload, number, payload, headers, body())
            if self._to.is_left_by(*answer):
                raise Transient("aws_error", f"S3 sends part {number} from region to region.")
        return answer

    def _put_once(
        self,
        upload: Upload,
        number: int,
        payload: str,
        headers: dict[str, str],
        body: Iterator[bytes | memoryview],
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        to = self.address.current()  # another worker may have been sent elsewhere meanwhile
        if to != self._to:
            self._connection.close()
            self._turn_to(to)
        request = self._signed(upload, number, payload, headers)
        target = str(request.url).partition("://")[2]
        target = target[target.index("/") :]
        try:
            self._connection.begin("PUT", target, dict(request.headers.items()))
            answer = self._send_and_hear(body)
            text = answer.read(_MAX_ERROR_BYTES)
        except NETWORK_ERRORS as error:
            self._connection.close()
            raise Transient(
                "network", f"Sending part {number} to S3 broke off: {type(error).__name__}."
            ) from error
        except BaseException:
            self._connection.close()  # half a part was sent: this withdraws it
            raise
        if answer.status != 200 or not answer.isclosed():
            self._connection.close()  # a refusal may have come before the body's end
        return answer.status, answer.headers, text

    def _turn_to(self, to: Address) -> None:
        self._connection, self._to = self.connect(to.host, to.port, tls=to.tls), to

    def _send_and_hear(self, body: Iterator[bytes | memoryview]) -> http.client.HTTPResponse:
        for piece in body:
            try:
                self._connection.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                # S3 answers early when it refuses: what it says is worth more than the broken pipe.
                return self._connection.answer()
        return self._connection.answer()

    def _signed(
        self, upload: Upload, number: int, payload: str, headers: dict[str, str]
    ) -> AWSRequest:
        key = quote(upload.key, safe="/-_.~")
        upload_id = quote(upload.upload_id, safe="-_.~")
        url = f"{self._to.base_url}{key}?partNumber={number}&uploadId={upload_id}"
        request = AWSRequest("PUT", url, headers={**headers, "Host": self._to.authority})
        request.context["payload"] = payload
        frozen = self.credentials.get_frozen_credentials()
        _Signer(frozen, "s3", self._to.region).add_auth(request)
        return request

    def _judge(
        self,
        number: int,
        size_bytes: int,
        crc: int,
        status: int,
        headers: http.client.HTTPMessage,
        error: bytes,
    ) -> Part:
        if status == 200:
            told = headers.get("x-amz-checksum-crc64nvme")
            if told is not None and told != encode_crc64nvme(crc):
                raise Transient("aws_error", f"S3 holds part {number} with another checksum.")
            etag = headers.get("ETag")
            if not etag:  # it cannot be named at the commit, so it does not count as sent
                raise Transient("aws_error", f"S3 took part {number} and told no ETag of it.")
            return Part(number, etag, size_bytes, crc, told)
        code = error_code(error) or str(status)
        if status == 404:  # the only thing that a part can miss
            raise UploadGone
        kind = Transient if status >= 500 or code in _PASSING else Failure
        raise kind("aws_error", f"S3 refused part {number}: {code}.")
