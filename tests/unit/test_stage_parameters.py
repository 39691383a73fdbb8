"""What a stage sets, what it leaves to the template, and what becomes of SAM's pinned values."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.failure import Failure
from cli.parameters import (
    FORMER_DEFAULTS,
    GONE,
    Parameter,
    change,
    own_values,
    read_parameters,
    take_over,
)
from tests.template.resolved import REPOSITORY, read_template

RELEASED = REPOSITORY / "tests" / "data" / "released" / "template.yaml"
PARAMETERS = read_parameters(REPOSITORY / "template.yaml")


def test_every_parameter_of_the_template_is_known_with_its_default() -> None:
    """As the template has it, whatever TOML or YAML made of it."""
    declared = read_template()["Parameters"]
    assert {name: item.default for name, item in PARAMETERS.items()} == {
        name: str(item["Default"]) for name, item in declared.items()
    }


def test_each_default_is_one_that_may_be_given() -> None:
    """All of them are said to CloudFormation at each deploy."""
    for parameter in PARAMETERS.values():
        parameter.refuse(parameter.default)


def test_what_the_released_template_had_otherwise_is_written_down() -> None:
    """Each default of its that is another now, and each parameter of its that is gone."""
    released = read_parameters(RELEASED)
    other = {
        name: item.default
        for name, item in released.items()
        if name in PARAMETERS and PARAMETERS[name].default != item.default
    }
    kept = {"CallbackReservedConcurrency"}  # better than the default, where the account can give it
    assert all(value in FORMER_DEFAULTS[name] for name, value in other.items() if name not in kept)
    assert other
    assert set(GONE) >= set(released) - set(PARAMETERS)
    assert not set(GONE) & set(PARAMETERS)
    assert not any(PARAMETERS[name].default in old for name, old in FORMER_DEFAULTS.items())


def test_all_that_sam_pinned_for_a_released_stack_is_let_go() -> None:
    """But for what somebody really chose; and it is told apart why."""
    pinned = {name: item.default for name, item in read_parameters(RELEASED).items()}
    taken = take_over({**pinned, "KeyPrefix": "a/", "AlarmEmail": "a@example.com"}, PARAMETERS)
    assert taken.kept == {
        "KeyPrefix": "a/",
        "AlarmEmail": "a@example.com",
        "CallbackReservedConcurrency": "10",
    }
    assert taken.former == {n: v for n, v in pinned.items() if v in FORMER_DEFAULTS.get(n, ())}
    assert taken.gone.keys() == pinned.keys() - PARAMETERS.keys()
    assert len(taken.defaults) > 25


def test_a_parameter_is_set_unset_and_set_to_nothing() -> None:
    """`X=` means empty, and a value that is the default's is set all the same."""
    values = {"KeyPrefix": "a/", "AlarmEmail": "a@example.com"}
    changed = change(
        values, PARAMETERS, sets={"ReconcileSchedule": "", "LogLevel": "INFO"}, unsets=["KeyPrefix"]
    )
    assert changed == {"AlarmEmail": "a@example.com", "ReconcileSchedule": "", "LogLevel": "INFO"}
    assert values == {"KeyPrefix": "a/", "AlarmEmail": "a@example.com"}


@pytest.mark.parametrize(
    ("sets", "unsets", "complaint"),
    [
        ({"KeyTemplat": "x"}, [], "no parameter 'KeyTemplat': did you mean KeyTemplate?"),
        ({}, ["keyprefix"], "did you mean KeyPrefix?"),
        ({"Zzz": ""}, [], "docs/parameters.md lists them"),
        ({"KeyPrefix": "a/"}, ["KeyPrefix"], "cannot be set and unset at once"),
        ({"KeyPrefix": "a"}, [], "KeyPrefix cannot be 'a': give folders of letters"),
        ({"MemorySize": "64"}, [], "MemorySize cannot be '64': give a number of MB from 128"),
        ({"MemorySize": "big"}, [], "MemorySize cannot be 'big'"),
        ({"LogLevel": "debug"}, [], "LogLevel cannot be 'debug': give one of DEBUG, INFO"),
        ({"ObjectLockMode": "x"}, [], "give one of empty, GOVERNANCE, COMPLIANCE"),
        ({"SubnetIds": "subnet-0123abcd,x"}, [], "SubnetIds cannot be"),
        ({"SourceBucketNames": "a" * 63 + ("," + "b" * 63) * 8}, [], "at most 500 characters"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_built(
    sets: dict[str, str], unsets: list[str], complaint: str
) -> None:
    """In a sentence with the remedy."""
    with pytest.raises(Failure, match=complaint.replace("?", r"\?")):
        change({}, PARAMETERS, sets=sets, unsets=unsets)


def test_a_parameter_that_is_gone_breaks_nothing() -> None:
    """A stage's section may still name it; setting it anew is told why not."""
    assert own_values({"KeyPrefix": "a/", "Gone": "1"}, PARAMETERS) == {"KeyPrefix": "a/"}
    for name, why in GONE.items():
        with pytest.raises(Failure, match=r"no parameter .* any more") as failure:
            change({}, PARAMETERS, sets={name: "1"})
        assert why in str(failure.value)


def test_a_list_is_held_to_its_pattern_value_by_value() -> None:
    """As CloudFormation does for CommaDelimitedList."""
    parameter = Parameter("Ids", "", type="CommaDelimitedList", pattern="^$|^x[0-9]$")
    parameter.refuse("")
    parameter.refuse("x1,x2")
    with pytest.raises(Failure):
        parameter.refuse("x1,y")


def test_reading_needs_no_template_of_ours(tmp_path: Path) -> None:
    """Any template's parameters are read, CloudFormation's short forms included."""
    path = tmp_path / "template.yaml"
    path.write_text(
        "Parameters:\n  A: {Type: Number, Default: 0}\nResources:\n  R: {Type: T, P: !Ref A}\n"
    )
    assert read_parameters(path) == {"A": Parameter("A", "0", type="Number")}
