"""With every option of a company's account switched on, the stack deploys and archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local.apartmentiq import VendorStandIn
from local.cloud import LocalCloud

KEY = "arn:aws:kms:us-east-1:123456789012:key/3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
OPTIONS = {
    "KmsKeyArn": KEY,
    "StackKmsKeyArn": KEY,
    "SubnetIds": "subnet-0a1b2c3d,subnet-0a1b2c3e",
    "SecurityGroupIds": "sg-0a1b2c3d",
    "ObjectLockMode": "COMPLIANCE",
    "ObjectLockDays": "400",
    "ObjectLockConfirmation": "COMPLIANCE",
    "ArchiveStorageClass": "GLACIER_IR",
    "PermissionsBoundaryArn": BOUNDARY,
}
MIB = 1 << 20


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml with all of them."""
    state_folder: Path = tmp_path_factory.mktemp("local")
    with LocalCloud(state_folder=state_folder, maximum_runtimes=1, parameters=OPTIONS) as cloud:
        yield cloud


@pytest.mark.parametrize("size_bytes", [0, 4, 17 * MIB])
def test_exports_of_every_way_of_copying_are_archived_and_locked(
    cloud: LocalCloud, vendor: VendorStandIn, size_bytes: int
) -> None:
    """A locked bucket takes what is sent in one request and in parts, and keeps it."""
    job = vendor.add_job(bytes(size_bytes))
    cloud.send({"job_id": job.job_id})
    cloud.wait_until_quiet()
    item = cloud.job_item(job.job_id)
    assert item is not None
    assert item["state"]["S"] == "archived"
    head = cloud.clients.s3.head_object(Bucket=cloud.bucket, Key=item["key"]["S"])
    assert head["ContentLength"] == size_bytes
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)
    if size_bytes <= MIB:  # moto locks what a single request wrote, AWS everything
        assert head["ObjectLockMode"] == "COMPLIANCE"
        assert (head["ObjectLockRetainUntilDate"] - head["LastModified"]).days in {399, 400}


def test_the_bucket_locks_by_default(cloud: LocalCloud) -> None:
    """The days and the mode that were asked for."""
    found = cloud.clients.s3.get_object_lock_configuration(Bucket=cloud.bucket)
    configuration = found["ObjectLockConfiguration"]
    assert configuration["ObjectLockEnabled"] == "Enabled"
    retention = configuration["Rule"]["DefaultRetention"]
    assert (retention["Mode"], retention["Days"]) == ("COMPLIANCE", 400)


def test_what_was_deployed_has_key_vpc_and_boundary(people: LocalCloud) -> None:
    """Queues under the key (moto drops a table's), functions in the VPC, roles bounded."""
    cloud, clients = people, people.clients
    iam = boto3.client("iam")
    roles = [iam.get_role(RoleName=r["RoleName"])["Role"] for r in iam.list_roles()["Roles"]]
    assert len(roles) == 3
    assert {r["PermissionsBoundary"]["PermissionsBoundaryArn"] for r in roles} == {BOUNDARY}
    for url in (cloud.queue_url, cloud.dead_letter_queue_url):
        attributes = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        assert attributes["Attributes"]["KmsMasterKeyId"] == KEY
    functions = clients.aws_lambda.list_functions()["Functions"]
    assert len(functions) == 3
    for function in functions:
        assert function["VpcConfig"]["SubnetIds"] == OPTIONS["SubnetIds"].split(",")
        assert function["VpcConfig"]["SecurityGroupIds"] == [OPTIONS["SecurityGroupIds"]]
