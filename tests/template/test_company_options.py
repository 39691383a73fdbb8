"""What a company's account may ask for: a VPC, keys of its own, locked objects, bounded roles.

Each is off by default and reaches every resource that it is about, also one that is added later.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.resolved import Stack, read_template

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
SUBNETS = "subnet-0a1b2c3d,subnet-0a1b2c3e"
GROUP = "sg-0a1b2c3d"
CONNECT = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
]
DESCRIBE = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]


def key_grants(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the one statement on the stack's key that each role has by an attached policy."""
    grants: dict[str, dict[str, Any]] = {}
    for policy in stack.of_type("AWS::IAM::Policy").values():
        (statement,) = policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == KEY:
            grants |= dict.fromkeys(policy["Roles"], statement)
    return grants


def test_by_default_none_of_it_is_there() -> None:
    """No VPC, no key, no lock, no boundary, no policy for them."""
    stack = Stack()
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert "VpcConfig" not in function
    for role in stack.of_type("AWS::IAM::Role").values():
        assert not {"PermissionsBoundary", "ManagedPolicyArns"} & role.keys()
    assert not stack.of_type("AWS::IAM::ManagedPolicy")
    assert not {"ObjectLockEnabled", "ObjectLockConfiguration"} & (
        stack.properties("ArchiveBucket").keys()
    )


# --- VPC ---


def test_all_functions_run_in_the_vpc() -> None:
    """In the subnets and security groups that were given, and none is left outside."""
    stack = Stack(SubnetIds=SUBNETS, SecurityGroupIds=GROUP)
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert function["VpcConfig"] == {
            "SubnetIds": SUBNETS.split(","),
            "SecurityGroupIds": [GROUP],
        }


@pytest.mark.parametrize("given", [{"SubnetIds": SUBNETS}, {"SecurityGroupIds": GROUP}])
def test_half_a_vpc_is_not_taken_for_none(given: dict[str, str]) -> None:
    """Lambda sees what is missing and refuses; nothing runs outside by mistake."""
    for function in Stack(**given).of_type("AWS::Lambda::Function").values():
        assert function["VpcConfig"]


def test_in_a_vpc_lambda_may_make_interfaces_and_the_code_may_not() -> None:
    """Every function's role gets what Lambda documents, denied where the function's code asks."""
    stack = Stack(SubnetIds=SUBNETS, SecurityGroupIds=GROUP)
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["ManagedPolicyArns"] == ["<ConnectToVpcPolicy>"]
    document = stack.properties("ConnectToVpcPolicy")["PolicyDocument"]
    describe, connect, deny = document["Statement"]
    assert (describe["Effect"], connect["Effect"], deny["Effect"]) == ("Allow", "Allow", "Deny")
    assert (describe["Action"], describe["Resource"]) == (DESCRIBE, "*")
    assert sorted(connect["Action"]) == CONNECT
    assert connect["Resource"] == "arn:aws:ec2:us-east-1:*:*/*"
    assert sorted(deny["Action"]) == sorted([*CONNECT, *DESCRIBE])
    assert deny["Condition"] == {
        "ArnLike": {"lambda:SourceFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:*"}
    }


# --- keys ---


def test_one_key_encrypts_all_that_the_stack_keeps() -> None:
    """Every queue, table, secret and log group of the stack, and no bucket."""
    stack = Stack(StackKmsKeyArn=KEY)
    for queue in stack.of_type("AWS::SQS::Queue").values():
        assert queue["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in queue
    for table in stack.of_type("AWS::DynamoDB::Table").values():
        wanted = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
        assert table["SSESpecification"] == wanted
    for kind in ("AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"):
        assert [r["KmsKeyId"] for r in stack.of_type(kind).values()]
        assert {r["KmsKeyId"] for r in stack.of_type(kind).values()} == {KEY}
    (rule,) = stack.properties("ArchiveBucket")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_without_a_key_the_services_own_are_used() -> None:
    """Nothing is left without encryption, and no key is named."""
    stack = Stack()
    for queue in stack.of_type("AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
        assert "KmsMasterKeyId" not in queue
    for kind in ("AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"):
        assert not [r for r in stack.of_type(kind).values() if "KmsKeyId" in r]


def test_every_function_may_use_the_key_through_the_services_that_it_calls() -> None:
    """No role can decrypt anything by itself, and callbacks have nothing to do with the table."""
    grants = key_grants(Stack(StackKmsKeyArn=KEY))
    assert grants.keys() == {f"<{name}>" for name in Stack().of_type("AWS::IAM::Role")}
    for role, statement in grants.items():
        assert statement["Effect"] == "Allow"
        assert sorted(statement["Action"]) == ["kms:Decrypt", "kms:GenerateDataKey"]
        through = statement["Condition"]["StringEquals"]["kms:ViaService"]
        table = [] if role == "<ReceiveCallbackRole>" else ["dynamodb"]
        assert sorted(through) == [
            f"{service}.us-east-1.amazonaws.com" for service in [*table, "secretsmanager", "sqs"]
        ]


def test_the_key_reaches_a_stack_without_callbacks() -> None:
    """No policy is attached to a role that is not there."""
    grants = key_grants(Stack(StackKmsKeyArn=KEY, ReceiveCallbacks="false"))
    assert grants.keys() == {"<ArchiveExportRole>", "<ReconcileExportsRole>"}


# --- locks ---


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_objects_are_locked_by_the_buckets_own_default(mode: str) -> None:
    """For the days that were given; the function's requests need not ask for it, nor its role."""
    stack = Stack(ObjectLockMode=mode, ObjectLockDays="365")
    bucket = stack.properties("ArchiveBucket")
    assert bucket["ObjectLockEnabled"] is True
    assert bucket["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": mode, "Days": "365"}},
    }
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]  # unfinished parts are never locked


def test_an_existing_bucket_is_not_locked_by_us() -> None:
    """CloudFormation's own rule stops a deploy that asks for both."""
    (assertion,) = read_template()["Rules"]["LockOnlyOurBucket"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "ExistingArchiveBucketName"}, ""]}


# --- roles ---


def test_every_role_is_bounded() -> None:
    """An account that refuses roles without its boundary takes the whole stack."""
    stack = Stack(PermissionsBoundaryArn=BOUNDARY)
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["PermissionsBoundary"] == BOUNDARY
