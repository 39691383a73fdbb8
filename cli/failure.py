"""Why a command cannot go on: one sentence that says what to do, and the exit code.

Whatever a person can cause (no region, no login, a name that is not there, no permission, no way
out) is told so; a traceback is a bug of ours.
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    WaiterError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

__all__ = ["ASKED_IN_VAIN", "CANNOT_ASK", "INTERRUPTED", "NO", "USAGE", "Failure", "explain"]

# Exit codes. 0: done, or the answer is yes.
NO = 1  # the answer is no: not archived, not borne out, a proof failed
USAGE = 2  # what was typed cannot be, or was not confirmed; nothing was asked or changed
CANNOT_ASK = 3  # AWS could not be asked, or refused
INTERRUPTED = 130  # as shells say it

ASKED_IN_VAIN = (BotoCoreError, ClientError, WaiterError)

_LOG_IN = "log in (`aws sso login`, `aws configure`), or name a profile by AWS_PROFILE"
# By kind; botocore's own sentence goes before.
_REMEDIES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((NoRegionError,), "give --region, or set AWS_REGION"),
    ((InvalidRegionError,), "give --region as AWS spells it, for example us-east-1"),
    ((ProfileNotFound, ConfigNotFound, ConfigParseError), "see AWS_PROFILE and ~/.aws/config"),
    (
        (
            NoCredentialsError,
            PartialCredentialsError,
            CredentialRetrievalError,
            SSOError,
            TokenRetrievalError,
        ),
        _LOG_IN,
    ),
    # no address, no way through a proxy, no TLS, no time
    ((HTTPClientError, BotoConnectionError), "look at region, network and proxy"),
)
# Codes by which services say one thing (API references, "Common errors"; S3's "Error responses").
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_KEYS = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_FORBIDDEN = {"403", "AccessDenied", "AccessDeniedException", "Forbidden", "UnauthorizedOperation"}
_TOO_MANY = {
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


class Failure(Exception):  # noqa: N818 - it is told to a person, who did nothing wrong
    """A command cannot go on; the text is a sentence with the remedy, `code` the exit code."""

    def __init__(self, text: str, code: int = CANNOT_ASK) -> None:
        """Keep both."""
        super().__init__(text)
        self.code = code


def explain(error: Exception, *, stack: str = "") -> Failure:
    """Return what boto3 raised as a sentence with a remedy; `stack` is the one that was named."""
    if isinstance(error, ClientError):
        return Failure(_refused(error, stack))
    for kinds, remedy in _REMEDIES:
        if isinstance(error, kinds):
            return Failure(f"{str(error).rstrip('.')}: {remedy}")
    return Failure(f"AWS could not be asked: {error}")


def _refused(error: ClientError, stack: str) -> str:
    told = error.response.get("Error", {})
    code, said = str(told.get("Code", "")), str(told.get("Message", "")).rstrip(".")
    if code in _EXPIRED:
        return f"the AWS credentials have expired: {_LOG_IN}"
    if code in _UNKNOWN_KEYS:
        return f"AWS does not accept these credentials ({code}): {_LOG_IN}"
    if code in _FORBIDDEN:
        return (
            f"you may not call {error.operation_name} ({said or code}): "
            "docs/iam.md has the permissions of each command"
        )
    if code in _TOO_MANY:
        return f"AWS wants fewer calls just now ({code}): try again in a minute"
    if error.operation_name == "DescribeStacks" and code == "ValidationError":
        return (
            f"there is no stack {stack or 'of that name'} in this account and region "
            f"({said}): look at --stack, --region and AWS_PROFILE"
        )
    return f"AWS refused {error.operation_name}: {code}: {said}"
