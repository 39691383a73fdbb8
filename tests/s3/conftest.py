"""One server of each kind for the whole run, a bucket for each test, and the count at its end.

A test takes `stage` and runs once for each server, or only for those that have what it `needs`, or
`lack` it (servers.CANNOT): servers differ where it hurts, and a promise is tried wherever it can be
kept. A run in
which nothing passed fails, and one in which LocalStack could not be started says so.
"""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.certificates import CertificateAuthority
from tests.locked_venv import make_locked_venv
from tests.s3.front import Front
from tests.s3.servers import CANNOT, LOCALSTACK_RUNS_HERE, LOCK, VENV, Server, serving
from tests.s3.stage import SOURCE, Clients, Stage, outside_of, people_of

_NOT_HERE = (
    "LocalStack needs Python 3.12 or 3.13 and this is another: only the other servers were tried"
)
_not_tried: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Explain the markers."""
    config.addinivalue_line("markers", "needs(*what): on servers that can (servers.CANNOT)")
    config.addinivalue_line("markers", "lacks(*what): on servers that cannot")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each server that can show its promise; some can show each."""
    if "server" not in metafunc.fixturenames:
        return
    needs = _named(metafunc, "needs")
    lacks = _named(metafunc, "lacks")
    assert needs | lacks <= {what for cannot in CANNOT.values() for what in cannot}
    names = [
        name
        for name, cannot in CANNOT.items()
        if not needs & cannot.keys() and lacks <= cannot.keys()
    ]
    assert names
    metafunc.parametrize("server", names, indirect=True, scope="session")


def _named(metafunc: pytest.Metafunc, marker: str) -> set[str]:
    return {what for mark in metafunc.definition.iter_markers(marker) for what in mark.args}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server that cannot run here; the end of the run says so."""
    if LOCALSTACK_RUNS_HERE:
        return
    left_out = [item for item in items if "[localstack" in item.name]
    _not_tried.extend(item.name for item in left_out)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail where nothing was tried."""
    if exitstatus == pytest.ExitCode.OK and not _counted(session.config)["passed"]:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print what was not tried and, as the last line, the count."""
    counted = _counted(config)
    if _not_tried:
        sys.stdout.write(f"{_NOT_HERE} ({len(_not_tried)} left out)\n")
    failed = counted["failed"] + counted["error"]
    sys.stdout.write(f"{counted['passed']} passed, {failed} failed\n")


def _counted(config: pytest.Config) -> Counter[str]:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    return Counter({name: len(reports) for name, reports in reporter.stats.items()})


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Return the authority that the copy trusts in this run."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def venv() -> None:
    """Install the servers from their lock; `make test-s3` has done so already."""
    problem = make_locked_venv(VENV, LOCK)
    assert problem is None, problem


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    venv: None,  # noqa: ARG001 - its programs are started
    authority: CertificateAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Run one server for all tests that name it."""
    folder: Path = tmp_path_factory.mktemp(request.param) / "server"
    with serving(request.param, folder, authority) as server:
        people_of(server, server.url).create_bucket(Bucket=SOURCE)
        yield server


@pytest.fixture(scope="session")
def front(server: Server, authority: CertificateAuthority) -> Iterator[Front]:
    """Put TLS in front of it."""
    front = Front(authority.server_context(), server.port)
    front.start()
    yield front
    front.stop()


@pytest.fixture(scope="session")
def clients(server: Server, front: Front, authority: CertificateAuthority) -> Clients:
    """Make the clients of a server once: each costs a third of a second."""
    return Clients(
        people=people_of(server, server.url),
        vendor=people_of(server, f"https://{front.authority}", authority.bundle_path),
        outside=outside_of(server, front, authority.bundle_path),
    )


@pytest.fixture
def stage(server: Server, front: Front, clients: Clients) -> Stage:
    """Return a bucket of the test's own, and the copy as a function with these keys has it."""
    bucket = f"archive-{uuid.uuid4().hex[:12]}"
    clients.people.create_bucket(Bucket=bucket)
    front.forget()
    return Stage(server, front, clients, bucket)
