"""Settings: read once, and every complaint names its variable."""

from __future__ import annotations

import pytest

from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE
from archiver.wiring.settings import CallbackSettings, Settings, SettingsError

GOOD = {
    "APARTMENTIQ_API_BASE_URL": "https://data.apartmentiq.io/apartmentiq/api/v1/",
    "APARTMENTIQ_TOKEN_URL": "https://data.apartmentiq.io/oauth/token",
    "ARCHIVE_BUCKET": "archive",
    "CREDENTIALS_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s",
    "TABLE_NAME": "table",
    "EVENT_BUS_NAME": "bus",
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead",
}


def test_defaults_fill_what_is_empty() -> None:
    """Empty strings, as CloudFormation passes them, count as not given."""
    settings = Settings.from_environ(
        {**GOOD, "KEY_TEMPLATE": "", "KMS_KEY_ARN": "", "SOURCE_BUCKETS": " a, b,,"}
    )
    assert settings.key_template == DEFAULT_KEY_TEMPLATE
    assert settings.kms_key_arn is None
    assert settings.source_buckets == {"a", "b"}
    assert settings.api_base_url == "https://data.apartmentiq.io/apartmentiq/api/v1"
    assert (settings.max_receives, settings.max_wait_hours) == (6, 72)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_variable_is_named(name: str) -> None:
    """The one who deploys reads which variable it is."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**GOOD, name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APARTMENTIQ_API_BASE_URL", "http://data.apartmentiq.io/v1"),
        ("APARTMENTIQ_TOKEN_URL", "ftp://x"),
        ("TRUSTED_LINK_HOSTS", "https://files.example.com"),
        ("TRUSTED_LINK_HOSTS", "files.example.com:99999"),
        ("TRUSTED_LINK_HOSTS", "10.0.0.1"),
        ("KEY_TEMPLATE", "{report_type}"),
        ("KEY_PREFIX", "exports"),
        ("MAX_RECEIVES", "0"),
        ("MAX_WAIT_HOURS", "three"),
        ("MAX_RECEIVES", "-1"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """No setting is quietly replaced by a default."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**GOOD, name: value})


@pytest.mark.parametrize("name", ["QUEUE_URL", "CALLBACK_TOKEN_SECRET_ARN"])
def test_a_missing_variable_of_the_callbacks_is_named(name: str) -> None:
    """receive_callback needs two variables and none of the archiver's."""
    good = {"QUEUE_URL": GOOD["QUEUE_URL"], "CALLBACK_TOKEN_SECRET_ARN": "arn:token"}
    assert CallbackSettings.from_environ(good).token_secret_arn == "arn:token"
    with pytest.raises(SettingsError, match=name):
        CallbackSettings.from_environ({**good, name: " "})


@pytest.mark.parametrize("level", ["WARN", "ERROR", "FATAL", "error"])
def test_a_log_level_that_drops_metrics_is_refused(level: str) -> None:
    """Lambda takes a line of metrics for INFO; without metrics most alarms would be silent."""
    with pytest.raises(SettingsError, match="AWS_LAMBDA_LOG_LEVEL"):
        Settings.from_environ({**GOOD, "AWS_LAMBDA_LOG_LEVEL": level})
    Settings.from_environ({**GOOD, "AWS_LAMBDA_LOG_LEVEL": "INFO"})


def test_metrics_are_never_another_stacks() -> None:
    """Without the template's name of the stack they are the function's own."""
    assert Settings.from_environ({**GOOD, "STACK_NAME": "archiver"}).stack_name == "archiver"
    alone = Settings.from_environ({**GOOD, "AWS_LAMBDA_FUNCTION_NAME": "archiver-Archive-1X"})
    assert alone.stack_name == "archiver-Archive-1X"
