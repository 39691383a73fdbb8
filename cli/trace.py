"""`archiver trace JOB --stack local`: the story of one job, out of all that a run left.

The last log line of each message, then where the job is now, then what each run did and for how
long. On AWS the same is the saved query "what happened to one job", `archiver status`, and a
search of X-Ray's traces for the annotation `job_id`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.failure import NO
from cli.stack import read_outputs
from cli.status import describe_job, look_for_job
from local.aws.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.aws.traces import Segment, Trace

__all__ = ["show_trace"]

# What Powertools adds to every line, and what a story of one job need not repeat.
_NOT_TOLD = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "job_id", "cold_start"),
        *("function_name", "function_memory_size", "function_arn", "function_request_id"),
        *("xray_trace_id", "exception", "exception_name", "stack_trace"),
    }
)


def show_trace(stack: str, job_id: str, state_folder: Path) -> int:
    """Print the story; 1 if the run has none of that job."""
    lines = sorted(_log_lines(state_folder / "logs", job_id), key=lambda line: line["timestamp"])
    traces = [
        trace for trace in read_traces(state_folder / "traces.jsonl") if _is_about(trace, job_id)
    ]
    now = datetime.now(UTC)
    told = look_for_job(read_outputs(stack), job_id, now)
    print("what the log says")
    for line in lines:
        print(f"  {line['timestamp']}  {line['message']}  {_fields(line)}")
    print("where it is now")
    for name, value in describe_job(told, now):
        print(f"  {name:<13} {value}")
    print("what its runs did")
    for trace in traces:
        for text in _steps(trace):
            print(f"  {text}")
    return 0 if lines or traces else NO


def _log_lines(folder: Path, job_id: str) -> Iterator[dict[str, Any]]:
    """Read the JSON lines of all functions that name the job; others are the runtime's own."""
    for path in sorted(folder.glob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                if job_id not in text or not text.startswith("{"):
                    continue
                try:
                    line = json.loads(text)
                except ValueError:
                    continue  # cut off with its process
                if "timestamp" in line and "message" in line:
                    yield line


def _fields(line: Mapping[str, Any]) -> str:
    told = {name: value for name, value in line.items() if name not in _NOT_TOLD}
    return "  ".join(f"{name}={value}" for name, value in told.items())


def _is_about(trace: Trace, job_id: str) -> bool:
    return any(segment.annotations.get("job_id") == job_id for segment in trace.walk())


def _steps(trace: Trace) -> Iterator[str]:
    for root in trace.roots:
        began = datetime.fromtimestamp(root.start, UTC).isoformat(timespec="milliseconds")
        yield f"{began}  {root.name}  ({trace.trace_id})"
        yield from _nested(root, root.start, 1)


def _nested(segment: Segment, start: float, depth: int) -> Iterator[str]:
    for step in segment.subsegments:
        took = "still running" if step.end is None else f"{(step.end - step.start) * 1000:.0f} ms"
        failed = "  FAILED" if step.failed else ""
        name = step.name.removeprefix("## ")
        yield f"{'  ' * depth}+{(step.start - start) * 1000:.0f} ms  {name}  {took}{failed}"
        yield from _nested(step, start, depth + 1)
