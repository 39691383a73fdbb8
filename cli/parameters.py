"""What a stage sets of the template's parameters, and what it leaves to the template.

Only what differs from the template's default is a stage's own. All else is said to CloudFormation
as the template has it today: a parameter that is left out keeps the stack's last value ("use
previous value"), so that a better default would never arrive.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "FORMER_DEFAULTS",
    "GONE",
    "Parameter",
    "TakenOver",
    "change",
    "own_values",
    "read_parameters",
    "take_over",
]

# Defaults of released templates that are others now. SAM's guide wrote them down as if somebody had
# chosen them (tests/unit/test_stage_parameters.py holds this to tests/data/released/template.yaml).
# CallbackReservedConcurrency is not among them: it was 10, which new accounts cannot give; where it
# is given it caps a flood, and running stacks were promised to keep it.
FORMER_DEFAULTS: Mapping[str, frozenset[str]] = {
    "FunctionTimeout": frozenset({"300"}),
    "MemorySize": frozenset({"512"}),
}
# Parameters of released templates that are no more, and why nobody misses them.
GONE: Mapping[str, str] = {
    "IdempotencyExpiryDays": "a job's own item, which never expires, answers a repeated job",
    "MaxReceives": "it is six; an outage uses up none, and a job that fails alone needs no more",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the template declares it; its default is a text, as CloudFormation's are."""

    name: str
    default: str
    description: str = ""
    type: str = "String"
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    constraint: str = ""
    limits: tuple[float | None, float | None] = (None, None)
    longest: int | None = None

    def refuse(self, value: str) -> None:
        """Raise Failure for a value that CloudFormation would refuse, before anything is built."""
        if self.allowed:
            if value not in self.allowed:
                named = ", ".join(item or "empty" for item in self.allowed)
                self._fail(value, f"one of {named}")
            return
        # of a list, CloudFormation matches each value
        parts = value.split(",") if self.type == "CommaDelimitedList" else [value]
        if self.pattern and not all(re.fullmatch(self.pattern, part) for part in parts):
            self._fail(value, self.constraint or f"what matches {self.pattern}")
        if self.longest is not None and len(value) > self.longest:
            self._fail(value, f"at most {self.longest} characters")
        if self.type == "Number" and not self._is_in_limits(value):
            self._fail(value, self.constraint or "a number")

    def _is_in_limits(self, value: str) -> bool:
        try:
            number = float(value)
        except ValueError:
            return False
        lowest, highest = self.limits
        return (lowest is None or number >= lowest) and (highest is None or number <= highest)

    def _fail(self, value: str, wanted: str) -> None:
        raise Failure(f"{self.name} cannot be {value!r}: give {wanted.rstrip('.')}", USAGE)


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of values that somebody or SAM's guide had written down."""

    kept: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)  # equal to the template's own
    former: dict[str, str] = field(default_factory=dict)  # equal to one that it had
    gone: dict[str, str] = field(default_factory=dict)  # the template has no such parameter


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # C's is not everywhere
    """Reads plain values, and passes over CloudFormation's functions: no parameter has one."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def read_parameters(template: Path) -> dict[str, Parameter]:
    """Read what template.yaml declares."""
    text = template.read_text(encoding="utf-8")
    declared: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=_Loader)["Parameters"]  # noqa: S506 - it makes plain values only
    return {
        name: Parameter(
            name=name,
            default=str(item["Default"]),
            description=str(item.get("Description", "")),
            type=str(item["Type"]),
            allowed=tuple(map(str, item.get("AllowedValues", ()))),
            pattern=str(item.get("AllowedPattern", "")),
            constraint=str(item.get("ConstraintDescription", "")),
            limits=(item.get("MinValue"), item.get("MaxValue")),
            longest=item.get("MaxLength"),
        )
        for name, item in declared.items()
    }


def take_over(saved: Mapping[str, str], parameters: Mapping[str, Parameter]) -> TakenOver:
    """Sort what SAM's guide pinned: only what differs from all defaults that were stays set."""
    taken = TakenOver()
    for name, value in saved.items():
        if name not in parameters:
            taken.gone[name] = value
        elif value == parameters[name].default:
            taken.defaults[name] = value
        elif value in FORMER_DEFAULTS.get(name, frozenset()):
            taken.former[name] = value
        else:
            taken.kept[name] = value
    return taken


def own_values(values: Mapping[str, str], parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """Return those values that are for parameters which the template has."""
    return {name: value for name, value in values.items() if name in parameters}


def change(
    values: Mapping[str, str],
    parameters: Mapping[str, Parameter],
    *,
    sets: Mapping[str, str],
    unsets: Sequence[str] = (),
) -> dict[str, str]:
    """Return what a stage sets after a change; raises Failure for what cannot be."""
    for name in (*sets, *unsets):
        if name not in parameters:
            raise Failure(_unknown(name, parameters), USAGE)
    both = sorted(set(sets) & set(unsets))
    if both:
        raise Failure(f"{both[0]} cannot be set and unset at once", USAGE)
    changed = {name: value for name, value in values.items() if name not in unsets}
    for name, value in sets.items():
        parameters[name].refuse(value)
        changed[name] = value
    return changed


def _unknown(name: str, parameters: Mapping[str, Parameter]) -> str:
    if name in GONE:
        return f"there is no parameter {name} any more: {GONE[name]}"
    near = difflib.get_close_matches(name, parameters, n=1) or [
        known for known in parameters if known.lower() == name.lower()
    ]
    hint = f"did you mean {near[0]}?" if near else "docs/parameters.md lists them"
    return f"the template has no parameter {name!r}: {hint}"
