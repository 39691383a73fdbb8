"""The callback tokens in Secrets Manager: the secret's current version, and the previous one.

No value may reach a log, an exception or a trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["CallbackSecret"]

# The labels that Secrets Manager itself moves on at each put-secret-value.
_STAGES = ("AWSCURRENT", "AWSPREVIOUS")


class CallbackSecret:
    """A secret whose value is a token, as plain text."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str) -> None:
        self._client = client
        self._secret_arn = secret_arn

    def read(self) -> list[str]:
        """Return the tokens there are, the current one first; raises Failure("aws_error")."""
        tokens = [self._read_stage(stage) for stage in _STAGES]
        return [token for token in tokens if token]

    def _read_stage(self, stage: str) -> str:
        with translated("Reading the callback token"):
            try:
                answer = self._client.get_secret_value(
                    SecretId=self._secret_arn, VersionStage=stage
                )
            except ClientError as error:
                # A secret that was never rotated has no version before, a new one perhaps none.
                if code_of(error) == "ResourceNotFoundException":
                    return ""
                raise
        return answer.get("SecretString", "").strip()  # a shell's pipe ends it with a newline
