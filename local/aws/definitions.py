"""What the deployed template says, as plain values: the contract between deploying and running.

It must not know moto: stack.py fills these, runtime.py and event_source.py live by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "AsyncInvokeDefinition",
    "EventSourceDefinition",
    "FunctionDefinition",
    "Resource",
    "ScheduleDefinition",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """One deployed resource; `properties` with every intrinsic function resolved."""

    logical_id: str
    type: str
    physical_id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AsyncInvokeDefinition:
    """How Lambda retries an asynchronous invocation, and where it puts what never succeeds."""

    maximum_retry_attempts: int = 2  # Lambda's default: three tries in all
    on_failure_arn: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """A function as Lambda would start it; code and layers are folders of the local build."""

    logical_id: str
    name: str
    arn: str
    handler: str
    runtime: str
    memory_mib: int
    timeout_seconds: int
    environment: Mapping[str, str]
    task_root: Path
    layers: tuple[Path, ...]  # in the template's order: a later one wins, as under /opt
    log_group: str
    json_logs: bool
    asynchronous: AsyncInvokeDefinition
    reserved_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class EventSourceDefinition:
    """An SQS event source mapping, as the template asks for it."""

    uuid: str
    queue_arn: str
    function_name: str
    batch_size: int
    maximum_concurrency: int | None
    reports_batch_item_failures: bool


@dataclass(frozen=True, slots=True)
class ScheduleDefinition:
    """An EventBridge rule that invokes a function now and then."""

    rule_name: str
    expression: str
    function_name: str
