"""What must hold before anything is built: a login, a stack that can be changed, room in the quota.

Each is one question to AWS and one sentence if the answer is no. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient

    from cli.clients import Clients

__all__ = [
    "NowDeployed",
    "check_bucket",
    "check_concurrency",
    "check_status",
    "find_stack",
    "who_deploys",
]

# "You can reserve up to the Unreserved account concurrency value minus 100. The remaining 100 units
# are for functions that aren't using reserved concurrency." (Lambda Developer Guide, "Configuring
# reserved concurrency for a function")
_LEFT_UNRESERVED = 100
_RESERVING = ("ReservedConcurrency", "CallbackReservedConcurrency")
_NO_RIGHT = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@dataclass(frozen=True, slots=True)
class NowDeployed:
    """A stack as CloudFormation has it."""

    stack_id: str
    status: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)


def who_deploys(clients: Clients) -> tuple[str, str]:
    """Return account and caller's ARN; raises what boto3 raises where there is no login."""
    identity: Any = clients.sts.get_caller_identity()
    return str(identity["Account"]), str(identity["Arn"])


def find_stack(cloudformation: CloudFormationClient, name: str) -> NowDeployed | None:
    """Return the stack, or None where none was made yet; raises what boto3 raises."""
    try:
        described: Any = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has no code for it (API Reference, DescribeStacks)
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    if described["StackStatus"] == "REVIEW_IN_PROGRESS":  # a change set, and nothing else
        return None
    return NowDeployed(
        stack_id=str(described["StackId"]),
        status=str(described["StackStatus"]),
        parameters={
            item["ParameterKey"]: item.get("ParameterValue", "")
            for item in described.get("Parameters", [])
        },
        tags={item["Key"]: item["Value"] for item in described.get("Tags", [])},
        outputs={item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])},
    )


def check_status(stage: str, stack: str, status: str) -> None:
    """Raise Failure for a stack that CloudFormation will not update now, with what to do."""
    if status == "ROLLBACK_COMPLETE":
        raise Failure(
            f"the first deploy of {stack} failed, and what it made is gone again: "
            f"`archiver delete {stage}`, then deploy again"
        )
    if status.endswith("_IN_PROGRESS"):
        raise Failure(f"{stack} is being changed by somebody ({status}): wait for the end of it")
    if status == "UPDATE_ROLLBACK_FAILED":
        raise Failure(
            f"{stack} is stuck half-way back (UPDATE_ROLLBACK_FAILED): mend what its events name, "
            f"then `aws cloudformation continue-update-rollback --stack-name {stack}`"
        )
    if status.endswith("_FAILED") and status != "UPDATE_FAILED":
        raise Failure(
            f"{stack} is {status}: its events in CloudFormation's console say why; delete it there"
        )


def check_concurrency(
    clients: Clients, wanted: Mapping[str, str], there: Mapping[str, str]
) -> Iterator[str]:
    """Yield notes on the account's concurrency; raises Failure where the deploy would fail by it.

    `wanted` and `there` are the stack's parameters as they will be and as they are.
    """
    reserves, reserved = (
        sum(_number(given.get(name)) for name in _RESERVING) for given in (wanted, there)
    )
    try:
        limit: Any = clients.aws_lambda.get_account_settings()["AccountLimit"]
    except ClientError as error:
        if error.response["Error"].get("Code") not in _NO_RIGHT:
            raise
        yield "  the quota was not checked: lambda:GetAccountSettings is not allowed (docs/iam.md)"
        return
    total, free = int(limit["ConcurrentExecutions"]), int(limit["UnreservedConcurrentExecutions"])
    if reserves and free + reserved - reserves < _LEFT_UNRESERVED:
        room = max(0, free + reserved - _LEFT_UNRESERVED)
        raise Failure(
            f"{' and '.join(n for n in _RESERVING if _number(wanted.get(n)))} would reserve "
            f"{reserves}, and this account can give {room} (Lambda keeps {_LEFT_UNRESERVED} of its "
            f"{total} unreserved): --unset them, or have the quota raised",
            USAGE,
        )
    at_once = _number(wanted.get("MaximumConcurrency"))
    if free < at_once:
        yield (
            f"  MaximumConcurrency is {at_once}, and the account has {free} unreserved in all: "
            "jobs will wait for each other; have the quota raised (Service Quotas, Lambda)"
        )


def check_bucket(clients: Clients, bucket: str, region: str) -> Iterator[str]:
    """Yield notes on an existing bucket; raises Failure for one that is not there."""
    try:
        there = clients.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            raise Failure(
                f"there is no bucket {bucket}: make it first, or give --bucket '' for a new one",
                USAGE,
            ) from error
        yield f"  {bucket} was not looked at (HeadBucket answered {status}): look at its policy"
        return
    found = there.get("BucketRegion", region)
    if found != region:
        yield f"  {bucket} is in {found}: every byte will go from region to region"


def _number(value: str | None) -> int:
    return int(value) if value else 0
