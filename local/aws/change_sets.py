"""Change sets in the embedded CloudFormation, as `sam`, the AWS CLI and `archiver deploy` use them.

moto makes and executes them, and then a stack has neither outputs nor parameters, a template of
SAM's is not expanded, a changed parameter changes nothing that is listed, and a resource leaves
with its data whatever its DeletionPolicy says. That is done here. What a property's change means
(replacement or not) is read from AWS's own resource schemas, which cfn-lint brings along.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Change, ChangeSet, CloudFormationBackend, Event, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult

from local.aws.expansion import ExpandedTemplate, ParameterError, expand_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["mend_change_sets"]

_make = CloudFormationBackend.create_change_set
_parse_yaml = Stack.parse_template
_read_template = CloudFormationResponse.get_template
_RETAINS = {"Retain", "RetainExceptOnCreate"}


def mend_change_sets(teach: Callable[[Iterable[str]], None]) -> None:
    """Let change sets do what AWS's do; `teach` makes moto accept types of resources."""

    def create(
        self: CloudFormationBackend,
        stack_name: str,
        change_set_name: str,
        template: str,
        parameters: dict[str, str],
        **rest: Any,  # noqa: ANN401 - moto's own arguments, handed on
    ) -> tuple[str, str]:
        expanded = expand_text(template, region=self.region_name)
        try:
            expanded.check_parameters(parameters)
        except ParameterError as error:
            raise ValidationError(message=str(error)) from error
        teach({item["Type"] for item in expanded.body["Resources"].values()})
        body = _with_conditions_met(self, stack_name, expanded, parameters)
        plain = json.dumps(body)
        made, stack_id = _make(self, stack_name, change_set_name, plain, parameters, **rest)
        change_set: Any = self.change_sets[made]
        change_set.original_template = template
        changes = list(_changes(change_set.stack, body, parameters))
        change_set.changes = changes
        stack = change_set.stack
        if changes or dict(stack.tags) != dict(rest.get("tags") or {}):
            change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
            change_set.status_reason = None
        return made, stack_id

    setattr(CloudFormationBackend, "create_change_set", create)  # noqa: B010 - moto's classes are taught, not ours
    setattr(CloudFormationBackend, "execute_change_set", _execute)  # noqa: B010 - as above
    setattr(Stack, "parameter_list", property(_parameter_list))  # noqa: B010 - as above
    setattr(Stack, "parse_template", staticmethod(_parse))  # noqa: B010 - as above
    setattr(ChangeSet, "_parse_template", _parse_own)  # noqa: B010 - as above
    setattr(CloudFormationResponse, "get_template", _get_template)  # noqa: B010 - as above


def _parameter_list(stack: Any) -> list[dict[str, str]]:  # noqa: ANN401 - moto's
    """Say parameters as CloudFormation does: a list is a text with commas."""
    return [
        {"ParameterKey": name, "ParameterValue": _text(value)}
        for name, value in stack.resource_map.resolved_parameters.items()
    ]


def _parse(template: str) -> dict[str, Any]:
    """Read JSON as JSON: as YAML, which moto tries first, our template takes seconds each time."""
    try:
        parsed: dict[str, Any] = json.loads(template)
    except ValueError:
        parsed = _parse_yaml(template)
    return parsed


def _parse_own(change_set: Any) -> None:  # noqa: ANN401 - moto's
    change_set.template_dict = _parse(change_set.template)


def _with_conditions_met(
    backend: CloudFormationBackend,
    stack_name: str,
    expanded: ExpandedTemplate,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """Return the template without the resources whose condition does not hold.

    Its conditions are decided, too: moto compares the number 0 with the text "0" and finds them
    different, where CloudFormation knows texts only.
    """
    body = dict(expanded.body)
    conditions = _conditions(backend, stack_name, body, parameters)
    body["Conditions"] = {
        name: {"Fn::Equals": ["holds", "holds" if holds else "does not"]}
        for name, holds in conditions.items()
    }
    body["Resources"] = {
        name: item
        for name, item in body["Resources"].items()
        if "Condition" not in item or conditions[item["Condition"]]
    }
    return body


def _conditions(
    place: Any,  # noqa: ANN401 - moto's backend or stack: both know account and region
    stack_name: str,
    body: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> dict[str, bool]:
    looked_at = ResourceMap(
        "none",
        stack_name,
        dict(parameters),
        {},
        place.region_name,
        place.account_id,
        {**body, "Outputs": {}},
        {},
    )
    looked_at.load_mapping()
    looked_at.load_parameters()
    numbers = {
        name: _text(value)
        for name, value in looked_at.resolved_parameters.items()
        if not isinstance(value, list)
    }
    looked_at._parsed_resources.update(numbers)  # noqa: SLF001 - moto has no public way
    looked_at.load_conditions()
    return {name: bool(looked_at.lazy_condition_map[name]) for name in body.get("Conditions", {})}


def _changes(
    stack: Any,  # noqa: ANN401 - moto's
    body: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> Iterator[Change]:
    """Yield what a change set changes, as describe_change_set names it."""
    declared: Mapping[str, Any] = stack.template_dict.get("Resources", {})
    old = {name: item for name, item in declared.items() if _made(stack.resource_map, name)}
    new: Mapping[str, Any] = body["Resources"]
    said = _differing(stack, body, parameters)
    for name, item in new.items():
        if name not in old:
            yield _change("Add", name, item)
    for name, item in new.items():
        if name in old:
            changed = list(_changed_properties(old[name], item, said))
            if changed:
                yield _modified(stack, name, item, changed)
    for name, item in old.items():
        if name not in new:
            gone = _change("Remove", name, item)
            gone.policy_action = "Retain" if item.get("DeletionPolicy") in _RETAINS else "Delete"
            gone.physical_resource_id = _physical_id(stack, name)
            yield gone


def _change(action: str, name: str, item: Mapping[str, Any]) -> Any:  # noqa: ANN401 - moto's
    return Change(action, name, item["Type"])


def _modified(stack: Any, name: str, item: Mapping[str, Any], changed: list[str]) -> Any:  # noqa: ANN401 - moto's
    change = _change("Modify", name, item)
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", item["Type"]).schema
    fixed = {path.rpartition("/")[2] for path in schema.get("createOnlyProperties", [])}
    replaced = fixed & set(changed)
    change.replacement = "True" if replaced else "False"
    if replaced:
        retained = item.get("UpdateReplacePolicy") in _RETAINS
        change.policy_action = "ReplaceAndRetain" if retained else "ReplaceAndDelete"
    change.physical_resource_id = _physical_id(stack, name)
    change.scope = ["Properties"]
    change.details = [
        {"Target": {"Attribute": "Properties", "Name": one}, "ChangeSource": "DirectModification"}
        for one in changed
    ]
    return change


def _physical_id(stack: Any, name: str) -> str:  # noqa: ANN401 - moto's
    return str(getattr(_made(stack.resource_map, name), "physical_resource_id", "") or "")


def _made(resource_map: Any, name: str) -> Any:  # noqa: ANN401 - moto's
    """Return a resource that was made, or None; asking the map itself would make it."""
    return resource_map._parsed_resources.get(name)  # noqa: SLF001 - as said


def _differing(
    stack: Any,  # noqa: ANN401 - moto's
    body: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> re.Pattern[str]:
    """Return what finds, in a property's JSON, a parameter or condition that has another value."""
    before = stack.resource_map.resolved_parameters
    declared = body.get("Parameters", {})
    names = [
        name
        for name, item in declared.items()
        if _text(before.get(name)) != _text(parameters.get(name, item.get("Default")))
    ]
    conditions = getattr(stack.resource_map, "lazy_condition_map", {})
    now = _conditions(stack, stack.name, body, parameters)
    turned = [name for name, holds in now.items() if bool(conditions.get(name)) != holds]
    words = [rf'"Ref": "{name}"' for name in names] + [rf"\$\{{{name}\}}" for name in names]
    words += [rf'"Fn::If": \["{name}"' for name in turned]
    return re.compile("|".join(words) or r"(?!)")


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _changed_properties(
    old: Mapping[str, Any], new: Mapping[str, Any], said: re.Pattern[str]
) -> Iterator[str]:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    for name in sorted({*before, *after}):
        text = json.dumps(after.get(name))
        if before.get(name) != after.get(name) or said.search(text):
            yield name


def _execute(
    self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    """Execute a change set, and let the stack be what it says, outputs included."""
    change_set: Any = self.describe_change_set(change_set_name)
    if change_set is None:
        raise ValidationError(stack_name)
    stack: Any = self.stacks[change_set.stack_id]
    word = change_set.change_set_type  # CREATE or UPDATE
    stack._add_stack_event(f"{word}_IN_PROGRESS", resource_status_reason="User Initiated")  # noqa: SLF001 - moto has no public way
    _prepare(stack.resource_map, change_set)
    stack.template, stack.tags = change_set.template, dict(change_set.tags or stack.tags)
    stack.original_template = change_set.original_template
    stack.parameters = change_set.parameters
    stack._parse_template()  # noqa: SLF001 - as above
    stack.description = stack.template_dict.get("Description")
    stack.resource_map.resolved_parameters = {}  # those of the template before are no more
    stack.resource_map.update(stack.template_dict, change_set.parameters)
    stack.output_map = stack._create_output_map()  # noqa: SLF001 - as above
    for export in stack.exports:
        self.exports[export.name] = export
    for change in change_set.changes:
        _add_resource_event(stack, change)
    change_set.execution_status = "EXECUTE_COMPLETE"
    stack._add_stack_event(f"{word}_COMPLETE")  # noqa: SLF001 - as above
    stack.status = f"{word}_COMPLETE"


def _prepare(resource_map: Any, change_set: Any) -> None:  # noqa: ANN401 - moto's
    """Let moto see what changes, and not see what it would delete although it is retained."""
    declared = resource_map._resource_json_map  # noqa: SLF001 - moto has no public way
    for name in [name for name in declared if name not in change_set.template_dict["Resources"]]:
        retained = declared[name].get("DeletionPolicy") in _RETAINS
        if retained or not _made(resource_map, name):
            resource_map._parsed_resources.pop(name, None)  # noqa: SLF001 - as above
            del declared[name]
    for change in change_set.changes:
        if change.action == "Modify":  # by a condition, of which moto does not know
            declared[change.logical_resource_id] = {"Type": change.resource_type}


def _add_resource_event(stack: Any, change: Any) -> None:  # noqa: ANN401 - moto's
    done = {"Add": "CREATE", "Modify": "UPDATE", "Remove": "DELETE"}[change.action]
    stack.events.append(
        Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=change.logical_resource_id,
            physical_resource_id=_physical_id(stack, change.logical_resource_id),
            resource_type=change.resource_type,
            resource_status=f"{done}_COMPLETE",
            resource_status_reason=None,
            resource_properties=None,
        )
    )


def _get_template(self: Any) -> ActionResult:  # noqa: ANN401 - moto's
    """Answer with the template as it was given where that is asked for (TemplateStage)."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    original = getattr(stack, "original_template", None)
    if self._get_param("TemplateStage") == "Original" and original:
        return ActionResult({"TemplateBody": original})
    answer: ActionResult = _read_template(self)
    return answer
