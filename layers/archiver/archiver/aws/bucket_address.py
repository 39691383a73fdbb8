"""Where a bucket's endpoint is, by botocore, which knows all regions, partitions and options.

The parts that we send ourselves go to the host, and are signed for the region, that the same
client's own `upload_part` would use. So that call is made and answered in S3's place, by an event
that botocore offers for this: `before-send` "allows a response to be returned that fulfills the
request" (https://docs.aws.amazon.com/botocore/latest/topics/events.html). Nothing is sent; 0.7 ms
of CPU. A pre-signed URL would not do: in partition aws botocore signs those for the *global*
endpoint, whatever the region (botocore/signers.py, `use_global_endpoint`).

A redirect is handed to botocore the same way. Its redirector then computes the named region's host,
and all later calls of the client go there as well. A Location or Endpoint in the answer is never
followed: what goes there would carry our signature.
"""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.response import HTTPResponse

from archiver.aws.dialect import error_code
from archiver.aws.sending import ANSWERED_HERE
from archiver.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_s3 import S3Client

__all__ = ["Address", "BucketAddress"]

_SENDING = "before-send.s3.UploadPart"
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1"})
# Signature Version 4, single region, for S3 itself: the only way in which parts are signed here.
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([a-z0-9-]+)/s3/aws4_request,")
_REGION = "x-amz-bucket-region"
_REGION_INSIDE = re.compile(rb"<Region>([a-z0-9-]{1,63})</Region>")
# 400s that are about the bucket's region (S3 API Reference, "Error responses"; the last is what a
# region that must be opted into says: botocore.utils.S3RegionRedirectorv2).
_ABOUT_THE_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "IllegalLocationConstraint"}
    | {"IllegalLocationConstraintException"}
)


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a bucket's objects, and the region that requests to it are signed for."""

    base_url: str  # ends with a slash; a key comes next
    region: str

    @property
    def authority(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        return urlsplit(self.base_url).netloc

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        return urlsplit(self.base_url).port or (443 if self.tls else 80)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken there: not on this machine's loopback."""
        return self.base_url.startswith("https:")

    def is_left_by(self, status: int, headers: HTTPMessage, body: bytes) -> bool:
        """Tell whether an answer sends us to another region, whether or not it names one."""
        if status != 400:
            return 300 <= status < 400
        if error_code(body) in _ABOUT_THE_REGION:
            return True
        return _region_named(headers, body) not in {None, self.region}


@dataclass
class BucketAddress:
    """One bucket's address as one client has it; shared by threads, asked for when first needed."""

    client: S3Client
    bucket: str
    _known: Address | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def current(self) -> Address:
        """Return the address; raises what botocore raises where there is none."""
        known = self._known
        if known is None:
            with self._lock:
                known = self._known = self._ask()
        return known

    def ask_again(self) -> None:
        """Forget it: a call of the client may have found the bucket in another region."""
        self._known = None

    def leave(self, left: Address, headers: HTTPMessage, body: bytes) -> None:
        """Find the address that takes the place of `left`, which answered so.

        Raises Transient if there is no other: word of a young bucket has yet to get around.
        """
        with self._lock:
            if self._known is None or self._known == left:  # else another thread has been here
                self._known = self._ask_after(_region_named(headers, body))
            if self._known == left:
                raise Transient("aws_error", "S3 sends a part away, and to no other region.")

    def _ask_after(self, region: str | None) -> Address:
        # Without a region botocore asks for the bucket (HeadBucket), as after its own calls.
        told = {} if region is None else {_REGION: region}
        try:
            return self._ask((301, told))
        except (BotoCoreError, ClientError) as error:
            raise Transient(
                "aws_error", f"S3 sends a part away: {type(error).__name__}."
            ) from error

    def _ask(self, *answers: tuple[int, Mapping[str, str]]) -> Address:
        """Make the client's own call, answer it so and then with 200; read where it went last."""
        script = iter(answers)
        sent: list[AWSPreparedRequest] = []

        def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
            sent.append(request)
            request.context[ANSWERED_HERE] = True  # type: ignore[attr-defined] # newer than its types
            status, headers = next(script, (200, {}))
            nothing = HTTPResponse(io.BytesIO(), preload_content=False)
            return AWSResponse(str(request.url), status, HTTPHeaders.from_dict(headers), nothing)

        events: Any = self.client.meta.events  # its types allow for no answer
        events.register_first(_SENDING, answer)
        try:
            self.client.upload_part(
                Bucket=self.bucket, Key="k", PartNumber=1, UploadId="u", Body=b""
            )
        finally:
            events.unregister(_SENDING, answer)
        return _read(sent[-1])


def _read(request: AWSPreparedRequest) -> Address:
    base_url = str(request.url).partition("?")[0].removesuffix("k")
    signed = request.headers["Authorization"]
    scope = _SCOPE.match(signed.decode() if isinstance(signed, bytes) else signed)
    if scope is None:  # a directory bucket, say; wrong signatures would tell nobody why
        raise ValueError(f"requests to {base_url} are not signed as parts are")
    address = Address(base_url, scope[1])
    if not address.tls and address.host not in _LOOPBACK_HOSTS:
        raise ValueError(f"the S3 endpoint {base_url} is neither https nor loopback")
    return address


def _region_named(headers: HTTPMessage, body: bytes) -> str | None:
    inside = _REGION_INSIDE.search(body)
    return headers.get(_REGION) or (inside[1].decode() if inside else None)
