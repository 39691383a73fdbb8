"""Which jobs a callback speaks of. Pure: bytes in, job ids out.

The vendor documents neither the payload nor a signature of its callbacks, so nothing in one is
believed but that a job may have something new to say: the ids are taken, and the API is asked with
our own credentials. This module must not look at a status, an address or a link in a callback.

Looked for, in this order, and each id once:
- in the query and in a form: the parameters `job_id` and `job_ids`, also nested as Rails and PHP
  write them (`job[job_id]`, `jobs[][job_id]`), and JSON in `job`, `jobs`, `data` and `payload`;
- in JSON: `job_id` and `job_ids` at the top level, in `job`, `jobs`, `data` and `payload`, and in
  lists; a `job` may be its id alone, or have it as its `id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from archiver.job import parse_job_id

__all__ = ["LOOKED_FOR", "MOST_JOBS", "find_job_ids"]

MOST_JOBS = 100  # as many as a page of the vendor's job list; each becomes a message
LOOKED_FOR = (
    "a `job_id` (UUID) in JSON, at the top level, in `job`, `jobs`, `data` or `payload`, or in a "
    "list of these; in a form; or in the query"
)
_DEEPEST = 8  # {"data": {"jobs": [{"job": {"job_id": …}}]}} needs five
_MOST_FIELDS = 1000  # of a form or a query; a job list of 100 with ten fields each
_ID_NAMES = ("job_id", "job_ids")
_JOB_NAMES = ("job", "jobs")
_NESTED_NAMES = (*_JOB_NAMES, "data", "payload")


def find_job_ids(query: str, body: bytes) -> list[str]:
    """Return every job id, canonical and once, in the order in which they stand.

    Never raises: a body that cannot be read holds no id. The list may be longer than MOST_JOBS.
    """
    text = body.decode("utf-8-sig", errors="replace").strip()
    found = [*_in_fields(query), *_in_text(text)]
    return list(dict.fromkeys(found))


def _in_text(text: str) -> Iterator[str]:
    """Look into a body by its shape: senders name the wrong Content-Type, or none."""
    if text[:1] in ("{", "["):
        yield from _in_value(_read_json(text), depth=0)
    else:
        yield from _in_fields(text)


def _in_fields(text: str) -> Iterator[str]:
    """Look into a query or a form."""
    try:
        fields = parse_qsl(text, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:  # more fields than that
        return
    for name, value in fields:
        yield from _in_field(_name_parts(name), value)


def _in_field(parts: list[str], value: str) -> Iterator[str]:
    last = parts[-1]
    if last in _NESTED_NAMES and value.lstrip()[:1] in ("{", "["):
        yield from _in_named(last, _read_json(value), depth=1)
    elif last in (*_ID_NAMES, *_JOB_NAMES) or (last == "id" and parts[-2] in _JOB_NAMES):
        yield from _as_ids(value)


def _name_parts(name: str) -> list[str]:
    """Return the names in a field's name, the outermost first: "jobs[0][job_id]" has two."""
    parts = name.replace("]", "").split("[")
    return ["", *(part for part in parts if part and not part.isdigit())]


def _in_value(value: object, depth: int) -> Iterator[str]:
    """Look into a JSON object, or into a list of them."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _in_value(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _ID_NAMES:
                yield from _as_ids(item)
            elif name in _NESTED_NAMES:
                yield from _in_named(name, item, depth + 1)


def _in_named(name: str, value: object, depth: int) -> Iterator[str]:
    """Look into what such a name has; what stands for a job may be its id alone."""
    if name in _JOB_NAMES:
        for job in value if isinstance(value, list) else [value]:
            yield from _as_ids(_own_id(job) if isinstance(job, dict) else job)
    yield from _in_value(value, depth)


def _own_id(job: dict[str, Any]) -> object:
    """Return a job's `id` where it has no `job_id`: beside one it may name anything else."""
    return None if "job_id" in job else job.get("id")


def _as_ids(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        job_id = parse_job_id(item)
        if job_id is not None:
            yield job_id


def _read_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
