"""The function as built for this machine: where it lies, and Python started on it as in Lambda.

Function and layers come from .aws-sam/local alone: no package of this venv is on the path. It must
not import the function; what runs, runs in a process of its own.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

from tests.bench.servers import ROOT

__all__ = [
    "LAYERS",
    "NotBuiltError",
    "function_command",
    "function_environment",
    "layer_folder",
    "zipped_bytes",
]

LAYERS = ("ArchiverLayer", "DependenciesLayer")
_BUILT = ROOT / ".aws-sam" / "local"
_FUNCTION = _BUILT / "ArchiveExportFunction"


class NotBuiltError(Exception):
    """The function was not built for this machine; the text says how."""


def function_command(script: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the command that runs a script of this folder in the function's place."""
    if not (_FUNCTION / "archive_export.py").is_file():
        raise NotBuiltError("there is no .aws-sam/local: run `make build-local` first")
    python = getattr(sys, "_base_executable", sys.executable)  # not the venv's: no packages
    return [python, "-s", "-S", "-P", *options, str(Path(__file__).with_name(script)), *arguments]


def function_environment(**extra: str) -> dict[str, str]:
    """Return Lambda's environment with the built code on the path; nothing of this machine's."""
    path = [_FUNCTION, *(layer_folder(name) / "python" for name in LAYERS)]
    unused = "https://localhost"
    return {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LANG": "en_US.UTF-8",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in path),
        "LAMBDA_TASK_ROOT": str(_FUNCTION),
        "AWS_LAMBDA_FUNCTION_NAME": "archive_export",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "FUNCTIONROLE",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "_X_AMZN_TRACE_ID": f"Root=1-00000000-{'0' * 24};Parent={'0' * 16};Sampled=1",
        "STACK_NAME": "apartmentiq-archiver",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "BOTO_DISABLE_CRT": "true",
        "APARTMENTIQ_API_BASE_URL": unused,
        "APARTMENTIQ_TOKEN_URL": unused,
        "ARCHIVE_BUCKET": "bucket",
        "CREDENTIALS_SECRET_ARN": "unused",
        "TABLE_NAME": "unused",
        "EVENT_BUS_NAME": "unused",
        "QUEUE_URL": unused,
        "DEAD_LETTER_QUEUE_URL": unused,
        **extra,
    }


def layer_folder(name: str) -> Path:
    """Return a layer's folder in the build for this machine."""
    return _BUILT / name


def zipped_bytes(folder: Path) -> int:
    """Return how large a folder is as the zip that is uploaded."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.tell()
