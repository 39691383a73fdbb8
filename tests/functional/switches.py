"""Our libraries' own variables, as a person who hunts a fault may set them in the console.

Read in aws_lambda_powertools 3.37, aws_xray_sdk, botocore, urllib3 and ssl. `LOUD` asks for all the
lines, traces and records there are; `REFUSED` would switch a promise off.
"""

from __future__ import annotations

import importlib.util
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.package_logger import set_package_logger_handler

if TYPE_CHECKING:
    import pytest

__all__ = ["LOUD", "REFUSED", "loaded_again"]

LOUD = {
    "POWERTOOLS_LOGGER_LOG_EVENT": "true",
    "POWERTOOLS_DEBUG": "true",
    "POWERTOOLS_LOGGER_SAMPLE_RATE": "1",
    "POWERTOOLS_LOG_DEDUPLICATION_DISABLED": "true",
    "POWERTOOLS_LOG_LEVEL": "DEBUG",
    "LOG_LEVEL": "DEBUG",
    "AWS_LAMBDA_LOG_LEVEL": "TRACE",
    "POWERTOOLS_TRACER_CAPTURE_RESPONSE": "true",
    "POWERTOOLS_TRACER_CAPTURE_ERROR": "true",
    "POWERTOOLS_TRACE_MIDDLEWARES": "true",
    "POWERTOOLS_METRICS_FUNCTION_NAME": "another",
    "POWERTOOLS_PARAMETERS_MAX_AGE": "86400",
    "POWERTOOLS_PARAMETERS_SSM_DECRYPT": "true",
    "POWERTOOLS_CIRCUIT_BREAKER_DISABLED": "true",
    "POWERTOOLS_IDEMPOTENCY_DISABLED": "false",
    "POWERTOOLS_METRICS_DISABLED": "false",
    "POWERTOOLS_DEV": "0",
    "AWS_XRAY_CONTEXT_MISSING": "RUNTIME_ERROR",
    "AWS_CSM_ENABLED": "false",
}
REFUSED = [
    *(
        ("POWERTOOLS_IDEMPOTENCY_DISABLED", value)
        for value in ("true", "TRUE", "True", "t", "1", "y", "yes", "on", "On", "maybe", "", " 0")
    ),
    ("POWERTOOLS_METRICS_DISABLED", "true"),
    ("POWERTOOLS_METRICS_DISABLED", "maybe"),
    ("POWERTOOLS_DEV", "1"),
    ("AWS_CSM_ENABLED", "True"),
    ("SSLKEYLOGFILE", "/tmp/keys"),  # noqa: S108 - nothing is written there
    ("AWS_ENDPOINT_URL_SECRETSMANAGER", "http://secrets.example"),
]


@contextmanager
def loaded_again(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> Iterator[Any]:
    """Load a function once more, as a cold start does, in an environment; yields its module.

    Powertools reads most of its variables only then. Its own debug lines must be none.
    """
    package, told = logging.getLogger("aws_lambda_powertools"), io.StringIO()
    handlers, level = list(package.handlers), package.level
    spec = importlib.util.spec_from_file_location(f"{function.__name__}_again", function.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        set_package_logger_handler(told)  # type: ignore[no-untyped-call] # what importing it does
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            package.handlers[:] = handlers
            package.setLevel(level)
    assert "[DEBUG]" not in told.getvalue()
