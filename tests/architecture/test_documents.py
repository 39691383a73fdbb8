"""What the documents tell people to type and to open is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.template.resolved import read_template

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
# `make deploy STAGE=dev` in running text, or a line of its own in a block
_COMMAND = re.compile(r"(?:`|^    |\| `?)make ([a-z][a-z0-9-]*)", re.MULTILINE)
# A link in markdown, or a picture; what begins with a scheme is somebody else's.
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
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
    moved = re.search(r"^MOVED := (.*)", makefile, re.MULTILINE)
    assert moved
    if target in moved[1].split():  # it says what took its place, for one release
        assert document.startswith(("CHANGELOG.md", "docs/decisions/")), "history may name it"
        return
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), document


@pytest.mark.parametrize(("document", "path"), named(_PATH))
def test_every_file_that_a_document_names_is_there(document: str, path: str) -> None:
    """And finds what it points to."""
    assert (PROJECT / path).exists(), document


# Those that say what is so today; a decision says what was so on its day.
LIVING = [p for p in DOCUMENTS if "decisions" not in p.parts and p.name != "CHANGELOG.md"]
PACKAGE = PROJECT / "layers" / "archiver" / "archiver"
FILES = {
    path.name
    for folder in ("cli", "docs", "events", "layers", "local", "tests")
    for path in (PROJECT / folder).rglob("*.*")
}


@pytest.mark.parametrize("document", LIVING, ids=lambda path: path.name)
def test_every_module_that_a_document_names_is_where_it_says(document: Path) -> None:
    """From the repository's root or from the package's; a bare name is that of some file."""
    text = document.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w./-]+\.(?:py|json|sql|svg|yaml))(?:::\w+)?`", text):
        if name.startswith(".local/"):
            continue  # a run makes it
        here = (PROJECT / name, PACKAGE / name, document.parent / name)
        assert any(path.exists() for path in here) or name in FILES, name


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """To a file, a folder or a heading that is there."""
    for told, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        path = (document.parent / told) if told else document
        assert path.exists(), told
        assert not anchor or anchor in anchors(path), f"{told}#{anchor}"


def test_the_index_names_every_document() -> None:
    """Who adds a page to docs/ says there who reads it."""
    index = PROJECT / "docs" / "README.md"
    named = {(index.parent / told).resolve() for told, _ in _LINK.findall(index.read_text())}
    pages = {path for path in index.parent.iterdir() if path.is_file()} - {index}
    assert pages <= named


def test_the_readme_is_read_in_one_go() -> None:
    """120 lines; what does not fit has its page in docs/."""
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_picture_of_the_readme_is_for_light_and_dark_pages() -> None:
    """And says in words what it shows, for whoever cannot see it, and fetches nothing."""
    text = (PROJECT / "docs" / "flow.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "<desc" in text
    assert "href" not in text


def parameters() -> dict[str, Any]:
    """Return the template's parameters."""
    found: dict[str, Any] = read_template()["Parameters"]
    return found


def test_every_default_in_a_sentence_is_the_templates() -> None:
    """`MaxWaitHours (72)` is a claim wherever it stands, and so is `ReceiveCallbacks=false`."""
    names = "|".join(parameters())
    for path in DOCUMENTS:
        if "decisions" in path.parts or path.name == "CHANGELOG.md":
            continue  # what was so on their day
        text = path.read_text()
        for name, told in re.findall(rf"\b({names}) \((\d[\d,]*)(?: [a-z]+)?\)", text):
            assert told.replace(",", "") == str(parameters()[name]["Default"]), (
                f"{path.name}: {name}"
            )
        for name, told in re.findall(rf"\b({names})=([A-Za-z0-9_]+(?:\([^)]*\))?)", text):
            parameter = parameters()[name]
            assert told in parameter.get("AllowedValues", [told]), f"{path.name}: {name}={told}"
            assert re.search(parameter.get("AllowedPattern", ""), told), (
                f"{path.name}: {name}={told}"
            )


def actions_told() -> list[tuple[str, str]]:
    """Return the IAM actions that documents name in code, each with its document."""
    return named(re.compile(r"`([a-z0-9]+:[A-Z][A-Za-z]*\*?)`"))


# What documents name and no policy of ours allows: what others than the stack's roles need.
OF_OTHERS = {
    "kms:CreateGrant": "DynamoDB's, in the name of who deploys",
    "kms:DescribeKey": "the same",
    "kms:Describe*": "a key's administrators",
    "kms:Put*": "the same",
    "kms:Enable*": "the same",
    "s3:BypassGovernanceRetention": "who may lift a lock",
    "lambda:SourceFunctionArn": "a condition's key",
    "iam:PermissionsBoundary": "likewise",
}


@pytest.mark.parametrize(
    ("document", "action"), [pair for pair in actions_told() if pair[1] not in OF_OTHERS]
)
def test_every_action_that_a_document_names_is_one_of_the_templates(
    document: str, action: str
) -> None:
    """Or of a policy in docs/iam: nobody grants, or looks for, what nobody uses."""
    written = (PROJECT / "template.yaml").read_text()
    written += "".join(path.read_text() for path in (PROJECT / "docs" / "iam").glob("*.json"))
    assert action in written, document


SOURCES = sorted(
    path
    for folder in ("cli", "functions", "layers/archiver", "local", "tests")
    for path in (PROJECT / folder).rglob("*.py")
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.relative_to(PROJECT).as_posix())
def test_every_document_that_a_source_refers_to_is_there(source: Path) -> None:
    """A reader who follows a comment finds the page, the decision or the test that it names."""
    text = source.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/.-])((?:docs|tests)/[\w./-]*\w\.\w+|[\w-]+\.md)\b", text))
    missing = [name for name in named if not (PROJECT / name).exists() and name not in FILES]
    assert not missing
