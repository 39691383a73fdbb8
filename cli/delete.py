"""`archiver delete STAGE`: take a stage's stack away, and leave what cannot be fetched again.

It says what stays and wants the stack's name once more. It must not remove a bucket, a table or a
secret of the vendor's: that is a person's own decision and command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.deploy import PROJECT, open_clients
from cli.failure import USAGE, Failure
from cli.readiness import find_stack
from cli.stack import tell_calls
from cli.stages import read_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient

    from cli.clients import Clients

__all__ = ["delete", "delete_stack", "retained"]

_RETAINING = {"Retain", "RetainExceptOnCreate"}  # the second but for a first deploy that fails


def delete(
    name: str,
    *,
    confirm: str,
    ask: Callable[[str], str] | None,
    tell: Callable[[str], None],
    region: str | None = None,
    verbose: bool = False,
    project: Path = PROJECT,
) -> int:
    """Delete a stage's stack once its name is confirmed; returns the exit code.

    `ask` puts a question to a person; None where there is nobody. Raises Failure, or what boto3
    raises.
    """
    stage = read_stage(name, project / "samconfig.toml")
    clients = open_clients(stage, region or stage.region)
    if not clients.region:
        raise Failure(f"{name} has no region yet: give --region", USAGE)
    if verbose:
        tell_calls(clients.session)
    return delete_stack(clients, stage.stack, confirm=confirm, ask=ask, tell=tell)


def delete_stack(
    clients: Clients,
    stack: str,
    *,
    confirm: str,
    ask: Callable[[str], str] | None,
    tell: Callable[[str], None],
) -> int:
    """Delete a stack as `delete` does."""
    cloudformation = clients.cloudformation
    if find_stack(cloudformation, stack) is None:
        raise Failure(
            f"there is no stack {stack} in {clients.region}: look at --region and AWS_PROFILE"
        )
    stays = retained(cloudformation, stack)
    tell(f"Deleting {stack} in {clients.region} ends archiving:")
    tell("jobs that wait in its queue, dead letters, logs and the callback URL are gone.")
    tell("This stays, and costs what it cost, until somebody deletes it:")
    for logical_id, physical_id in sorted(stays.items()):
        tell(f"  {logical_id}: {physical_id}")
    answer = confirm or (ask(f"Type {stack} to delete it: ").strip() if ask else "")
    if answer != stack:
        raise Failure(f"nothing was deleted: confirm with --confirm {stack}", USAGE)
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 5, "MaxAttempts": 360}
    )
    tell(f"{stack} is deleted. To go on with the same archive later: docs/deploying.md.")
    return 0


def retained(cloudformation: CloudFormationClient, stack: str) -> Mapping[str, str]:
    """Return what a stack leaves behind when it is deleted: logical id -> physical id."""
    template: Any = cloudformation.get_template(StackName=stack, TemplateStage="Processed")
    declared: Mapping[str, Mapping[str, Any]] = template["TemplateBody"]["Resources"]
    described = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    # Either may be missing: of a resource that was never made, and in moto of some others.
    made = {item.get("LogicalResourceId"): item.get("PhysicalResourceId") for item in described}
    stays = (n for n, item in declared.items() if item.get("DeletionPolicy", "") in _RETAINING)
    return {name: str(made[name]) for name in stays if made.get(name)}
