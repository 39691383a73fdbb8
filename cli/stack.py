"""Which stack a command is about, and what that stack says of itself.

Credentials, region and profile come from the environment, as for every AWS tool; for the stack
`local` from the run that `archiver local` keeps up. Region and profile of a stage need not be said
again: samconfig.toml has them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from cli.failure import CANNOT_ASK, USAGE, Failure
from cli.stages import profile_of, saved_settings
from local.local_run import LOCAL, NoLocalRunError, enter_local_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "LOCAL",
    "StackOutputs",
    "enter",
    "known_stacks",
    "read_outputs",
    "tell_calls",
]


@dataclass(frozen=True, slots=True)
class StackOutputs:
    """A stack's outputs; asking for one that is not there raises Failure with advice."""

    outputs: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        if name not in self.outputs:
            raise Failure(
                f"the stack has no output {name}: it was deployed from another template, or a "
                "parameter leaves that part out",
                CANNOT_ASK,
            )
        return self.outputs[name]


def enter(stack: str, state_folder: Path, region: str | None) -> str:
    """Point this process's AWS clients at a stack and return its name; raises Failure."""
    if stack == LOCAL:
        try:
            return enter_local_run(state_folder).stack
        except NoLocalRunError as error:
            raise Failure(str(error)) from error
    saved = next(iter(saved_settings(stack)), {})
    if region := region or saved.get("region"):
        os.environ["AWS_DEFAULT_REGION"] = str(region)
    if profile := profile_of(saved):
        os.environ["AWS_PROFILE"] = profile
    return stack


def read_outputs(name: str) -> StackOutputs:
    """Read a stack's outputs; raises what boto3 raises."""
    described = boto3.client("cloudformation").describe_stacks(StackName=name)
    outputs = described["Stacks"][0].get("Outputs", [])
    return StackOutputs({item["OutputKey"]: item["OutputValue"] for item in outputs})


def known_stacks() -> list[str]:
    """Return what --stack may name, as far as this folder knows."""
    return [LOCAL, *(str(saved["stack_name"]) for saved in saved_settings())]


def tell_calls(session: boto3.Session | None = None) -> None:
    """Say on standard error what a session asks of AWS from now on (-v); none: boto3's own."""
    if session is None:
        boto3.setup_default_session()
        session = boto3.DEFAULT_SESSION
    if session is None:  # never: the lines before made it
        raise Failure("boto3 has no session", USAGE)
    session.events.register("before-call", _tell_call)


def _tell_call(model: Any, params: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 - botocore's
    service = model.service_model.service_name
    print(f"asking {service} {model.name} at {params['url']}", file=sys.stderr)
