"""What `archiver verify` proves after a deploy and no emulator can: each proof is one line.

What is written is written by the function, which a probe's payload asks for it: the bucket's
policy takes no write of anybody else's, administrators included. Nothing is left behind. They see
the stack as its users do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import StackOutputs

__all__ = ["NEEDS", "Proof", "judge_writes", "lacking_at", "prove_deployment", "resources_of"]

# An emulator may answer a call that it does not know with a page of HTML.
_CANNOT_ASK = (BotoCoreError, ClientError, ResponseParserError)

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
        "dynamodb:UpdateItem",
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


def prove_deployment(outputs: StackOutputs, job_id: str) -> list[Proof]:
    """Run every proof and return the lines in their order; raises what boto3 raises.

    `job_id`: of an archived job, whose object a second write is tried on.
    """
    function = boto3.client("lambda").get_function_configuration(
        FunctionName=outputs["ArchiveExportFunctionName"]
    )
    variables = function.get("Environment", {}).get("Variables", {})
    prefix, kms_key_arn = variables.get("KEY_PREFIX", ""), variables.get("KMS_KEY_ARN", "")
    bucket = outputs["ArchiveBucketName"]
    return [
        _recursion(function["FunctionName"]),
        _role(function["Role"], resources_of(outputs, function["Role"], prefix)),
        _region(bucket, function["FunctionArn"].split(":")[3]),
        _encryption(bucket, kms_key_arn),
        *_writes(function["FunctionName"], job_id),
    ]


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


def _writes(function: str, job_id: str) -> list[Proof]:
    """Let the function try the writes: the bucket's policy takes none of its caller's."""
    payload = json.dumps({"probe": "writes", "job_id": job_id}).encode()
    try:
        invoked: dict[str, Any] = dict(
            boto3.client("lambda").invoke(FunctionName=function, Payload=payload)
        )
    except ClientError as error:
        meaning = f"the function cannot be asked; you may lack lambda:InvokeFunction ({error})"
        return [Proof("writes", "FAILED", meaning)]
    told = json.loads(invoked["Payload"].read())
    if "FunctionError" in invoked:
        said = told.get("errorMessage", told) if isinstance(told, dict) else told
        return [Proof("writes", "FAILED", f"the function failed when it was asked: {said}")]
    if not isinstance(told, dict) or told.get("probe") != "writes":  # it has queued it, as ever
        return [Proof("writes", "FAILED", "this version of the function cannot tell: deploy anew")]
    return judge_writes(told, boto3.client("s3").meta.endpoint_url)


def judge_writes(told: Mapping[str, str], endpoint: str) -> list[Proof]:
    """Say what the function's answer to a probe means (archiver/archiving/probe.py)."""
    return [
        _trailer(told["trailer"], endpoint),
        _second_write(told["second_write"], endpoint),
        _unconditional_write(told["unconditional_write"], endpoint),
    ]


def _trailer(told: str, endpoint: str) -> Proof:
    if told == "confirmed":
        return Proof("trailer", "ok", "S3 checks what is streamed, and confirms its CRC64NVME")
    if told == "unconfirmed":
        meaning = "S3 took it and told no checksum: exports would be verified by size and ETag only"
        return lacking_at(endpoint, "trailer", meaning)
    if told == "refused":
        meaning = "S3 refuses a checksum in a trailer: copies are buffered, not streamed"
        return lacking_at(endpoint, "trailer", meaning)
    return Proof("trailer", "FAILED", f"the function could not write a part: {told}")


def _second_write(told: str, endpoint: str) -> Proof:
    if told == "refused":
        return Proof("second write", "ok", "S3 refuses to overwrite what is there (412)")
    if told.startswith("written"):
        meaning = (
            "S3 overwrote the job's object: stop the stack, and delete the version that was "
            f"{told}; the archived one is current again then"
        )
        return lacking_at(endpoint, "second write", meaning)
    if told == "not tried":
        meaning = (
            "not tried: where no versions are kept, the object is another than the receipt's, or "
            "somebody is writing, it could do harm"
        )
        return Proof("second write", "not here", meaning)
    return Proof("second write", "FAILED", f"the function could not try it: {told}")


def _unconditional_write(told: str, endpoint: str) -> Proof:
    if told == "AccessDenied":
        meaning = "the bucket's own policy refuses it, to the function too"
        return Proof("unconditional write", "ok", meaning)
    return lacking_at(
        endpoint,
        "unconditional write",
        f"no policy refuses a write without If-None-Match (it ended with {told}): a bug could "
        "overwrite an export. Add the statement that refuses it to the bucket's policy (for a "
        "bucket that you brought: output ExistingBucketPolicy)",
    )


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
