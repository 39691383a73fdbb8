"""What stands in `/var/runtime/bootstrap` here: AWS's runtime client, with what the emulator lost.

`bootstrap.py PID_FILE MEMORY_LIMIT_MIB HANDLER`. The emulator drops the trace header and makes up
an account in the function's ARN; both arrive as a client context instead and are put back before
the handler is called. It imports nothing of ours, and must not: it runs in the function's process.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from awslambdaric.__main__ import main  # type: ignore[import-untyped]  # ships no types
from awslambdaric.lambda_runtime_client import (  # type: ignore[import-untyped]  # ships no types
    LambdaRuntimeClient,
)

__all__: list[str] = []

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_THREAD_STACK_BYTES = 524_288  # with more, thread stacks alone would eat a small limit
_PLATFORM = "local-platform"  # the same name in runtime.py


def _start() -> None:
    pid_file, memory_limit_mib, handler = sys.argv[1:4]
    _limit_memory(int(memory_limit_mib))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the emulator's end is ours
    Path(pid_file).write_text(str(os.getpid()), encoding="ascii")
    LambdaRuntimeClient.wait_next_invocation = _restoring(LambdaRuntimeClient.wait_next_invocation)
    main([sys.argv[0], handler])


def _limit_memory(limit_mib: int) -> None:
    """Limit data and thread stacks, then start over: libc reads the stack's limit only once."""
    wanted = {
        resource.RLIMIT_DATA: limit_mib * 1024 * 1024,
        resource.RLIMIT_STACK: _THREAD_STACK_BYTES,
    }
    if not limit_mib or resource.getrlimit(resource.RLIMIT_DATA)[0] == limit_mib * 1024 * 1024:
        return
    for what, limit in wanted.items():
        resource.setrlimit(what, (limit, limit))
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - no shell is wanted


def _restoring(wait_next: Any) -> Any:  # noqa: ANN401 - awslambdaric ships no types
    def wait_next_invocation(client: object) -> object:
        request = wait_next(client)
        platform = json.loads(request.client_context or "{}").get("custom", {}).get(_PLATFORM)
        if platform:
            request.x_amzn_trace_id = platform["trace_header"]
            request.invoked_function_arn = platform["function_arn"]
            request.client_context = None  # SQS sends none
        return request

    return wait_next_invocation


if __name__ == "__main__":
    _start()
