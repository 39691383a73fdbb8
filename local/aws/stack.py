"""The real template.yaml deployed into the embedded AWS, and what came of it as plain values.

Deploys through CloudFormation's API, with the zips of the local build. What moto accepts and then
ignores (versioning, object lock, public access block, TTL) is applied afterwards from the same
template. It must not know what the stack is for.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import clean_json

from local.aws.change_sets import mend_change_sets
from local.aws.definitions import (
    AsyncInvokeDefinition,
    EventSourceDefinition,
    FunctionDefinition,
    Resource,
)
from local.aws.moto_resources import teach_moto
from local.aws.server import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from local.aws.clients import LocalClients
    from local.aws.expansion import ExpandedTemplate

__all__ = ["ARTIFACTS_BUCKET", "DeployedStack", "StackError", "deploy_stack"]

ARTIFACTS_BUCKET = "local-artifacts"


class StackError(Exception):
    """The stack could not be made; the text says what is missing or what CloudFormation said."""


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack that exists: names, outputs, and definitions of what runs in it."""

    name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, Resource]
    functions: tuple[FunctionDefinition, ...]
    event_sources: tuple[EventSourceDefinition, ...]

    def physical_id(self, logical_id: str) -> str:
        """Return what `!Ref` of the resource gives; raises KeyError when it was not made."""
        return self.resources[logical_id].physical_id

    def function(self, logical_id: str) -> FunctionDefinition:
        """Return one function by its logical id; raises KeyError when there is none."""
        for function in self.functions:
            if function.logical_id == logical_id:
                return function
        raise KeyError(logical_id)

    def of_type(self, resource_type: str) -> list[Resource]:
        """Return the resources of one CloudFormation type."""
        return [item for item in self.resources.values() if item.type == resource_type]


def deploy_stack(
    template: ExpandedTemplate,
    clients: LocalClients,
    *,
    name: str,
    region: str,
    build_folder: Path,
    parameters: Mapping[str, str],
    open_function_url: Callable[[str], str],
    update: bool = False,
) -> DeployedStack:
    """Upload the build, create the stack, apply what moto skipped, and stop moto's own polling.

    With `update`, the stack of that name exists and becomes what the template says.

    Raises ParameterError for a parameter that cannot be, StackError for anything else.
    """
    template.check_parameters(parameters)
    _upload_build(template, clients, build_folder)
    types = {resource["Type"] for resource in template.body["Resources"].values()}
    teach = partial(teach_moto, endpoint_url=clients.aws.url, open_function_url=open_function_url)
    teach(types)
    mend_change_sets(teach)
    outputs = _bring_about(template, clients, name, parameters, update=update)
    resources = _resolve_resources(template, name, region)
    stack = DeployedStack(
        name=name,
        outputs=outputs,
        resources=resources,
        functions=tuple(_read_functions(resources, build_folder, region)),
        event_sources=tuple(_read_event_sources(resources)),
    )
    _apply_what_moto_skips(stack, clients)
    _disable_moto_polling(stack, clients)
    return stack


def _upload_build(template: ExpandedTemplate, clients: LocalClients, build_folder: Path) -> None:
    clients.moto_s3.create_bucket(Bucket=ARTIFACTS_BUCKET)  # its own again is fine
    for logical_id, key in template.code_keys.items():
        folder = build_folder / logical_id
        if not folder.is_dir():
            raise StackError(f"{folder} is missing; run `make build-local` first")
        clients.moto_s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=key, Body=_zip_folder(folder))


def _zip_folder(folder: Path) -> bytes:
    buffer = io.BytesIO()
    # stored, not deflated: nobody pays for these bytes, and deflating 100 MB takes seconds
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _bring_about(
    template: ExpandedTemplate,
    clients: LocalClients,
    name: str,
    parameters: Mapping[str, str],
    *,
    update: bool,
) -> dict[str, str]:
    cloudformation = clients.cloudformation
    act: Any = cloudformation.update_stack if update else cloudformation.create_stack
    act(
        StackName=name,
        TemplateBody=json.dumps(template.body),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    described = clients.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    if described["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        reason = described.get("StackStatusReason", "no reason given")
        raise StackError(f"stack {name} is {described['StackStatus']}: {reason}")
    return {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}


def _resolve_resources(template: ExpandedTemplate, name: str, region: str) -> dict[str, Resource]:
    """Resolve every property as CloudFormation did: moto itself drops what it does not use."""
    resource_map = cloudformation_backends[ACCOUNT_ID][region].get_stack(name).resource_map
    resolved: dict[str, Resource] = {}
    for logical_id, declared in template.body["Resources"].items():
        condition = declared.get("Condition")
        made: Any = resource_map[logical_id] if _holds(resource_map, condition) else None
        if made is not None:
            properties = clean_json(declared.get("Properties", {}), resource_map)
            resolved[logical_id] = Resource(
                logical_id,
                declared["Type"],
                str(getattr(made, "physical_resource_id", logical_id)),
                properties,
            )
    return resolved


def _holds(resource_map: Any, condition: str | None) -> bool:  # noqa: ANN401 - moto ships no types
    return condition is None or bool(resource_map.lazy_condition_map[condition])


def _read_functions(
    resources: Mapping[str, Resource], build_folder: Path, region: str
) -> Iterable[FunctionDefinition]:
    layers = {
        resource.physical_id: build_folder / _built_name(resource.properties["Content"])
        for resource in resources.values()
        if resource.type == "AWS::Lambda::LayerVersion"
    }
    for resource in resources.values():
        if resource.type == "AWS::Lambda::Function":
            yield _read_function(resource, resources, layers, build_folder, region)


def _built_name(code: Mapping[str, Any]) -> str:
    return str(code["S3Key"]).removesuffix(".zip")


def _read_function(
    resource: Resource,
    resources: Mapping[str, Resource],
    layers: Mapping[str, Path],
    build_folder: Path,
    region: str,
) -> FunctionDefinition:
    wanted = resource.properties
    logging = wanted.get("LoggingConfig", {})
    return FunctionDefinition(
        logical_id=resource.logical_id,
        name=resource.physical_id,
        arn=f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{resource.physical_id}",
        handler=wanted["Handler"],
        runtime=wanted["Runtime"],
        memory_mib=int(wanted.get("MemorySize", 128)),
        timeout_seconds=int(wanted.get("Timeout", 3)),
        environment={
            key: str(value)
            for key, value in wanted.get("Environment", {}).get("Variables", {}).items()
        },
        task_root=build_folder / _built_name(wanted["Code"]),
        layers=tuple(layers[arn] for arn in wanted.get("Layers", [])),
        log_group=logging.get("LogGroup", f"/aws/lambda/{resource.physical_id}"),
        json_logs=logging.get("LogFormat") == "JSON",
        asynchronous=_read_asynchronous(resource.physical_id, resources),
        reserved_concurrency=_read_number(wanted.get("ReservedConcurrentExecutions")),
    )


def _read_number(value: object) -> int | None:
    return int(str(value)) if value else None


def _read_asynchronous(
    function_name: str, resources: Mapping[str, Resource]
) -> AsyncInvokeDefinition:
    for resource in resources.values():
        properties = resource.properties
        if (
            resource.type == "AWS::Lambda::EventInvokeConfig"
            and properties["FunctionName"] == function_name
        ):
            on_failure = properties.get("DestinationConfig", {}).get("OnFailure", {})
            return AsyncInvokeDefinition(
                int(properties.get("MaximumRetryAttempts", 2)), on_failure.get("Destination")
            )
    return AsyncInvokeDefinition()


def _read_event_sources(resources: Mapping[str, Resource]) -> Iterable[EventSourceDefinition]:
    for resource in resources.values():
        properties = resource.properties
        if resource.type != "AWS::Lambda::EventSourceMapping":
            continue
        maximum = properties.get("ScalingConfig", {}).get("MaximumConcurrency")
        types = properties.get("FunctionResponseTypes", [])
        yield EventSourceDefinition(
            uuid=resource.physical_id,
            queue_arn=properties["EventSourceArn"],
            function_name=re.sub(r"^arn:.*:function:", "", properties["FunctionName"]),
            batch_size=int(properties.get("BatchSize", 10)),  # Lambda's default for SQS
            maximum_concurrency=int(maximum) if maximum else None,
            reports_batch_item_failures="ReportBatchItemFailures" in types,
        )


def _apply_what_moto_skips(stack: DeployedStack, clients: LocalClients) -> None:
    for bucket in stack.of_type("AWS::S3::Bucket"):
        _apply_bucket_settings(bucket, clients)
    for table in stack.of_type("AWS::DynamoDB::Table"):
        time_to_live = table.properties.get("TimeToLiveSpecification")
        if time_to_live:
            clients.dynamodb.update_time_to_live(
                TableName=table.physical_id,
                TimeToLiveSpecification={
                    "Enabled": _is_true(time_to_live["Enabled"]),
                    "AttributeName": time_to_live["AttributeName"],
                },
            )


def _apply_bucket_settings(bucket: Resource, clients: LocalClients) -> None:
    name, wanted = bucket.physical_id, bucket.properties
    if wanted.get("VersioningConfiguration", {}).get("Status") == "Enabled":
        clients.moto_s3.put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}
        )
    locked = wanted.get("ObjectLockConfiguration")
    if locked:
        _lock_objects(name, locked, clients)
    blocked = wanted.get("PublicAccessBlockConfiguration")
    if blocked:
        clients.moto_s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": _is_true(blocked.get("BlockPublicAcls")),
                "IgnorePublicAcls": _is_true(blocked.get("IgnorePublicAcls")),
                "BlockPublicPolicy": _is_true(blocked.get("BlockPublicPolicy")),
                "RestrictPublicBuckets": _is_true(blocked.get("RestrictPublicBuckets")),
            },
        )


def _lock_objects(bucket: str, wanted: Mapping[str, Any], clients: LocalClients) -> None:
    retention = wanted["Rule"]["DefaultRetention"]
    clients.moto_s3.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": wanted["ObjectLockEnabled"],
            "Rule": {
                "DefaultRetention": {"Mode": retention["Mode"], "Days": int(retention["Days"])}
            },
        },
    )


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _disable_moto_polling(stack: DeployedStack, clients: LocalClients) -> None:
    """Switch moto's mappings off: it would call a stub and delete the message (event_source.py)."""
    for source in stack.event_sources:
        clients.aws_lambda.update_event_source_mapping(UUID=source.uuid, Enabled=False)
