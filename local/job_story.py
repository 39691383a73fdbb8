"""`make trace JOB=<uuid>`: the story of one job of the local run, out of all that it left.

The last log line of each message, then where the job is now, then what each run did and for how
long. On AWS the same is the saved query "what happened to one job", `make status`, and a search
of X-Ray's traces for the annotation `job_id`. It must not import `archiver`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.traces import read_traces
from local.local_run import enter_local_run
from local.stack_outputs import read_outputs
from local.status import describe_job

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.aws.traces import Segment, Trace

__all__ = ["run_trace"]

# What Powertools adds to every line, and what a story of one job need not repeat.
_NOT_TOLD = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "job_id", "cold_start"),
        *("function_name", "function_memory_size", "function_arn", "function_request_id"),
        *("xray_trace_id", "exception", "exception_name", "stack_trace"),
    }
)


def run_trace(arguments: argparse.Namespace) -> int:
    """Print the story; 1 if the run has none of that job, or cannot be read."""
    run = enter_local_run(arguments.state_folder)
    lines = sorted(_log_lines(run.logs_folder, arguments.job), key=lambda line: line["timestamp"])
    traces = [trace for trace in read_traces(run.traces_path) if _is_about(trace, arguments.job)]
    try:
        told = list(describe_job(read_outputs(run.stack), arguments.job, datetime.now(UTC)))
    except (BotoCoreError, ClientError, LookupError) as error:
        print(f"no story: {error}")
        return 1
    print("what the log says")
    for line in lines:
        print(f"  {line['timestamp']}  {line['message']}  {_fields(line)}")
    print("where it is now")
    for name, value in told:
        print(f"  {name:<13} {value}")
    print("what its runs did")
    for trace in traces:
        for text in _steps(trace):
            print(f"  {text}")
    return 0 if lines or traces else 1


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
