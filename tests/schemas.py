"""What events/schemas promises, as every test tier asks it.

It must not know how an event comes to be: it is given envelopes and says what is wrong with them.
The schemas are open, so that a later field breaks no consumer; what we emit ourselves is held to
them as if they were closed, so that no field goes out undescribed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

__all__ = ["RELEASED_FIELDS", "SCHEMAS", "schema_errors", "validator"]

SCHEMAS = Path(__file__).resolve().parents[1] / "events" / "schemas"
# What every event has had since the first release (commit 9a2b77d). What came later is in none that
# is replayed from before it: no schema may demand it.
RELEASED_FIELDS = {
    *("schema_version", "job", "job_id", "report_type", "output_format", "start_date", "end_date"),
    *("object", "bucket", "key", "version_id", "size_bytes", "etag", "checksum_crc64nvme"),
    *("source_etag", "copy_method", "verified_by", "archived_at", "duration_seconds"),
    *("reason", "detail"),
}


@cache
def validator(name: str, *, closed: bool = False) -> Draft202012Validator:
    """Return the validator of an event's detail, formats checked; `name` as in the file's name.

    `closed`: fields that are not described are refused, too.
    """
    text = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text, object_hook=_close if closed else None)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _close(described: dict[str, Any]) -> dict[str, Any]:
    return {**described, "additionalProperties": False} if "required" in described else described


def schema_errors(event: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an envelope: nothing, or a sentence each."""
    kind = str(event["detail-type"])
    name = kind.lower().replace(" ", "-")
    if not (SCHEMAS / f"{name}.schema.json").is_file():
        return [f"{kind} has no schema"]
    errors = validator(name, closed=True).iter_errors(event["detail"])
    return [f"{kind}: {error.json_path}: {error.message}" for error in errors]
