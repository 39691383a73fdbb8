"""What a deployed stack says of itself, read as its users read it: through CloudFormation.

Credentials, region and (for a local run) endpoint come from the environment, as for every AWS tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StackOutputs", "read_outputs"]


@dataclass(frozen=True, slots=True)
class StackOutputs:
    """A stack's outputs; asking for one that is not there raises LookupError with advice."""

    outputs: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        if name not in self.outputs:
            raise LookupError(
                f"The stack has no output {name!r}. Was it deployed from this template?"
            )
        return self.outputs[name]


def read_outputs(name: str) -> StackOutputs:
    """Read a stack's outputs; raises what boto3 raises."""
    described = boto3.client("cloudformation").describe_stacks(StackName=name)
    outputs = described["Stacks"][0].get("Outputs", [])
    return StackOutputs({item["OutputKey"]: item["OutputValue"] for item in outputs})
