"""`archiver callback-url` and `archiver rotate-callback-token`: the URL to order jobs with.

Standard output gets the URL and nothing else, so that a program can take it; it holds a secret. The
token's length is the template's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import boto3

from cli.failure import Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cli.stack import StackOutputs

__all__ = ["show_callback_url"]

_TOKEN_CHARACTERS = 48  # as in template.yaml
_SWITCHED_OFF = "the stack receives no callbacks: deploy it with ReceiveCallbacks=true"
_ROTATED = (
    "Order with this URL from now on. The one before stays good until the next rotation: "
    "if strangers saw it, rotate once more."
)


def show_callback_url(stack: str, *, rotate: bool) -> int:
    """Print the URL, after a rotation if `rotate`; raises what boto3 raises, and Failure."""
    outputs = read_outputs(stack)
    if "CallbackBaseUrl" not in outputs.outputs:
        raise Failure(_SWITCHED_OFF)
    secrets: SecretsManagerClient = boto3.client("secretsmanager")
    if rotate:
        _rotate(secrets, outputs)
    token = secrets.get_secret_value(SecretId=outputs["CallbackTokenSecretArn"])["SecretString"]
    print(f"{outputs['CallbackBaseUrl'].rstrip('/')}/{token.strip()}")
    if rotate:
        print(_ROTATED, file=sys.stderr)
    return 0


def _rotate(secrets: SecretsManagerClient, outputs: StackOutputs) -> None:
    made = secrets.get_random_password(PasswordLength=_TOKEN_CHARACTERS, ExcludePunctuation=True)
    secrets.put_secret_value(
        SecretId=outputs["CallbackTokenSecretArn"], SecretString=made["RandomPassword"]
    )
