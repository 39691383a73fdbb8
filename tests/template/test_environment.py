"""A function's variables can be deployed whatever the parameters say: Lambda takes 4 KB in all.

Lambda Developer Guide, "Lambda quotas": "4 KB, for all environment variables associated with the
function, in aggregate". Lambda measures them as JSON; its refusal shows what it measured ("exceeded
the 4KB limit. String measured: {…}", in many public reports).
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.template.resolved import Stack, read_template

LIMIT_BYTES = 4096
SPARE_BYTES = 128  # for what AWS's names may have that we do not know of
BUCKET_AND_BUS = ("ExistingArchiveBucketName", "EventBusName")
PARAMETERS: dict[str, dict[str, Any]] = read_template()["Parameters"]
# A queue's name has 80 characters at most, and ours is the stack's with "-archive".
LONGEST_STACK = 80 - len("-archive")
REGION, SUFFIX = "us-isob-west-1", "amazonaws.com.cn"  # as long as any of botocore's, and longer
MADE = f"-{'X' * 13}-"  # what CloudFormation puts between and behind: 12 or 13 characters


def longest(name: str) -> str | None:
    """Return as long a value as CloudFormation takes for a parameter; None for one without end."""
    parameter = PARAMETERS[name]
    if "AllowedValues" in parameter:
        return max(map(str, parameter["AllowedValues"]), key=len)
    if parameter["Type"] == "Number":
        return str(parameter["MaxValue"])
    if "MaxLength" in parameter:
        return "x" * int(parameter["MaxLength"])
    # a bucket's name, whose first and last character stand apart, or a bus's
    bounds = re.findall(r"\{1,(61|256)\}", parameter["AllowedPattern"])
    return "x" * (int(bounds[0]) + 2) if bounds else None


def longest_of_aws(placeholder: str) -> str:
    """Return as long a value as AWS gives for what a template's reference stands for."""
    name = placeholder.strip("<>").partition(".")[0]
    generated = "s" * LONGEST_STACK + "-" + name + MADE
    if name.endswith("Queue"):
        return f"https://sqs.{REGION}.{SUFFIX}/123456789012/{'q' * 80}"
    if name.endswith("Secret"):
        return f"arn:aws-us-gov:secretsmanager:{REGION}:123456789012:secret:{generated}-a1B2c3"
    return generated


def size_bytes(variables: dict[str, str]) -> int:
    """Return what Lambda measures of a function's variables whose values are as long as can be."""
    values = {
        name: longest_of_aws(value) if re.fullmatch(r"<.+>", str(value)) else str(value)
        for name, value in variables.items()
    }
    return len(json.dumps(values, separators=(",", ":")))


@pytest.mark.parametrize("of_our_own", [True, False], ids=["what we make", "what exists"])
def test_the_variables_of_every_function_fit_whatever_the_parameters(*, of_our_own: bool) -> None:
    """The longest of every parameter at once is deployed, in every function."""
    named = {
        name: longest(name) or "x"
        for name in PARAMETERS
        if not (of_our_own and name in {"CredentialsSecretArn", *BUCKET_AND_BUS})
    }
    named["ReceiveCallbacks"] = "true"
    functions = Stack(**named).of_type("AWS::Lambda::Function")
    sizes = {
        name: size_bytes(function["Environment"]["Variables"])
        for name, function in functions.items()
    }
    assert max(sizes.values()) <= LIMIT_BYTES - SPARE_BYTES, sizes
    assert len(sizes) >= 3


def test_every_text_that_becomes_a_variable_is_bounded() -> None:
    """No parameter without a length of its own reaches a function's environment."""
    texts = {
        name: f"<{name}>"
        for name, value in PARAMETERS.items()
        if value["Type"] == "String" and "AllowedValues" not in value
    }
    functions = Stack(**texts).of_type("AWS::Lambda::Function").values()
    told = {v for function in functions for v in function["Environment"]["Variables"].values()}
    reaching = [name for name, marked in texts.items() if marked in told]
    assert len(reaching) >= 8
    assert [name for name in reaching if longest(name) is None] == []
