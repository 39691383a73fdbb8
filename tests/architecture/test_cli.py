"""The command line sees a stack from outside: it is in no layer, and shares no code with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.test_arrows import imports_of

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = sorted((PROJECT / "cli").rglob("*.py"))
EMBEDDED = sorted((PROJECT / "local").rglob("*.py"))
DEPLOYED = sorted(
    path for folder in ("layers", "functions") for path in (PROJECT / folder).rglob("*.py")
)
# docs/decisions/2026-11-26-the-command-line-has-the-rules-of-orders.md
ABOUT_ORDERS = {"coverage", "order_book", "order_costs", "orders", "orders_file"}
RULES_OF_ORDERS = {
    *("archiver.intent", "archiver.errors"),
    *("archiver.aws.moves", "archiver.aws.order_items"),  # how they lie in the table, to be read
}
# docs/decisions/2026-11-26-the-table-is-rebuilt-from-the-bucket.md
ABOUT_THE_CATALOGUE = {
    "athena_catalogue",
    "catalogue",
    "compact",
    "expired",
    "rebuild",
    "survey",
    "write_catalogue",
}
RULES_OF_THE_CATALOGUE = {
    *("archiver", "archiver.catalogue", "archiver.receipt", "archiver.job", "archiver.moment"),
    *("archiver.states", "archiver.aws.moves", "archiver.errors"),  # to write a receipt anew
    "archiver.superseded",
}


def rooms(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.stem)
def test_nothing_that_is_deployed_knows_the_command_line(path: Path) -> None:
    """Nor what only it needs, nor the embedded cloud."""
    assert not rooms(path) & {"cli", "local", "typer", "click", "rich"}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_the_command_line_shares_no_code_with_what_is_deployed(path: Path) -> None:
    """What it says of a stack is read off it; the rules of orders and the catalogue it has, too."""
    shared = {name for name in imports_of(path) if name.partition(".")[0] == "archiver"}
    if path.stem in ABOUT_ORDERS:
        shared = {name for name in shared if not name.startswith("archiver.orders.")}
        assert shared <= RULES_OF_ORDERS
    else:
        assert shared <= (RULES_OF_THE_CATALOGUE if path.stem in ABOUT_THE_CATALOGUE else set())


@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.stem)
def test_the_embedded_cloud_does_not_know_the_command_line(path: Path) -> None:
    """It is started by it, and judged by tests that do without it."""
    assert not rooms(path) & {"cli", "archiver"}


def test_the_layers_ship_none_of_it() -> None:
    """Neither by name nor through what the layer's own packages ask for."""
    lock = (PROJECT / "layers" / "dependencies" / "requirements.txt").read_text(encoding="utf-8")
    shipped = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    assert "boto3" in shipped
    assert not shipped & {"typer", "click", "rich", "shellingham", "apartmentiq-export-archiver"}
