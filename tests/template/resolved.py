"""The stack as CloudFormation would see it for given parameters, without an account.

SAM's own translator expands the template; a small evaluator then decides conditions and resolves
what parameters decide. What only AWS knows stays readable: `!Ref ArchiveQueue` becomes
"<ArchiveQueue>" and `!GetAtt ArchiveQueue.Arn` becomes "<ArchiveQueue.Arn>". It must not judge what
it finds: promises are the tests' business.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

__all__ = ["REPOSITORY", "Stack", "read_template"]

REPOSITORY = Path(__file__).parents[2]

_PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "archiver",
    "AWS::URLSuffix": "amazonaws.com",
}
_PSEUDO_NAMES = {"Partition", "StackName", "URLSuffix"}  # that may be given like parameters
_NO_VALUE = object()  # what !Ref AWS::NoValue resolves to; removed from whatever holds it
_PLACEHOLDER = re.compile(r"\$\{(?P<literal>!)?(?P<name>[^}]+)\}")


def read_template() -> dict[str, Any]:
    """Return template.yaml as it is written, intrinsic functions in their long form."""
    return copy.deepcopy(_read())


@cache  # PyYAML takes half a second
def _read() -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse(
        (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    )
    return template


@cache
def _expanded() -> dict[str, Any]:
    template = read_template()
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource["Properties"]:  # the translator takes uploaded code only
                resource["Properties"][name] = "s3://bucket/key"
    session = boto3.Session(region_name="us-east-1")
    expanded: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(
        template, parameter_values={}
    )
    return expanded


class Stack:
    """The expanded template, its conditions decided; parameters not given have their defaults."""

    def __init__(self, **given: str) -> None:
        template = _expanded()
        defaults = {
            name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
        }
        unknown = given.keys() - defaults.keys() - _PSEUDO_NAMES
        if unknown:
            raise KeyError(f"the template has no parameter {unknown}")
        pseudo = dict(_PSEUDO_PARAMETERS)
        for name in _PSEUDO_NAMES:
            if name in given:
                pseudo[f"AWS::{name}"] = given.pop(name)
        self._values: dict[str, Any] = {**pseudo, **defaults, **given}
        for name, parameter in template["Parameters"].items():
            if parameter["Type"] == "CommaDelimitedList":
                self._values[name] = self._values[name].split(",")
        self._conditions = template["Conditions"]
        self.resources: dict[str, dict[str, Any]] = self._existing(template["Resources"])
        self.outputs: dict[str, dict[str, Any]] = self._existing(template["Outputs"])

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return a resource's resolved properties; KeyError if its condition does not hold."""
        properties: dict[str, Any] = self.resources[logical_id]["Properties"]
        return properties

    def of_type(self, resource_type: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of a type, by logical id."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == resource_type
        }

    def _existing(self, section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            name: self._resolve({key: part for key, part in item.items() if key != "Condition"})
            for name, item in section.items()
            if "Condition" not in item or self._holds(item["Condition"])
        }

    def _holds(self, condition: str) -> bool:
        return bool(self._resolve(self._conditions[condition]))

    def _resolve(self, node: Any) -> Any:  # noqa: ANN401 - a template's node is any JSON value
        if isinstance(node, list):
            return [item for item in map(self._resolve, node) if item is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), *_ = node.items()
            if function in {"Ref", "Condition"} or function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {key: self._resolve(part) for key, part in node.items()}
        return {key: part for key, part in resolved.items() if part is not _NO_VALUE}

    def _call(self, function: str, argument: Any) -> Any:  # noqa: ANN401 - as _resolve
        if function == "Ref":
            return self._reference(argument)
        if function == "Condition":
            return self._holds(argument)
        if function == "Fn::GetAtt":
            return f"<{argument if isinstance(argument, str) else '.'.join(argument)}>"
        if function == "Fn::If":
            condition, when_true, when_false = argument
            return self._resolve(when_true if self._holds(condition) else when_false)
        if function == "Fn::Sub":
            return self._substitute(argument)
        return self._apply(function, self._resolve(argument))

    @staticmethod
    def _apply(function: str, argument: Any) -> Any:  # noqa: ANN401 - as _resolve
        if function == "Fn::Equals":
            return argument[0] == argument[1]
        if function == "Fn::And":
            return all(argument)
        if function == "Fn::Or":
            return any(argument)
        if function == "Fn::Not":
            return not argument[0]
        if function == "Fn::Join":
            return argument[0].join(argument[1])
        if function == "Fn::Split":
            return argument[1].split(argument[0])
        raise LookupError(f"this small evaluator does not know {function}")

    def _reference(self, name: str) -> Any:  # noqa: ANN401 - as _resolve
        return _NO_VALUE if name == "AWS::NoValue" else self._values.get(name, f"<{name}>")

    def _substitute(self, argument: Any) -> str:  # noqa: ANN401 - as _resolve
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {name: self._resolve(part) for name, part in own.items()}

        def value(match: re.Match[str]) -> str:
            if match["literal"]:
                return "${" + match["name"] + "}"
            name = match["name"]
            return str(values[name] if name in values else self._reference(name))

        return _PLACEHOLDER.sub(value, text)
