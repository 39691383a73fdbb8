"""One change of a stack by a change set: prepared, shown by others, then carried out and watched.

SAM's own deploy makes change sets too, but shows them in its own width, asks in its own words and
keeps the last value of whatever it is not given (docs/decisions/2026-11-26-a-deploy-of-our-own.md).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import WaiterError

from cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_cloudformation import CloudFormationClient

    from cli.clients import Clients
    from cli.readiness import NowDeployed

__all__ = [
    "ChangeSet",
    "Deployed",
    "Wanted",
    "code_place",
    "drop",
    "execute",
    "prepare",
    "previous",
    "remember",
]

_CODE = re.compile(r"s3://(?P<bucket>[a-z0-9.-]{3,63})/(?:(?P<prefix>[^\s\"']+)/)?[0-9a-f]{32}\b")
_POLL_SECONDS = 2
_MOST_POLLS = 300  # of a change set: ten minutes
_NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a stack is to become: its template as it lies packaged, and what is said with it."""

    stack: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    settings: Mapping[str, Any]  # of the stage's section: capabilities, role_arn, …


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that can be executed; `changes` are its ResourceChanges."""

    id: str
    stack: str
    is_new: bool
    changes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a stack was: its template as it was packaged, and its parameters."""

    template: str
    parameters: Mapping[str, str]
    at: str = ""


def code_place(template: str) -> tuple[str, str]:
    """Return bucket and prefix of a packaged template's code; raises Failure without one."""
    match = _CODE.search(template)
    if match is None:
        raise Failure("the template names no code in S3: it was not packaged by `sam package`")
    return match["bucket"], match["prefix"] or ""


def prepare(clients: Clients, wanted: Wanted, *, is_new: bool) -> ChangeSet | None:
    """Make a change set and wait for it; None where there is nothing to change.

    The template goes by S3: a change set's own text may have 51,200 bytes. Raises Failure.
    """
    cloudformation = clients.cloudformation
    given = wanted.settings
    said: dict[str, Any] = {
        "StackName": wanted.stack,
        "ChangeSetName": f"archiver-{datetime.now(UTC):%Y%m%dT%H%M%S%f}",
        "ChangeSetType": "CREATE" if is_new else "UPDATE",
        "TemplateURL": _upload(clients, wanted),
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in wanted.parameters.items()
        ],
        "Capabilities": _listed(given.get("capabilities") or "CAPABILITY_IAM"),
        "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()],
    }
    if given.get("role_arn"):
        said["RoleARN"] = given["role_arn"]
    if given.get("notification_arns"):
        said["NotificationARNs"] = _listed(given["notification_arns"])
    made = cloudformation.create_change_set(**said)["Id"]
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=made,
            StackName=wanted.stack,
            WaiterConfig={"Delay": _POLL_SECONDS, "MaxAttempts": _MOST_POLLS},
        )
    except WaiterError as error:
        reason = str(error.last_response.get("StatusReason", error))
        drop(cloudformation, ChangeSet(made, wanted.stack, is_new, ()))
        if any(words in reason for words in _NOTHING):
            return None
        raise Failure(f"CloudFormation refuses the change: {reason}") from error
    return ChangeSet(made, wanted.stack, is_new, tuple(_read_changes(cloudformation, made)))


def drop(cloudformation: CloudFormationClient, change_set: ChangeSet) -> None:
    """Forget a change set, and the empty stack that a first one makes (REVIEW_IN_PROGRESS)."""
    cloudformation.delete_change_set(ChangeSetName=change_set.id, StackName=change_set.stack)
    if change_set.is_new:
        cloudformation.delete_stack(StackName=change_set.stack)


def execute(
    clients: Clients,
    change_set: ChangeSet,
    *,
    tell: Callable[[str], None],
    poll_seconds: float = _POLL_SECONDS,
) -> None:
    """Carry out a change set and tell each resource that is done; raises Failure if it fails."""
    cloudformation = clients.cloudformation
    seen = {event["EventId"] for event in _events(cloudformation, change_set.stack)}
    cloudformation.execute_change_set(ChangeSetName=change_set.id, StackName=change_set.stack)
    failed: list[str] = []
    try:
        while True:
            for event in _events(cloudformation, change_set.stack, seen):
                seen.add(event["EventId"])
                _tell_event(event, change_set.stack, tell, failed)
            stacks: Any = cloudformation.describe_stacks(StackName=change_set.stack)["Stacks"]
            status = str(stacks[0]["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(poll_seconds)
    except KeyboardInterrupt:
        tell("CloudFormation goes on without us; its console shows how it ends.")
        raise
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        why = "; ".join(failed[:3]) or str(stacks[0].get("StackStatusReason", "no reason given"))
        raise Failure(f"{change_set.stack} is {status}, because of {why}")


def remember(clients: Clients, wanted: Wanted, now: NowDeployed) -> None:
    """Keep what a stack is beside the code that it gets: there the stack's next reader looks.

    What it is may have been deployed by other means, or from another bucket.
    """
    template = _template_of(clients, wanted.stack)
    bucket, prefix = code_place(wanted.template)
    document = {"template": template, "parameters": dict(now.parameters)}
    clients.s3.put_object(
        Bucket=bucket,
        Key=f"{_folder(prefix)}{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}.json",
        Body=json.dumps(document).encode(),
        ContentType="application/json",
    )


def previous(clients: Clients, stack: str, now: NowDeployed) -> Deployed:
    """Return what a stack was before what it is; raises Failure where that was not kept.

    The last that differs: a deploy that failed and was rolled back left what the stack still is.
    """
    template = _template_of(clients, stack)
    bucket, prefix = code_place(template)
    s3 = clients.s3
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_folder(prefix))
    keys = sorted((str(o["Key"]) for page in pages for o in page.get("Contents", [])), reverse=True)
    for key in keys:
        kept = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        if kept["template"] != template or kept["parameters"] != dict(now.parameters):
            at = key.removeprefix(_folder(prefix)).partition(".")[0]
            return Deployed(str(kept["template"]), dict(kept["parameters"]), at)
    raise Failure(
        f"no version before this one is kept of {stack}: a deploy keeps the one that it replaces "
        "since it is done by `archiver deploy`; check out the older version and deploy that"
    )


def _folder(prefix: str) -> str:
    return f"{prefix}/deployed/" if prefix else "deployed/"


def _template_of(clients: Clients, stack: str) -> str:
    """Return a stack's template as it was given, before SAM's transform."""
    answer: Any = clients.cloudformation.get_template(StackName=stack, TemplateStage="Original")
    body = answer["TemplateBody"]
    return body if isinstance(body, str) else json.dumps(body)  # botocore parses JSON


def _upload(clients: Clients, wanted: Wanted) -> str:
    bucket, prefix = code_place(wanted.template)
    body = wanted.template.encode()
    name = f"{hashlib.sha256(body).hexdigest()}.template"
    key = f"{prefix}/{name}" if prefix else name
    s3 = clients.s3
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return f"{s3.meta.endpoint_url}/{bucket}/{key}"  # CloudFormation wants the path-style form


def _listed(given: object) -> list[str]:
    return given.split() if isinstance(given, str) else [str(item) for item in given]  # type: ignore[attr-defined]  # TOML: a text or a list


def _read_changes(cloudformation: CloudFormationClient, made: str) -> Iterator[Mapping[str, Any]]:
    for page in cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=made):
        for item in page.get("Changes", []):
            yield item["ResourceChange"]


def _events(
    cloudformation: CloudFormationClient, stack: str, seen: set[str] | None = None
) -> list[Mapping[str, Any]]:
    """Return a stack's events that were not seen yet, oldest first; with none given, the newest."""
    fresh: list[Mapping[str, Any]] = []
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:  # newest first
            if seen is not None and event["EventId"] in seen:
                return fresh[::-1]
            fresh.append(event)
        if seen is None:
            break
    return fresh[::-1]


def _tell_event(
    event: Mapping[str, Any], stack: str, tell: Callable[[str], None], failed: list[str]
) -> None:
    name, status = str(event["LogicalResourceId"]), str(event["ResourceStatus"])
    reason = str(event.get("ResourceStatusReason", ""))
    if name == stack:
        return
    if status.endswith("_FAILED"):
        if "cancelled" not in reason:  # cancelled because of another, which is told
            failed.append(f"{name}: {reason}")
        tell(f"  {status}  {name}  {reason}".rstrip())
    elif status.endswith("_COMPLETE"):
        tell(f"  {status:<15}  {name}")
