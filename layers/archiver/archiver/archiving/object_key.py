"""Where a job's export goes: job → key. Pure, and the only place that makes keys.

The default template makes one Athena table per report type and format (docs/athena.md). No value
from outside can leave the prefix or add a level to it: each is escaped as Hive escapes partition
values (percent-encoding), and a template is checked once, when the settings are read.
"""

from __future__ import annotations

import string

from archiver.catalogue import FOLDER, MOST_VALUE_BYTES, RECORDS_FOLDER, escape_value
from archiver.job import UNKNOWN, Job

__all__ = ["DEFAULT_KEY_TEMPLATE", "check_key_template", "is_of_unknowns", "object_key"]

DEFAULT_KEY_TEMPLATE = (
    "report_type={report_type}/format={output_format}"
    "/start_date={start_date}/end_date={end_date}/{job_id}.{extension}"
)

_RESERVED = (FOLDER, RECORDS_FOLDER)
_FIELDS = frozenset(
    {"report_type", "output_format", "start_date", "end_date", "job_id", "extension"}
)
_EXTENSIONS = frozenset({"csv", "jsonl", "parquet"})
_MAX_VALUES_BYTES = 4 * MOST_VALUE_BYTES + 36 + 7  # four escaped fields, a UUID, an extension
_MAX_KEY_BYTES = 1024  # S3's own limit


def object_key(job: Job, *, prefix: str, template: str) -> str:
    """Return the key for a job's export, at most 1,024 bytes, always below `prefix`.

    `template` must have passed `check_key_template`.
    """
    made = template.format(
        report_type=escape_value(job.report_type),
        output_format=escape_value(job.output_format),
        start_date=escape_value(job.start_date),
        end_date=escape_value(job.end_date),
        job_id=job.job_id,
        extension=job.output_format if job.output_format in _EXTENSIONS else "bin",
    )
    if made.startswith(_RESERVED):  # a report type of that name, where the template begins with it
        made = f"%{ord(made[0]):02X}{made[1:]}"
    return prefix + made


def is_of_unknowns(key: str, *, prefix: str) -> bool:
    """Tell whether a key was made for a job that the vendor had not described, by any template."""
    made = key.removeprefix(prefix)
    return UNKNOWN in made or made.endswith(".bin")


def check_key_template(prefix: str, template: str) -> None:
    """Raise ValueError, saying what to change, unless each job gets its own key below prefix."""
    if prefix and (prefix.startswith("/") or not prefix.endswith("/")):
        raise ValueError(f"the key prefix {prefix!r} must not start with / and must end with /")
    names = _field_names(template)
    if "job_id" not in names:
        raise ValueError("the key template must contain {job_id}: without it two jobs share a key")
    unknown = sorted(names - _FIELDS)
    if unknown:
        raise ValueError(f"the key template has no field {unknown[0]!r}; use {sorted(_FIELDS)}")
    if template.startswith(_RESERVED):
        reserved = " or ".join(_RESERVED)
        raise ValueError(f"the key template must not begin with {reserved}: the catalogue is there")
    example = prefix + template.format(**dict.fromkeys(_FIELDS, "x"))
    if any(segment in {"", ".", ".."} for segment in example.split("/")):
        raise ValueError(f"the key {example!r} has an empty segment, or one of only dots")
    if not example.isprintable() or "\\" in example:
        raise ValueError("the key template has a backslash or a character that cannot be printed")
    if len((prefix + template).encode()) + _MAX_VALUES_BYTES > _MAX_KEY_BYTES:
        raise ValueError("the key prefix and template are too long: a key could pass 1,024 bytes")


def _field_names(template: str) -> set[str]:
    names: set[str] = set()
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"the key template has unbalanced braces: {error}") from error
    for _, name, specification, conversion in parsed:
        if name is None:
            continue
        if specification or conversion or not name.isidentifier():
            raise ValueError(f"the key template's field {name!r} must be a plain name")
        if name in names:
            raise ValueError(f"the key template names {name!r} twice")
        names.add(name)
    return names
