"""S3's side of an UploadPart: the framing and the checksum are checked as S3 checks them.

Document: Amazon S3 User Guide, "Checking object integrity", trailing checksums; SigV4 "Signature
calculations: transferring a payload in multiple chunks".
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

from botocore.exceptions import ClientError

from tests.faults.chaos import Chaos, Fault
from tests.faults.objects import Objects, encode_crc
from tests.faults.wires import Refusal, Reply, Request, network_faults

__all__ = ["PartSite"]

_FRAME = re.compile(
    rb"([0-9a-f]+)\r\n(.*)\r\n0\r\nx-amz-checksum-crc64nvme:([A-Za-z0-9+/=]{12})\r\n\r\n",
    re.DOTALL,
)
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/us-east-1/s3/aws4_request, "
    r"SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}"
)


class PartSite:
    """Takes parts into the store."""

    side = "parts"

    def __init__(self, chaos: Chaos, objects: Objects) -> None:
        self._chaos = chaos
        self._objects = objects

    def faults(self, request: Request) -> tuple[Fault, ...]:
        """Return what can go wrong with a part."""
        _, _, upload_id = _address(request)

        def refusal(status: int, code: str) -> Fault:
            return Fault(f"part {status} {code}", 0, lambda: Refusal(_error(status, code)), "aws")

        return (
            *network_faults("part", "network"),
            refusal(500, "InternalError"),
            refusal(503, "SlowDown"),
            refusal(400, "RequestTimeout"),
            refusal(400, "BadDigest"),
            Fault(
                "s3 gave the upload up", 1, None, "aws", lambda: self._objects.give_up(upload_id)
            ),
        )

    def reply(self, request: Request) -> Reply:
        """Store a part."""
        headers = request.headers
        if not _SIGNATURE.fullmatch(headers.get("authorization") or ""):
            raise self._chaos.violate("a part that is not signed")
        if headers.get("content-length") != str(len(request.body)):
            return _error(400, "IncompleteBody")
        key, number, upload_id = _address(request)
        body, told = self._unwrap(request)
        if told != encode_crc(body):
            return _error(400, "BadDigest")
        try:
            etag = self._objects.store_part(key, upload_id, number, body)
        except ClientError as error:
            return _error(404, error.response["Error"]["Code"])
        return Reply(200, {"ETag": etag, "x-amz-checksum-crc64nvme": told})

    def delivered(self, request: Request, reply: Reply) -> None:
        """Note what the run knows of its part."""
        if reply.status == 200:
            _, number, upload_id = _address(request)
            self._objects.deliver(upload_id, number)

    def was_read(self, size_bytes: int) -> None:
        """Do nothing: these are answers to parts."""

    def _unwrap(self, request: Request) -> tuple[bytes, str]:
        headers = request.headers
        if headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD":
            return bytes(request.body), headers.get("x-amz-checksum-crc64nvme") or ""
        match = _FRAME.fullmatch(bytes(request.body))
        if match is None or int(match[1], 16) != len(match[2]):
            raise self._chaos.violate("a part whose framing S3 would refuse")
        if headers.get("x-amz-decoded-content-length") != str(len(match[2])):
            raise self._chaos.violate("a part whose decoded length is another")
        if headers.get("x-amz-content-sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
            raise self._chaos.violate("a trailer that is not announced")
        return match[2], match[3].decode()


def _address(request: Request) -> tuple[str, int, str]:
    path, _, query = request.target.partition("?")
    fields = parse_qs(query)
    return unquote(path[1:]), int(fields["partNumber"][0]), fields["uploadId"][0]


def _error(status: int, code: str) -> Reply:
    return Reply(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
