"""The deployed template and real Lambda runtimes: AWS's emulator runs the function as it was built.

One cloud serves all tests of a file; each uses jobs of its own. A process holds one cloud at a
time. At the end every event that was emitted is held to its schema, every call of AWS to the role
of the function that made it, and all that is left anywhere is searched for secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.apartmentiq import VendorStandIn
from local.cloud import LocalCloud
from tests.security.watch import watched


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml with the local build; `make test` has made it."""
    state_folder: Path = tmp_path_factory.mktemp("local")
    with LocalCloud(state_folder=state_folder, maximum_runtimes=3) as cloud, watched(cloud):
        yield cloud


@pytest.fixture
def vendor(cloud: LocalCloud) -> Iterator[VendorStandIn]:
    """Return the cloud's vendor, without the scripts of other tests."""
    assert cloud.vendor is not None
    yield cloud.vendor
    cloud.vendor.clear_script()


@pytest.fixture
def people(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Let this process use the stack as people do, all from the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": cloud.aws.url,
        "AWS_CA_BUNDLE": str(cloud.ca_bundle),
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": "LOCALPEOPLE",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(name, value)
    return cloud
