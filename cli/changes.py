"""A CloudFormation change set, told to a person in 80 columns.

What is made is told by type; what changes or goes is told one by one, with the properties that
change. Whatever holds data and is replaced or goes is told last and loudest. It asks nothing.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["WIDTH", "loses_data", "tell_changes", "tell_parameters"]

WIDTH = 80
# What holds something that cannot be made again from the template: receipts, events to replay,
# exports, jobs that wait, the vendor's credentials and the callback's token.
_HOLDS_DATA = {
    "AWS::DynamoDB::Table",
    "AWS::Events::Archive",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}
_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-", "Import": "+", "Dynamic": "?"}
_RETAINS = {"Retain", "ReplaceAndRetain", "Snapshot", "ReplaceAndSnapshot"}


def tell_changes(changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines that tell a change set's ResourceChanges (describe_change_set)."""
    yield from _tell_new([item for item in changes if item["Action"] in {"Add", "Import"}])
    others = [item for item in changes if item["Action"] not in {"Add", "Import"}]
    widest = max((len(item["LogicalResourceId"]) for item in others), default=0)
    for item in sorted(others, key=lambda change: str(change["LogicalResourceId"])):
        name = item["LogicalResourceId"]
        sign = _SIGNS.get(item["Action"], "~")
        yield from _wrapped(f"  {sign} {name:<{widest}}  ", _what_happens(item))
    yield from _tell_data(others)


def tell_parameters(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each parameter whose value the stack will have otherwise."""
    for name in sorted({*before, *after}):
        was, will = before.get(name), after.get(name)
        if was == will:
            continue
        if will is None:
            yield f"  {name}: gone (was {_value(str(was))})"
        elif was is None:
            yield f"  {name}: {_value(will)} (new)"
        else:
            yield from _wrapped(f"  {name}: ", f"{_value(was)} -> {_value(will)}")


def loses_data(changes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the changes that for certain replace or take away something that holds data."""
    return [
        item
        for item in changes
        if item["ResourceType"] in _HOLDS_DATA
        and (item["Action"] == "Remove" or item.get("Replacement") == "True")
    ]


def _tell_new(new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell what is made, the names of one type together: a first deploy makes some fifty."""
    by_type: dict[str, list[str]] = {}
    for item in new:
        by_type.setdefault(_short(item), []).append(str(item["LogicalResourceId"]))
    widest = max(map(len, by_type), default=0)
    for name, made in sorted(by_type.items()):
        yield from _wrapped(f"  + {name:<{widest}} ", " ".join(sorted(made)))


def _what_happens(item: Mapping[str, Any]) -> str:
    if item["Action"] == "Remove":
        stays = " (it stays in the account)" if item.get("PolicyAction") in _RETAINS else ""
        return f"{_short(item)}: leaves the stack{stays}"
    replaced = {"True": "REPLACED, by ", "Conditional": "perhaps REPLACED, by "}
    what = _changed_properties(item)
    return f"{_short(item)}: {replaced.get(str(item.get('Replacement')), '')}{what}"


def _changed_properties(item: Mapping[str, Any]) -> str:
    """Name the properties that change, or what else does (tags, metadata)."""
    named = set()
    for detail in item.get("Details", []):
        target = detail.get("Target", {})
        named.add(str(target.get("Name") or target.get("Attribute") or ""))
    return ", ".join(sorted(named - {""})) or ", ".join(item.get("Scope", [])) or "changed"


def _tell_data(changes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in loses_data(changes):
        verb = "LEAVES THE STACK" if item["Action"] == "Remove" else "IS REPLACED"
        fate = "is deleted, with what is in it"
        if item.get("PolicyAction") in _RETAINS:
            fate = "stays in the account, and the stack no longer knows it"
        known = item.get("PhysicalResourceId") or "the one that there is"
        yield ""
        yield from _wrapped("!! ", f"{item['LogicalResourceId']} {verb}: {known} {fate}.")


def _short(item: Mapping[str, Any]) -> str:
    return str(item["ResourceType"]).removeprefix("AWS::")


def _value(text: str) -> str:
    return text or "empty"


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * (len(first) if len(first) < WIDTH // 2 else 6),
        break_on_hyphens=False,
        break_long_words=False,  # a name is pasted whole
        drop_whitespace=True,
    ) or [first.rstrip()]
