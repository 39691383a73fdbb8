"""One real Lambda runtime: AWS's emulator and runtime client as processes, one call at a time.

Code and layers are loaded as built, in an environment that starts empty, as in Lambda. This module
must not import the function: what runs, runs in its own process.

Nothing survives its parent. The emulator asks the kernel for SIGKILL at its parent's death
(launch.py), its Python child does the same for the emulator (bootstrap.py); this also holds when
the parent itself is killed, where atexit and finally do not run. Each runtime has a session of its
own, so that a terminal's Ctrl-C reaches the parent alone and it can end in order.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.aws.clients import Credentials
    from local.aws.definitions import FunctionDefinition
    from local.aws.runtime_installation import RuntimeInstallation
    from local.aws.traces import TraceCollector

__all__ = ["Invocation", "Runtime", "RuntimeSettings", "RuntimeStartError"]

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_PLATFORM = "local-platform"  # the same name in bootstrap.py
_START_ATTEMPTS = 3  # a port may be taken between choosing it and using it
_START_SECONDS = 5.0  # the emulator listens after 30 ms
_ANSWER_GRACE_SECONDS = 30.0  # initialisation comes on top of the function's own timeout
_LOG_SETTLES_SECONDS = 0.25  # the emulator writes its REPORT line just after it answers
_MEMORY_POLL_SECONDS = 0.02
_ERROR_FIELDS = {"errorMessage", "errorType", "requestId", "stackTrace"}


class RuntimeStartError(Exception):
    """The emulator did not come up; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What every runtime of a local run shares.

    With `enforce_memory` a runtime that outgrows its function's MemorySize is killed, as on Lambda.
    """

    installation: RuntimeInstallation
    credentials: Credentials
    region: str
    environment: Mapping[str, str]  # endpoints and trust: what the local run adds to Lambda's own
    logs_folder: Path
    traces: TraceCollector | None = None
    enforce_memory: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one invocation came to.

    `error_type` is None for an answer; `peak_rss_bytes` is the process's VmHWM since its start, and
    None when the process is gone. `cold` says that a process was started for it.
    """

    request_id: str
    trace_id: str
    payload: Any
    error_type: str | None
    timed_out: bool
    started_at: float
    duration_seconds: float
    cold: bool
    peak_rss_bytes: int | None
    log: str = field(repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the handler returned."""
        return self.error_type is None


@dataclass(frozen=True, slots=True)
class _Call:
    """The identity that Lambda gives an invocation."""

    request_id: str
    trace_id: str
    segment_id: str

    @classmethod
    def new(cls) -> _Call:
        trace_id = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        return cls(str(uuid.uuid4()), trace_id, secrets.token_hex(8))

    @property
    def trace_header(self) -> str:
        return f"Root={self.trace_id};Parent={self.segment_id};Sampled=1"


class Runtime:
    """An emulator process and, within it, the function's process, replaced when it dies."""

    def __init__(
        self, function: FunctionDefinition, settings: RuntimeSettings, number: int
    ) -> None:
        self._function = function
        self._settings = settings
        name = f"{function.logical_id}-{number}"
        self.log_path = settings.logs_folder / f"{name}.log"
        self._pid_path = settings.logs_folder / f"{name}.pid"
        self._log_stream = f"local/{name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start the emulator; the function's process starts with the first invocation.

        Call it from a thread that outlives the runtime. Raises RuntimeStartError.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_START_ATTEMPTS):
            self._spawn()
            if self._wait_until_listening():
                return
            self.stop()
        raise RuntimeStartError(f"{self.log_path}: {self._read_log(0)[-2000:]}")

    @property
    def is_alive(self) -> bool:
        """Whether the emulator runs."""
        return self._process is not None and self._process.poll() is None

    def invoke(self, event: object) -> Invocation:
        """Invoke the function and wait for its end, however it ends; raises nothing for that."""
        call = _Call.new()
        before, log_start = self._child_pid(), self._log_size()
        started_at, started = time.time(), time.monotonic()
        with self._memory_watch():
            status, body = self._post(call, event)
        duration = time.monotonic() - started
        payload, error_type, timed_out = _read_answer(status, body, call.request_id)
        after = self._child_pid()
        invocation = Invocation(
            request_id=call.request_id,
            trace_id=call.trace_id,
            payload=payload,
            error_type=error_type,
            timed_out=timed_out,
            started_at=started_at,
            duration_seconds=duration,
            cold=before is None or (after is not None and after != before),
            peak_rss_bytes=_read_status_bytes(after, "VmHWM"),
            log=self._log_of(call.request_id, log_start),
        )
        self._record_segment(call, invocation)
        return invocation

    def kill(self) -> bool:
        """SIGKILL the function's process, as a crash would; False when there is none."""
        return self._signal(signal.SIGKILL)

    def freeze(self) -> bool:
        """Stop the function's process where it is, until its time is up; False if there is none."""
        return self._signal(signal.SIGSTOP)

    def stop(self) -> None:
        """End the emulator and with it the function's process."""
        process, self._process = self._process, None
        if process is None:
            return
        child = self._child_pid(process.pid)
        for pid in (process.pid, child):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        self._pid_path.unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> bool:
        pid = self._child_pid()
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def _spawn(self) -> None:
        installation = self._settings.installation
        self._pid_path.unlink(missing_ok=True)
        self._port, api_port = _free_ports()
        python = getattr(sys, "_base_executable", sys.executable)  # not the venv's: no packages
        command = [
            python,
            *("-I", "-S", str(installation.folder / "launch.py"), str(os.getpid())),
            str(installation.emulator),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *("--runtime-api-address", f"127.0.0.1:{api_port}"),
            # no site-packages, no user's packages, no folder of the script: PYTHONPATH alone
            *(python, "-s", "-S", "-P", str(installation.folder / "bootstrap.py")),
            *(str(self._pid_path.resolve()), str(self._memory_limit_mib), self._function.handler),
        ]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=self._environment(),
                cwd=self._function.task_root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _memory_limit_mib(self) -> int:
        return self._function.memory_mib if self._settings.enforce_memory else 0

    def _environment(self) -> dict[str, str]:
        """Return the whole environment, in the order of precedence that Lambda has."""
        limits = {"MALLOC_ARENA_MAX": "2"} if self._settings.enforce_memory else {}
        return {
            **self._function.environment,
            **_lambda_environment(self._function, self._settings, self._log_stream),
            **self._settings.environment,
            **limits,
        }

    def _wait_until_listening(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        pause = Event()
        while time.monotonic() < deadline and self.is_alive:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return True
            pause.wait(0.01)
        return False

    def _post(self, call: _Call, event: object) -> tuple[int, bytes]:
        timeout = self._function.timeout_seconds + _ANSWER_GRACE_SECONDS
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        platform = {"trace_header": call.trace_header, "function_arn": self._function.arn}
        context = json.dumps({"custom": {_PLATFORM: platform}}).encode()
        headers = {
            "x-amzn-RequestId": call.request_id,
            "X-Amz-Client-Context": base64.b64encode(context).decode(),
        }
        try:
            connection.request("POST", _INVOKE_PATH, json.dumps(event), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.stop()  # an emulator that does not answer is of no more use; the pool starts anew
            reason = {"errorType": "Runtime.NoAnswer", "errorMessage": repr(error)}
            return 502, json.dumps(reason).encode()
        finally:
            connection.close()

    def _child_pid(self, emulator_pid: int | None = None) -> int | None:
        """Return the function's process, if it lives and is still this emulator's child."""
        parent = emulator_pid or (self._process.pid if self._process else None)
        try:
            pid = int(self._pid_path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if parent is not None and _parent_of(pid) == parent else None

    @contextmanager
    def _memory_watch(self) -> Iterator[None]:
        if not self._settings.enforce_memory:
            yield
            return
        done = Event()
        watcher = Thread(target=self._kill_above_limit, args=(done,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _kill_above_limit(self, done: Event) -> None:
        limit_bytes = self._memory_limit_mib * 1024 * 1024
        while not done.wait(_MEMORY_POLL_SECONDS):
            if (_read_status_bytes(self._child_pid(), "VmRSS") or 0) > limit_bytes:
                self.kill()

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _read_log(self, start: int) -> str:
        with suppress(OSError), self.log_path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")
        return ""

    def _log_of(self, request_id: str, start: int) -> str:
        deadline, pause = time.monotonic() + _LOG_SETTLES_SECONDS, Event()
        ending = (f"REPORT RequestId: {request_id}", "Waiting for runtime domain")
        text = self._read_log(start)
        while not any(mark in text for mark in ending) and time.monotonic() < deadline:
            pause.wait(0.005)
            text = self._read_log(start)
        lines = (line for line in text.splitlines(keepends=True) if "] (rapid) " not in line)
        return "".join(lines)

    def _record_segment(self, call: _Call, invocation: Invocation) -> None:
        """Add the segment that the Lambda service itself would send."""
        if self._settings.traces is not None:
            self._settings.traces.add(
                {
                    "trace_id": call.trace_id,
                    "id": call.segment_id,
                    "name": self._function.name,
                    "origin": "AWS::Lambda::Function",
                    "start_time": invocation.started_at,
                    "end_time": invocation.started_at + invocation.duration_seconds,
                    "fault": not invocation.succeeded,
                    "annotations": {"cold": invocation.cold},
                }
            )


def _lambda_environment(
    function: FunctionDefinition, settings: RuntimeSettings, log_stream: str
) -> dict[str, str]:
    """Return what Lambda itself sets.

    Source: "Defined runtime environment variables" in the Lambda developer guide.
    """
    folder = settings.installation.folder
    # /var/task, then /opt/python (a later layer over an earlier one), then /var/runtime
    path = [function.task_root, *(layer / "python" for layer in reversed(function.layers)), folder]
    return {
        "_HANDLER": function.handler,
        "AWS_ACCESS_KEY_ID": settings.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.credentials.secret_access_key,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mib),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON" if function.json_logs else "Text",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": settings.traces.address if settings.traces else "127.0.0.1:9",
        "HOME": "/nonexistent",  # as on Lambda; here it keeps ~/.aws of this machine out
        "LAMBDA_RUNTIME_DIR": str(folder),
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task and /opt are read-only on Lambda
        "PYTHONPATH": os.pathsep.join(str(folder.resolve()) for folder in path),
        "TZ": ":UTC",
    }


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _read_answer(status: int, body: bytes, request_id: str) -> tuple[Any, str | None, bool]:
    """Tell an answer from a timeout, a function's error and an exit."""
    if body.startswith(b"Task timed out after "):
        return body.decode(), "Sandbox.Timedout", True
    try:
        payload = json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace"), "Runtime.InvalidAnswer", False
    reported = str(payload.get("errorType") or "") if isinstance(payload, dict) else ""
    if status != http.client.OK:
        return payload, reported or "Runtime.Unknown", False
    if _is_function_error(payload, request_id):
        return payload, reported or "Exception", False
    return payload, None, False


def _is_function_error(payload: object, request_id: str) -> bool:
    """Recognise the runtime client's error report, which a handler's own answer cannot be."""
    return (
        isinstance(payload, dict)
        and payload.keys() == _ERROR_FIELDS
        and payload["requestId"] in ("", request_id)  # empty when the module did not load
    )


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - a pseudo file
            state, parent = stat.read().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def _read_status_bytes(pid: int | None, name: str) -> int | None:
    if pid is None:
        return None
    with (
        suppress(OSError),
        open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status,  # noqa: PTH123 - a pseudo file
    ):
        for line in status:
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024  # the kernel says kB and means KiB
    return None
