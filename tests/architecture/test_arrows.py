"""The arrows: functions → wiring → aws → use cases → words, and nothing back.

Read from the source's syntax, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "layers" / "archiver" / "archiver"
MODULES = {
    ".".join(("archiver", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Who may import whom, from the ground up: a room knows those that its line names, and nobody else.
# "words" are the modules that stand in no room: what a job, a receipt and an error are.
FLOORS: dict[str, set[str]] = {
    "words": set(),
    "network": {"words"},
    "apartmentiq": {"words", "network"},
    "transfer": {"words", "network", "apartmentiq"},
    "archiving": {"words", "apartmentiq", "transfer"},
    "callbacks": {"words"},
    "sweep": {"words", "apartmentiq"},
    "orders": {"words", "apartmentiq"},
    "aws": {"words", "network", "apartmentiq", "transfer", "sweep", "orders"},
    "wiring": {
        *("words", "network", "apartmentiq", "transfer", "archiving", "callbacks", "sweep"),
        *("orders", "aws"),
    },
}
PURE = {
    "archiver.age",
    "archiver.network.answer",
    "archiver.callbacks.job_ids",
    "archiver.catalogue",
    "archiver.superseded",
    "archiver.callbacks.token",
    "archiver.claim",
    "archiver.errors",
    "archiver.callbacks.function_url",
    "archiver.intent",
    "archiver.job",
    "archiver.apartmentiq.job_order",
    "archiver.apartmentiq.listing",
    "archiver.archiving.message",
    "archiver.archiving.parquet_footer",
    "archiver.archiving.quality",
    "archiver.log",
    "archiver.moment",
    "archiver.archiving.object_key",
    "archiver.outage",
    "archiver.receipt",
    "archiver.wiring.settings",
    "archiver.states",
    "archiver.sweep.request",
    "archiver.sweep.tally",
    "archiver.apartmentiq.link",
    "archiver.apartmentiq.protocol",
    "archiver.orders.adoption",
    "archiver.orders.demand",
    "archiver.orders.head",
    "archiver.orders.ledger",
    "archiver.orders.plan",
    "archiver.orders.seen",
    "archiver.orders.spans",
    "archiver.orders.windows",
    "archiver.transfer.contract",
    "archiver.transfer.plan",
}
# What a pure module may use beside other pure modules: nothing that opens, sends, waits or looks.
PURE_LIBRARY = {
    "__future__",
    "base64",
    "binascii",
    "bisect",
    "codecs",
    "collections",
    "collections.abc",
    "contextlib",
    "csv",
    "dataclasses",
    "datetime",
    "email.utils",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "json",
    "re",
    "string",
    "typing",
    "urllib.parse",
    "zlib",
    "zoneinfo",  # reads the zones' tables, once, and nothing else
}
BUILDERS = {
    *("archiver.wiring.archiving", "archiver.wiring.callbacks", "archiver.wiring.sweep"),
    *("archiver.wiring.clients", "archiver.wiring.orders", "archiver.wiring.world"),
}
FUNCTIONS = ["archive_export", "order_exports", "receive_callback", "reconcile_exports"]
# What a callback's cold start must not pay for.
ONLY_ARCHIVING_NEEDS = (
    *("archiver.wiring.archiving", "archiver.wiring.world", "archiver.transfer"),
    "archiver.network.https",
    "archiver.network.tls",
    "archiver.aws.",
)
ONLY_SWEEPS_NEED = {
    "archiver.sweep.abandoned_uploads",
    "archiver.aws.sweep_items",
    "archiver.aws.unfinished_uploads",
    "archiver.sweep.reconcile",
    "archiver.sweep.request",
    "archiver.wiring.sweep",
    "archiver.sweep.tally",
}
KNOWS_BOTO3 = {"boto3", "botocore", "mypy_boto3_"}


def room_of(module: str) -> str:
    """Return the room in which a module stands; "words" for one that stands in none."""
    first = module.removeprefix("archiver.").partition(".")[0]
    return first if (PACKAGE / first).is_dir() else "words"


def imports_of(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def test_every_module_is_seen() -> None:
    """The lists above name modules that exist: a renamed one cannot slip out of the rules."""
    assert set(MODULES) >= PURE | BUILDERS | ONLY_SWEEPS_NEED


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_import_nothing_that_does_io(module: str) -> None:
    """A pure module imports pure modules, and of the library only what neither waits nor looks."""
    allowed = PURE | PURE_LIBRARY | {"archiver"}
    assert imports_of(MODULES[module]) <= allowed


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_adapters_and_the_wiring_know_boto3(module: str) -> None:
    """boto3 and botocore are named in archiver/aws/ and the builders alone."""
    if module.startswith("archiver.aws") or module in BUILDERS:
        return
    named = {name for name in imports_of(MODULES[module]) if name.startswith(tuple(KNOWS_BOTO3))}
    assert not named


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"archiver.telemetry"}))
def test_only_telemetry_knows_what_traces(module: str) -> None:
    """The X-Ray SDK ends in February 2027: one module changes then (docs/decisions)."""
    source = MODULES[module].read_text(encoding="utf-8")
    assert "aws_xray_sdk" not in source
    assert not re.search(r"import .*\bTracer\b|\btracing\b", source)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_knows_only_the_rooms_below_it(module: str) -> None:
    """What FLOORS does not say is not imported, so that a reader can trust the table."""
    known = {room_of(name) for name in imports_of(MODULES[module]) if name.startswith("archiver.")}
    assert known - {room_of(module)} <= FLOORS[room_of(module)]


def test_the_floors_are_floors() -> None:
    """Each room's line names rooms that stand above it in the table: no two know each other."""
    below: set[str] = set()
    for room, known in FLOORS.items():
        assert known <= below
        below.add(room)
    assert below == {room_of(module) for module in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_function_reads_the_environment(module: str) -> None:
    """No module of the layer names `environ`'s home but settings, which is handed a mapping."""
    names = {
        node.attr
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert not names & {"environ", "getenv"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handler_holds_one_call(function: str) -> None:
    """Decorators stand outside the handler, one call inside."""
    tree = ast.parse(handler_path(function).read_text(encoding="utf-8"))
    handler = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handle"
    )
    assert len(handler.decorator_list) >= 2
    assert [type(node) for node in handler.body] == [ast.Expr, ast.Return]  # docstring, one call


def test_every_function_is_seen() -> None:
    """A new function cannot slip out of the rules."""
    folders = {path.parent.name for path in (PROJECT / "functions").glob("*/*.py")}
    assert sorted(folders) == FUNCTIONS


def test_a_callback_loads_nothing_that_only_archiving_needs() -> None:
    """It starts cold more often than not: neither S3's adapter nor the transfer is imported."""
    loaded = reached_from(handler_path("receive_callback"))
    allowed = {"archiver.aws.callback_secret", "archiver.aws.queue", "archiver.aws.translate"}
    assert {name for name in loaded if name.startswith(ONLY_ARCHIVING_NEEDS)} == allowed


def test_archiving_loads_nothing_that_only_sweeps_need() -> None:
    """Its cold start is paid for every burst of jobs, a sweep's once an hour."""
    assert not reached_from(handler_path("archive_export")) & ONLY_SWEEPS_NEED


def test_a_sweep_loads_nothing_that_only_archiving_needs() -> None:
    """It copies nothing: neither the transfer (but for its words), nor S3, nor idempotency."""
    loaded = reached_from(handler_path("reconcile_exports"))
    assert loaded >= ONLY_SWEEPS_NEED
    transfer = {name for name in loaded if name.startswith("archiver.transfer.")}
    assert transfer <= {"archiver.transfer.contract", "archiver.transfer.checkpoint"}
    assert not loaded & {
        "archiver.wiring.archiving",
        "archiver.aws.once",
        "archiver.aws.object_store",
    }


def handler_path(function: str) -> Path:
    """Return the file of a function's handler."""
    return PROJECT / "functions" / function / f"{function}.py"


def reached_from(path: Path) -> set[str]:
    """Return our modules that a file imports, and those that these import, and so on."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for name in imports_of(waiting.pop()) & MODULES.keys() - found:
            found.add(name)
            waiting.append(MODULES[name])
    return found


def test_the_local_cloud_shares_no_code_with_what_it_judges() -> None:
    """local/ never imports archiver: a stand-in that shares our code proves nothing about it."""
    for path in sorted((PROJECT / "local").rglob("*.py")):
        assert not [name for name in imports_of(path) if name.split(".")[0] == "archiver"], path


def test_no_grab_bags() -> None:
    """No module is called utils, helpers, common, shared or manager."""
    folders = ("layers", "functions", "local")
    names = {path.stem for folder in folders for path in (PROJECT / folder).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "shared", "manager", "misc", "main"}
