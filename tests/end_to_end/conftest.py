"""The deployed template and real Lambda runtimes: AWS's emulator runs the function as it was built.

One cloud serves all tests of a file; each uses jobs of its own. A process holds one cloud at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.apartmentiq import VendorStandIn
from local.cloud import LocalCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml with the local build; `make test` has made it."""
    state_folder: Path = tmp_path_factory.mktemp("local")
    with LocalCloud(state_folder=state_folder, maximum_runtimes=3) as cloud:
        yield cloud


@pytest.fixture
def vendor(cloud: LocalCloud) -> Iterator[VendorStandIn]:
    """Return the cloud's vendor, without the scripts of other tests."""
    assert cloud.vendor is not None
    yield cloud.vendor
    cloud.vendor.clear_script()
