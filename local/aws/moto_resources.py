"""Resource types that moto's CloudFormation lacks, so that the real template deploys unchanged.

A type that does something here (a secret, a queue policy) has a class; every other one is written
down and no more. A bucket policy is among those on purpose: moto ignores its conditions, and one
that denies plain HTTP would deny everything.
"""

from __future__ import annotations

import json
import secrets
import string
from types import new_class
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import LayerVersion
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.events.models import Archive, EventBus, events_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs.models import Queue, sqs_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["teach_moto"]


def teach_moto(
    resource_types: Iterable[str],
    *,
    endpoint_url: str,
    open_function_url: Callable[[str], str],
) -> None:
    """Make moto accept every one of these types; those that it knows stay as they are.

    moto finds models through `CloudFormationModel.__subclasses__()`, so defining one registers it.
    `open_function_url` gives a function, by its name, the URL that it is to have.
    """
    FunctionUrl.open_url = staticmethod(open_function_url)
    # `!Ref` of these must be a name or an ARN; moto would put the object's repr in its place
    queue_url = property(lambda queue: f"{endpoint_url}/{queue.account_id}/{queue.name}")
    # a queue's URL must lead here: some SDKs send to the URL itself, which moto points at AWS
    setattr(Queue, "physical_resource_id", queue_url)  # noqa: B010 - as below
    setattr(LayerVersion, "physical_resource_id", property(_layer_arn))  # noqa: B010 - as below
    setattr(EventBus, "physical_resource_id", property(_bus_name))  # noqa: B010 - moto does not declare it
    # moto reads an archive's pattern and days as if the API's text and number had come
    setattr(Archive, "create_from_cloudformation_json", classmethod(_create_archive))  # noqa: B010 - as above
    setattr(parsing, "clean_json", _clean)  # noqa: B010 - as above
    setattr(parsing, "parse_and_update_resource", _update_or_keep)  # noqa: B010 - as above
    _forget_known_types()
    known = set(parsing.get_model_map())
    for resource_type in sorted(set(resource_types) - known):
        _register_recorded(resource_type)
    _forget_known_types()


_clean_with_none = parsing.clean_json
_update = parsing.parse_and_update_resource


def _clean(resource_json: Any, resources_map: parsing.ResourceMap) -> Any:  # noqa: ANN401 - JSON
    """Resolve references; AWS::NoValue in a list is no entry, and no null.

    User Guide, "Pseudo parameters reference": it removes what it stands for.
    """
    cleaned = _clean_with_none(resource_json, resources_map)
    return [each for each in cleaned if each is not None] if isinstance(cleaned, list) else cleaned


def _update_or_keep(
    logical_id: str,
    resource_json: dict[str, Any],
    resources_map: parsing.ResourceMap,
    account_id: str,
    region_name: str,
) -> object:
    """Update a resource; one of a type that moto cannot update stays as it is.

    moto forgets it, so that whatever refers to it fails: a log group, or a table, of which only
    Metadata changes, which CloudFormation changes nothing for. One whose condition does not hold
    is not there, and moto would update it all the same.
    """
    there: Any = resources_map[logical_id]  # makes it, where its condition holds only now
    if there is None:
        return None
    updated: Any = _update(logical_id, resource_json, resources_map, account_id, region_name)
    return there if updated is None else updated


def _bus_name(bus: EventBus) -> str:
    return bus.name


def _layer_arn(layer: LayerVersion) -> str:
    return layer.arn


def _create_archive(
    _cls: type[Any],
    /,
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **_kwargs: object,
) -> Archive:
    """Make an archive of events out of a template's properties."""
    properties = cloudformation_json["Properties"]
    return events_backends[account_id][region_name].create_archive(
        # CloudFormation cuts the names that it makes; this one may have 48 characters
        f"{resource_name[:35]}{resource_name[-13:]}" if len(resource_name) > 48 else resource_name,
        properties["SourceArn"],
        properties.get("Description", ""),
        json.dumps(properties.get("EventPattern", {})),
        int(properties.get("RetentionDays", 0)),  # type: ignore[arg-type]  # moto declares text
    )


def _forget_known_types() -> None:
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()


class Secret(CloudFormationModel):
    """A secret as the template makes it: with a name, and without a value unless it asks."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        """Name the property that names the resource."""
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        """Name the type."""
        return "AWS::SecretsManager::Secret"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Say whether GetAtt knows the attribute."""
        return attr == "Id"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Answer GetAtt; the only attribute, Id, is the ARN."""
        del attribute_name
        return self.physical_resource_id

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_kwargs: object,
    ) -> Secret:
        """Create the secret in moto's own Secrets Manager."""
        properties = cloudformation_json["Properties"]
        answer = secretsmanager_backends[account_id][region_name].create_secret(
            name=resource_name,
            secret_string=properties.get("SecretString") or _made_up(properties),
            secret_binary=None,
            description=properties.get("Description"),
            tags=None,
            kms_key_id=properties.get("KmsKeyId"),
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )
        return cls(_arn_of(answer))


def _made_up(properties: Mapping[str, Any]) -> str | None:
    """Return a value as GenerateSecretString asks for it, if the template does."""
    wanted = properties.get("GenerateSecretString")
    if wanted is None:
        return None
    characters = string.ascii_letters + string.digits
    if str(wanted.get("ExcludePunctuation")).lower() != "true":
        characters += string.punctuation
    return "".join(secrets.choice(characters) for _ in range(int(wanted["PasswordLength"])))


def _arn_of(answer: str | dict[str, Any]) -> str:
    fields = json.loads(answer) if isinstance(answer, str) else answer
    return str(fields["ARN"])


class FunctionUrl(CloudFormationModel):
    """A function's URL, which a server of the local run answers."""

    open_url: Callable[[str], str]

    def __init__(self, function_name: str, url: str) -> None:
        self.physical_resource_id = function_name  # AWS gives the function's ARN
        self._url = url

    @staticmethod
    def cloudformation_name_type() -> str:
        """Name the property that names the resource: there is none."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """Name the type."""
        return "AWS::Lambda::Url"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Say whether GetAtt knows the attribute."""
        return attr == "FunctionUrl"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Answer GetAtt; the only attribute, FunctionUrl, ends with a slash as on AWS."""
        del attribute_name
        return self._url

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003 - moto's signature
        cloudformation_json: dict[str, Any],
        account_id: str,  # noqa: ARG003 - moto's signature
        region_name: str,  # noqa: ARG003 - moto's signature
        **_kwargs: object,
    ) -> FunctionUrl:
        """Open the URL."""
        target = str(cloudformation_json["Properties"]["TargetFunctionArn"])
        name = target.rpartition(":")[2]
        return cls(name, cls.open_url(name))


class QueuePolicy(CloudFormationModel):
    """A queue's policy, stored where get-queue-attributes shows it; moto does not enforce it."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        """Name the property that names the resource: there is none."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """Name the type."""
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_kwargs: object,
    ) -> QueuePolicy:
        """Put the policy on each of its queues."""
        properties = cloudformation_json["Properties"]
        policy = json.dumps(properties["PolicyDocument"])
        for url in properties["Queues"]:
            name = url.rpartition("/")[2]
            sqs_backends[account_id][region_name].set_queue_attributes(name, {"Policy": policy})
        return cls(resource_name)


def _register_recorded(resource_type: str) -> None:
    """Define a model that only remembers that the resource exists."""

    def create(
        cls: type[Any],
        /,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG001 - moto's signature
        account_id: str,  # noqa: ARG001 - moto's signature
        region_name: str,  # noqa: ARG001 - moto's signature
        **_kwargs: object,
    ) -> Any:  # noqa: ANN401 - a class made at run time has no name to write here
        recorded = cls()
        recorded.physical_resource_id = resource_name
        return recorded

    members = {
        # moto reads the service's name out of the second word of the module's name
        "__module__": __name__,
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: resource_type),
        "create_from_cloudformation_json": classmethod(create),
    }
    new_class(
        resource_type.replace("::", ""),
        (CloudFormationModel,),
        exec_body=lambda body: body.update(members),
    )
