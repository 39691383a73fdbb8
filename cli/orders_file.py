"""orders.yaml as people write it, and the files of properties that it names: read with places.

What YAML guesses is not guessed here: without quotes, whole numbers are numbers, `true` and `false`
are what they say, and everything else is the text that stands there; so 2023-01-01 stays a date as
written and 11:00 a time (YAML 1.1 makes seconds of it). No tag is taken, no key twice.

It judges nothing else: `archiver.orders.plan` does, and this says in which line of which file.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from archiver.orders.plan import Problem
from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["OrdersFile", "read_orders_file", "refused"]

_MOST_BYTES = 4 * 2**20  # of YAML; long lists of properties have a file of their own
_MOST_CSV_BYTES = 64 * 2**20  # a plan names 500,000 properties at most
_MOST_VALUES = 600_000  # with what aliases repeat: a plan's 500,000 properties, and the rest
_DEEPEST = 32  # a plan has five levels
_MOST_PROBLEMS_TOLD = 20
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_ID_COLUMNS = ("property_id", "id")
_HIGHEST_ID = 2**53 - 1  # that a plan takes (orders/plan.py)

_Path = tuple[str | int, ...]


@dataclass
class OrdersFile:
    """What stands in the file, as JSON values, and where each of them stands."""

    path: Path
    document: Any = None
    problems: list[Problem] = field(default_factory=list)
    _lines: dict[_Path, int] = field(default_factory=dict)
    _lists: dict[_Path, tuple[str, Sequence[int]]] = field(default_factory=dict)

    def place(self, path: _Path) -> tuple[str, int]:
        """Return file and line of the nearest value that stands there; line 0: of no line."""
        for length in range(len(path), -1, -1):
            known, rest = path[:length], path[length:]
            if known in self._lists and rest and isinstance(rest[0], int):
                name, lines = self._lists[known]
                return name, lines[rest[0]]
            if known in self._lines:
                return self.path.name, self._lines[known]
        return self.path.name, 0

    def at(self, path: _Path, line: int) -> None:
        """Remember where a value stands."""
        self._lines.setdefault(path, line)

    def came_from(self, path: _Path, name: str, lines: Sequence[int]) -> None:
        """Remember that a list stands in another file, an entry in each of these lines."""
        self._lists[path] = (name, lines)

    def wrong(self, path: _Path, message: str, remedy: str) -> None:
        """Add something that the plan's own judge will not see."""
        self.problems.append(Problem(path, message, remedy))


def read_orders_file(path: Path) -> OrdersFile:
    """Read a file; raises Failure where it is none that can be read.

    What is wrong inside it is among `problems`.
    """
    text = _read_text(path, _MOST_BYTES, "list the properties in a CSV file, {file: …}")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Failure(
            f"{path.name}{line}: this is not YAML: {error.problem or error.context}: mend that "
            "line; examples are in docs/orders.md",
            USAGE,
        ) from error
    except yaml.YAMLError as error:
        raise Failure(
            f"{path.name}: this is not YAML ({error}): write it as text in UTF-8", USAGE
        ) from error
    read = OrdersFile(path)
    if node is not None:
        read.document = _Values(read).value(node, ())
    _list_properties(read)
    return read


def refused(read: OrdersFile, problems: Sequence[Problem]) -> Failure:
    """Return all that is wrong as one failure: a line each, with its place and the remedy."""
    placed = sorted((read.place(each.path), str(each)) for each in problems)
    told = [
        f"{name}:{line}: {said}" if line else f"{name}: {said}" for (name, line), said in placed
    ]
    more = len(told) - _MOST_PROBLEMS_TOLD
    lines = [*told[:_MOST_PROBLEMS_TOLD], *([f"… and {more} more"] if more > 0 else [])]
    return Failure("\n  ".join([f"{read.path.name} is no plan that can be:", *lines]), USAGE)


class _Loader(yaml.BaseLoader):
    """YAML's own loader, which stops at a depth that no plan has, before it takes minutes."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - yaml's
        """Read one node with all below it."""
        if self._depth == _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem="it is nested too deeply for a plan",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call] # untyped upstream
            )
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Values:
    """Makes JSON values of YAML's nodes."""

    def __init__(self, read: OrdersFile) -> None:
        self._read = read
        self._above: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, path: _Path) -> Any:  # noqa: ANN401 - any JSON
        line = node.start_mark.line + 1
        self._read.at(path, line)
        self._count += 1
        if self._count > _MOST_VALUES:
            name = self._read.path.name
            raise Failure(f"{name}:{line}: the file holds too many values for a plan", USAGE)
        if id(node) in self._above:
            self._read.wrong(path, "is an alias of what it stands in.", "Write it out.")
            return None
        if node.tag not in _OWN_TAGS:
            self._read.wrong(path, f"has the tag {node.tag}.", "Take the tag away.")
            return None
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self._above.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
            return dict(self._members(node, path))
        finally:
            self._above.discard(id(node))

    def _members(self, node: yaml.Node, path: _Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, item in node.value:
            here = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._read.at((*path, "?"), here)
                self._read.wrong((*path, "?"), "is no name.", "Names are text.")
                continue
            inside = (*path, str(key.value))
            self._read.at(inside, here)
            if key.value in seen:
                self._read.at((*inside, "again"), here)
                self._read.wrong((*inside, "again"), "stands there twice.", "Take one out.")
                continue
            seen.add(key.value)
            yield str(key.value), self.value(item, inside)


_OWN_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")
}  # what BaseLoader gives to all that has no tag of its own


def _scalar(node: yaml.ScalarNode) -> str | int | bool | None:
    text = str(node.value)
    if node.style is not None:  # in quotes, or a block of text
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _NUMBER.fullmatch(text) else text


# --- properties ---


def _list_properties(read: OrdersFile) -> None:
    """Put in place of each {file: …} the properties that the file lists."""
    orders = read.document.get("orders") if isinstance(read.document, dict) else None
    for index, order in enumerate(orders if isinstance(orders, list) else []):
        told = order.get("properties") if isinstance(order, dict) else None
        if isinstance(told, dict) and told.keys() == {"file"} and isinstance(told["file"], str):
            path: _Path = ("orders", index, "properties")
            try:
                ids, lines = _read_properties(read.path.parent / told["file"])
            except Failure as failure:
                read.wrong((*path, "file"), f"{failure}.", "Name a CSV file of property ids.")
                # Stands for what cannot be read, which is told above, and is no other order's.
                order["properties"] = [_HIGHEST_ID - index]
            else:
                read.came_from(path, told["file"], lines)
                order["properties"] = ids


def _read_properties(path: Path) -> tuple[list[int | str], list[int]]:
    """Return the ids of a CSV file, and the line of each; what is no number is left as text.

    A first row without a number is a heading: then the column is `property_id` or `id`, or the
    only one there is. Raises Failure.
    """
    text = _read_text(path, _MOST_CSV_BYTES, "split the order")
    rows = csv.reader(text.splitlines())
    ids: list[int | str] = []
    lines: list[int] = []
    column = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if column is None:
                column, is_heading = _column(cells, path.name)
                if is_heading:
                    continue
            cell = cells[column] if column < len(cells) else ""
            ids.append(int(cell) if _NUMBER.fullmatch(cell) else cell)
            lines.append(rows.line_num)
    except csv.Error as error:
        raise Failure(f"{path.name}:{rows.line_num} is not CSV ({error})", USAGE) from error
    return ids, lines


def _column(first_row: Sequence[str], name: str) -> tuple[int, bool]:
    """Return where the ids are, and whether the first row is a heading."""
    names = [cell.lower() for cell in first_row]
    for known in _ID_COLUMNS:
        if known in names:
            return names.index(known), True
    if len(first_row) > 1:
        raise Failure(f"{name} has {len(first_row)} columns and none is called property_id", USAGE)
    return 0, not any(character.isdigit() for character in first_row[0])


def _read_text(path: Path, most_bytes: int, remedy: str) -> str:
    """Return a file's text; raises Failure with what to do."""
    try:
        if not path.is_file():
            raise Failure(f"there is no file {path}", USAGE)
        if path.stat().st_size > most_bytes:
            raise Failure(f"{path} is above {most_bytes // 2**20} MiB: {remedy}", USAGE)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not text in UTF-8", USAGE) from error
    except (OSError, ValueError) as error:  # the second: a NUL in the name
        raise Failure(f"{path} cannot be read ({error})", USAGE) from error
