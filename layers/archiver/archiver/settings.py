"""The only reader of the environment.

Values are checked here, once, with the variable's name in every complaint; no module below looks
at os.environ.

The names are settled (vocabulary, "Environment of the functions").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archiver.apartmentiq.link import TrustedHosts
from archiver.object_key import DEFAULT_KEY_TEMPLATE, check_key_template

__all__ = ["CallbackSettings", "Settings", "SettingsError", "SweepSettings"]


class SettingsError(ValueError):
    """The environment cannot be worked with; the text names the variable and what it needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What template.yaml decides for archive_export."""

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
    idempotency_expiry_days: int
    lease_seconds: int  # for so long a run that was killed keeps its job and its message
    extra_ca_bundle: str | None  # AWS_CA_BUNDLE: roots to trust beside the system's
    traced: bool  # inside Lambda, where an X-Ray daemon listens

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
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
            idempotency_expiry_days=_whole(environ, "IDEMPOTENCY_EXPIRY_DAYS", default=90),
            lease_seconds=_whole(environ, "LEASE_SECONDS", default=45),
            extra_ca_bundle=environ.get("AWS_CA_BUNDLE") or None,
            traced="LAMBDA_TASK_ROOT" in environ,
        )


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """What template.yaml decides for receive_callback."""

    queue_url: str
    token_secret_arn: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> CallbackSettings:
        """Read the settings; raises SettingsError for a variable that is missing."""
        return cls(
            queue_url=_required(environ, "QUEUE_URL"),
            token_secret_arn=_required(environ, "CALLBACK_TOKEN_SECRET_ARN"),
        )


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What template.yaml decides for reconcile_exports, which needs no more than this."""

    api_base_url: str
    token_url: str
    credentials_secret_arn: str
    table_name: str
    queue_url: str
    look_back_days: int
    extra_ca_bundle: str | None
    traced: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> SweepSettings:
        """Read the settings; raises SettingsError for a variable that is missing or wrong."""
        return cls(
            api_base_url=_https(environ, "APARTMENTIQ_API_BASE_URL"),
            token_url=_https(environ, "APARTMENTIQ_TOKEN_URL"),
            credentials_secret_arn=_required(environ, "CREDENTIALS_SECRET_ARN"),
            table_name=_required(environ, "TABLE_NAME"),
            queue_url=_required(environ, "QUEUE_URL"),
            look_back_days=_whole(environ, "LOOK_BACK_DAYS", default=30),
            extra_ca_bundle=environ.get("AWS_CA_BUNDLE") or None,
            traced="LAMBDA_TASK_ROOT" in environ,
        )


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


def _whole(environ: Mapping[str, str], name: str, *, default: int) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SettingsError(f"{name} must be a whole number above zero; found {text!r}.")
    return int(text)
