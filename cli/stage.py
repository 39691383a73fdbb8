"""`archiver deploy` and `archiver delete`: one stage of the stack, as samconfig.toml describes it.

The first deploy of a stage asks for every parameter (sam's own guide) and writes the answers into
samconfig.toml; later ones take them from there. Deleting says what stays and wants the stack's name
once more. It must not remove a bucket, a table or a secret of the vendor's: that is a person's own
decision and command.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_cloudformation import CloudFormationClient

__all__ = [
    "StageError",
    "delete_stage",
    "deploy_command",
    "deploy_stage",
    "retained",
    "run_delete",
    "stack_of",
]

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
# Of a stack's name: EventBridge takes 64 for a rule's, which ends in "-jobs" (API_PutRule).
_MOST_CHARACTERS = 59
_RETAINING = {"Retain", "RetainExceptOnCreate"}  # the second but for a first deploy that fails


class StageError(Failure):
    """What was asked for cannot be done; the text says why and what to do."""

    def __init__(self, text: str) -> None:
        """Nothing was asked for yet."""
        super().__init__(text, USAGE)


def stack_of(stage: str, project: Path = PROJECT_FOLDER) -> str:
    """Return the name of a stage's stack."""
    return str(_section(stage, project)["stack_name"])


def deploy_command(
    stage: str, *, architecture: str, guided: bool = False, project: Path = PROJECT_FOLDER
) -> list[str]:
    """Return sam's arguments to deploy a stage with the build for an architecture."""
    stack = stack_of(stage, project)
    if len(stack) > _MOST_CHARACTERS:
        raise StageError(
            f"{stack} has {len(stack)} characters; {_MOST_CHARACTERS} are the most, because names "
            "in the stack begin with its own. Give a shorter stack_name in samconfig.toml."
        )
    saved = _answers(_section(stage, project).get("parameter_overrides"))
    command = ["deploy", "--config-env", stage]
    if guided or not saved:
        # The guide offers what was answered before, but the architecture that was built.
        offered = {**saved, "Architecture": architecture}
        overrides = [f'{name}="{value}"' for name, value in offered.items()]  # sam splits at blanks
        return [*command, "--guided", "--parameter-overrides", *overrides]
    wanted = saved.get("Architecture", architecture)
    if wanted != architecture:
        raise StageError(
            f"{stage} runs on {wanted}, but this is a build for {architecture}: "
            f"make deploy STAGE={stage} ARCHITECTURE={wanted}"
        )
    return command


def _answers(saved: str | Sequence[str] | None) -> dict[str, str]:
    """Read what sam saved: one text of Name="value" words, or a list of Name=value."""
    words = shlex.split(saved) if isinstance(saved, str) else saved or []
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def retained(cloudformation: CloudFormationClient, stack: str) -> dict[str, str]:
    """Return what a stack leaves behind when it is deleted: logical id -> physical id."""
    template: Any = cloudformation.get_template(StackName=stack, TemplateStage="Processed")
    declared: Mapping[str, Mapping[str, Any]] = template["TemplateBody"]["Resources"]
    described = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    # Either may be missing: of a resource that was never made, and in moto of some others.
    made = {item.get("LogicalResourceId"): item.get("PhysicalResourceId") for item in described}
    stays = (n for n, item in declared.items() if item.get("DeletionPolicy", "") in _RETAINING)
    return {name: str(made[name]) for name in stays if made.get(name)}


def delete_stage(
    cloudformation: CloudFormationClient,
    stack: str,
    *,
    confirm: str,
    ask: Callable[[str], str] | None,
) -> Iterator[str]:
    """Delete a stack once its name is confirmed, and yield the lines that tell about it.

    `ask` puts a question to a person; None where there is nobody to ask. Raises StageError.
    """
    try:
        stays = retained(cloudformation, stack)
        yield f"Deleting {stack} ends archiving; jobs that wait in its queue are forgotten."
        yield "This stays, and costs what it cost, until somebody deletes it:"
        yield from (f"  {name}: {physical_id}" for name, physical_id in sorted(stays.items()))
        _confirm(stack, confirm, ask)
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack)
    except (BotoCoreError, ClientError, WaiterError) as error:
        raise StageError(f"{stack} was not deleted: {error}") from error
    yield f"{stack} is deleted. To go on with the same archive later: docs/deploying.md."


def _confirm(stack: str, confirm: str, ask: Callable[[str], str] | None) -> None:
    answer = confirm or (ask(f"Type {stack} to delete it: ").strip() if ask else "")
    if answer != stack:
        raise StageError(f"nothing was deleted: confirm with CONFIRM={stack}")


def _section(stage: str, project: Path) -> Mapping[str, Any]:
    config = tomllib.loads((project / "samconfig.toml").read_text())
    stages = sorted(config.keys() - {"version", "default"})
    if stage not in stages:
        raise StageError(
            f"give STAGE={' or STAGE='.join(stages)} (samconfig.toml has no {stage!r})"
        )
    section: Mapping[str, Any] = config[stage]
    parameters: Mapping[str, Any] = section.get("deploy", {}).get("parameters", {})
    if "stack_name" not in parameters:
        raise StageError(f"samconfig.toml names no stack in [{stage}.deploy.parameters]")
    return parameters


def deploy_stage(stage: str, *, architecture: str, guided: bool) -> int:
    """Deploy a stage by sam; returns sam's exit code."""
    sam = str(Path(sys.executable).with_name("sam"))
    command = deploy_command(stage, architecture=architecture, guided=guided)
    return subprocess.run([sam, *command], cwd=PROJECT_FOLDER, check=False).returncode


def run_delete(stage: str, *, confirm: str) -> int:
    """Delete a stage's stack and say what stays; raises StageError."""
    stack = stack_of(stage)
    region = _section(stage, PROJECT_FOLDER).get("region")
    client = boto3.client("cloudformation", region_name=region)
    ask = input if sys.stdin.isatty() else None
    for line in delete_stage(client, stack, confirm=confirm, ask=ask):
        print(line, flush=True)
    return 0
