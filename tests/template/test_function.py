"""The function runs as it was designed to: its environment, logs, traces, layers and limits."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.wiring.settings import Settings
from tests.template.resolved import Stack

SETTLED = {
    "APARTMENTIQ_API_BASE_URL",
    "APARTMENTIQ_TOKEN_URL",
    "TRUSTED_LINK_HOSTS",
    "ARCHIVE_BUCKET",
    "KEY_PREFIX",
    "KEY_TEMPLATE",
    "KMS_KEY_ARN",
    "CREDENTIALS_SECRET_ARN",
    "SOURCE_BUCKETS",
    "TABLE_NAME",
    "EVENT_BUS_NAME",
    "QUEUE_URL",
    "DEAD_LETTER_QUEUE_URL",
}
OURS = {"MAX_RECEIVES", "MAX_WAIT_HOURS", "KEEP_SUPERSEDED_DAYS"}
LIBRARIES = {
    "STACK_NAME": "archiver",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "BOTO_DISABLE_CRT": "true",  # its signer copies whole bodies
}


def function(**parameters: str) -> dict[str, Any]:
    """Return the function's properties for parameters."""
    return Stack(**parameters).properties("ArchiveExportFunction")


def test_the_environment_has_exactly_the_settled_names() -> None:
    """Nothing that others build on is missing, and nothing is there that nobody described."""
    variables = function()["Environment"]["Variables"]
    assert variables.keys() == SETTLED | OURS | LIBRARIES.keys()
    assert {name: variables[name] for name in LIBRARIES} == LIBRARIES


def test_the_function_understands_the_environment_that_the_template_gives() -> None:
    """Settings reads it without complaint, and finds the template's values in it."""
    settings = Settings.from_environ(function()["Environment"]["Variables"])
    assert settings.api_base_url == "https://data.apartmentiq.io/apartmentiq/api/v1"
    assert settings.token_url == "https://data.apartmentiq.io/oauth/token"
    assert (settings.max_receives, settings.max_wait_hours) == (6, 72)
    assert settings.kms_key_arn is None
    assert settings.source_buckets == frozenset()


def test_it_runs_where_it_was_designed_to() -> None:
    """Python 3.13, arm64 unless told otherwise, fifteen minutes."""
    properties = function()
    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == ["arm64"]
    assert properties["Handler"] == "archive_export.handle"
    assert properties["Timeout"] == "900"


def test_layers_are_built_for_the_functions_architecture() -> None:
    """Both layers come along, and say which processor they are for."""
    stack = Stack(Architecture="x86_64")
    layers = stack.of_type("AWS::Lambda::LayerVersion")
    assert len(layers) == len(stack.properties("ArchiveExportFunction")["Layers"]) == 2
    assert all(layer["CompatibleArchitectures"] == ["x86_64"] for layer in layers.values())


def test_it_is_traced_and_logs_json_to_a_group_that_forgets() -> None:
    """Logs stay as long as LogRetentionDays says, in a group that the stack owns."""
    stack = Stack(LogRetentionDays="30")
    properties = stack.properties("ArchiveExportFunction")
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert properties["LoggingConfig"]["LogGroup"] == "<ArchiveExportLogGroup>"
    assert properties["LoggingConfig"]["LogFormat"] == "JSON"
    assert stack.properties("ArchiveExportLogGroup")["RetentionInDays"] == "30"


@pytest.mark.parametrize(
    ("given", "level"),
    [("DEBUG", "DEBUG"), ("INFO", "INFO"), ("WARN", "INFO"), ("ERROR", "INFO")],
)
def test_no_log_level_drops_metrics_or_the_line_of_a_message(given: str, level: str) -> None:
    """Of no function: Lambda takes a line of metrics, which has no level, for INFO."""
    functions = Stack(LogLevel=given).of_type("AWS::Lambda::Function")
    assert len(functions) == 3
    for properties in functions.values():
        assert properties["LoggingConfig"]["ApplicationLogLevel"] == level
        assert properties["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == level


@pytest.mark.parametrize(("given", "expected"), [("", None), ("10", "10")])
def test_concurrency_is_reserved_only_on_request(given: str, expected: str | None) -> None:
    """A new account, whose quota is 10, has none to reserve."""
    assert function(ReservedConcurrency=given).get("ReservedConcurrentExecutions") == expected
