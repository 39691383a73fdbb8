"""The only reader of the environment.

Values are checked here, once, with the variable's name in every complaint; no module below looks
at os.environ.

The names are settled: template.yaml sets them. Variables of our libraries that would disable a
safeguard are listed beside them: with one of these no function starts. What the others do is
harmless, as tests/functional/switches.py shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from archiver.apartmentiq.link import TrustedHosts
from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, check_key_template

__all__ = ["CallbackSettings", "OrderSettings", "Settings", "SettingsError", "SweepSettings"]


# Powertools takes y, yes, t, true, on and 1 in any case for on, these for off, and raises in the
# middle of the work for all others (shared/functions.py, strtobool, version 3.37).
_OFF = frozenset({"0", "n", "no", "f", "false", "off"})
_MUST_BE_OFF = {
    # utilities/idempotency/idempotency.py: the attempt is then simply called
    "POWERTOOLS_IDEMPOTENCY_DISABLED": "exports would be archived without a claim or a receipt",
    # metrics/functions.py, is_metrics_disabled: either of the two
    "POWERTOOLS_METRICS_DISABLED": "there would be no metrics, and most alarms would stay silent",
    "POWERTOOLS_DEV": "there would be no metrics, and most alarms would stay silent",
    # botocore/monitoring.py: a UDP packet for each call, with the role's session token, to any host
    "AWS_CSM_ENABLED": "botocore would send the function's session token to whoever listens",
}
# The ssl module, botocore and urllib3 write the keys of all TLS connections into this file:
# https://docs.python.org/3/library/ssl.html#ssl.SSLContext.keylog_filename
_KEY_LOG = "SSLKEYLOGFILE"
# botocore takes AWS_ENDPOINT_URL and one for each service (AWS_ENDPOINT_URL_S3, …) as they are:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
_ENDPOINTS = "AWS_ENDPOINT_URL"
# Lambda sets this to the function's ApplicationLogLevel, and drops what is below it. A line of
# metrics has no level, and so counts as INFO; so does the runtime's own line about an exception:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
# https://github.com/aws/aws-lambda-python-runtime-interface-client/issues/220
_LOG_LEVEL = "AWS_LAMBDA_LOG_LEVEL"
_DROPS_METRICS = frozenset({"WARN", "ERROR", "FATAL"})
_GOOD_ENDPOINT = re.compile(r"https://.*|http://(localhost|127\.0\.0\.1)(:[0-9]+)?/?")


class SettingsError(ValueError):
    """A variable is missing or wrong; the text names it and what it needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What template.yaml decides for archive_export."""

    stack_name: str
    api_base_url: str
    token_url: str
    trusted_hosts: TrustedHosts
    archive_bucket: str
    key_prefix: str
    key_template: str
    kms_key_arn: str | None
    credentials_secret_arn: str
    source_buckets: frozenset[str]
    table_name: str
    event_bus_name: str
    queue_url: str
    dead_letter_queue_url: str
    max_receives: int
    max_wait_hours: float
    keep_superseded_days: int  # 0: for ever
    lease_seconds: int  # for so long a run that was killed keeps its job and its message
    memory_mib: int  # what the process may take in all: MemorySize
    extra_ca_bundle: str | None  # AWS_CA_BUNDLE: roots to trust beside the system's
    traced: bool  # inside Lambda, where an X-Ray daemon listens

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
        _refuse_switches(environ)
        prefix = environ.get("KEY_PREFIX", "")
        template = environ.get("KEY_TEMPLATE") or DEFAULT_KEY_TEMPLATE
        try:
            check_key_template(prefix, template)
        except ValueError as error:
            raise SettingsError(f"KEY_PREFIX/KEY_TEMPLATE: {error}") from error
        try:
            trusted = TrustedHosts.parse(environ.get("TRUSTED_LINK_HOSTS", ""))
        except ValueError as error:
            raise SettingsError(f"TRUSTED_LINK_HOSTS: {error}") from error
        return cls(
            stack_name=_stack_name(environ),
            api_base_url=_https(environ, "APARTMENTIQ_API_BASE_URL"),
            token_url=_https(environ, "APARTMENTIQ_TOKEN_URL"),
            trusted_hosts=trusted,
            archive_bucket=_required(environ, "ARCHIVE_BUCKET"),
            key_prefix=prefix,
            key_template=template,
            kms_key_arn=environ.get("KMS_KEY_ARN") or None,
            credentials_secret_arn=_required(environ, "CREDENTIALS_SECRET_ARN"),
            source_buckets=frozenset(_listed(environ.get("SOURCE_BUCKETS", ""))),
            table_name=_required(environ, "TABLE_NAME"),
            event_bus_name=_required(environ, "EVENT_BUS_NAME"),
            queue_url=_required(environ, "QUEUE_URL"),
            dead_letter_queue_url=_required(environ, "DEAD_LETTER_QUEUE_URL"),
            max_receives=_whole(environ, "MAX_RECEIVES", default=6),
            max_wait_hours=_whole(environ, "MAX_WAIT_HOURS", default=72),
            keep_superseded_days=_whole(environ, "KEEP_SUPERSEDED_DAYS", default=0, least=0),
            lease_seconds=_whole(environ, "LEASE_SECONDS", default=45),
            memory_mib=_whole(environ, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", default=128),
            extra_ca_bundle=environ.get("AWS_CA_BUNDLE") or None,
            traced="LAMBDA_TASK_ROOT" in environ,
        )


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """What template.yaml decides for receive_callback."""

    stack_name: str
    queue_url: str
    token_secret_arn: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> CallbackSettings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
        _refuse_switches(environ)
        return cls(
            stack_name=_stack_name(environ),
            queue_url=_required(environ, "QUEUE_URL"),
            token_secret_arn=_required(environ, "CALLBACK_TOKEN_SECRET_ARN"),
        )


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What template.yaml decides for reconcile_exports, which needs no more than this."""

    stack_name: str
    api_base_url: str
    token_url: str
    credentials_secret_arn: str
    table_name: str
    queue_url: str
    look_back_days: int
    archive_bucket: str | None  # None: no upload is aborted
    key_prefix: str
    extra_ca_bundle: str | None
    traced: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> SweepSettings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
        _refuse_switches(environ)
        return cls(
            stack_name=_stack_name(environ),
            api_base_url=_https(environ, "APARTMENTIQ_API_BASE_URL"),
            token_url=_https(environ, "APARTMENTIQ_TOKEN_URL"),
            credentials_secret_arn=_required(environ, "CREDENTIALS_SECRET_ARN"),
            table_name=_required(environ, "TABLE_NAME"),
            queue_url=_required(environ, "QUEUE_URL"),
            look_back_days=_whole(environ, "LOOK_BACK_DAYS", default=30),
            archive_bucket=environ.get("ARCHIVE_BUCKET") or None,
            key_prefix=environ.get("KEY_PREFIX", ""),
            extra_ca_bundle=environ.get("AWS_CA_BUNDLE") or None,
            traced="LAMBDA_TASK_ROOT" in environ,
        )


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """What template.yaml decides for order_exports, which needs no more than this."""

    stack_name: str
    api_base_url: str
    token_url: str
    credentials_secret_arn: str
    table_name: str
    queue_url: str
    event_bus_name: str
    callback_base_url: str | None  # None: jobs are ordered without a callback URL
    callback_token_secret_arn: str | None
    extra_ca_bundle: str | None
    traced: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> OrderSettings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
        _refuse_switches(environ)
        calls_back = bool(environ.get("CALLBACK_BASE_URL"))
        return cls(
            stack_name=_stack_name(environ),
            api_base_url=_https(environ, "APARTMENTIQ_API_BASE_URL"),
            token_url=_https(environ, "APARTMENTIQ_TOKEN_URL"),
            credentials_secret_arn=_required(environ, "CREDENTIALS_SECRET_ARN"),
            table_name=_required(environ, "TABLE_NAME"),
            queue_url=_required(environ, "QUEUE_URL"),
            event_bus_name=_required(environ, "EVENT_BUS_NAME"),
            callback_base_url=_https(environ, "CALLBACK_BASE_URL") if calls_back else None,
            callback_token_secret_arn=(
                _required(environ, "CALLBACK_TOKEN_SECRET_ARN") if calls_back else None
            ),
            extra_ca_bundle=environ.get("AWS_CA_BUNDLE") or None,
            traced="LAMBDA_TASK_ROOT" in environ,
        )


def _stack_name(environ: Mapping[str, str]) -> str:
    """Return whose metrics these are; without the template's word the function's own name.

    No metric may be another stack's, but that a name is missing is no reason to archive nothing.
    """
    names = (environ.get(name, "").strip() for name in ("STACK_NAME", "AWS_LAMBDA_FUNCTION_NAME"))
    return next((name for name in names if name), "unknown")


def _refuse_switches(environ: Mapping[str, str]) -> None:
    """Raise SettingsError where a library's variable would switch a promise off."""
    for name, else_ in _MUST_BE_OFF.items():
        if environ.get(name, "false").lower() not in _OFF:
            raise SettingsError(f"{name} must not be set: {else_}. Take it out of the environment.")
    if environ.get(_LOG_LEVEL, "").upper() in _DROPS_METRICS:
        raise SettingsError(
            f"{_LOG_LEVEL} must not be {environ[_LOG_LEVEL]}: Lambda would drop every line of "
            "metrics, and most alarms would stay silent. Set the function's ApplicationLogLevel to "
            "INFO; template.yaml does."
        )
    if environ.get(_KEY_LOG):
        raise SettingsError(
            f"{_KEY_LOG} must not be set: the keys of all TLS connections would be written to a "
            "file. Take it out of the environment."
        )
    for name, value in environ.items():
        if name.startswith(_ENDPOINTS) and value and not _GOOD_ENDPOINT.fullmatch(value):
            raise SettingsError(f"{name} must start with https://; found {value[:40]!r}.")


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set. template.yaml sets it; deploy the stack again.")
    return value


def _https(environ: Mapping[str, str], name: str) -> str:
    value = _required(environ, name).rstrip("/")
    if not value.startswith("https://"):
        raise SettingsError(f"{name} must start with https://; found {value[:40]!r}.")
    return value


def _listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _whole(environ: Mapping[str, str], name: str, *, default: int, least: int = 1) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        which = "above zero" if least else "or zero"
        raise SettingsError(f"{name} must be a whole number {which}; found {text!r}.")
    return int(text)
