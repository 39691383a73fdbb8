"""The embedded AWS alone, without a stack of ours, for tests of what makes and changes stacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.aws.calls_moto_lacks import AccountSettings
from local.aws.change_sets import mend_change_sets
from local.aws.moto_resources import teach_moto
from local.aws.server import EmbeddedAws
from local.certificates import CertificateAuthority

__all__ = ["embedded_aws"]


@contextmanager
def embedded_aws(folder: Path) -> Iterator[AccountSettings]:
    """Run it and let the environment lead to it; yields what tells the account's concurrency."""
    authority = CertificateAuthority.create(folder, ())
    server = EmbeddedAws(authority.server_context())
    settings = AccountSettings()
    server.answer_first(settings)
    server.start()
    mend_change_sets(
        lambda types: teach_moto(
            types, endpoint_url=server.url, open_function_url=lambda _: "https://localhost/"
        )
    )
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
                environment.delenv(name, raising=False)
            for name, value in {
                "AWS_ENDPOINT_URL": server.url,
                "AWS_CA_BUNDLE": str(authority.bundle_path),
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "LOCALPEOPLE",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_CONFIG_FILE": str(folder / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
                "NO_PROXY": "localhost",
            }.items():
                environment.setenv(name, value)
            yield settings
    finally:
        server.stop()
