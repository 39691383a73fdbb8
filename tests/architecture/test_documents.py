"""What the documents tell people to type and to open is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
# `make deploy STAGE=dev` in running text, or a line of its own in a block
_COMMAND = re.compile(r"(?:`|^    |\| `?)make ([a-z][a-z0-9-]*)", re.MULTILINE)
_PATH = re.compile(r"`((?:docs|tests|events|layers|functions|local|\.ci)/[A-Za-z0-9_./-]+)`")


def named(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return what the documents name, with the document."""
    found = {
        (path.relative_to(PROJECT).as_posix(), match)
        for path in DOCUMENTS
        for match in pattern.findall(path.read_text())
    }
    return sorted(found)


@pytest.mark.parametrize(("document", "target"), named(_COMMAND))
def test_every_make_target_that_a_document_names_is_there(document: str, target: str) -> None:
    """Whoever follows a document literally is not told to run what is not there."""
    makefile = (PROJECT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), document


@pytest.mark.parametrize(("document", "path"), named(_PATH))
def test_every_file_that_a_document_names_is_there(document: str, path: str) -> None:
    """And finds what it points to."""
    assert (PROJECT / path).exists(), document
