"""The stack deploys in China and in GovCloud: nothing of it is fixed to one partition.

Each line of the template that names a partition or a domain all the same is here with its reason.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.template.resolved import REPOSITORY, Stack

PARTITIONS = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}
NAMES_ONE = re.compile(r"arn:aws|amazonaws|aws-cn|aws-us-gov")
REASONS = {
    # what a person may give: any partition's
    r"    AllowedPattern: \^\$\|\^arn:aws\[a-z-\]\*:.*": "matches every partition",
    # a principal of a service is called so in every partition
    r" +(Service|Principal): (events|lambda)\.amazonaws\.com": "the same everywhere",
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
