"""The bill of materials of a build, CycloneDX: which packages are in it, and what it is.

Read from the build itself, so that it lists what will run and not what somebody meant to install.
The same build gives the same bill: no time, and a serial number made from the content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from local.supply_chain.builds import parts_of, zip_of
from local.supply_chain.licences import licence_of

__all__ = ["bill_of"]

_NAME = "apartmentiq-archiver"
_VERSION = re.compile(r'^VERSION = "(?P<version>[^"]+)"', re.MULTILINE)
# Where the packages will run; what they need elsewhere is not in the bill.
_LAMBDA = {
    "extra": "",
    "platform_system": "Linux",
    "python_version": "3.13",
    "sys_platform": "linux",
}


def bill_of(build_folder: Path) -> str:
    """Return the bill of a build as JSON."""
    parts = parts_of(build_folder)
    installed = {
        _name(d): d for d in distributions(path=[str(parts["DependenciesLayer"] / "python")])
    }
    packages = {name: _package(installed[name]) for name in sorted(installed)}
    folders = [_part(name, folder) for name, folder in parts.items()]
    ours = _ours(parts["ArchiverLayer"])
    bom = Bom(components=[*packages.values(), *folders])
    bom.metadata.component = ours
    bom.register_dependency(ours, [*packages.values(), *folders])
    for name, package in packages.items():
        wanted = [packages[w] for w in _needs(installed[name]) if w in packages]
        bom.register_dependency(package, wanted)
    return _timeless(json.loads(JsonV1Dot6(bom).output_as_string()))


def _name(distribution: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", distribution.name).lower()


def _package(distribution: Distribution) -> Component:
    name = _name(distribution)
    purl = PackageURL("pypi", None, name, distribution.version)
    return Component(
        name=name,
        version=distribution.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence_of(distribution.metadata))],
    )


def _part(name: str, folder: Path) -> Component:
    digest = hashlib.sha256(zip_of(folder)).hexdigest()
    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref=f"part:{name}",
        description="What the stack deploys under this logical id; hashed as a zip without times.",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def _ours(layer: Path) -> Component:
    source = (layer / "python" / "archiver" / "__init__.py").read_text()
    found = _VERSION.search(source)
    if found is None:
        raise ValueError("the built archiver package does not tell its VERSION")
    return Component(
        name=_NAME,
        version=found["version"],
        type=ComponentType.APPLICATION,
        bom_ref=_NAME,
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )


def _needs(distribution: Distribution) -> Iterable[str]:
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_LAMBDA):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def _timeless(bill: dict[str, Any]) -> str:
    bill["metadata"].pop("timestamp", None)
    bill.pop("serialNumber", None)
    content = json.dumps(bill, sort_keys=True)
    bill["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, content)}"
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"
