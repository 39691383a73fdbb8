"""Pre-signed links: made as S3's clients make them, and checked as S3 checks them.

A link is checked by signing what arrived once more, with botocore, and comparing. Nothing is
looked up, so a link that was changed in any byte, or used with another method, fails by itself.
The order of the checks and the words of the refusals are S3's, as far as they are documented in
"Error responses" and "Authenticating requests: using query parameters" of the S3 API reference.
"""

from __future__ import annotations

import dataclasses
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.apartmentiq.messages import xml_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.apartmentiq.messages import Answer, Request

__all__ = ["LONGEST_VALIDITY_SECONDS", "LinkMaker", "SigningKeys", "check_link"]

LONGEST_VALIDITY_SECONDS = (
    7 * 24 * 3600
)  # Signature Version 4's own limit, and the vendor's promise
_NEEDED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The vendor's AWS keys, made up; with a session token they are temporary and expire."""

    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)
    region: str = "us-east-1"
    session_token: str | None = dataclasses.field(default=None, repr=False)
    expires_at: datetime | None = None

    @classmethod
    def make_up(cls, *, expires_at: datetime | None = None) -> SigningKeys:
        """Return fresh keys; temporary ones when they are to expire."""
        return cls(
            access_key_id=("ASIA" if expires_at else "AKIA") + secrets.token_hex(8).upper(),
            secret_access_key=f"canary-signing-key-{secrets.token_hex(12)}",
            session_token=f"canary-session-{secrets.token_urlsafe(48)}" if expires_at else None,
            expires_at=expires_at,
        )


class _Signer(S3SigV4QueryAuth):
    """botocore's signer of links, told the time instead of asking the machine for it."""

    def __init__(self, keys: SigningKeys, expires_seconds: int = 0) -> None:
        credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
        super().__init__(credentials, "s3", keys.region, expires=expires_seconds)

    def presign(self, request: AWSRequest, timestamp: str) -> str:
        """Return the request's URL with the signature in its query."""
        request.context["timestamp"] = timestamp
        self._modify_request_before_signing(request)  # type: ignore[attr-defined]  # in botocore since 2014, not in its stubs
        self._inject_signature_to_request(request, self._signature(request))  # type: ignore[attr-defined]  # likewise
        return str(request.url)

    def sign_again(self, request: AWSRequest, timestamp: str) -> str:
        """Return the signature that a request with this query ought to have."""
        request.context["timestamp"] = timestamp
        return self._signature(request)

    def _signature(self, request: AWSRequest) -> str:
        return str(
            self.signature(self.string_to_sign(request, self.canonical_request(request)), request)
        )


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Signs links to objects at one host, path-style: `bucket.localhost` does not resolve."""

    host: str
    keys: SigningKeys

    def link(
        self,
        bucket: str,
        key: str,
        *,
        at: datetime,
        valid_for_seconds: int,
        signed_headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> str:
        """Return a link that is valid from `at`, for a GET that sends exactly `signed_headers`."""
        url = f"https://{self.host}/{bucket}/{quote(key, safe='/~')}"
        if query:
            url += "?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
        request = AWSRequest("GET", url, headers=dict(signed_headers))
        return _Signer(self.keys, valid_for_seconds).presign(request, at.strftime(SIGV4_TIMESTAMP))


def check_link(
    request: Request, keys_by_id: Mapping[str, SigningKeys], now: datetime
) -> Answer | None:
    """Return S3's refusal of a request, or None when its link is good.

    Expired, changed, used with another method, sent with a second authorisation or with
    `x-amz-*` headers that were not signed: each is refused as S3 refuses it.
    """
    query = request.query()
    authorization = request.headers.get("Authorization")
    if authorization is not None and "X-Amz-Algorithm" in query:
        return _two_mechanisms(authorization)
    if "X-Amz-Algorithm" not in query:
        return xml_error(403, "AccessDenied", "Access Denied")
    refusal = _check_parameters(query) or _check_period(query, now)
    if refusal:
        return refusal
    keys = keys_by_id.get(query["X-Amz-Credential"].partition("/")[0])
    if keys is None:
        message = "The AWS Access Key Id you provided does not exist in our records."
        return xml_error(403, "InvalidAccessKeyId", message)
    return (
        _check_scope(query, keys)
        or _check_unsigned_headers(request, query)
        or _check_signature(request, query, keys)
        or _check_session(query, keys, now)
    )


def _two_mechanisms(authorization: str) -> Answer:
    # S3 repeats the header's value in its answer. So does this: who logs the body leaks the token.
    return xml_error(
        400,
        "InvalidArgument",
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature"
        " query string parameter or the Authorization header should be specified",
        ArgumentName="Authorization",
        ArgumentValue=authorization,
    )


def _bad_parameters(message: str) -> Answer:
    return xml_error(400, "AuthorizationQueryParametersError", message)


def _check_parameters(query: Mapping[str, str]) -> Answer | None:
    if missing := [name for name in _NEEDED if name not in query]:
        return _bad_parameters(f"Query-string authentication needs {', '.join(missing)}")
    if query["X-Amz-Algorithm"] != "AWS4-HMAC-SHA256":
        return _bad_parameters('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    if not query["X-Amz-Expires"].isdecimal():
        return _bad_parameters("X-Amz-Expires should be a number")
    if int(query["X-Amz-Expires"]) > LONGEST_VALIDITY_SECONDS:
        return _bad_parameters("X-Amz-Expires must be less than a week (in seconds)")
    if _signed_at(query) is None:
        return _bad_parameters("X-Amz-Date must be in the ISO8601 Long Format")
    return None


def _check_period(query: Mapping[str, str], now: datetime) -> Answer | None:
    signed_at = _signed_at(query)
    if signed_at is None:  # refused by the check before; said again for the type checker
        return _bad_parameters("X-Amz-Date must be in the ISO8601 Long Format")
    expires_at = signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))
    if now < expires_at:
        return None
    return xml_error(
        403,
        "AccessDenied",
        "Request has expired",
        **{"X-Amz-Expires": query["X-Amz-Expires"]},
        Expires=_iso(expires_at),
        ServerTime=_iso(now),
    )


def _check_scope(query: Mapping[str, str], keys: SigningKeys) -> Answer | None:
    scope = f"{query['X-Amz-Date'][:8]}/{keys.region}/s3/aws4_request"
    if query["X-Amz-Credential"].partition("/")[2] == scope:
        return None
    return _bad_parameters(f"Error parsing the X-Amz-Credential parameter; expecting {scope}")


def _check_unsigned_headers(request: Request, query: Mapping[str, str]) -> Answer | None:
    sent = {name.lower() for name in request.headers if name.lower().startswith("x-amz-")}
    unsigned = sent.difference(query["X-Amz-SignedHeaders"].split(";"))
    if not unsigned:
        return None
    message = "There were headers present in the request which were not signed"
    return xml_error(403, "AccessDenied", message, HeadersNotSigned=", ".join(sorted(unsigned)))


def _check_signature(
    request: Request, query: Mapping[str, str], keys: SigningKeys
) -> Answer | None:
    names = query["X-Amz-SignedHeaders"].split(";")
    pairs = [
        part for part in request.raw_query.split("&") if not part.startswith("X-Amz-Signature=")
    ]
    host = request.headers.get("Host", "")
    url = f"https://{host}{request.raw_path}?{'&'.join(pairs)}"
    headers = {
        name: ",".join(request.headers.get_all(name, [""])) for name in names if name != "host"
    }
    again = _Signer(keys).sign_again(
        AWSRequest(request.method, url, headers=headers), query["X-Amz-Date"]
    )
    if "host" in names and hmac.compare_digest(again, query["X-Amz-Signature"]):
        return None
    return xml_error(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided."
        " Check your key and signing method.",
        AWSAccessKeyId=keys.access_key_id,
        SignatureProvided=query["X-Amz-Signature"],
    )


def _check_session(query: Mapping[str, str], keys: SigningKeys, now: datetime) -> Answer | None:
    if query.get("X-Amz-Security-Token") != keys.session_token:
        return xml_error(
            400, "InvalidToken", "The provided token is malformed or otherwise invalid."
        )
    if keys.expires_at is None or now < keys.expires_at:
        return None
    return xml_error(
        400,
        "ExpiredToken",
        "The provided token has expired.",
        **{"Token-0": keys.session_token},
    )


def _signed_at(query: Mapping[str, str]) -> datetime | None:
    try:
        moment = datetime.strptime(query["X-Amz-Date"], SIGV4_TIMESTAMP)  # noqa: DTZ007 - the format ends in a literal Z, which the next line honours
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
