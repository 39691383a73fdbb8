"""The credentials secret: what cannot be used waits for people, and is never quoted."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiver.aws.credentials import SecretCredentials
from archiver.errors import Deferral
from archiver.telemetry import NoSteps

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

TOKEN = "canary"


@dataclass
class Secrets:
    """Secrets Manager with one secret."""

    value: str | bytes

    def get_secret_value(self, **asked: Any) -> dict[str, str | bytes]:  # noqa: ANN401 - boto3's own
        """Return it."""
        assert asked["SecretId"] == "arn"
        return {"SecretString" if isinstance(self.value, str) else "SecretBinary": self.value}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"access_token": f"{TOKEN}\r\nX-Evil: 1"}),
        json.dumps({"access_token": f"{TOKEN}\u20ac"}),
        json.dumps({"client_id": "id", "client_secret": f"{TOKEN}\ud800"}),
        '{"access_token": ' + "[" * 100_000,
        f'"{TOKEN}"',
        f"\udcff{TOKEN}",
        f"{TOKEN}\xff".encode("latin-1"),
    ],
    ids=["line break", "no ASCII", "surrogate", "deep", "text", "no Unicode", "no UTF-8"],
)
def test_a_secret_that_cannot_be_sent_counts_as_missing(text: str | bytes) -> None:
    """http.client and urlencode refuse it, and http.client's refusal quotes it."""
    credentials = SecretCredentials(cast("SecretsManagerClient", Secrets(text)), "arn", NoSteps())
    with pytest.raises(Deferral) as deferred:
        credentials.read()
    assert deferred.value.reason == "credentials_missing"
    shown = "".join(traceback.format_exception(deferred.value))
    assert TOKEN not in shown.replace("TOKEN", "")


GOOD = json.dumps({"client_id": "id", "client_secret": TOKEN})


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.encode(),
        *(GOOD.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32")),
    ],
    ids=["text", "text with a mark", "bytes", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"],
)
def test_a_secret_is_read_however_it_was_written(value: str | bytes) -> None:
    """Editors begin a file with a mark, PowerShell writes UTF-16, and fileb:// makes it binary."""
    credentials = SecretCredentials(cast("SecretsManagerClient", Secrets(value)), "arn", NoSteps())
    read = credentials.read()
    assert (read.client_id, read.client_secret) == ("id", TOKEN)
