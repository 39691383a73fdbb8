"""The real handler, in this process, against AWS (moto) and the vendor's stand-in, over TLS.

No piece of ours is replaced. `company` is shared and warm, as a runtime is that has done this all
day, and is emptied before each test; `fresh_company` has a stack, a vendor and a cold runtime of
its own, for tests that move clocks, change keys or count tokens. After every test that used either,
all that it left behind is searched for secrets, and each emitted event is held to its schema.
"""

from __future__ import annotations

import copy
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO, cast

import botocore.endpoint
import botocore.loaders
import botocore.session
import pytest

import archive_export
from local.apartmentiq import VendorStandIn
from local.aws.server import EmbeddedAws
from local.certificates import CertificateAuthority
from tests.functional.aws_script import AwsScript, answer_at_once
from tests.functional.company import (
    FUNCTION_KEY_ID,
    REGION,
    Company,
    People,
    Runtime,
)
from tests.schemas import schema_errors
from tests.taint.shared import SEARCHER

MakeCompany = Callable[[VendorStandIn, str], Company]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the function be silent about invocations without metrics, as telemetry.py asks for.

    pytest puts its own filters in the place of those.
    """
    silent = pytest.mark.filterwarnings("ignore:No application metrics to publish")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(silent)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make the run's own certificate authority."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def aws(authority: CertificateAuthority) -> Iterator[EmbeddedAws]:
    """Run AWS in this process."""
    server = EmbeddedAws(authority.server_context())
    answer_at_once(server)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def _read_service_models_once() -> Iterator[None]:
    """Keep botocore's parsed models over cold starts: reading them again proves nothing here."""
    first = cache(botocore.session.create_loader)

    def create_loader(search_path: str | None = None) -> botocore.loaders.Loader:
        loader = copy.copy(first(search_path))  # it shares what was read
        # boto3 adds its own folder to each
        loader._search_paths = [*loader.search_paths]  # type: ignore[attr-defined]
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", create_loader)  # the name it calls
        yield


@pytest.fixture(scope="session", autouse=True)
def _shorten_pauses_between_tries() -> Iterator[None]:
    """Let botocore try as often as it does, after a twentieth of its pause: up to 2 s each else."""
    with pytest.MonkeyPatch.context() as patch:
        hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 20))
        patch.setattr(botocore.endpoint, "time", hasty)  # it uses nothing else of the module
        yield


@pytest.fixture(scope="session")
def aws_script(aws: EmbeddedAws) -> AwsScript:
    """Return what tells AWS to do something wrong."""
    return AwsScript(aws)


@pytest.fixture(scope="session")
def people(aws: EmbeddedAws, authority: CertificateAuthority) -> People:
    """Return people's access to AWS."""
    return People(aws.url, authority.bundle_path)


@pytest.fixture(scope="session")
def shared_vendor(authority: CertificateAuthority) -> Iterator[VendorStandIn]:
    """Run ApartmentIQ for tests that leave its keys, its clock and its secret alone."""
    with VendorStandIn(authority.server_context()) as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """Return the one Lambda runtime of this process."""
    return Runtime()


@pytest.fixture(scope="session")
def shared_name() -> str:
    """Return the name of the shared company's stack."""
    return f"c{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def _shared_companies() -> dict[str, Company]:
    return {}


@pytest.fixture
def make_company(
    aws: EmbeddedAws,
    aws_script: AwsScript,
    people: People,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> MakeCompany:
    """Return what makes a company whose function has AWS's variables and no others of this host."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": FUNCTION_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CA_BUNDLE": str(people.ca_bundle),
        "SSL_CERT_FILE": str(people.ca_bundle),
    }.items():
        monkeypatch.setenv(name, value)

    def make(vendor: VendorStandIn, name: str) -> Company:
        return Company(aws, aws_script, people, vendor, runtime, name, monkeypatch)

    return make


@pytest.fixture
def company(
    make_company: MakeCompany,
    shared_vendor: VendorStandIn,
    shared_name: str,
    _shared_companies: dict[str, Company],
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Company]:
    """Empty the shared company, whose runtime is warm."""
    company = make_company(shared_vendor, shared_name)
    built = _shared_companies.setdefault(shared_name, company)
    if built is company:
        company.build()
    company.secret_arn, company.queue_url = built.secret_arn, built.queue_url
    company.dead_letter_queue_url = built.dead_letter_queue_url
    company.empty()
    company.set_environment()
    yield from _watched(company, capsys)


@pytest.fixture
def fresh_company(
    make_company: MakeCompany,
    authority: CertificateAuthority,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Company]:
    """Make a company of the test's own, with a vendor and a cold runtime of its own."""
    with VendorStandIn(authority.server_context()) as vendor:
        company = make_company(vendor, f"c{uuid.uuid4().hex[:12]}")
        company.build()
        company.empty()
        company.set_environment()
        yield from _watched(company, capsys)


def _watched(company: Company, capsys: pytest.CaptureFixture[str]) -> Iterator[Company]:
    """Collect the function's log; afterwards, look for secrets and hold events to their schemas."""
    handler = cast("logging.StreamHandler[TextIO]", archive_export.logger.registered_handler)
    before = handler.stream
    handler.setStream(company.log)
    yield company
    handler.setStream(before)
    assert [error for event in company.all_emitted() for error in schema_errors(event)] == []
    printed = capsys.readouterr()
    left = {**company.evidence(), "standard output": printed.out, "standard error": printed.err}
    SEARCHER.add(company.vendor.given_out)
    assert [str(finding) for finding in SEARCHER.search(left)] == []
