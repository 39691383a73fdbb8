"""Callbacks: whatever form one has, the jobs that it speaks of are found, each once."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.callbacks.job_ids import find_job_ids

JOB = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
OTHER = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
JOB_OBJECT = {
    "report_type": "units",
    "property_ids": [1041, 2203],
    "job_id": JOB,
    "status": "succeeded",
    "callback_url": f"https://hooks.example.com/{OTHER}",
    "error_message": None,
}
NAMES = st.sampled_from(["job_id", "job_ids", "job", "jobs", "data", "payload", "id", "status"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner),
    max_leaves=20,
)


def found(value: Any, query: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Return the ids in a JSON body."""
    return find_job_ids(query, json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"job_id": JOB},
        {"job_id": f" {JOB.upper()}\n"},
        JOB_OBJECT,
        {"event": "job.completed", "job": JOB_OBJECT},
        {"job": JOB},
        {"job": {"id": JOB, "status": "succeeded"}},
        {"data": JOB_OBJECT},
        {"data": {"job": JOB_OBJECT}},
        {"event": "job.completed", "payload": JOB_OBJECT},
        {"data": [JOB_OBJECT]},
        {"jobs": [JOB_OBJECT]},
        {"jobs": [JOB]},
        {"jobs": {"job_id": JOB}},
        {"job_ids": [JOB]},
        [JOB_OBJECT],
        [[{"data": {"jobs": [{"job": {"job_id": JOB}}]}}]],
        {"id": OTHER, "type": "job.completed", "data": {"id": OTHER, "job_id": JOB}},
        {"job": {"id": OTHER, "job_id": JOB}},
        [JOB_OBJECT, JOB_OBJECT, {"job_id": JOB.upper()}],
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_the_job_of_a_json_body_is_found_once(value: object) -> None:
    """Top level, `job`, `data`, `jobs` and lists; an id of something else is not taken for it."""
    assert found(value) == [JOB]


@pytest.mark.parametrize(
    "pairs",
    [
        [("job_id", JOB)],
        [("job_id", JOB.upper()), ("status", "succeeded")],
        [("job[job_id]", JOB), ("job[status]", "succeeded")],
        [("job[id]", JOB)],
        [("jobs[][job_id]", JOB)],
        [("jobs[0][job_id]", JOB), ("jobs[0][callback_url]", f"https://x/{OTHER}")],
        [("data[job][job_id]", JOB)],
        [("job_ids[]", JOB)],
        [("jobs[]", JOB)],
        [("job", JOB)],
        [("payload", json.dumps({"job": JOB_OBJECT}))],
        [("data", json.dumps(JOB_OBJECT))],
        [("jobs", json.dumps([JOB]))],
    ],
    ids=str,
)
def test_the_job_of_a_form_and_of_a_query_is_found(pairs: list[tuple[str, str]]) -> None:
    """Plain, nested as Rails and PHP write it, or as JSON in a field."""
    form = urlencode(pairs)
    assert find_job_ids("", form.encode()) == [JOB]
    assert find_job_ids(form, b"") == [JOB]


def test_query_and_body_are_both_looked_at() -> None:
    """Several jobs keep their order, and the same id in both places counts once."""
    assert found({"jobs": [{"job_id": OTHER}, {"job_id": JOB}]}, f"job_id={JOB}") == [JOB, OTHER]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{",
        b"[" * 65_536,
        b'{"data":' * 8_000,
        b"9" * 65_536,
        b"\xff\xfe{\x00}",
        JOB.encode(),
        b'{"job_id": 17}',
        b'{"job_id": null, "id": "' + JOB.encode() + b'"}',
        b'{"callback_url": "https://x/?job_id=' + JOB.encode() + b'"}',
        b'{"status": {"job_id": "' + JOB.encode() + b'"}}',
        b"job_id=" + JOB.replace("-", "").encode(),
        b"job_id[status]=" + JOB.encode(),
        b"id=" + JOB.encode(),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_without_a_job_id_holds_none(body: bytes) -> None:
    """Neither junk, nor a UUID that stands for something else, nor a bomb gives an id."""
    assert find_job_ids("", body) == []


@pytest.mark.parametrize("character", ["[", "]", "[0]", "[job_id", "&", "=", "%5B0%5D", "a&b="])
def test_no_form_takes_long_to_read(character: str) -> None:
    """The time grows with the body, not with its square."""
    body = (character * 65_536)[:65_536].encode()
    started = time.process_time()
    assert find_job_ids("", body) == []
    assert time.process_time() - started < 1


def test_ids_deeper_than_anybody_would_put_them_are_left() -> None:
    """The depth is bounded: what is looked at is what senders plausibly write."""
    value: Any = {"job_id": JOB}
    for _ in range(20):
        value = {"data": value}
    assert found(value) == []


@given(JSON, st.text(max_size=200))
def test_whatever_comes_gives_canonical_ids_once(value: object, query: str) -> None:
    """Any JSON and any query: nothing is raised, and each id is a lower-case UUID."""
    ids = found(value, query)
    assert len(ids) == len(set(ids))
    assert all(CANONICAL.fullmatch(job_id) for job_id in ids)


@given(st.binary(max_size=500))
def test_whatever_bytes_come_nothing_is_raised(body: bytes) -> None:
    """No body can make the function fail."""
    find_job_ids("", body)
    find_job_ids(body.decode("latin-1"), b"")


@given(st.lists(st.uuids(), max_size=20), st.sampled_from(["jobs", "data"]))
def test_every_job_of_a_list_is_found_in_its_order(jobs: list[UUID], name: str) -> None:
    """None is dropped and none is made up."""
    body = {name: [{"job_id": str(job).upper()} for job in jobs]}
    assert found(body) == list(dict.fromkeys(str(job) for job in jobs))
