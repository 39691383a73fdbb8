"""The SAM template made plain CloudFormation, offline, by AWS's own translator.

It changes nothing but where code lies (the translator wants S3 addresses) and a word that moto does
not know. It must not resolve parameters or conditions; CloudFormation does that. What it asks of
parameters before it begins, moto does not ask: that is here.
"""

from __future__ import annotations

import json
import logging
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ExpandedTemplate", "ParameterError", "expand_template", "expand_text"]

_CODE_PROPERTY = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}


class ParameterError(ValueError):
    """A template parameter's value that CloudFormation would refuse; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ExpandedTemplate:
    """Plain CloudFormation, and which S3 key holds the code of which resource of the source."""

    body: Mapping[str, Any]
    code_keys: Mapping[str, str]  # logical id in the SAM template -> key

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The template's Parameters section."""
        declared: Mapping[str, Mapping[str, Any]] = self.body.get("Parameters", {})
        return declared

    def check_parameters(self, values: Mapping[str, str]) -> None:
        """Raise ParameterError for an unknown name or a value that a constraint forbids."""
        for name, value in values.items():
            if name not in self.parameters:
                known = ", ".join(sorted(self.parameters)) or "none"
                raise ParameterError(f"the template has no parameter {name!r}; it has: {known}")
            _check_value(name, value, self.parameters[name])
        given = {name: str(item.get("Default", "")) for name, item in self.parameters.items()}
        given.update(values)
        for rule in self.body.get("Rules", {}).values():
            if _holds(rule.get("RuleCondition", True), given):
                for assertion in rule["Assertions"]:
                    if not _holds(assertion["Assert"], given):
                        raise ParameterError(assertion["AssertDescription"])


def expand_template(path: Path, *, bucket: str, region: str) -> ExpandedTemplate:
    """Read a SAM template and expand it; takes half a second the first time, and no network.

    Raises samtranslator's InvalidDocumentException for a template that SAM would refuse.
    """
    return deepcopy(_expanded_file(path.read_text(encoding="utf-8"), bucket, region))


@lru_cache(maxsize=8)  # tests deploy the same template dozens of times
def _expanded_file(text: str, bucket: str, region: str) -> ExpandedTemplate:
    source = yaml_parse(text)
    code_keys = _point_code_at(source["Resources"], bucket)
    return ExpandedTemplate(_plain(source, region), code_keys)


def expand_text(text: str, *, region: str) -> ExpandedTemplate:
    """Read a template whose code lies in S3 already, as CloudFormation gets it: SAM's or plain."""
    return ExpandedTemplate(deepcopy(_expanded_text(text, region)), {})


@lru_cache(maxsize=8)  # a stack's template comes again and again
def _expanded_text(text: str, region: str) -> dict[str, Any]:
    return _plain(yaml_parse(text), region)


def _plain(source: dict[str, Any], region: str) -> dict[str, Any]:
    for parameter in source.get("Parameters", {}).values():
        # A default is text as any value is ("Parameters", CloudFormation User Guide: a Number is
        # validated as one, "but when you use the parameter elsewhere … it becomes a literal
        # string"); moto compares YAML's 0 with "0", and they differ.
        if isinstance(parameter.get("Default"), int | float):
            parameter["Default"] = json.dumps(parameter["Default"])
    if "Transform" not in source:
        return source
    # it warns that its usage metrics were not published, which is how we want them
    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)
    session = boto3.Session(region_name=region)
    translator = Translator({}, Parser(), boto_session=session)
    body: dict[str, Any] = translator.translate(source, parameter_values={})
    for resource in body["Resources"].values():
        # moto does not know it, and would delete what the stack retains
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"
    return body


def _point_code_at(resources: Mapping[str, Any], bucket: str) -> dict[str, str]:
    keys = {}
    for logical_id, resource in resources.items():
        name = _CODE_PROPERTY.get(resource["Type"])
        if name:
            keys[logical_id] = f"{logical_id}.zip"
            resource["Properties"][name] = f"s3://{bucket}/{keys[logical_id]}"
    return keys


def _holds(said: Any, given: Mapping[str, str]) -> bool:  # noqa: ANN401 - a template's JSON
    """Decide a rule's condition; raises KeyError for a function that no rule of ours uses."""
    if isinstance(said, bool):
        return said
    ((function, arguments),) = said.items()
    if function == "Fn::Not":
        return not _holds(arguments[0], given)
    if function != "Fn::Equals":
        raise KeyError(function)
    one, other = (given[item["Ref"]] if isinstance(item, dict) else item for item in arguments)
    return bool(one == other)


def _check_value(name: str, value: str, declared: Mapping[str, Any]) -> None:
    allowed = [str(item) for item in declared.get("AllowedValues", [])]
    pattern = declared.get("AllowedPattern")
    if allowed and value not in allowed:
        raise ParameterError(f"{name} is {value!r}; it must be one of: {', '.join(allowed)}")
    # of a list, CloudFormation matches each value
    values = value.split(",") if declared.get("Type") == "CommaDelimitedList" else [value]
    if pattern and not all(re.fullmatch(pattern, one) for one in values):
        rule = declared.get("ConstraintDescription") or f"it must match {pattern}"
        raise ParameterError(f"{name} is {value!r}; {rule}")
    longest = declared.get("MaxLength")
    if longest is not None and len(value) > int(longest):
        raise ParameterError(f"{name} has {len(value)} characters; it may have {longest}")
    if declared.get("Type") == "Number":
        _check_number(name, value, declared)


def _check_number(name: str, value: str, declared: Mapping[str, Any]) -> None:
    try:
        number = float(value)
    except ValueError as error:
        raise ParameterError(f"{name} is {value!r}; it must be a number") from error
    lowest, highest = declared.get("MinValue"), declared.get("MaxValue")
    too_low = lowest is not None and number < float(lowest)
    if too_low or (highest is not None and number > float(highest)):
        raise ParameterError(f"{name} is {value}; it must be from {lowest} to {highest}")
