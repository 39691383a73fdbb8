"""The function's own process, warm: takes batches as JSON lines, calls the real handler, measures.

Each line in is `{"messages": [...]}`: one invocation for each. Each line out tells the CPU and wall
seconds of each invocation, the failures, and the process's peak memory. It runs on the built
function and layers alone and imports nothing of ours but the function.
"""

import json
import os
import sys
import time
import uuid
from types import SimpleNamespace
from typing import Any

__all__ = ["sqs_record"]


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    # The function's log and metrics cost what they cost; only nobody needs to read them here.
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    import archive_export  # noqa: PLC0415 - only now, for its logger keeps the standard output

    # The server stands for AWS's S3, which is known by its name.
    archive_export._application()._store.dialect.meet("s3.us-east-1.amazonaws.com")
    for line in sys.stdin:
        invocations = [_invoke(archive_export, one) for one in json.loads(line)["messages"]]
        answers.write(json.dumps({"invocations": invocations, "peak_rss_mib": _peak_rss_mib()}))
        answers.write("\n")
        answers.flush()


def _invoke(function: Any, message: dict[str, str]) -> dict[str, Any]:  # noqa: ANN401 - a module
    event = {"Records": [sqs_record(message)]}
    context = SimpleNamespace(
        function_name="archive_export",
        memory_limit_in_mb=192,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:archive_export",
        aws_request_id=str(uuid.uuid4()),
        get_remaining_time_in_millis=lambda: 300_000,
    )
    cpu, wall = time.process_time(), time.perf_counter()
    answer = function.handle(event, context)
    return {
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "failures": len(answer["batchItemFailures"]),
    }


def sqs_record(message: dict[str, str]) -> dict[str, Any]:
    """Return a received message as SQS hands it to Lambda."""
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": message["receipt_handle"],
        "body": message["body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(int(time.time() * 1000)),
            "SenderId": "sender",
            "ApproximateFirstReceiveTimestamp": str(int(time.time() * 1000)),
        },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
        "awsRegion": "us-east-1",
    }


def _peak_rss_mib() -> float:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 - a pseudo file
        found = next((line for line in status if line.startswith("VmHWM:")), "VmHWM: 0")
    return int(found.split()[1]) / 1024


if __name__ == "__main__":
    _serve()
