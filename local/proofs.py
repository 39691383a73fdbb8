"""What `make verify` proves after a deploy and no emulator can: each proof is one line.

The proofs write two small objects beside the archive, under the key prefix, with the caller's own
permissions, and delete them again. They see the stack as its users do and must not import
`archiver`.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from awscrt.checksums import crc64nvme
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.stack_outputs import StackOutputs

__all__ = ["NEEDS", "PROBE", "Proof", "lacking_at", "prove_deployment", "resources_of"]

PROBE = b"written by `make verify`; safe to delete\n"
# An emulator may answer a call that it does not know with a page of HTML.
_CANNOT_ASK = (BotoCoreError, ClientError, ResponseParserError)
_FOLDER = "apartmentiq-archiver-verify/"

# What the function's role must be allowed, by the resource. tests/template holds this to the role.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "queue": (
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
    ),
    "dead letters": ("sqs:SendMessage",),
    "table": (
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ),
    "secret": ("secretsmanager:GetSecretValue",),
    "objects": (
        "s3:PutObject",
        "s3:GetObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ),
    "bucket": ("s3:ListBucket", "s3:ListBucketMultipartUploads"),
    "bus": ("events:PutEvents",),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """One line: what was looked at, how it went, and what that means."""

    name: str
    result: Literal["ok", "FAILED", "not here"]
    meaning: str

    def __str__(self) -> str:
        return f"{self.result:<9} {self.name}: {self.meaning}"


def prove_deployment(outputs: StackOutputs) -> list[Proof]:
    """Run every proof, clean up, and return the lines in their order; raises what boto3 raises."""
    function = boto3.client("lambda").get_function_configuration(
        FunctionName=outputs["ArchiveExportFunctionName"]
    )
    variables = function.get("Environment", {}).get("Variables", {})
    prefix, kms_key_arn = variables.get("KEY_PREFIX", ""), variables.get("KMS_KEY_ARN", "")
    bucket = outputs["ArchiveBucketName"]
    probe = _Probe(bucket, f"{prefix}{_FOLDER}{uuid.uuid4()}", kms_key_arn)
    try:
        proofs = [
            _recursion(function["FunctionName"]),
            _role(function["Role"], resources_of(outputs, function["Role"], prefix)),
            _region(bucket, function["FunctionArn"].split(":")[3]),
            _encryption(bucket, kms_key_arn),
            *probe.prove(),
        ]
    finally:
        left = probe.clean_up()
    return [*proofs, left]


def _recursion(function: str) -> Proof:
    try:
        told = _client("lambda").get_function_recursion_config(FunctionName=function)
    except _CANNOT_ASK as error:
        return _unless_emulated("recursion", error)
    if told["RecursiveLoop"] == "Allow":
        return Proof("recursion", "ok", "a job may wait as often as it must")
    return Proof(
        "recursion",
        "FAILED",
        "Lambda stops a job's waiting after some 16 rounds, and it becomes a dead letter without a "
        "reason. Deploy the template again (RecursiveLoop: Allow)",
    )


def _role(role_arn: str, resources: Mapping[str, str]) -> Proof:
    """Ask IAM whether the role may do all that the function does, rare calls included."""
    iam = _client("iam")
    denied: list[str] = []
    try:
        for resource, arn in resources.items():
            answer = iam.simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=list(NEEDS[resource]), ResourceArns=[arn]
            )
            denied += [
                f"{result['EvalActionName']} on the {resource}"
                for result in answer["EvaluationResults"]
                if result["EvalDecision"] != "allowed"
            ]
    except _CANNOT_ASK as error:
        return _unless_emulated("role", error)
    if not denied:
        return Proof("role", "ok", "IAM allows the function's role all that the function calls")
    return Proof(
        "role",
        "FAILED",
        f"the function's role lacks {', '.join(denied)}; jobs that need it fail as aws_error. "
        "Look for a permissions boundary or an organisation's policy that takes it away",
    )


def _region(bucket: str, stacks: str) -> Proof:
    """Tell a bucket elsewhere: it is archived into all the same, which nobody would notice."""
    try:
        told = _client("s3").head_bucket(Bucket=bucket).get("BucketRegion")
    except _CANNOT_ASK as error:
        return _unless_emulated("region", error)
    if told in {None, stacks}:  # an S3 that tells none knows no regions
        return Proof("region", "ok", f"S3 tells no other region of the bucket than {stacks}")
    return Proof(
        "region",
        "FAILED",
        f"the bucket is in {told}, the stack in {stacks}: exports are archived, but each byte goes "
        "from region to region, which takes longer and is paid for. Give a bucket in the stack's "
        "region, or deploy the stack in the bucket's",
    )


def _encryption(bucket: str, kms_key_arn: str) -> Proof:
    """Tell a bucket whose own default key is not used: every write names its encryption."""
    if kms_key_arn:
        return Proof("encryption", "ok", "exports are encrypted with KmsKeyArn")
    try:
        told = _client("s3").get_bucket_encryption(Bucket=bucket)
    except _CANNOT_ASK as error:
        return _unless_emulated("encryption", error)
    rules = told["ServerSideEncryptionConfiguration"]["Rules"]
    defaults = {rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules}
    if defaults <= {"AES256"}:
        return Proof("encryption", "ok", "exports are encrypted with S3's own keys")
    return Proof(
        "encryption",
        "FAILED",
        "exports are encrypted with S3's own keys, though the bucket's default is a key of KMS: "
        "give that key as KmsKeyArn",
    )


def resources_of(outputs: StackOutputs, role_arn: str, prefix: str) -> dict[str, str]:
    """Return the ARNs that the role needs; of the objects one beneath the key prefix."""
    sqs = boto3.client("sqs")

    def queue_arn(url: str) -> str:
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return told["Attributes"]["QueueArn"]

    bucket = f"arn:{role_arn.split(':')[1]}:s3:::{outputs['ArchiveBucketName']}"
    table = boto3.client("dynamodb").describe_table(TableName=outputs["ArchiveTableName"])
    bus = boto3.client("events").describe_event_bus(Name=outputs["EventBusName"])
    return {
        "queue": queue_arn(outputs["ArchiveQueueUrl"]),
        "dead letters": queue_arn(outputs["DeadLetterQueueUrl"]),
        "table": table["Table"]["TableArn"],
        "secret": outputs["CredentialsSecretArn"],
        "objects": f"{bucket}/{prefix}any-key",
        "bucket": bucket,
        "bus": bus["Arn"],
    }


class _Probe:
    """Two small objects beside the archive: one written as the function writes, one not."""

    def __init__(self, bucket: str, key: str, kms_key_arn: str) -> None:
        self._s3 = boto3.client("s3")
        self._bucket = bucket
        self._key = key
        # As the function says it: a bucket's policy may refuse what does not.
        self._encrypted: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_arn}
            if kms_key_arn
            else {"ServerSideEncryption": "AES256"}
        )

    def prove(self) -> Iterable[Proof]:
        """Write in the ways that matter. The second and third mean nothing if the first fails."""
        first = self._trailer()
        yield first
        if first.result == "FAILED":
            return
        yield self._second_write()
        yield self._unconditional_write()

    def clean_up(self) -> Proof:
        """Delete every version of the probes, and say so."""
        versions = self._s3.list_object_versions(Bucket=self._bucket, Prefix=self._key)
        found = [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]
        refused = 0
        for version in found:
            try:
                self._s3.delete_object(
                    Bucket=self._bucket, Key=version["Key"], VersionId=version["VersionId"]
                )
            except ClientError:
                refused += 1
        if refused:
            where = f"s3://{self._bucket}/{self._key}"
            return Proof(
                "clean-up",
                "FAILED",
                f"you may not delete {refused} versions at {where}: have it done by somebody who "
                "may (s3:DeleteObjectVersion), or leave them: they are a few bytes",
            )
        return Proof("clean-up", "ok", f"{len(found)} small objects were written and deleted")

    def _put(self, key: str, **arguments: Any) -> Any:  # noqa: ANN401 - boto3's typed dictionaries
        return self._s3.put_object(
            Bucket=self._bucket, Key=key, Body=BytesIO(PROBE), **self._encrypted, **arguments
        )

    def _trailer(self) -> Proof:
        try:
            answer = self._put(self._key, ChecksumAlgorithm="CRC64NVME", IfNoneMatch="*")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return Proof(
                "trailer",
                "FAILED",
                f"S3 answered {code} to a conditional write with a checksum trailer. AccessDenied: "
                "your own permissions do not allow this proof (s3:PutObject, kms:GenerateDataKey). "
                "Anything else: copies would be buffered, not streamed",
            )
        ours = base64.b64encode(crc64nvme(PROBE).to_bytes(8, "big")).decode()
        if answer.get("ChecksumCRC64NVME") == ours:
            return Proof("trailer", "ok", "S3 checks what is streamed, and confirms its CRC64NVME")
        return self._lacking(
            "trailer",
            "S3 took the trailer and confirms no checksum: exports would be verified by size and "
            "ETag only",
        )

    def _second_write(self) -> Proof:
        try:
            self._put(self._key, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                return Proof("second write", "ok", "S3 refuses to overwrite what is there (412)")
            raise
        return self._lacking(
            "second write", "S3 overwrote an object that was there: stop the stack"
        )

    def _unconditional_write(self) -> Proof:
        """Write without If-None-Match; the caller's right to write was proved before."""
        try:
            self._put(f"{self._key}-unconditional")
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDenied":
                return Proof(
                    "unconditional write", "ok", "the bucket's own policy refuses it, to anybody"
                )
            raise
        return self._lacking(
            "unconditional write",
            "the bucket takes a write without If-None-Match: a bug or a person could overwrite an "
            "export. Add the statement that refuses it to the bucket's policy (for a bucket that "
            "you brought: output ExistingBucketPolicy)",
        )

    def _lacking(self, name: str, meaning: str) -> Proof:
        return lacking_at(self._s3.meta.endpoint_url, name, meaning)


def lacking_at(endpoint: str, name: str, meaning: str) -> Proof:
    """Judge what an S3 does not do: AWS's must; another proves nothing either way."""
    return Proof(name, "FAILED" if _is_aws(endpoint) else "not here", meaning)


def _client(service: str) -> Any:  # noqa: ANN401 - a name at run time
    """Return a client that asks once: an emulator that does not know a call answers 500."""
    return boto3.client(service, config=Config(retries={"total_max_attempts": 2}))  # type: ignore[call-overload] # likewise


def _unless_emulated(name: str, error: Exception) -> Proof:
    if not _is_aws(boto3.client("s3").meta.endpoint_url):
        return Proof(name, "not here", "this is an emulator, which cannot tell")
    return Proof(name, "FAILED", f"it cannot be asked for; you may lack the permission ({error})")


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
