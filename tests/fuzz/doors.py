"""The doors that are pure: bodies, records, links, keys, the vendor's answers. Most cases go here.

Each check takes the function that it judges, so that a test can hand in a broken one.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from archiver.apartmentiq import protocol
from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.apartmentiq.listing import decipher_listing
from archiver.archiving.message import Message, read_request, read_sqs_record, sanitise_body
from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, check_key_template, object_key
from archiver.errors import Failure, Rejection
from archiver.job import Job
from archiver.network.answer import Answer
from archiver.receipt import iso_utc
from tests.fuzz.answers import any_answers, job_answers, list_answers, result_answers, token_answers
from tests.fuzz.assembled import SETTINGS
from tests.fuzz.canaries import leaks
from tests.fuzz.letters import bodies, records
from tests.fuzz.links import is_good_link, links
from tests.fuzz.promises import (
    check_classified,
    check_shown,
    is_canonical,
    is_trusted,
    requested_job_id,
)
from tests.fuzz.target import Target
from tests.fuzz.values import JOB_ID, any_json, any_text, vendor_text

__all__ = ["TARGETS", "check_body", "check_key", "check_link", "check_record"]

_TRUSTED = SETTINGS.trusted_hosts
_DEEP = 250  # brackets; a reader may give up on what is nested deeper, but must say so
_MAX_KEY_BYTES = 1024


def check_body(
    body: str,
    read: Callable[[str], tuple[str, bool]] = read_request,
    sanitise: Callable[[str], str] = sanitise_body,
) -> str:
    """Hold that a body yields the job id it asks for or is malformed, and loses our token."""
    cleaned = sanitise(body)
    assert not leaks([cleaned]), "a callback's token is passed on"
    wanted = requested_job_id(body)
    try:
        job_id, recheck = read(cleaned)
    except Rejection as rejection:
        check_classified(rejection, "malformed_message")
        assert wanted is None or body.count("{") + body.count("[") > _DEEP, "a good body is refused"
        return "malformed"
    assert is_canonical(job_id)
    assert job_id == wanted
    return "recheck" if recheck else "read"


def check_record(
    record: dict[str, Any], read: Callable[[dict[str, Any], datetime], Message] = read_sqs_record
) -> str:
    """Hold that any record becomes a message whose times and counts can be worked with."""
    message = read(record, _NOW)
    assert message.receive_count >= 0
    assert message.deferrals >= 0
    assert message.first_seen_at.utcoffset() is not None
    check_shown([message.message_id, iso_utc(message.first_seen_at)])
    sent = (
        (record.get("attributes") or {}).get("SentTimestamp")
        if isinstance(record.get("attributes"), dict)
        else None
    )
    if sent == "1764000000000":  # then no attribute of anybody's may put the first sight later
        assert message.first_seen_at.timestamp() <= 1_764_000_000 or message.first_seen_at == _NOW
    return "carried" if record.get("messageAttributes") else "plain"


def check_link(location: str, read: Callable[[str, TrustedHosts], Link] = read_link) -> str:
    """Hold that a link is followed only to a trusted host, with exactly the bytes that it gives."""
    try:
        link = read(location, _TRUSTED)
    except (Rejection, Failure) as refused:
        check_classified(refused, "untrusted_link", "vendor_error")
        reason = refused.reason
        assert reason == "vendor_error" or not is_good_link(location), "a good link is refused"
        return reason
    assert is_trusted(location, _TRUSTED.exact, _TRUSTED.suffixes), "it is not a trusted host's"
    assert location[:8].lower() == "https://"
    authority = location[8 : location.index("/", 8)]
    assert location[8 + len(authority) :] == link.target, "the target is not as it was given"
    assert authority.lower() in {
        link.host,
        f"{link.host}:{link.port}",
        f"{link.host}:{link.port:05}",
    }
    assert link.target.isascii()
    assert not set(link.target) & set(string.whitespace + "\x00#\x7f")
    assert all(f"{name}{value}".isprintable() for name, value in link.headers.items())
    assert not leaks([repr(link)])
    return "followed"


def check_key(
    case: tuple[str, str, dict[str, Any]],
    make: Callable[..., str] = object_key,
) -> str:
    """Hold that a template is refused, or that every job's key is its own, and below the prefix."""
    prefix, template, fields = case
    try:
        check_key_template(prefix, template)
    except ValueError:
        return "template refused"
    job = Job.from_vendor(JOB_ID, fields)
    key = make(job, prefix=prefix, template=template)
    assert key.startswith(prefix), key
    assert key[len(prefix) :].count("/") == template.count("/"), key
    assert not {"", ".", ".."} & set(key.split("/")), key
    assert len(key.encode()) <= _MAX_KEY_BYTES, key
    assert JOB_ID in key
    assert not leaks([key]), key
    return "key"


_NOW = datetime.fromtimestamp(1_764_000_060, UTC)  # a minute after most records were sent
_DECIPHER: dict[str, Callable[[Answer], object]] = {
    "token": protocol.decipher_token,
    "job": lambda answer: protocol.decipher_job(answer, JOB_ID),
    "list": lambda answer: decipher_listing(answer, 100),
    "results": lambda answer: protocol.decipher_results(answer, "succeeded"),
}


def check_answer(case: tuple[str, Answer]) -> str:
    """Hold that any answer is understood or classified, and nothing of it shown that is secret."""
    route, answer = case
    try:
        value = _DECIPHER[route](answer)
    except Exception as error:  # noqa: BLE001 - what may come is what is judged
        check_classified(error)
        return f"{route}: {getattr(error, 'reason', 'unauthorized')}"
    if isinstance(value, protocol.Token):
        assert value.value
        assert value.value.isascii()
        assert value.value.isprintable()
        assert value.lifetime_seconds is not None
        assert value.lifetime_seconds > 0
    if isinstance(value, Job):
        check_shown([value.report_type, value.output_format, value.start_date, value.end_date])
        ended = protocol.ended_at_vendor(value)
        if ended is not None:
            check_classified(ended)
    return f"{route}: understood"


_templates = st.one_of(
    st.just(DEFAULT_KEY_TEMPLATE),
    st.lists(
        st.sampled_from(
            [
                *("{job_id}", "{report_type}", "{output_format}", "{start_date}", "{extension}"),
                *(
                    "/",
                    "/",
                    ".",
                    "..",
                    "a",
                    "=",
                    "{",
                    "}",
                    "{}",
                    "{{",
                    "}}",
                    "{job_id!r}",
                    "{x}",
                    "\\",
                ),
            ]
        )
        | any_text,
        max_size=8,
    ).map("".join),
)
_prefixes = st.sampled_from(["", "exports/", "a/b/", "/", "x", "../", "\u00e9/", "p" * 600 + "/"])
_job_fields = st.dictionaries(
    st.sampled_from(["report_type", "output_format", "start_date", "end_date", "status"]),
    vendor_text | any_json | st.sampled_from(["../..", "a/b", ".", "2026-10-01T00:00:00Z", "csv"]),
    max_size=5,
)
_answers = st.one_of(
    *(
        st.tuples(st.just(route), answers.filter(lambda answer: answer is not None) | any_answers)
        for route, answers in (
            ("token", token_answers),
            ("job", job_answers),
            ("list", list_answers),
            ("results", result_answers),
        )
    )
)
TARGETS = (
    Target("bodies", 10, bodies, check_body),
    Target("records", 7, records, check_record),
    Target("links", 10, links, check_link),
    Target("keys", 6, st.tuples(_prefixes, _templates, _job_fields), check_key),
    Target("answers", 6, _answers, check_answer),
)
