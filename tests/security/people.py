"""What people's commands ask of AWS, and what their policies in docs/iam allow.

The commands run for real; botocore tells each call with its parameters, and a small table says what
IAM makes of it ("Actions, resources, and condition keys", Service Authorization Reference). A call
that the table does not know is an error: nothing passes because it is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from local.aws.server import ACCOUNT_ID
from local.cloud import STACK_NAME, LocalCloud
from tests.security.iam import Request

__all__ = ["PERSON", "Calls", "noted", "policy"]

_POLICIES = Path(__file__).resolve().parents[2] / "docs" / "iam"
PERSON = f"arn:aws:iam::{ACCOUNT_ID}:role/OnCall"
# The operations whose action has another name, or that ask for more than one.
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "lambda:Invoke": ("lambda:InvokeFunction",),
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:HeadObject": ("s3:GetObject", "s3:ListBucket"),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:DeleteObjects": ("s3:DeleteObject",),  # each of its keys, without a version
    "s3:ListParts": ("s3:ListMultipartUploadParts",),
    "s3:GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:DeleteObject": ("s3:DeleteObjectVersion",),  # with a version, as every command of ours
    # "Configure a dead-letter queue redrive", SQS developer guide: on the source, and on the target
    "sqs:StartMessageMoveTask": (
        "sqs:StartMessageMoveTask",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    ),
}
_OF_THE_BUCKET = {
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetEncryptionConfiguration",
}
# DescribeAlarms by a prefix asks for whatever begins so: "alarm:*", which no narrower scope grants.
_OF_NO_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "lambda:ListEventSourceMappings",
    "secretsmanager:GetRandomPassword",
}


class Calls:
    """The calls of this process, in IAM's words."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self.made: dict[tuple[str, str], Request] = {}

    def note(self, params: Mapping[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        """Take one call, before it is made."""
        service = model.service_model.signing_name
        service = {"monitoring": "cloudwatch"}.get(service, service)
        named = f"{service}:{model.name}"
        for action in _ACTIONS.get(named, (named,)):
            for deleted in params.get("Delete", {}).get("Objects", []):
                self.add(action, self._resource(service, action, {**params, **deleted}))
            if "Delete" in params:
                continue
            if action == "s3:GetObject" and "VersionId" in params:
                action = "s3:GetObjectVersion"  # noqa: PLW2901 - the same call, on a version
            self.add(action, self._resource(service, action, params))

    def add(self, action: str, resource: str) -> None:
        """Take one request."""
        keys = {"aws:PrincipalArn": PERSON, "aws:SecureTransport": "true"}
        if action == "lambda:UpdateEventSourceMapping":
            name = self._cloud.stack.resources["ArchiveExportFunction"].physical_id
            keys["lambda:FunctionArn"] = self._arn("lambda", f"function:{name}")
        self.made[action, resource] = Request(action, resource, keys)

    def _arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self._cloud.region}:{ACCOUNT_ID}:{rest}"

    def _resource(self, service: str, action: str, params: Mapping[str, Any]) -> str:
        if action in _OF_NO_RESOURCE:
            return "*"
        if service == "s3":
            whole = action in _OF_THE_BUCKET
            return f"arn:aws:s3:::{params['Bucket']}" + ("" if whole else f"/{params['Key']}")
        if service == "sqs":
            if "SourceArn" in params:
                return str(params["SourceArn"])
            return self._arn("sqs", params["QueueUrl"].rpartition("/")[2])
        found = {
            "cloudformation": lambda: self._arn(
                "cloudformation", f"stack/{params['StackName']}/some-id"
            ),
            "cloudwatch": lambda: f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{STACK_NAME}",
            "dynamodb": lambda: self._arn(
                "dynamodb",
                f"table/{params.get('TableName') or next(iter(params['RequestItems']))}",
            ),
            "events": lambda: self._arn("events", f"event-bus/{params['Name']}"),
            "iam": lambda: str(params["PolicySourceArn"]),
            "lambda": lambda: self._arn(
                "lambda",
                f"function:{params['FunctionName']}"
                if "FunctionName" in params
                else f"event-source-mapping:{params['UUID']}",
            ),
            "secretsmanager": lambda: str(params["SecretId"]),
        }
        if service not in found:
            raise LookupError(f"what does {action} ask for?")
        return found[service]()


def policy(cloud: LocalCloud, name: str) -> list[dict[str, Any]]:
    """Return a policy of docs/iam, filled in for the stack as a person fills it in."""
    outputs = cloud.stack.outputs
    text = (_POLICIES / f"{name}.json").read_text(encoding="utf-8")
    for placeholder, value in {
        "PARTITION": "aws",
        "REGION": cloud.region,
        "ACCOUNT": ACCOUNT_ID,
        "CREDENTIALS_SECRET_ARN": outputs["CredentialsSecretArn"],
        "CALLBACK_SECRET_ARN": outputs["CallbackTokenSecretArn"],
        "BUCKET": cloud.bucket,
        "KEY_PREFIX": "",
        "BUS": outputs["EventBusName"],
        "STACK": STACK_NAME,
    }.items():
        text = text.replace(placeholder, value)
    statements: list[dict[str, Any]] = json.loads(text)["Statement"]
    return statements


@contextmanager
def noted(cloud: LocalCloud) -> Iterator[Calls]:
    """Note every call that this process makes by boto3's default session."""
    calls = Calls(cloud)
    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("provide-client-params.*.*", calls.note)
    yield calls
    boto3.DEFAULT_SESSION = None
