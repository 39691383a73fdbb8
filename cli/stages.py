"""The stages of samconfig.toml: which stack in which region, and what each sets for good.

A stage's section is SAM's own (`[dev.deploy.parameters]`), so that `sam` reads it too. What a stage
sets of the template's parameters stands in a table of its own, a parameter a line:

    [dev.deploy.parameters.parameter_overrides]
    KeyTemplate = "…"

SAM's guide wrote one text, or a list, with every parameter in it. That is how the two are told
apart: a text is taken over once (parameters.py), a table is what somebody set.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Stage",
    "known_stages",
    "profile_of",
    "read_stage",
    "save_stage",
    "saved_settings",
]

CONFIG_PATH = Path(__file__).resolve().parents[1] / "samconfig.toml"

# Of a stack's name: EventBridge takes 64 for a rule's, which ends in "-jobs" (API_PutRule).
_MOST_CHARACTERS = 59
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")  # CloudFormation API Reference, CreateStack
# One item of a list that is one parameter as it stands: no quotes, and no second name.
_PLAIN = re.compile(
    r"(?!ParameterKey=)(?P<name>[A-Za-z0-9]+)=(?P<value>(?!.*\s[A-Za-z0-9]+=)[^\"']*)"
)
_OVERRIDES, _TAGS = "parameter_overrides", "tags"
# What a deploy takes from a section. SAM's other settings are told and left alone.
_USED = {
    *("stack_name", "region", "profile", "capabilities", "resolve_s3", "s3_bucket", "s3_prefix"),
    *("kms_key_id", "role_arn", "notification_arns", _OVERRIDES, _TAGS),
    # a deploy always shows what it changes, and nothing to change is no failure
    *("confirm_changeset", "fail_on_empty_changeset"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One section; `values` are parameters, `written_by_sam` those of a text or list of SAM's."""

    name: str
    stack: str
    region: str | None
    values: Mapping[str, str]
    tags: Mapping[str, str]
    is_ours: bool  # the section has the table: its values are what somebody set
    written_by_sam: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unused(self) -> list[str]:
        """Settings that a deploy does not take into account."""
        return sorted(self.settings.keys() - _USED)


def known_stages(config: Path = CONFIG_PATH) -> list[str]:
    """Return the stages that there are; none of them is SAM's `default`."""
    return sorted(_parse(config).unwrap().keys() - {"version", "default"})


def saved_settings(stack: str | None = None) -> list[dict[str, Any]]:
    """Return what each stage says of itself, or those of one stack; none where there is no file."""
    if not CONFIG_PATH.exists():
        return []
    document: Any = _parse(CONFIG_PATH).unwrap()
    stages = [_settings(document[name]) for name in known_stages(CONFIG_PATH)]
    named = [given for given in stages if "stack_name" in given]
    return [given for given in named if stack in {None, given["stack_name"]}]


def profile_of(settings: Mapping[str, Any]) -> str | None:
    """Return a stage's profile, unless the environment says who asks."""
    said = any(os.environ.get(f"AWS_{n}") for n in ("PROFILE", "DEFAULT_PROFILE", "ACCESS_KEY_ID"))
    return None if said or not settings.get("profile") else str(settings["profile"])


def read_stage(name: str, config: Path) -> Stage:
    """Read one stage; raises Failure for one that is not there or has no name that deploys."""
    document: Any = _parse(config).unwrap()
    stages = known_stages(config)
    if name not in stages:
        raise Failure(
            f"{config.name} has no stage {name!r}: give one of {', '.join(stages)}, or copy the "
            "section of one under another name and stack_name",
            USAGE,
        )
    settings = _settings(document[name])
    given = settings.get(_OVERRIDES)
    ours = given if isinstance(given, dict) and "$include" not in given else None
    return Stage(
        name=name,
        stack=_checked(str(settings.get("stack_name", "")), name, config),
        region=settings.get("region"),
        values={key: _as_text(value) for key, value in (ours or {}).items()},
        tags=_read_tags(settings.get(_TAGS), config),
        is_ours=ours is not None,
        written_by_sam={} if ours is not None else _read_overrides(given, config),
        settings=settings,
    )


def save_stage(
    name: str,
    config: Path,
    *,
    region: str,
    values: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Write what a stage sets into its section, and leave every other line as it is.

    Raises Failure where the file cannot be written.
    """
    document = _parse(config)
    parameters = document[name]["deploy"]["parameters"]
    if not isinstance(parameters, Table):
        raise Failure(f"{config.name} has no section [{name}.deploy.parameters]", USAGE)
    _put(parameters, "region", region)
    _put_table(parameters, _OVERRIDES, values)
    if dict(tags) != _read_tags(parameters.get(_TAGS), config):
        parameters.pop(_TAGS, None)
        if tags:  # a list, because sam takes no table of them
            _put(parameters, _TAGS, [f"{key}={value}" for key, value in tags.items()])
    # a table that is new ends without the blank line that other sections have before them
    ours = rf"(\[{re.escape(name)}\.deploy\.parameters\.\w+\]\n(?:[^\n\[][^\n]*\n)*)(?=\[)"
    text = re.sub(ours, r"\1\n", tomlkit.dumps(document))
    if text != config.read_text(encoding="utf-8"):
        try:
            config.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(f"{config} cannot be written ({error.strerror})") from error


def _settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """Merge in SAM's order: what is said of a command goes before what is said of all."""
    return {
        **section.get("global", {}).get("parameters", {}),
        **section.get("deploy", {}).get("parameters", {}),
    }


def _put(parameters: Table, key: str, value: str | list[str]) -> None:
    """Set a plain key; a new one goes before the tables, which end a section's own keys."""
    if parameters.get(key) == value:
        return
    if key in parameters:
        parameters[key] = value
        return
    tables = [(name, item) for name, item in parameters.items() if isinstance(item, Table)]
    for table, _ in tables:
        parameters.remove(table)
    parameters.append(key, value)
    for table, item in tables:
        parameters.append(table, item)


def _put_table(parameters: Table, key: str, values: Mapping[str, str]) -> None:
    there = parameters.get(key)
    if isinstance(there, Table):  # line by line, so that comments stay
        for name in [name for name in there if name not in values]:
            there.remove(name)
        for name, value in values.items():
            if name not in there or _as_text(there[name]) != value:
                there[name] = value
        return
    if there is not None:
        parameters.remove(key)
    table = tomlkit.table()
    for name, value in values.items():
        table.append(name, value)
    parameters.append(key, table)


def _parse(config: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(f"{config} cannot be read ({error.strerror})", USAGE) from error
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise Failure(f"{config} cannot be read: {error}", USAGE) from error


def _checked(stack: str, stage: str, config: Path) -> str:
    if not stack:
        raise Failure(f"{config.name} names no stack in [{stage}.deploy.parameters]", USAGE)
    if len(stack) > _MOST_CHARACTERS:
        raise Failure(
            f"{stack} has {len(stack)} characters; {_MOST_CHARACTERS} are the most, because names "
            f"in the stack begin with its own: give a shorter stack_name in {config.name}",
            USAGE,
        )
    if not _STACK_NAME.fullmatch(stack):
        raise Failure(
            f"{stack!r} is no name for a stack: letters, digits and hyphens, a letter first "
            f"(stack_name in {config.name})",
            USAGE,
        )
    return stack


def _as_text(value: object) -> str:
    """Say a value of TOML as CloudFormation takes it: `true`, 10 and a list are texts there."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return str(value)


def _read_overrides(given: object, config: Path) -> dict[str, str]:
    """Read a text or a list by SAM's own reader: quotes and file:// included.

    SAM cuts a list's unquoted value at its first blank, and refuses an empty one; what is meant by
    `ReconcileSchedule=cron(0 6 * * ? *)` and `KeyPrefix=` is plain.
    """
    if isinstance(given, list):
        plain = [_PLAIN.fullmatch(str(item)) for item in given]
        rest = [item for item, match in zip(given, plain, strict=True) if not match]
        return {
            **_by_sam(rest, config),
            **{match["name"]: match["value"] for match in plain if match},
        }
    return _by_sam(given, config)


def _by_sam(given: object, config: Path) -> dict[str, str]:
    if not given:
        return {}
    from samcli.cli.types import CfnParameterOverridesType  # noqa: PLC0415 - takes half a second

    try:
        found: dict[str, str] = CfnParameterOverridesType().convert(
            given, None, None, current_file=config
        )
    except Exception as error:  # click's BadParameter, or whatever a file of another form raises
        raise Failure(f"{_OVERRIDES} in {config.name} cannot be read: {error}", USAGE) from error
    return found


def _read_tags(given: object, config: Path) -> dict[str, str]:
    """Read tags: a table, or a text or list of SAM's."""
    if isinstance(given, list) and not any('"' in str(item) for item in given):
        return {key: value for key, _, value in (str(item).partition("=") for item in given)}
    if isinstance(given, dict):
        return {str(key): _as_text(value) for key, value in given.items()}
    if not given:
        return {}
    from samcli.cli.types import CfnTags  # noqa: PLC0415 - as above

    try:
        read: dict[str, str] = CfnTags().convert(given, None, None)
    except Exception as error:  # click's BadParameter
        raise Failure(f"{_TAGS} in {config.name} cannot be read: {error}", USAGE) from error
    return read
