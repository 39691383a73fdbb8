"""What each function of a running local stack asked of AWS, held to that function's own role.

The embedded AWS notes every call with the caller's key, and each function has a key of its own; the
template, expanded and resolved as deployed, says what each role allows. A call that this module
cannot translate into IAM's actions is an error (LookupError): nothing passes because it is unknown.
Source: "Actions, resources, and condition keys" of the Service Authorization Reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.aws.server import ACCOUNT_ID, RequestRecord
from local.cloud import LocalCloud
from tests.security.iam import ALLOWED, Request, decide, listed

__all__ = ["NOT_CALLED_BY_CODE", "allowances", "refused_calls", "requests_of"]
__all__ += ["statements_of", "unused_allowances"]

# What a role allows and no function calls itself, with the reason for each.
NOT_CALLED_BY_CODE: Mapping[str, str] = {
    "logs:CreateLogStream": "Lambda writes the function's standard output to its log",
    "logs:PutLogEvents": "Lambda, likewise",
    "xray:PutTraceSegments": "Lambda's X-Ray daemon sends what the function hands it over UDP",
    "xray:PutTelemetryRecords": "the same daemon",
    "sqs:ReceiveMessage": "the event source mapping polls in the role's name",
    "sqs:DeleteMessage": "the event source mapping, for what the function has acknowledged",
    "sqs:GetQueueAttributes": "the event source mapping, to scale",
}
_OBJECT_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "GetObjectTagging": "s3:GetObjectTagging",
    "PutObjectTagging": "s3:PutObjectTagging",
}
# With a version's id (API Reference of each).
_VERSION_ACTIONS = {
    "GetObjectTagging": "s3:GetObjectVersionTagging",
    "PutObjectTagging": "s3:PutObjectVersionTagging",
}
_BUCKET_ACTIONS = {
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjects": "s3:ListBucket",
}


def refused_calls(cloud: LocalCloud) -> list[str]:
    """Return the calls that a function's own role would not have allowed on AWS, a line each."""
    return sorted(
        {
            f"{function}: {request.action} on {request.resource}"
            for function in cloud.functions
            for request in requests_of(cloud, function)
            if decide(statements_of(cloud, function), request) != ALLOWED
        }
    )


def allowances(cloud: LocalCloud, function: str) -> set[tuple[str, str]]:
    """Return each action that a function's role allows, with the resource, as written there."""
    return {
        (action, resource)
        for statement in statements_of(cloud, function)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def unused_allowances(cloud: LocalCloud, function: str) -> set[tuple[str, str]]:
    """Return those that the function made no use of, but for what AWS does in the role's name."""
    requests = requests_of(cloud, function)
    return {
        (action, resource)
        for action, resource in allowances(cloud, function)
        if action not in NOT_CALLED_BY_CODE
        and not any(
            request.action == action and _grants(action, resource, request) for request in requests
        )
    }


def _grants(action: str, resource: str, request: Request) -> bool:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return decide([statement], request) == ALLOWED


def statements_of(cloud: LocalCloud, function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role, its own and those of attached policies."""
    name = cloud.stack.resources[function].properties["Role"].rpartition("/")[2]
    policies: list[dict[str, Any]] = []
    for role in cloud.stack.of_type("AWS::IAM::Role"):
        if role.physical_id == name:
            policies += role.properties["Policies"]
    for policy in cloud.stack.of_type("AWS::IAM::Policy"):
        if name in policy.properties["Roles"]:
            policies.append(dict(policy.properties))
    return [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]


def requests_of(cloud: LocalCloud, function: str) -> list[Request]:
    """Return what a function asked of AWS, in IAM's words, each once."""
    found: dict[tuple[str, str, str], Request] = {}
    for record in cloud.requests(function):
        for request in _translate(record, cloud.region):
            found[request.action, request.resource, str(request.keys)] = request
    return list(found.values())


def _translate(record: RequestRecord, region: str) -> Iterator[Request]:
    if record.service == "s3":
        return _s3(record)
    body = json.loads(record.sent)
    if record.service == "dynamodb":
        return _dynamodb(record.action, body, region)
    if record.service == "sqs":
        queue = urlsplit(body["QueueUrl"]).path.rpartition("/")[2]
        action = record.action.removesuffix("Batch")  # SendMessageBatch counts as SendMessage
        return iter([Request(f"sqs:{action}", f"arn:aws:sqs:{region}:{ACCOUNT_ID}:{queue}")])
    if (record.service, record.action) == ("events", "PutEvents"):
        buses = {entry["EventBusName"].rpartition("/")[2] for entry in body["Entries"]}
        arn = f"arn:aws:events:{region}:{ACCOUNT_ID}:event-bus/"
        return iter([Request("events:PutEvents", arn + bus) for bus in buses])
    if (record.service, record.action) == ("secretsmanager", "GetSecretValue"):
        return iter([Request("secretsmanager:GetSecretValue", body["SecretId"])])
    raise LookupError(f"what IAM action is {record.service} {record.action}?")


def _dynamodb(action: str, body: Mapping[str, Any], region: str) -> Iterator[Request]:
    if action == "BatchGetItem":
        used = [("BatchGetItem", table) for table in body["RequestItems"]]
    else:
        used = [(action, body["TableName"])]
    if "IndexName" in body:
        used = [(name, f"{table}/index/{body['IndexName']}") for name, table in used]
    for name, table in used:
        yield Request(f"dynamodb:{name}", f"arn:aws:dynamodb:{region}:{ACCOUNT_ID}:table/{table}")


def _s3(record: RequestRecord) -> Iterator[Request]:
    words = json.loads(record.sent)
    bucket = record.resource.partition("/")[0]
    if record.action in _BUCKET_ACTIONS:
        prefix = parse_qs(words["query"]).get("prefix")
        keys = {"s3:prefix": prefix[0]} if prefix else {}
        yield Request(_BUCKET_ACTIONS[record.action], f"arn:aws:s3:::{bucket}", keys)
        return
    if record.action not in _OBJECT_ACTIONS:
        raise LookupError(f"what IAM action is s3 {record.action}?")
    of_version = "versionId" in parse_qs(words["query"])
    actions = _OBJECT_ACTIONS | (_VERSION_ACTIONS if of_version else {})
    yield Request(actions[record.action], f"arn:aws:s3:::{record.resource}")
    if record.action == "HeadObject":  # without it S3 answers 403 where there is no object
        yield Request("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    if record.action == "UploadPartCopy":
        source, _, version = words["headers"]["x-amz-copy-source"].partition("?versionId=")
        action = "s3:GetObjectVersion" if version else "s3:GetObject"
        yield Request(action, f"arn:aws:s3:::{unquote(source).lstrip('/')}")
