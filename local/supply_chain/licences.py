"""Which licences may come in: a short list for what is deployed, a longer one for tools.

Packages tell their licence in three ways, two of them by free text; each text that was met is
mapped to its SPDX name here. What is not known is not allowed: a person reads it and adds it.
"""

from __future__ import annotations

from importlib.metadata import PackageMetadata

__all__ = ["FOR_TOOLS", "TO_DEPLOY", "is_allowed", "licence_of"]

# Ask for nothing but to keep the notice, and are on every company's list.
TO_DEPLOY = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"}
)
# Run here and are passed on to nobody; what a copyleft demands of those who pass on is no matter.
FOR_TOOLS = TO_DEPLOY | {"Artistic-1.0", "CNRI-Python", "MPL-2.0"}

_SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "artistic license": "Artistic-1.0",
    "bsd": "BSD-3-Clause",  # antlr4, mpmath, sympy: their files have three clauses
    "bsd license": "BSD-3-Clause",  # the classifier does not say how many clauses there are
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
_KNOWN = {name.lower(): name for name in FOR_TOOLS}
# Their metadata is silent; their LICENSE files were read.
_READ_BY_A_PERSON = {"cookiecutter": "BSD-3-Clause"}


def licence_of(metadata: PackageMetadata) -> str:
    """Return a package's licence as an SPDX expression, or its own words if they are not known."""
    name = str(metadata["Name"]).lower()
    if name in _READ_BY_A_PERSON:
        return _READ_BY_A_PERSON[name]
    expression = _first(metadata, "License-Expression")
    if expression:
        return expression
    text = _first(metadata, "License").partition("\n")[0]  # some put the whole licence there
    if _spdx(text) in FOR_TOOLS or " OR " in text:
        return _spdx(text)
    classifiers = [
        item.rpartition(" :: ")[2]
        for item in metadata.get_all("Classifier") or []
        if item.startswith("License :: ") and item != "License :: DFSG approved"
    ]
    return " OR ".join(map(_spdx, classifiers)) or text or "none told"


def is_allowed(licence: str, allowed: frozenset[str]) -> bool:
    """Tell whether every part of an expression leaves a choice that is allowed."""
    parts = licence.split(" AND ")
    return all(any(one in allowed for one in part.split(" OR ")) for part in parts)


def _first(metadata: PackageMetadata, field: str) -> str:
    return str((metadata.get_all(field) or [""])[0]).strip()


def _spdx(text: str) -> str:
    return _SPDX.get(text.lower()) or _KNOWN.get(text.lower()) or text
