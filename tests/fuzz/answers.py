"""What the vendor and the link's host may answer: the contract's answers, near misses, nonsense."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from archiver.network.answer import Answer
from tests.fuzz.canaries import ACCESS_TOKEN, LINK_SIGNATURE
from tests.fuzz.links import good_links, links
from tests.fuzz.values import CALLBACK_URL, JOB_ID, any_json, mutated, secret_text, vendor_text

__all__ = [
    "Reply",
    "any_answers",
    "export",
    "export_answers",
    "good_answers",
    "good_exports",
    "job_answers",
    "list_answers",
    "result_answers",
    "token_answers",
]


@dataclass(frozen=True)
class Reply(Answer):
    """An answer that shows all of itself, so that a failing example can be read."""

    headers: Mapping[str, str]
    body: bytes


_STATUSES = [
    *(100, 200, 200, 200, 201, 204, 206, 301, 302, 302, 303, 304, 307, 308, 400, 400, 401, 403),
    *(404, 405, 408, 409, 410, 418, 429, 429, 451, 499, 500, 502, 503, 504, 599, 600, 999),
]
_FIELDS = [
    *("access_token", "expires_in", "job", "job_id", "status", "report_type", "output_format"),
    *("start_date", "end_date", "error_message", "jobs", "pagination", "error", "message"),
    *("errors", "quota_limit", "quota_usage", "callback_url", "token_type"),
]
# A header's value as http.client hands it on: Latin-1, no line break.
_header_text = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30
) | st.sampled_from(["0", "5", "1e3", "-3", "NaN", "inf", "9" * 4_000, "9" * 5_000, "\xb2", "0x10"])
_field_value = (
    any_json
    | vendor_text
    | st.sampled_from(
        [
            *(
                JOB_ID,
                "submitted",
                "succeeded",
                "failed",
                "cancelled",
                "Invalid operation",
                10**400,
            ),
            *(
                float("nan"),
                float("inf"),
                -1,
                7200,
                0,
                True,
                5e-324,
                [],
                {},
                "\ud800",
                ACCESS_TOKEN,
            ),
        ]
    )
)
_fields = st.dictionaries(st.sampled_from(_FIELDS), _field_value, max_size=5)
_errors = st.fixed_dictionaries(
    {},
    optional={
        "error": vendor_text | st.sampled_from(["Unauthorized", "Invalid operation"]),
        "message": vendor_text,
        "errors": st.lists(vendor_text, max_size=3) | st.just(["no " * 60] * 3_000),
        "quota_limit": st.just(5000) | any_json | secret_text,
        "quota_usage": st.just(5001) | any_json | secret_text,
    },
)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    texts = values.map(json.dumps)
    return st.one_of(
        texts.map(_encode),
        texts.map(_encode),
        mutated(texts).map(_encode),
        texts.map(lambda text: text.encode("utf-16")),
        st.binary(max_size=40),
        st.sampled_from([b"", b"<html>", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000]),
    )


_headers = st.fixed_dictionaries(
    {},
    optional={
        "location": _header_text | links,
        "retry-after": _header_text | st.sampled_from(["1", "30", "120", "86401"]),
        "x-ratelimit-reset-after": _header_text,
        "content-type": _header_text,
        "set-cookie": _header_text,
    },
)
any_answers = st.builds(
    Reply,
    status=st.sampled_from(_STATUSES) | st.integers(100, 999),
    headers=_headers,
    body=_bodies(_fields | _errors | any_json),
)
_refusals = st.builds(
    Reply,
    status=st.sampled_from([400, 401, 403, 403, 404, 405, 429, 429, 500, 503]),
    headers=_headers,
    body=_bodies(_errors),
)


def _ok(value: Any, status: int = 200, **headers: str) -> Answer:  # noqa: ANN401 - any JSON
    return Reply(status, headers, _encode(json.dumps(value)))


def job(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a job object as the vendor sends it."""
    return {
        "job_id": JOB_ID,
        "report_type": "units",
        "output_format": "csv",
        "start_date": "2026-10-01",
        "end_date": "2026-10-31",
        "status": "succeeded",
        "callback_url": CALLBACK_URL,
        **fields,
    }


_odd_jobs = st.dictionaries(
    st.sampled_from(["report_type", "output_format", "start_date", "end_date", "error_message"]),
    _field_value,
    max_size=3,
).flatmap(
    lambda odd: st.sampled_from(["succeeded", "succeeded", "submitted", "failed", "cancelled"]).map(
        lambda status: job(**odd, status=status)
    )
)
_token = _ok({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 7200})
_page = {"current_page": 1, "total_pages": 1, "total_count": 1, "per_page": 100}
good_answers = {
    "token": st.just(_token),
    "job": st.just(_ok(job())),
    "list": st.just(_ok({"jobs": [job()], "pagination": _page})),
    "results": good_links.map(lambda link: Reply(302, {"location": link}, b"")),
}


def _often(good: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, *others)


_no_answer = st.none()
token_answers = _often(
    good_answers["token"],
    st.builds(
        lambda odd: _ok({"access_token": ACCESS_TOKEN, **odd}),
        st.dictionaries(st.sampled_from(["expires_in", "access_token"]), _field_value),
    ),
    _refusals,
    any_answers,
    _no_answer,
)
job_answers = _often(
    good_answers["job"],
    _odd_jobs.map(_ok),
    _odd_jobs.map(lambda odd: _ok({"job": odd})),
    st.just(Reply(404, {}, b"")),
    _refusals,
    any_answers,
    _no_answer,
)
list_answers = _often(
    good_answers["list"],
    st.lists(_odd_jobs | any_json, max_size=2).flatmap(
        lambda jobs: st.sampled_from([0, 1, 3, 10**30, -1, True, None, "2", float("inf")]).map(
            lambda pages: _ok({"jobs": jobs, "pagination": {"total_pages": pages}})
        )
    ),
    _refusals,
    any_answers,
    _no_answer,
)
result_answers = _often(
    good_answers["results"],
    links.map(lambda link: Reply(302, {"location": link}, b"")),
    st.just(_ok({"error": "Invalid operation", "message": "not completed"}, 400)),
    _refusals,
    any_answers,
    _no_answer,
)

# --- the link's host ---


def export(body: bytes, **headers: str) -> bytes:
    """Return the answer to a ranged request for the whole of an export."""
    lines = {
        "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}",
        "Content-Length": str(len(body)),
        "ETag": '"0123456789abcdef0123456789abcdef"',
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 206 Partial Content\r\n{head}\r\n".encode("latin-1") + body


good_exports = st.binary(min_size=1, max_size=60).map(export)
_odd_header = st.sampled_from(
    [
        *(("Content-Length", value) for value in ("", "-5", "3", "9" * 5_000, "1e3", "+5", " 7 ")),
        *(("Content-Length", value) for value in ("0", "\xb2", "100000000000000000000")),
        *(
            ("Content-Range", value)
            for value in (
                *("", "bytes 0-4/5", "bytes 0-4/*", "bytes 1-4/5", "bytes 0-16777215/20000000"),
                *("bytes 0-9/" + "9" * 5_000, "bytes 0-4/4", "items 0-4/5", "bytes */0"),
                *("bytes 0-16777215/99999999999999999999", "bytes 0-\xb2/3"),
            )
        ),
        *(("ETag", value) for value in ("", '"caf\xe9"', 'W/"x"', "x" * 5_000, '"\x01"', '"a b"')),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "caf\xe9"),
        ("Content-Encoding", "\x01"),
        ("Transfer-Encoding", "chunked"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-type", "COMPOSITE"),
        ("Location", f"https://evil.example/?X-Amz-Signature={LINK_SIGNATURE}"),
    ]
)
_odd_status = st.sampled_from(
    [
        *("HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content", "HTTP/1.1 302 Found"),
        *("HTTP/1.1 400 Bad", "HTTP/1.1 403 Forbidden", "HTTP/1.1 404 No", "HTTP/1.1 412 No"),
        *("HTTP/1.1 416 No", "HTTP/1.1 429 Slow", "HTTP/1.1 500 Oh", "HTTP/1.1 503 Slow Down"),
        *("HTTP/1.1 999 ?", "HTTP/1.1 2\xb2 OK", "HTTP/9.9 200 OK", "ICY 200 OK", "", "HTTP/1.1"),
        *("HTTP/1.1 100 Continue", "HTTP/1.1 101 Switch", "HTTP/1.1 204 None", "HTTP/1.1 304 No"),
    ]
)
_chunked = st.sampled_from(
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello",
        b"zz\r\n",
        b"5\r\nhel",
        b"0\r\n\r\n",
        b"f" * 70_000,
    ]
)


@st.composite
def _odd_exports(draw: st.DrawFn) -> bytes:
    body = draw(st.binary(max_size=40) | _chunked)
    headers = dict(draw(st.lists(_odd_header, max_size=3)))
    raw = export(body, **headers)
    if draw(st.booleans()):
        raw = draw(_odd_status).encode("latin-1") + raw[raw.index(b"\r\n") :]
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = (
            raw[:at] + draw(st.sampled_from([b"", b"\x00", b"\r\n", b"\xff", b" "])) + raw[at + 1 :]
        )
    if draw(st.integers(0, 3)) == 0:
        raw = raw[: draw(st.integers(0, len(raw)))]
    return raw


export_answers = st.one_of(
    good_exports, _odd_exports(), _odd_exports(), st.binary(max_size=80), st.none()
)
