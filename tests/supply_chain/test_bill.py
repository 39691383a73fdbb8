"""The bill of materials of the build says what is in it, in CycloneDX's own terms."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from archiver import VERSION
from local.supply_chain.__main__ import ROOT
from local.supply_chain.bill import bill_of
from local.supply_chain.builds import parts_of, zip_of
from local.supply_chain.licences import TO_DEPLOY, is_allowed
from local.supply_chain.lock import read_lock
from local.supply_chain.review import DEPLOYED_LOCK

BUILT = ROOT / ".aws-sam" / "local"


@pytest.fixture(scope="module")
def text() -> str:
    """Write the bill of the build for this machine; `make test` has made it."""
    return bill_of(BUILT)


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    """Read it."""
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def of_type(bill: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the components of a type by name."""
    return {c["name"]: c for c in bill["components"] if c["type"] == kind}


def test_it_is_valid_cyclonedx(text: str) -> None:
    """By the schema that CycloneDX publishes, strictly."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_lists_every_locked_package_and_no_other(bill: dict[str, Any]) -> None:
    """By name, version and package URL, as the lock has them."""
    locked = {package.name: package.version for package in read_lock(ROOT / DEPLOYED_LOCK)}
    listed = of_type(bill, "library")
    assert {name: c["version"] for name, c in listed.items()} == locked
    for name, component in listed.items():
        assert component["purl"] == f"pkg:pypi/{name}@{locked[name]}"


def test_it_tells_each_licence(bill: dict[str, Any]) -> None:
    """Each is one that may be deployed."""
    for component in of_type(bill, "library").values():
        (told,) = component["licenses"]
        licence = told.get("expression") or told["license"]["id"]
        assert is_allowed(licence, TO_DEPLOY)


def test_it_tells_what_needs_what(bill: dict[str, Any]) -> None:
    """As the packages' own metadata has it, for Lambda."""
    needs = {d["ref"].partition("@")[0]: d.get("dependsOn", []) for d in bill["dependencies"]}
    named = {ref: {one.partition("@")[0] for one in wanted} for ref, wanted in needs.items()}
    assert named["pkg:pypi/boto3"] == {
        "pkg:pypi/botocore",
        "pkg:pypi/jmespath",
        "pkg:pypi/s3transfer",
    }
    assert named["pkg:pypi/six"] == set()


def test_it_names_the_build_that_it_belongs_to(bill: dict[str, Any]) -> None:
    """The version that objects carry, and a hash of each function and layer."""
    assert bill["metadata"]["component"]["version"] == VERSION
    hashes = {name: c["hashes"] for name, c in of_type(bill, "file").items()}
    for name, folder in parts_of(BUILT).items():
        digest = hashlib.sha256(zip_of(folder)).hexdigest()
        assert hashes.pop(name) == [{"alg": "SHA-256", "content": digest}]
    assert hashes == {}


def test_the_same_build_gives_the_same_bill(text: str) -> None:
    """No time and no chance in it."""
    assert bill_of(BUILT) == text
