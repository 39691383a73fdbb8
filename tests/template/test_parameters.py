"""Whoever deploys is told what each parameter means, and is stopped before a wrong value.

CloudFormation matches a pattern against the whole value; so do these tests.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from archiver.apartmentiq.link import TrustedHosts
from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, check_key_template
from cli import athena_ddl
from local.aws.expansion import ParameterError, expand_template
from tests.template.resolved import REPOSITORY, read_template

TEMPLATE = read_template()
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
GOOD = {
    "ApiBaseUrl": ["https://localhost:8443/apartmentiq/api/v1", "https://data.example.com"],
    "TokenUrl": ["https://localhost:8443/oauth/token"],
    "TrustedLinkHosts": ["", "files.example.com", ".example.com,localhost:9000"],
    "CredentialsSecretArn": ["", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aiq-a1B2c3"],
    "SourceBucketNames": ["", "vendor-exports", "vendor-exports,vendor.exports.2"],
    "ArchiveBucketName": ["", "our-archive"],
    "ExistingArchiveBucketName": ["", "our-archive"],
    "KmsKeyArn": ["", "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0a1b"],
    "KeyPrefix": ["", "exports/", "a/b=c/.hidden/"],
    "KeyTemplate": ["{job_id}", "{output_format}/{job_id}.{extension}", "x/{job_id}/data..csv"],
    "EventBusName": ["", "default", "aws.partner/example.com/1"],
    "ReconcileSchedule": [
        "",
        "rate(1 hour)",
        "rate(15 minutes)",
        "rate(1 day)",
        "cron(0 6 * * ? *)",
        "cron(0/15 6-20 ? * MON-FRI *)",
        "cron(0 12 ? * 2#1 2026,2027)",
    ],
    "OrderSchedule": ["", "rate(15 minutes)", "cron(0/15 * * * ? *)"],
    "AlarmEmail": ["", "on-call+archiver@example.co.uk"],
    "AlarmTopicArn": ["", "arn:aws-cn:sns:cn-north-1:123456789012:on-call"],
    "ReservedConcurrency": ["", "2", "10", "1000"],
    "CallbackReservedConcurrency": ["", "1", "10", "1000"],
    "SubnetIds": ["", "subnet-0a1b2c3d,subnet-0123456789abcdef0"],
    "SecurityGroupIds": ["", "sg-0a1b2c3d", "sg-0123456789abcdef0,sg-0123456789abcdef1"],
    "StackKmsKeyArn": ["", "arn:aws-cn:kms:cn-north-1:123456789012:key/0a1b-2c3d"],
    "PermissionsBoundaryArn": [
        "",
        "arn:aws:iam::123456789012:policy/teams/Boundary_1",
        "arn:aws-us-gov:iam::aws:policy/PowerUserAccess",
    ],
}
BAD = {
    "ApiBaseUrl": [
        "http://data.example.com",
        "https://data.example.com/",
        "https://u:p@example.com",
    ],
    "TokenUrl": ["", "https://example.com/oauth/token?x=1"],
    "TrustedLinkHosts": [
        "https://example.com",
        "a.example.com, b.example.com",
        "example.com/x",
        ".",
        "127.0.0.1:9000",
        "-a.example.com",
    ],
    "CredentialsSecretArn": ["aiq", "arn:aws:s3:::bucket"],
    "SourceBucketNames": ["a", "vendor-exports,", "vendor-exports, other", "*", "vendor/*"],
    "ArchiveBucketName": ["Upper", "ab"],
    "AlarmEmail": ["on-call", "a@b", "a@example.com,b@example.com", "a b@example.com"],
    "AlarmTopicArn": [
        "on-call",
        "arn:aws:sqs:us-east-1:123456789012:q",
        "arn:aws:sns:us-east-1:1:t",
    ],
    "ExistingArchiveBucketName": ["arn:aws:s3:::bucket", "bucket/*"],
    "KmsKeyArn": ["alias/archive", "arn:aws:kms:us-east-1:123456789012:alias/archive"],
    "KeyPrefix": ["exports", "/exports/", "a//b/", "../", "a/../", "a/./", "a*/"],
    "KeyTemplate": [
        "{report_type}",
        "/{job_id}",
        "{job_id}/",
        "a//{job_id}",
        "../{job_id}",
        "{job_id}/..",
        "{job_id}{job_id}",
        "{job_id}/{secret}",
        "{job_id!r}",
        "{{job_id}}",
    ],
    "EventBusName": ["arn:aws:events:us-east-1:123456789012:event-bus/x", "a b"],
    "ReconcileSchedule": [
        "1 hour",
        "rate(1 hours)",
        "rate(2 hour)",
        "rate(0 minutes)",
        "rate(30 seconds)",
        "cron(0 6 * * ?)",
        "at(2026-11-24T00:00:00)",
        "off",
    ],
    "OrderSchedule": ["15 minutes", "rate(1 minutes)", "cron(0 6 * * ?)", "on"],
    "ReservedConcurrency": ["0", "1", "-1", "many"],
    "CallbackReservedConcurrency": ["0", "-1", "many"],
    "SubnetIds": ["subnet", "vpc-0a1b2c3d", "subnet-0a1b2c3d, subnet-0a1b2c3e", "subnet-0A1B2C3D"],
    "SecurityGroupIds": ["default", "subnet-0a1b2c3d", "sg-0a1b2c3d;sg-0a1b2c3e"],
    "StackKmsKeyArn": [
        "alias/stack",
        "arn:aws:kms:us-east-1:123456789012:alias/stack",
        "0a1b-2c3d",
    ],
    "PermissionsBoundaryArn": ["Boundary", "arn:aws:iam::123456789012:role/Boundary"],
}


def accepts(name: str, value: str) -> bool:
    """Tell whether CloudFormation would take the value for the parameter."""
    parameter = PARAMETERS[name]
    short_enough = len(value) <= int(parameter.get("MaxLength", 4096))
    # Of a list, each value must match.
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    return short_enough and all(re.fullmatch(parameter["AllowedPattern"], one) for one in values)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_described_and_bounded(name: str) -> None:
    """Each says what it means and what it takes: a pattern, a list, or both limits of a number."""
    parameter = PARAMETERS[name]
    assert parameter["Description"].endswith(".")
    if "AllowedValues" in parameter:
        return
    assert parameter["ConstraintDescription"]
    if parameter["Type"] == "Number":
        assert parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"]
    else:
        assert accepts(name, parameter["Default"])


def test_every_parameter_stands_in_one_group_of_the_console() -> None:
    """Nobody overlooks a parameter in the console's form."""
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)


def test_every_pattern_has_examples() -> None:
    """No pattern goes untested when a parameter is added."""
    patterned = {name for name, parameter in PARAMETERS.items() if "AllowedPattern" in parameter}
    assert patterned == GOOD.keys() == BAD.keys()


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in GOOD.items() for v in values])
def test_good_values_are_taken(name: str, value: str) -> None:
    """What people legitimately need can be deployed."""
    assert accepts(name, value)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_bad_values_are_refused_before_the_deploy(name: str, value: str) -> None:
    """A slip is found at the prompt, not by the first job."""
    assert not accepts(name, value)


@pytest.mark.parametrize("prefix", GOOD["KeyPrefix"])
@pytest.mark.parametrize("template", GOOD["KeyTemplate"])
def test_the_function_takes_every_key_that_the_template_takes(prefix: str, template: str) -> None:
    """The two checks of keys agree: no stack deploys whose function refuses its settings."""
    check_key_template(prefix, template)


def test_the_longest_key_parameters_still_make_a_legal_key() -> None:
    """The lengths that the parameters allow leave room for the fields' values below S3's limit."""
    prefix = "p" * (int(PARAMETERS["KeyPrefix"]["MaxLength"]) - 1) + "/"
    filler = "x" * (int(PARAMETERS["KeyTemplate"]["MaxLength"]) - len("{job_id}"))
    template = filler + "{job_id}"
    assert accepts("KeyPrefix", prefix)
    assert accepts("KeyTemplate", template)
    check_key_template(prefix, template)


@pytest.mark.parametrize("value", GOOD["TrustedLinkHosts"])
def test_the_function_takes_every_trusted_host_that_the_template_takes(value: str) -> None:
    """The two readers of TrustedLinkHosts agree."""
    TrustedHosts.parse(value)


def test_the_default_key_template_is_the_functions_own() -> None:
    """A stack and a function without settings put a job at the same key."""
    assert PARAMETERS["KeyTemplate"]["Default"] == DEFAULT_KEY_TEMPLATE
    assert athena_ddl.DEFAULT_KEY_TEMPLATE == DEFAULT_KEY_TEMPLATE  # and Athena looks there


@pytest.mark.parametrize(
    ("given", "confirmed", "is_taken"),
    [
        ("", "", True),
        ("COMPLIANCE", "", False),
        ("COMPLIANCE", "GOVERNANCE", False),
        ("GOVERNANCE", "", False),
        ("GOVERNANCE", "GOVERNANCE", True),
        ("COMPLIANCE", "COMPLIANCE", True),
        ("", "COMPLIANCE", False),
    ],
)
def test_objects_are_locked_for_good_on_purpose_only(
    *, given: str, confirmed: str, is_taken: bool
) -> None:
    """One parameter that slipped, or an answer that was saved for the other mode, locks nothing."""
    template = expand_template(REPOSITORY / "template.yaml", bucket="b", region="us-east-1")
    values = {"ObjectLockMode": given, "ObjectLockConfirmation": confirmed}
    if is_taken:
        template.check_parameters(values)
    else:
        with pytest.raises(ParameterError, match="cannot be undone"):
            template.check_parameters(values)


def test_naming_a_new_and_an_existing_bucket_is_refused() -> None:
    """CloudFormation's own rule stops a deploy that asks for both."""
    (assertion,) = TEMPLATE["Rules"]["OneArchiveBucket"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "ArchiveBucketName"}, ""]}
