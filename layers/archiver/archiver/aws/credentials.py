"""The vendor's credentials, from Secrets Manager, read once per runtime and again when refused.

The secret's value must not reach a log, an exception or a trace: errors name the secret, never what
is in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from archiver.apartmentiq.protocol import Credentials
from archiver.aws.translate import code_of, translated
from archiver.errors import Deferral
from archiver.telemetry import Steps

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["SecretCredentials"]


class SecretCredentials:
    """Implements `apartmentiq.token.CredentialsSource`."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str, steps: Steps) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self._steps = steps
        self._cached: Credentials | None = None

    def read(self, *, again: bool = False) -> Credentials:
        """Return `client_id` and `client_secret`, or an `access_token`.

        Raises Deferral("credentials_missing") for a secret without a value or without these fields:
        people fill it, and the waiting jobs go on by themselves.
        """
        if self._cached is None or again:
            with self._steps.step("credentials"):
                self._cached = self._parse(self._fetch())
        return self._cached

    def _fetch(self) -> str:
        with translated("Reading the credentials secret"):
            try:
                answer = self._client.get_secret_value(SecretId=self._secret_arn)
            except ClientError as error:
                # A secret that was made without a value answers like one that is not there.
                if code_of(error) == "ResourceNotFoundException":
                    raise self._missing("has no value yet") from error
                raise
        return answer.get("SecretString", "")

    def _parse(self, text: str) -> Credentials:
        try:
            fields = json.loads(text)
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


def _is_sendable(value: str) -> bool:
    """Tell whether a value can go into a header or a form; http.client's refusal would quote it."""
    return value.isascii() and value.isprintable()
