"""The stack deploys in China and in GovCloud: nothing of it is fixed to one partition.

Each line of the template that names a partition or a domain all the same is here with its reason.
"""

from __future__ import annotations

import json
import re

import pytest

from archiver.apartmentiq.link import TrustedHosts
from tests.template.resolved import REPOSITORY, Stack

PARTITIONS = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}
NAMES_ONE = re.compile(r"arn:aws|amazonaws|aws-cn|aws-us-gov")
REASONS = {
    # what a person may give: any partition's
    r"    AllowedPattern: \^\$\|\^arn:aws\[a-z-\]\*:.*": "matches every partition",
    # a principal of a service is called so in every partition
    r" +(Service|Principal): (cloudwatch|events|lambda)\.amazonaws\.com": "the same everywhere",
    # CloudFormation cannot put a pseudo parameter into a Join's delimiter
    r' +- !Join \["/\*,arn:aws(-cn|-us-gov)?:s3:::", !Split \[",", !Ref SourceBucketNames\]\]': (
        "one for each partition, chosen by a condition"
    ),
    r"  In(China|GovCloud): !Equals \[!Ref AWS::Partition, aws-(cn|us-gov)\]": "the condition",
}
EVERYTHING = {
    "EventArchiveDays": "30",
    "KmsKeyArn": "arn:given:kms:us-east-1:123456789012:key/0a1b",
    "ObjectLockMode": "GOVERNANCE",
    "SecurityGroupIds": "sg-0a1b2c3d",
    "SourceBucketNames": "vendor-a,vendor-b",
    "StackKmsKeyArn": "arn:given:kms:us-east-1:123456789012:key/0a1b",
    "SubnetIds": "subnet-0a1b2c3d",
}


def test_no_line_of_the_template_names_a_partition_without_a_reason() -> None:
    """AWS::Partition and AWS::URLSuffix are used wherever they can be."""
    lines = (REPOSITORY / "template.yaml").read_text().splitlines()
    naming = [line for line in lines if NAMES_ONE.search(line)]
    assert naming
    assert [line for line in naming if not any(re.fullmatch(r, line) for r in REASONS)] == []


@pytest.mark.parametrize("reason", REASONS)
def test_every_exception_is_still_needed(reason: str) -> None:
    """An exception that no line uses would excuse the next one silently."""
    lines = (REPOSITORY / "template.yaml").read_text().splitlines()
    assert [line for line in lines if re.fullmatch(reason, line)]


def test_the_code_names_a_partition_only_where_hosts_are_judged() -> None:
    """A link's host is S3's of any partition, and so is a store's; all else comes from outside."""
    naming = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("layers/archiver", "functions")
        for path in (REPOSITORY / folder).rglob("*.py")
        if NAMES_ONE.search(path.read_text())
    }
    assert naming == {
        "layers/archiver/archiver/apartmentiq/link.py",
        "layers/archiver/archiver/aws/dialect.py",
    }


@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
def test_links_of_every_partition_are_followed(region: str) -> None:
    """To S3's own endpoints there, and to no neighbour of theirs."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    trusted = TrustedHosts.parse("")
    assert trusted.trusts(f"exports.s3.{region}.{domain}", 443)
    assert not trusted.trusts(f"exports.ec2.{region}.{domain}", 443)


@pytest.mark.parametrize("bucket", [{}, {"ExistingArchiveBucketName": "ours"}])
@pytest.mark.parametrize("partition", PARTITIONS)
def test_every_arn_and_service_is_of_the_partition(partition: str, bucket: dict[str, str]) -> None:
    """With every option switched on, resources and outputs name the partition deployed in."""
    given = {**EVERYTHING, **bucket}
    if bucket:
        del given["ObjectLockMode"]
    stack = Stack(Partition=partition, URLSuffix=PARTITIONS[partition], **given)
    written = json.dumps([stack.resources, stack.outputs])
    assert set(re.findall(r"arn:([a-z-]+):", written)) == {partition, "given"}
    through = re.findall(r'"([a-z0-9.]+\.us-east-1\.[a-z.]+)"', written)
    assert through
    assert {host.partition(".us-east-1.")[2] for host in through} == {PARTITIONS[partition]}
