"""`make callback-url` and `make rotate-callback-token`: the URL to order jobs with.

Standard output gets the URL and nothing else, so that a program can take it; it holds a secret. The
token's length is the template's. It must not import `archiver`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.stack_outputs import read_outputs

if TYPE_CHECKING:
    import argparse

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.stack_outputs import StackOutputs

__all__ = ["join_url", "run_callback_url"]

_TOKEN_CHARACTERS = 48  # as in template.yaml
_SWITCHED_OFF = "The stack receives no callbacks. Deploy it with ReceiveCallbacks=true."
_ROTATED = (
    "Order with this URL from now on. The one before stays good until the next rotation: "
    "if strangers saw it, rotate once more."
)


def run_callback_url(arguments: argparse.Namespace) -> int:
    """Print the URL, after a rotation if `arguments.rotate`; 1 with a sentence if it cannot be."""
    try:
        outputs = read_outputs(arguments.stack)
        if "CallbackBaseUrl" not in outputs.outputs:
            raise LookupError(_SWITCHED_OFF)  # noqa: TRY301 - all that cannot be ends alike
        secrets: SecretsManagerClient = boto3.client("secretsmanager")
        if arguments.rotate:
            _rotate(secrets, outputs)
        token = secrets.get_secret_value(SecretId=outputs["CallbackTokenSecretArn"])["SecretString"]
    except (BotoCoreError, ClientError, LookupError) as error:
        print(f"no callback URL: {error}", file=sys.stderr)
        return 1
    print(join_url(outputs["CallbackBaseUrl"], token))
    if arguments.rotate:
        print(_ROTATED, file=sys.stderr)
    return 0


def join_url(base_url: str, token: str) -> str:
    """Return the whole callback URL."""
    return f"{base_url.rstrip('/')}/{token.strip()}"


def _rotate(secrets: SecretsManagerClient, outputs: StackOutputs) -> None:
    made = secrets.get_random_password(PasswordLength=_TOKEN_CHARACTERS, ExcludePunctuation=True)
    secrets.put_secret_value(
        SecretId=outputs["CallbackTokenSecretArn"], SecretString=made["RandomPassword"]
    )
