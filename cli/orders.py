"""`archiver orders`: a plan is read here, judged and kept by the stack's own function.

YAML ends here: what the function gets is JSON, with the ids of a properties file in it. What it
finds wrong comes back as a path, and is told with the line on which that stands.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import boto3
import yaml
from botocore.config import Config

from cli.failure import CANNOT_ASK, NO, USAGE, Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["apply", "check", "pause", "read_document", "resume", "show", "show_plan"]

_LONGEST_INVOCATION_SECONDS = 310  # the function's 300, and the way there and back
_MOST_BYTES = 6_000_000  # of what an invocation is given (Lambda Developer Guide, "Lambda quotas")
_SCHEDULE = "archiver deploy STAGE --set 'OrderSchedule=rate(15 minutes)'"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as far as plans need it: dates and times stay text.

    PyYAML reads 1.1, in which `from: 2023-01-01` is a date and `time: 11:00` is the number 660.
    """


_NOT_OF_1_2 = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_OF_1_2]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)

_Lines = dict[tuple[str | int, ...], int]


def check(stack: str, path: Path, *, as_json: bool) -> int:
    """Say whether a plan is good, and what exactly would be sent; 1 where it is not."""
    document, lines = read_document(path)
    answer = _asked(stack, {"orders": "plan", "document": document})
    _refuse(answer, path, lines, as_json=as_json)
    if as_json:
        print(json.dumps(answer))
        return 0
    for order in answer["orders"]:
        print(
            f"{order['name']}: {order['windows']} windows of {order['properties']} properties in "
            f"{order['chunks']} chunk(s), {order['jobs_a_day']} jobs a day for good"
        )
        for window in [*order["sent"], order["oldest"]]:
            print(
                f"  {window['window']}: start_date {window['start_date']}, "
                f"end_date {window['end_date']}"
            )
        print(f"  next: {order['next']['window']}, complete at {order['next']['at']}")
    return 0


def show_plan(stack: str, path: Path, *, as_json: bool) -> int:
    """Say what a plan would order and until when; nothing is changed."""
    document, lines = read_document(path)
    answer = _asked(stack, {"orders": "plan", "document": document})
    _refuse(answer, path, lines, as_json=as_json)
    print(json.dumps(answer)) if as_json else _tell_plan(answer)
    return 0


def apply(
    stack: str,
    path: Path,
    *,
    yes: bool,
    ask: Callable[[str], str] | None,
    as_json: bool,
) -> int:
    """Apply a plan once it is confirmed; the same plan again changes nothing."""
    document, lines = read_document(path)
    answer = _asked(stack, {"orders": "plan", "document": document})
    _refuse(answer, path, lines, as_json=as_json)
    if not answer["is_new"]:
        told = f"version {answer['plan']} is this plan already; nothing is changed"
        print(json.dumps(answer | {"applied": False}) if as_json else told)
        return 0
    if not as_json:
        _tell_plan(answer)
    if not yes:
        if ask is None:
            raise Failure("nobody is there to confirm it: give --yes", USAGE)
        if ask("Apply it? Type yes: ").strip().lower() != "yes":
            raise Failure("not confirmed; nothing is changed", USAGE)
    request = {"orders": "apply", "document": document, "instead_of": answer["plan"]}
    answer = _asked(stack, request)
    _refuse(answer, path, lines, as_json=as_json)
    print(json.dumps(answer) if as_json else f"applied as version {answer['plan']}")
    return 0


def show(stack: str, *, as_json: bool) -> int:
    """Say what is ordered, on its way, stopped and given up."""
    answer = _asked(stack, {"orders": "show"})
    if as_json:
        print(json.dumps(answer))
        return 0
    if not answer["plan"]:
        print("no plan is applied: nothing is ordered")
        return 0
    print(
        f"plan {answer['plan']}: {answer['missing']} windows missing, "
        f"{answer['ordered_today']} jobs ordered today (UTC)"
    )
    if answer["paused"]:
        print("paused: nothing is ordered until `archiver orders resume`")
    if answer["closed_until"]:
        print(f"ApartmentIQ takes no orders: {answer['closed_because']}")
    for order in answer["orders"]:
        print(f"{order['name']}: {order['windows']} windows, {order['to_order']} to order")
        for entry in order["on_their_way"]:
            job = entry["job_id"] or "no job yet"
            print(f"  {entry['window']} {entry['state']} since {entry['since']}: {job}")
        for sentence in order["stopped"]:
            print(f"  stopped: {sentence}")
        if order["given_up"]:
            print(f"  given up: {', '.join(order['given_up'])}")
    return 0


def pause(stack: str, *, as_json: bool) -> int:
    """Order nothing from the next request on."""
    answer = _asked(stack, {"orders": "pause"})
    print(json.dumps(answer) if as_json else "paused; what is ordered is archived all the same")
    return 0


def resume(stack: str, name: str | None, *, as_json: bool) -> int:
    """Order again what was paused, stopped or given up."""
    answer = _asked(stack, {"orders": "resume", "name": name})
    if answer["outcome"] != "done":
        raise Failure(str(answer.get("detail")), NO)
    print(json.dumps(answer) if as_json else f"resumed; {answer['resumed']} began again")
    return 0


# --- reading ---


def read_document(path: Path) -> tuple[Any, _Lines]:
    """Return a plan as JSON values, and on which line each of its parts stands.

    Raises Failure for what is no YAML, for a key that stands there twice, and for a properties
    file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text, Loader=_Loader)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", USAGE) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        told = getattr(error, "problem", None) or "it cannot be read"
        raise Failure(f"{path}{line}: is no YAML: {told}", USAGE) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not UTF-8; save it as such", USAGE) from error
    lines: _Lines = {}
    if node is not None:
        _note_lines(node, (), lines, path)
    for index, order in enumerate(_orders_of(document)):
        named = order.get("properties")
        if isinstance(named, dict) and set(named) == {"file"}:
            at = lines.get(("orders", index, "properties", "file"), 1)
            order["properties"] = _read_properties(path, at, str(named["file"]))
    return document, lines


def _orders_of(document: object) -> Sequence[dict[str, Any]]:
    orders = document.get("orders") if isinstance(document, dict) else None
    return (
        [order for order in orders if isinstance(order, dict)] if isinstance(orders, list) else []
    )


def _note_lines(node: yaml.Node, at: tuple[str | int, ...], lines: _Lines, path: Path) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            if here in lines:
                told = f"`{key.value}` stands there twice; the first is on line {lines[here]}"
                raise Failure(f"{path}:{key.start_mark.line + 1}: {told}", USAGE)
            lines[here] = key.start_mark.line + 1
            _note_lines(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*at, index), lines, path)


def _read_properties(plan: Path, line: int, name: str) -> list[int]:
    """Return the first column of a CSV file beside the plan; a first line of words is its head."""
    file = plan.parent / name
    ids: list[int] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as rows:
            for number, row in enumerate(csv.reader(rows), start=1):
                cell = row[0].strip() if row else ""
                if re.fullmatch(r"[0-9]{1,16}", cell):
                    ids.append(int(cell))
                elif cell and number > 1:
                    told = f"{cell[:40]!r} is no property id; the first column has whole numbers"
                    raise Failure(f"{file}:{number}: {told}", USAGE)
    except OSError as error:
        raise Failure(f"{plan}:{line}: {file} cannot be read: {error.strerror}", USAGE) from error
    return ids


# --- asking and telling ---


def _asked(stack: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the stack's function answers; raises Failure, and what boto3 raises."""
    outputs = read_outputs(stack)
    if "OrderExportsFunctionName" not in outputs.outputs:
        told = f"the stack orders nothing: give it a schedule first, {_SCHEDULE}"
        raise Failure(told, CANNOT_ASK)
    payload = json.dumps(request).encode()
    if len(payload) > _MOST_BYTES:
        raise Failure("the plan is longer than 6 MB; order fewer properties", USAGE)
    client = boto3.client(
        "lambda",
        config=Config(read_timeout=_LONGEST_INVOCATION_SECONDS, retries={"total_max_attempts": 1}),
    )
    invoked: dict[str, Any] = dict(
        client.invoke(FunctionName=outputs["OrderExportsFunctionName"], Payload=payload)
    )
    answer: dict[str, Any] = json.loads(invoked["Payload"].read())
    if "FunctionError" in invoked:
        raise Failure(f"could not ask for orders: {answer.get('errorMessage', answer)}", NO)
    return answer


def _refuse(answer: Mapping[str, Any], path: Path, lines: _Lines, *, as_json: bool) -> None:
    """Raise Failure with every problem, each with its line and remedy, where there is one."""
    if answer["outcome"] == "good":
        return
    if as_json:
        print(json.dumps(answer))
    told = []
    for problem in answer.get("problems", []):
        at = tuple(problem["path"])
        while at and at not in lines:
            at = at[:-1]
        named = ".".join(map(str, problem["path"])) or "the plan"
        told.append(f"{path}:{lines.get(at, 1)}: {named} {problem['message']} {problem['remedy']}")
    raise Failure("\n".join(told) or str(answer.get("detail")), NO)


def _tell_plan(answer: Mapping[str, Any]) -> None:
    for order in answer["orders"]:
        print(f"{order['name']}: {order['jobs']} jobs to order, newest first")
    for sentence in answer["takes_away"]:
        print(f"takes away: {sentence}")
    print(
        f"{answer['jobs']} jobs, done in {answer['days']} day(s) at these limits; then "
        f"{answer['jobs_a_day']} a day"
    )
