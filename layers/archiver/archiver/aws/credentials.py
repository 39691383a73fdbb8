"""The vendor's credentials, from Secrets Manager, read once per runtime and again when refused.

The secret's value must not reach a log, an exception or a trace: errors name the secret, never what
is in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from archiver.apartmentiq.protocol import Credentials
from archiver.aws.translate import code_of, status_of, translated
from archiver.errors import Deferral
from archiver.telemetry import Steps

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["SecretCredentials"]

# What the codes of throttles and of slow requests have in them (botocore/retries/standard.py).
_BUSY = ("Throttl", "LimitExceeded", "TooManyRequests", "RequestTimeout", "NotComplete")
# What each refusal mostly means (Secrets Manager API Reference, GetSecretValue and "Common Errors";
# botocore's model of the service), for whoever is to mend it.
_MEANS = {
    "InvalidRequestException": "is it scheduled for deletion? aws secretsmanager restore-secret",
    "AccessDeniedException": "may the function's role read it, and use its KMS key?",
    "DecryptionFailure": "is its KMS key disabled or deleted?",
}


class SecretCredentials:
    """Implements `apartmentiq.token.CredentialsSource`."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str, steps: Steps) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self._steps = steps
        self._cached: Credentials | None = None

    def read(self, *, again: bool = False) -> Credentials:
        """Return `client_id` and `client_secret`, or an `access_token`.

        Raises Deferral("credentials_missing") for a secret without a value, without these fields,
        or that may not be read: people mend it, and waiting jobs go on by themselves. Raises
        Failure("aws_error") where the service throttles or fails.
        """
        if self._cached is None or again:
            with self._steps.step("credentials"):
                self._cached = self._parse(self._fetch())
        return self._cached

    def _fetch(self) -> bytes:
        with translated("Reading the credentials secret"):
            try:
                answer = self._client.get_secret_value(SecretId=self._secret_arn)
            except ClientError as error:
                # A secret that was made without a value answers like one that is not there.
                if code_of(error) == "ResourceNotFoundException":
                    raise self._missing("has no value yet") from error
                if _is_for_people(error):
                    raise self._unreadable(code_of(error)) from error
                raise
        text = answer.get("SecretString", "")
        return text.encode(errors="surrogatepass") or answer.get("SecretBinary", b"")

    def _parse(self, secret: bytes) -> Credentials:
        try:
            fields = json.loads(secret)  # bytes in any Unicode encoding, with its mark or without
        except (ValueError, RecursionError):  # its text would quote the secret: not chained
            raise self._missing("is not JSON") from None
        if not isinstance(fields, dict):
            raise self._missing("is not a JSON object")
        values = {
            name: value.strip()
            for name in ("client_id", "client_secret", "access_token")
            if isinstance(value := fields.get(name), str)
        }
        credentials = Credentials(**values)
        if not credentials.access_token and not (
            credentials.client_id and credentials.client_secret
        ):
            raise self._missing("has neither client_id and client_secret nor an access_token")
        if not all(_is_sendable(value) for value in values.values()):
            raise self._missing("holds characters that no client id, secret or token has")
        return credentials

    def _missing(self, how: str) -> Deferral:
        self._cached = None
        return Deferral(
            "credentials_missing",
            f"The credentials secret {how}. Fill it with: aws secretsmanager put-secret-value "
            f"--secret-id {self._secret_arn} --secret-string "
            """'{"client_id": "...", "client_secret": "..."}'""",
        )

    def _unreadable(self, code: str) -> Deferral:
        self._cached = None
        means = f": {_MEANS[code]}" if code in _MEANS else ""
        return Deferral(
            "credentials_missing",
            f"The credentials secret cannot be read ({code}{means}). Secret: {self._secret_arn}",
        )


def _is_for_people(error: ClientError) -> bool:
    """Tell a refusal that stays until somebody mends it from a service that is busy or broken.

    As which errors KMS's trouble comes is not documented in full, so it is told by what they are
    not: neither the server's own (5xx) nor a throttle, which is a 400 too.
    """
    status, code = status_of(error), code_of(error)
    return 400 <= status < 500 and status != 429 and not any(word in code for word in _BUSY)


def _is_sendable(value: str) -> bool:
    """Tell whether a value can go into a header or a form; http.client's refusal would quote it."""
    return value.isascii() and value.isprintable()
