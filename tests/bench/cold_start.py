"""Starts cold and stops at a mark: `cold_start.py handler|client|modules|garbage`.

It is the function's process. It imports nothing of ours but what it measures, and nothing that this
would not import anyway.
"""

import gc
import os
import sys
import time
from types import SimpleNamespace
from typing import Any, NoReturn

__all__: list[str] = []


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


_COLLECTIONS_BEFORE = _collections()


def _reach_the_handler() -> None:
    """Import the function and call it; the first line of `handle` asks for the application."""
    import archive_export  # noqa: PLC0415 - this import is what is measured

    context: Any = SimpleNamespace(
        function_name="archive_export",
        memory_limit_in_mb=192,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:archive_export",
        aws_request_id="00000000-0000-0000-0000-000000000000",
        get_remaining_time_in_millis=lambda: 300_000,
    )
    archive_export._application = _stop  # type: ignore[assignment] # the mark
    archive_export.handle({"Records": []}, context)


def _make_a_client() -> None:
    import boto3  # noqa: PLC0415 # as above

    boto3.client("s3")
    _stop()


def _stop() -> NoReturn:
    cpu_seconds = time.process_time()
    if sys.argv[1] == "modules":
        sys.stdout.write("\n".join(sorted(sys.modules)))
    elif sys.argv[1] == "garbage":
        sys.stdout.write(f"{gc.isenabled()} {_collections() - _COLLECTIONS_BEFORE}")
    else:
        sys.stdout.write(str(cpu_seconds))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "client":
        _make_a_client()
    else:
        _reach_the_handler()
