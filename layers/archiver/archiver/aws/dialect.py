"""What each S3 cannot do, and how that is found out. The one place that says so.

AWS's S3 does all that is asked of it here. Others do not, and are told by what they answer, never
by their name (seen by running them, or in the public report that is named). But for a condition
that is ignored: no answer tells of that, so there AWS's name is what counts.

| store | what it does otherwise | what we do |
| --- | --- | --- |
| Ceph, Yandex, Scality, R2, older MinIO | refuses a checksum in a trailer (below) | parts go from
  memory, the checksum in the header: send_buffered; never more than fits (transfer/streaming.py) |
| Ceph, rclone | tell no checksum of a part | the parts' sizes are listed before the commit
  (transfer/streaming.commit_parts), the object is looked at after it (transfer/copier) |
| Ceph | answers a Complete without an ETag | HEAD tells it (transfer/copier) |
| Ceph, Yandex | error messages empty, or their own | the code decides, the text only of a trailer |
| SeaweedFS | lists a part that was sent twice twice, and tells no checksum in ListParts | any that
  has our size will do, the commit names its ETag (transfer/streaming.commit_parts) |
| SeaweedFS, MinIO | their own code for bytes that arrived damaged | DAMAGED |
| rclone | takes UploadPartCopy for an empty upload, says NoSuchUpload where there are none |
  aws/object_store.py |
| MinIO without a KMS, Ceph | refuse AES256 where it is not set up | KNOW_NO_SSE_S3: asked without |
| R2 | wants parts of one size | all are, but the last (transfer/plan.py) |
| Ceph, rclone | ignore If-None-Match: Ceph's Complete, and its PUT into a versioned bucket; rclone
  all of it. Both say 200 | looked at before each commit where the store is not AWS's: is_aws |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DAMAGED", "KNOW_NO_SSE_S3", "Dialect", "error_code"]

# Bytes that arrived otherwise than they were sent: AWS's word (S3 API Reference, "List of error
# codes"), SeaweedFS's, and MinIO's (cmd/api-errors.go).
DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"})
# What other S3s say to AES256 where it is not set up: MinIO without a KMS (minio/minio#6367), Ceph
# (ceph/ceph, src/rgw/rgw_crypt.cc: EINVAL). AWS never does.
KNOW_NO_SSE_S3 = frozenset({"InvalidArgument", "NotImplemented"})

# Of botocore's partitions.json, all of its partitions ("dnsSuffix", "dualStackDnsSuffix"); a test
# holds it to that. A host that is missing here costs the first copy of a runtime one part's time,
# and a HEAD before each commit.
_AWS_HOST = re.compile(
    r".+\.(?:amazonaws\.(?:com|com\.cn|eu)|api\.(?:aws|amazonwebservices\.(?:com\.cn|eu))"
    r"|(?:c2s|csp\.hci|api\.aws|api\.aws\.hci)\.ic\.gov|sc2s\.sgov\.gov|api\.aws\.scloud"
    r"|(?:cloud|api\.cloud-aws)\.adc-e\.uk)"
)
# An answer about the request's form. 403 is about who asks; 401, 404, 408, 409, 412, 429 and what
# the server blames on itself say nothing of trailers either. 415: RFC 9110, 15.5.16, names the
# Content-Encoding among its causes.
_ABOUT_THE_FORM = frozenset({400, 411, 415})
_NOT_IMPLEMENTED = 501
# Codes that speak of the trailer, or of the constant that announces it:
# - MalformedTrailerError: AWS (versity/versitygw#1600, scality/Arsenal#2596 show its answer).
# - InvalidTrailer: "Invalid trailing header names in x-amz-trailer" (boto/boto3#4396).
# - XAmzContentSHA256Mismatch: Ceph, without a message (treeverse/lakeFS#10261), Yandex
#   (yandex-cloud/docs#899), s3s and RustFS (s3s-project/s3s#328): the constant is taken for a hash.
# - MissingContentLength: storj, older MinIO (storj/gateway-st#89): ours is always told.
_TRAILER_CODES = frozenset(
    {
        "MalformedTrailerError",
        "InvalidTrailer",
        "XAmzContentSHA256Mismatch",
        "MissingContentLength",
    }
)
# Others say it in words: "trailing checksum is not supported" (BadRequest: scality/cloudserver
# #5553), "aws-chunked encoding is not supported …" (InvalidArgument: Alibaba OSS, its error
# 0017-00000804), "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, …" (InvalidArgument: mdx), "The
# value specified in the x-amz-trailer header is not supported" (InvalidRequest: versity/versitygw
# #1632).
_TRAILER_WORDS = re.compile(
    rb"trailer|trailing|aws-chunked|content-sha256|content-encoding", re.IGNORECASE
)
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_SAID = re.compile(rb"<(Message|ArgumentName)>([^<]{1,1000})</\1>")


@dataclass
class Dialect:
    """What is known of the one store of a runtime, shared by all that talk to it.

    `takes_trailers`: None until AWS's host name or a part's answer has told. `is_aws`: None until
    a host is known. AWS's S3 keeps conditions (User Guide, "conditional writes"); others may not.
    """

    takes_trailers: bool | None = None
    is_aws: bool | None = None

    def meet(self, host: str) -> None:
        """Hear the store's host: AWS's S3 takes trailers (User Guide, "trailing checksums")."""
        if self.is_aws is None:
            self.is_aws = _AWS_HOST.fullmatch(host.lower()) is not None
        if self.takes_trailers is None and self.is_aws:
            self.takes_trailers = True

    def refuses_trailer(self, status: int, error: bytes) -> bool:
        """Tell whether a part's answer is about its trailer, and remember what that teaches.

        Anything else, whatever its status, is about the part or about us, and says so itself.
        """
        if _is_about_trailer(status, error):
            self.takes_trailers = False
            return True
        if status == 200 and self.takes_trailers is None:
            self.takes_trailers = True
        return False


def error_code(error: bytes) -> str:
    """Return the error code of an S3's answer; Ceph and others may send none."""
    match = _CODE.search(error)
    return match[1].decode() if match else ""


def _is_about_trailer(status: int, error: bytes) -> bool:
    if status == _NOT_IMPLEMENTED:  # R2: "STREAMING-…-TRAILER not implemented"
        return True
    if status not in _ABOUT_THE_FORM:
        return False
    said = b" ".join(match[2] for match in _SAID.finditer(error))
    return error_code(error) in _TRAILER_CODES or _TRAILER_WORDS.search(said) is not None
