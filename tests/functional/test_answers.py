"""Answers as servers really send them: odd heads, bodies that nobody needs, refusals with a code.

The stand-in sends them over TLS; the handler must take what is right and tell the truth of the
rest.
"""

from __future__ import annotations

import gzip
import hashlib
import time
from typing import Literal

import pytest

from local.apartmentiq import Job, LinkFault, SyntheticExport, sha256_of
from tests.functional.company import Company, default_key

Content = bytes | SyntheticExport
Route = Literal["token", "job", "results", "link"]
MIB = 1 << 20
LARGE = SyntheticExport(16 * MIB + 12_345, seed=3)  # in parts: above one PUT
TWO_PARTS = SyntheticExport(32 * MIB, seed=4)
MANY = SyntheticExport(11 * 16 * MIB + 1, seed=5)  # in more parts than workers
QUICKLY_SECONDS = 15.0  # below the 20 s that a question may take, far above what these take
INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 102 Processing\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nLocation: https://no.example/\r\n\r\n"
)
S3_ERROR = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>no</Message>'
    b"<SignatureProvided>canary-signature-in-a-refusal</SignatureProvided></Error>"
)


def detail(company: Company) -> str:
    """Return the detail of the last outcome."""
    return str([line for line in company.log_lines() if "outcome" in line][-1]["detail"])


def stored_sha256(company: Company, job: Job) -> str:
    """Return the SHA-256 of what lies at the job's key."""
    return hashlib.sha256(company.content(default_key(job))).hexdigest()


def redirect(company: Company, job: Job, *lines: bytes, body: bytes = b"") -> bytes:
    """Return a 302 with a good link, these header lines and this body."""
    link = company.vendor.link_for(job).encode()
    head = [b"HTTP/1.1 302 Found", b"Location: " + link, *lines]
    return b"\r\n".join([*head, b"", body])


# --- a 302: status and Location first ---

BODIES = {
    "undecodable": ((b"Content-Encoding: gzip", b"Content-Length: 8"), b"no gzip!"),
    "unknown encoding": ((b"Content-Encoding: zstd", b"Content-Length: 8"), b"no zstd!"),
    "longer than told": ((b"Content-Length: 2",), b"a body of more than two bytes"),
    "shorter than told": ((b"Content-Length: 5000",), b"<html>"),
    "no length": ((), b"<html>"),
    "nothing": ((), b""),
    "endless chunks": ((b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n"),
    "no chunks": ((b"Transfer-Encoding: chunked",), b"-2\r\nhello\r\n"),
    "two lengths": ((b"Content-Length: 1", b"Content-Length: 5000"), b"<html>"),
    "no such length": ((b"Content-Length: many",), b"<html>"),
    "a bomb": ((b"Content-Encoding: gzip",), gzip.compress(bytes(32 * MIB))),
}


@pytest.mark.parametrize("held_open", [True, False], ids=["held open", "hung up"])
@pytest.mark.parametrize("what", BODIES)
def test_a_good_302_is_taken_whatever_its_body_is(
    company: Company, what: str, *, held_open: bool
) -> None:
    """Nobody needs it: it is neither waited for nor decoded, and cannot spoil the link."""
    job = company.vendor.add_job(b"x")
    lines, body = BODIES[what]
    company.vendor.answer_raw_next(
        "results", redirect(company, job, *lines, body=body), held_open=held_open
    )
    begun = time.monotonic()
    assert company.archive(job) == b"x"
    assert time.monotonic() - begun < QUICKLY_SECONDS
    assert company.asked("results", job) == 1


STALLED = [
    (401, "deferred", "credentials_rejected", "refuses a fresh token"),
    (404, "deferred", "no_such_job", "404"),
    (429, "deferred", "rate_limited", "wait 7 s"),
    (503, "failed", "vendor_error", "could not be read"),
]


@pytest.mark.parametrize(("status", "outcome", "reason", "said"), STALLED, ids=str)
def test_a_refusal_counts_by_its_status_where_its_body_never_comes(
    company: Company, status: int, outcome: str, reason: str, said: str
) -> None:
    """The body only explains: it is waited for a moment, and its want is told as it is."""
    job = company.vendor.add_job(b"x")
    raw = b"HTTP/1.1 %d No\r\nRetry-After: 7\r\nContent-Length: 5000\r\n\r\n{" % status
    company.vendor.answer_raw_next("results", raw, held_open=True, times=None, job_id=job.job_id)
    begun = time.monotonic()
    company.deliver_job(job)
    assert time.monotonic() - begun < QUICKLY_SECONDS
    assert company.outcomes()[-1] == (outcome, reason)
    assert said in detail(company)


@pytest.mark.parametrize("status", [400, 403])
def test_no_job_is_rejected_for_a_refusal_that_broke_off(company: Company, status: int) -> None:
    """A 400 may say that the job still runs, a 403 that the quota is used up: ask again."""
    job = company.vendor.add_job(b"x")
    raw = b'HTTP/1.1 %d No\r\nContent-Length: 5000\r\n\r\n{"error": "Inval' % status
    company.vendor.answer_raw_next("results", raw, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes()[-1] == ("failed", "network")
    assert company.archive(job) == b"x"


# --- heads ---


@pytest.mark.parametrize(
    "cut", [b"HTTP/1.1 302 Fo", b"Locat", b"https://", b"?", b"X-Amz-Signature=", b"\r\n\r\n"]
)
def test_a_head_that_breaks_off_is_never_believed(company: Company, cut: bytes) -> None:
    """A Location cut short would be another link; one that looks whole may go on, too."""
    job = company.vendor.add_job(b"x")
    whole = redirect(company, job, b"Content-Length: 0")
    ends = whole.index(cut) + (2 if cut == b"\r\n\r\n" else len(cut))
    company.vendor.answer_raw_next("results", whole[:ends], job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes()[-1] == ("failed", "network")
    assert "head broke off" in detail(company)
    assert company.asked("link") == 0


def test_an_exports_head_that_breaks_off_is_never_believed(company: Company) -> None:
    """Here it would be a shorter length, or an export without the encoding it is in."""
    job = company.vendor.add_job(b"hello")
    heads = [
        b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/5\r\nETag: "e"\r\n',
        b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 1',
    ]
    for head in heads:
        company.vendor.answer_raw_next("link", head, job_id=job.job_id)
    assert company.archive(job) == b"hello"
    assert company.asked("link", job) == 3


SPACED = {"Location": " \t{}\t ", "Content-Length": "0  "}


def test_white_space_around_the_vendors_headers_is_no_part_of_them(company: Company) -> None:
    """RFC 9110, 5.5: a Location with a space behind it is a good link."""
    job = company.vendor.add_job(b"x")
    link = company.vendor.link_for(job)
    headers = {name: value.format(link) for name, value in SPACED.items()}
    company.vendor.answer_next("results", status=302, headers=headers, job_id=job.job_id)
    assert company.archive(job) == b"x"


@pytest.mark.parametrize("export", [b"hello", LARGE], ids=["small", "large"])
def test_white_space_around_an_exports_headers_is_no_part_of_them(
    company: Company, export: Content
) -> None:
    """Nothing of it is stored, or taken for a difference."""
    job = company.vendor.add_job(export)
    fault = LinkFault(headers={"ETag": ' \t"spaced" \t', "Accept-Ranges": "\tbytes "})
    company.vendor.disturb_link(fault, times=None, job_id=job.job_id)
    company.vendor.set_etag(job.job_id, "spaced")
    assert company.deliver_job(job) == []
    assert company.item(job.job_id)["source_etag"] == "spaced"


@pytest.mark.parametrize("etag", ['W/"weak"', '  W/"weak"  '])
@pytest.mark.parametrize("export", [b"hello", LARGE], ids=["small", "large"])
def test_a_weak_etag_is_compared_and_not_sent(company: Company, export: Content, etag: str) -> None:
    """If-Match wants a strong one (RFC 9110, 13.1.1); what is stored has no halves of quotes."""
    job = company.vendor.add_job(export)
    company.vendor.disturb_link(LinkFault(headers={"ETag": etag}), times=None, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert company.item(job.job_id)["source_etag"] == "W/weak"
    assert not [e for e in company.vendor.journal if "if-match" in e.headers]


def test_a_source_with_a_weak_etag_that_changes_is_copied_afresh(company: Company) -> None:
    """Without If-Match the answer's own ETag tells that it is another export."""
    job = company.vendor.add_job(LARGE)
    company.vendor.disturb_link(LinkFault(headers={"ETag": 'W/"old"'}), job_id=job.job_id)
    company.vendor.disturb_link(
        LinkFault(headers={"ETag": 'W/"new"'}), times=None, job_id=job.job_id
    )
    assert company.deliver_job(job) == []
    assert company.item(job.job_id)["source_etag"] == "W/new"


@pytest.mark.parametrize("route", ["token", "job", "results"])
def test_answers_before_the_real_one_are_passed_over(company: Company, route: Route) -> None:
    """100, 102 and 103 from the vendor; a Location among early hints is none."""
    job = company.vendor.add_job(b"x")
    documents = {
        "token": b'{"access_token": "%s"}' % company.vendor.access_token.encode(),
        "job": b'{"job_id": "%s", "status": "succeeded", "report_type": "units"}'
        % job.job_id.encode(),
    }
    if route == "results":
        real = redirect(company, job, b"Content-Length: 0")
    else:
        body = documents[route]
        real = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    company.runtime.restart()  # so that a token is asked for
    company.vendor.answer_raw_next(route, INTERIM + real)
    assert company.deliver_job(job) == []
    assert list(company.objects().values()) == [b"x"]


def test_interim_answers_and_many_headers_before_an_export_are_passed_over(
    company: Company,
) -> None:
    """From the link's host, on every range; http.client gives up at a hundred headers."""
    job = company.vendor.add_job(LARGE)
    many = {f"x-amz-meta-{number}": "v" * 100 for number in range(300)}
    company.vendor.disturb_link(
        LinkFault(interim=INTERIM, headers=many), times=None, job_id=job.job_id
    )
    assert company.deliver_job(job) == []
    assert stored_sha256(company, job) == sha256_of(LARGE)


def test_a_head_without_end_is_told_as_one(company: Company) -> None:
    """Headers are read up to a limit, and the reason says so."""
    job = company.vendor.add_job(b"x")
    endless = b"HTTP/1.1 302 Found\r\n" + b"X-Filler: 0123456789\r\n" * 100_000
    company.vendor.answer_raw_next("results", endless, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert "head has no end" in detail(company)
    many = [b"X-Filler-%d: x" % number for number in range(1_000)]
    company.vendor.answer_raw_next("results", redirect(company, job, *many))
    assert company.archive(job) == b"x"


# --- refusals tell the truth ---

NO_LINKS = {
    "http://example.com": "is not https",
    "http://example.com/x": "is not https",
    "https://example.com": "TrustedLinkHosts",
    "https://{host}": "has no path",
    "https://{host}?X-Amz-Signature=canary-q": "has no path",
    "https:///bucket/key": "names no host",
    "https:bucket/key": "names no host",
    "//{host}/bucket/key": "not an absolute URL",
    "/bucket/key": "not an absolute URL",
    "https://{host}/bucket/a key": "characters",
    "https://{host}/bucket/key#x": "fragment",
    "https://u:p@{host}/bucket/key": "user information",
}


@pytest.mark.parametrize("location", NO_LINKS)
def test_a_location_that_is_no_link_is_refused_for_what_is_wrong_with_it(
    company: Company, location: str
) -> None:
    """The contract's own example is an absolute URL: it is only not https."""
    job = company.vendor.add_job(b"x")
    link = location.format(host=company.vendor.trusted_link_host)
    company.vendor.answer_next("results", status=302, headers={"Location": link})
    company.deliver_job(job)
    letter = company.dead_letter()
    assert letter["reason"] == "untrusted_link"
    assert NO_LINKS[location] in letter["detail"]


ANSWERS = [
    ("Content-Range: bytes 0-4/5\r\nContent-Length: 4", "length that is not its range's"),
    ("Content-Range: bytes 0-3/5\r\nContent-Length: 4", "another range"),
    ("Content-Range: bytes 0-4/*\r\nContent-Length: 5", "does not tell the export's size"),
]


@pytest.mark.parametrize(("headers", "said"), ANSWERS)
def test_an_export_that_does_not_fit_its_headers_is_told_as_what_it_is(
    company: Company, headers: str, said: str
) -> None:
    """A length one byte short is no other range."""
    job = company.vendor.add_job(b"hello")
    raw = f'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\n{headers}\r\n\r\nhello'.encode()
    company.vendor.answer_raw_next("link", raw, times=None, job_id=job.job_id)
    company.deliver_job(job)
    assert said in detail(company)


# --- refused links ---

FINAL = [
    (403, b"InvalidObjectState"),
    (403, b"AllAccessDisabled"),
    (400, b"KMS.DisabledException"),
    (400, b"KMS.InvalidKeyUsageException"),
    (404, b"NoSuchKey"),
    (404, b"NoSuchBucket"),
    (403, b"NoSuchBucket"),
    (405, b"MethodNotAllowed"),
]


@pytest.mark.parametrize(("status", "code"), FINAL, ids=str)
def test_what_no_fresh_link_mends_is_told_and_not_renewed(
    company: Company, status: int, code: bytes
) -> None:
    """One link, one refusal, and S3's own word for it."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next(
        "link", status=status, body=S3_ERROR % code, times=None, job_id=job.job_id
    )
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes()[-1] == ("failed", "vendor_error")
    assert f"{status} {code.decode()}" in detail(company)
    assert company.asked("results", job) == company.asked("link", job) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, b"AccessDenied"),
        (403, b"RequestTimeTooSkewed"),
        (403, b"SignatureDoesNotMatch"),
        (400, b"ExpiredToken"),
        (400, b"AuthorizationQueryParametersError"),
    ],
    ids=str,
)
def test_what_a_fresh_link_may_mend_is_renewed_and_told(
    company: Company, status: int, code: bytes
) -> None:
    """One fresh link is archived by; where every one is refused, it ends with S3's word for it."""
    job, hopeless = company.vendor.add_job(b"x"), company.vendor.add_job(b"x")
    refusal = S3_ERROR % code
    company.vendor.answer_next("link", status=status, body=refusal, job_id=job.job_id)
    assert company.archive(job) == b"x"
    company.vendor.answer_next(
        "link", status=status, body=refusal, times=None, job_id=hopeless.job_id
    )
    assert len(company.deliver_job(hopeless)) == 1
    assert f"refuses every fresh link: {status} {code.decode()}" in detail(company)
    assert company.asked("results", hopeless) == 4


def test_a_refusals_body_is_read_up_to_a_limit_and_shown_by_its_code_alone(
    company: Company,
) -> None:
    """Not its signature, not a code that could be one, and nobody waits for the rest."""
    job = company.vendor.add_job(b"x")
    secret = b"canary0signature0in0a0code0of0S3"
    company.vendor.answer_next(
        "link", status=403, body=S3_ERROR % secret, times=None, job_id=job.job_id
    )
    company.deliver_job(job)
    assert "[hidden]" in detail(company)
    late = company.vendor.add_job(b"x")
    raw = b"HTTP/1.1 403 No\r\nContent-Length: 9000\r\n\r\n" + S3_ERROR % b"InvalidObjectState"
    company.vendor.answer_raw_next("link", raw, held_open=True, job_id=late.job_id)
    begun = time.monotonic()
    company.deliver_job(late)
    assert time.monotonic() - begun < QUICKLY_SECONDS
    assert "403 InvalidObjectState" in detail(company)
    everything = company.log.getvalue()
    assert "canary-signature" not in everything
    assert secret.decode() not in everything


def test_links_that_do_not_last_archive_an_export_of_many_parts(fresh_company: Company) -> None:
    """Each is good when it is given, and dies in mid copy, seven times: a finished part counts."""
    company = fresh_company
    company.vendor.link_valid_for_seconds = 60
    job = company.vendor.add_job(MANY)
    served = 0

    def age(_job_id: str, total: int) -> None:
        nonlocal served
        if total - served >= 24 * MIB:
            served = total
            company.vendor.clock.advance(61)

    company.vendor.on_link_bytes = age
    assert company.deliver_job(job) == []
    assert stored_sha256(company, job) == sha256_of(MANY)
    assert company.asked("results", job) > 1


def test_a_link_that_dies_in_every_part_ends_with_what_is_wrong(company: Company) -> None:
    """No part is finished between the refusals, so the streak ends; quickly, and truly told."""
    job = company.vendor.add_job(TWO_PARTS)

    def refuse(_job_id: str, total: int) -> None:
        if total >= MIB:
            company.vendor.answer_next(
                "link", status=403, body=S3_ERROR % b"AccessDenied", job_id=job.job_id
            )

    company.vendor.disturb_link(LinkFault(truncate_after_bytes=MIB), times=None, job_id=job.job_id)
    company.vendor.on_link_bytes = refuse
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes()[-1][0] == "failed"
    assert company.asked("results", job) <= 6  # the first, three, and one for each of two readers
    assert company.objects() == {}


# --- kept connections ---


@pytest.mark.parametrize("route", ["job", "results", "link"])
def test_a_kept_connection_that_died_while_idle_costs_no_receive(
    company: Company, route: Route
) -> None:
    """The question is put once more, by a new connection."""
    company.archive(company.vendor.add_job(b"warm"))  # leaves connections behind
    company.vendor.clear_journal()
    company.vendor.answer_raw_next(route, b"")
    job = company.vendor.add_job(b"x")
    assert company.archive(job) == b"x"
    assert company.asked(route) == 2
    assert company.outcomes()[-1] == ("archived", None)


def test_a_token_is_asked_for_on_no_kept_connection(company: Company) -> None:
    """A POST may have been done though its answer is lost: it goes out by a new one, and once."""
    company.archive(company.vendor.add_job(b"warm"))
    company.vendor.answer_next("job", status=401, body={"error": "Unauthorized"})
    company.vendor.clear_journal()
    assert company.archive(company.vendor.add_job(b"x")) == b"x"
    (asked,) = [entry for entry in company.vendor.journal if entry.route == "token"]
    assert asked.requests_before == 0


def test_a_question_is_put_twice_at_most(company: Company) -> None:
    """A new connection that dies as well is the network's failure."""
    company.archive(company.vendor.add_job(b"warm"))
    company.vendor.clear_journal()
    company.vendor.answer_raw_next("job", b"", times=None)
    assert len(company.deliver_job(company.vendor.add_job(b"x"))) == 1
    assert company.outcomes()[-1] == ("failed", "network")
    assert company.asked("job") == 2


def test_an_answer_that_has_begun_is_not_asked_for_again(company: Company) -> None:
    """The connection was alive: what broke off is tried again later, with growing delays."""
    company.archive(company.vendor.add_job(b"warm"))
    company.vendor.clear_journal()
    company.vendor.answer_raw_next("job", b"HTTP/1.1 2")
    assert len(company.deliver_job(company.vendor.add_job(b"x"))) == 1
    assert company.asked("job") == 1
