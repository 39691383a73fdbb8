"""The stand-in speaks as the vendor's documents say: the results endpoint against the seed itself.

Answers are taken over the wire, from a client that verifies TLS. Outside of the seed's fragment,
and therefore not validated against it, are 429, 500 and the empty 403, which other pages document.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme
import yaml
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError

from local.apartmentiq import BytesExport, LinkFault, Order, VendorStandIn
from tests.integration.apartmentiq_client import Asked, Client, Got

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACT = Path(__file__).parents[1] / "data" / "apartmentiq-results-openapi.yaml"
UNKNOWN_JOB = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
# RFC 3986's characters; openapi-core does not check the format "uri" without another package.
URI = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def vendor(authority: trustme.CA) -> Iterator[VendorStandIn]:
    """Run a stand-in with nothing in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with VendorStandIn(context) as running:
        yield running


@pytest.fixture
def client(vendor: VendorStandIn, authority: trustme.CA) -> Client:
    """Return a client that trusts the tests' authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Client(vendor, context)


@pytest.fixture(scope="module")
def contract() -> OpenAPI:
    """Return the seed's fragment."""
    return OpenAPI.from_dict(yaml.safe_load(CONTRACT.read_text("utf-8")))


def hold_to(contract: OpenAPI, job_id: str, got: Got) -> None:
    """Validate an answer of the results endpoint. Raises OpenAPIError."""
    path = f"/apartmentiq/api/v1/bulk_api/jobs/{job_id}/results"
    asked = Asked(path, RequestParameters(path={"job_id": job_id}))
    contract.validate_response(asked, got)


def test_the_contract_on_disk_is_the_seeds_fragment(contract: OpenAPI) -> None:
    """What the answers are held to has exactly the seed's five statuses."""
    operation = contract.spec / "paths" / "/bulk_api/jobs/{job_id}/results" / "get" / "responses"
    assert sorted(operation.keys()) == ["302", "400", "401", "403", "404"]


def test_the_contract_refuses_what_it_should(contract: OpenAPI) -> None:
    """The validator is awake: an undocumented status and a wrong body both fail."""
    wrong_body = Got(404, {"content-type": "application/json"}, b'{"error": 5}')
    for got in (Got(200, {}, b""), wrong_body):
        with pytest.raises(OpenAPIError):
            hold_to(contract, UNKNOWN_JOB, got)


def test_redirects_to_the_export_as_the_seed_says(
    client: Client, vendor: VendorStandIn, contract: OpenAPI
) -> None:
    """A succeeded job answers 302 with a URI on another host, and no body."""
    job = vendor.add_job(b"rows", key="exports/2025 Q1/ünits+(1).csv")
    got = client.results(job.job_id)
    hold_to(contract, job.job_id, got)
    assert (got.status_code, got.data) == (302, b"")
    assert URI.fullmatch(got.headers["location"])
    assert urlsplit(got.headers["location"]).netloc == vendor.trusted_link_host
    assert vendor.trusted_link_host not in vendor.api_base_url


@pytest.mark.parametrize("status", ["submitted", "failed", "cancelled"])
def test_refuses_results_of_an_unfinished_job_in_the_seeds_words(
    client: Client, vendor: VendorStandIn, contract: OpenAPI, status: str
) -> None:
    """Whatever a job ended as but succeeded, the answer is one and the same 400."""
    job = vendor.add_job(None, status=status)  # type: ignore[arg-type]  # pytest knows no literals
    got = client.results(job.job_id)
    hold_to(contract, job.job_id, got)
    assert got.status_code == 400
    assert got.data == (
        b'{"error": "Invalid operation", "message": "Results are not available because the job has'
        b' not completed successfully"}'
    )


def test_refuses_an_id_that_is_no_uuid_in_the_seeds_words(
    client: Client, contract: OpenAPI
) -> None:
    """A malformed id is a 400, not a 404."""
    got = client.results("17")
    hold_to(contract, UNKNOWN_JOB, got)
    expected = b'{"error": "Invalid parameter", "message": "job_id must be a valid UUID"}'
    assert (got.status_code, got.data) == (400, expected)


@pytest.mark.parametrize("token", [None, "made-up"])
def test_refuses_a_missing_or_wrong_token_in_the_seeds_words(
    client: Client, vendor: VendorStandIn, contract: OpenAPI, token: str | None
) -> None:
    """Without a valid token nothing is told, not even whether the job exists."""
    job = vendor.add_job(b"rows")
    for job_id in (job.job_id, UNKNOWN_JOB):
        got = client.call(f"/bulk_api/jobs/{job_id}/results", token=token)
        hold_to(contract, job_id, got)
        expected = b'{"error": "Unauthorized", "message": "Missing or invalid bearer token"}'
        assert (got.status_code, got.data) == (401, expected)


def test_refuses_a_forbidden_job_in_the_seeds_words(
    client: Client, vendor: VendorStandIn, contract: OpenAPI
) -> None:
    """The JSON 403 is the seed's; the empty one, which the errors page documents, is beside it."""
    job = vendor.add_job(b"rows")
    vendor.forbid(job.job_id)
    got = client.results(job.job_id)
    hold_to(contract, job.job_id, got)
    assert got.status_code == 403
    assert got.document == {
        "error": "Forbidden",
        "message": "You do not have permission to download results for this job",
    }
    vendor.forbid(job.job_id, "empty")
    empty = client.results(job.job_id)
    assert (empty.status_code, empty.data, empty.content_type) == (403, b"", "")


def test_refuses_an_unknown_job_in_the_seeds_words(client: Client, contract: OpenAPI) -> None:
    """A well-formed id that nobody ordered is a 404."""
    got = client.results(UNKNOWN_JOB)
    hold_to(contract, UNKNOWN_JOB, got)
    assert got.status_code == 404
    expected = {"error": "Not Found", "message": "Job with the specified ID does not exist"}
    assert got.document == expected


def test_limits_the_rate_as_documented(client: Client, vendor: VendorStandIn) -> None:
    """The rate limiter's 429 is text with four headers; it lies outside of the seed's fragment."""
    job = vendor.add_job(b"rows")
    vendor.limit_rate_next("results", retry_after_seconds=7)
    got = client.results(job.job_id)
    assert (got.status_code, got.content_type, got.headers["retry-after"]) == (
        429,
        "text/plain",
        "7",
    )
    assert {"x-ratelimit-limit", "x-ratelimit-reset-after", "x-ratelimit-reset"} <= set(got.headers)
    assert client.results(job.job_id).status_code == 302


def test_refuses_beyond_the_quota_as_documented(client: Client, vendor: VendorStandIn) -> None:
    """The quota's 429 is JSON without Retry-After; it lies outside of the seed's fragment."""
    vendor.exceed_quota_next("results")
    got = client.results(vendor.add_job(b"rows").job_id)
    assert got.data == (
        b'{"error": "Trial API quota limit exceeded", "quota_limit": 5000, "quota_usage": 5001}'
    )
    assert (got.status_code, "retry-after" in got.headers) == (429, False)


def test_gives_a_token_for_a_form_and_for_json(client: Client, vendor: VendorStandIn) -> None:
    """Both documented encodings give a token with the documented fields."""
    fields = {
        "grant_type": "client_credentials",
        "client_id": vendor.client_id,
        "client_secret": vendor.client_secret,
    }
    by_json = client.call(
        "/oauth/token",
        method="POST",
        body=json.dumps(fields).encode(),
        content_type="application/json",
    )
    for got in (client.request_token(), by_json):
        assert got.status_code == 200
        names = ["access_token", "token_type", "expires_in", "scope", "created_at"]
        assert list(got.document) == names
        assert (got.document["token_type"], got.document["expires_in"]) == ("Bearer", 7200)


@pytest.mark.parametrize("field", ["client_id", "client_secret"])
def test_refuses_wrong_credentials_in_oauths_shape(client: Client, field: str) -> None:
    """A wrong client is a 401 with `invalid_client`, and the answer repeats no secret."""
    got = client.request_token(**{field: "wrong-canary"})
    assert (got.status_code, got.document["error"]) == (401, "invalid_client")
    assert b"canary" not in got.data


def test_knows_only_the_documented_grant(client: Client) -> None:
    """Another grant type is a 400."""
    got = client.request_token(grant_type="password")
    assert (got.status_code, got.document["error"]) == (400, "unsupported_grant_type")


def test_a_token_ends_with_its_time(client: Client, vendor: VendorStandIn) -> None:
    """A token is good until `expires_in` has passed, and no longer."""
    vendor.tokens.expires_in_seconds = 60
    job, token = vendor.add_job(b"rows"), client.token()
    path = f"/bulk_api/jobs/{job.job_id}"
    vendor.clock.advance(50)
    assert client.call(path, token=token).status_code == 200
    vendor.clock.advance(10)
    assert client.call(path, token=token).status_code == 401


def test_revoked_tokens_and_a_rotated_secret_are_refused(
    client: Client, vendor: VendorStandIn
) -> None:
    """After a rotation the old secret gives nothing; after a revocation no old token does."""
    old_secret, token = vendor.client_secret, client.token()
    assert vendor.tokens.rotate_secret() == vendor.client_secret != old_secret
    assert client.request_token(client_secret=old_secret).status_code == 401
    assert client.call("/bulk_api/jobs", token=token).status_code == 200
    vendor.tokens.revoke_all()
    assert client.call("/bulk_api/jobs", token=token).status_code == 401
    assert client.call("/bulk_api/jobs", token=client.token()).status_code == 200


def test_shows_a_job_with_the_documented_fields_only(client: Client, vendor: VendorStandIn) -> None:
    """A job object has twelve fields at most: nothing of size, checksum or file name."""
    order = Order(callback_url="https://hooks.example/ours?token=canary")
    job = vendor.add_job(b"rows", order=order)
    got = client.call(f"/bulk_api/jobs/{job.job_id}", token=vendor.access_token).document
    assert got.keys() == {
        "job_id",
        "report_type",
        "output_format",
        "property_ids",
        "start_date",
        "end_date",
        "status",
        "callback_url",
        "error_message",
        "created_at",
        "updated_at",
    }
    assert (got["job_id"], got["status"], got["callback_url"]) == (
        job.job_id,
        "succeeded",
        order.callback_url,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(got["created_at"]))


@pytest.mark.parametrize("status", [404, 405])
def test_job_details_can_be_switched_off(
    client: Client, vendor: VendorStandIn, status: int
) -> None:
    """Details may be missing for an account while the list and the results still work."""
    job = vendor.add_job(b"rows")
    vendor.switch_job_details(status)  # type: ignore[arg-type]  # pytest knows no literals
    token = vendor.access_token
    assert client.call(f"/bulk_api/jobs/{job.job_id}", token=token).status_code == status
    assert client.call("/bulk_api/jobs", token=token).status_code == 200
    assert client.results(job.job_id).status_code == 302


def test_lists_jobs_newest_first_in_pages(client: Client, vendor: VendorStandIn) -> None:
    """Every job is on exactly one page, in the reverse order of creation."""
    ids = [vendor.add_job(b"").job_id for _ in range(5)]
    pages = [
        client.call(f"/bulk_api/jobs?page={page}&per_page=2", token=vendor.access_token).document
        for page in (1, 2, 3, 4)
    ]
    listed = [job["job_id"] for page in pages for job in page["jobs"]]  # type: ignore[attr-defined]  # parsed JSON
    assert listed == ids[::-1]
    assert pages[0]["pagination"] == {
        "current_page": 1,
        "total_pages": 3,
        "total_count": 5,
        "per_page": 2,
    }


@pytest.mark.parametrize("query", ["per_page=0", "per_page=101", "page=0", "page=x"])
def test_refuses_pages_beyond_the_documented_bounds(
    client: Client, vendor: VendorStandIn, query: str
) -> None:
    """`per_page` is 1 to 100, `page` starts at 1."""
    got = client.call(f"/bulk_api/jobs?{query}", token=vendor.access_token)
    assert got.status_code == 400


def test_takes_an_order_and_finishes_it(client: Client, vendor: VendorStandIn) -> None:
    """An ordered job is `submitted` until it is completed with an export."""
    ordered = client.order().document
    job_id = str(ordered["job_id"])
    assert (ordered["status"], ordered["output_format"]) == ("submitted", "jsonl")
    assert client.results(job_id).status_code == 400
    vendor.complete_job(job_id, b"{}\n")
    assert client.results(job_id).status_code == 302


def test_refuses_a_wrong_order_with_every_problem(client: Client) -> None:
    """Validation errors come as a list under `errors`."""
    got = client.order(report_type="x", end_date="2025-02-31", property_ids=[True])
    assert got.status_code == 400
    assert len(got.document["errors"]) == 3  # type: ignore[arg-type]  # parsed JSON


def test_completes_a_job_when_its_time_has_come(client: Client, vendor: VendorStandIn) -> None:
    """A delayed job turns from `submitted` to `succeeded` by the stand-in's own clock."""
    job = vendor.add_job(b"rows", completes_after_seconds=30)
    assert client.results(job.job_id).status_code == 400
    vendor.clock.advance(30)
    assert client.results(job.job_id).status_code == 302
    got = client.call(f"/bulk_api/jobs/{job.job_id}", token=vendor.access_token)
    assert got.document["status"] == "succeeded"


def test_orders_complete_by_themselves_when_told_so(client: Client, vendor: VendorStandIn) -> None:
    """With an export of the format that was ordered, after so long by the stand-in's clock."""
    vendor.complete_orders_after(30, lambda order: BytesExport(order.output_format.encode()))
    job_id = str(client.order().document["job_id"])
    assert client.results(job_id).status_code == 400
    vendor.clock.advance(30)
    assert client.results(job_id).status_code == 302
    job = vendor.jobs.get(job_id)
    assert job is not None
    assert job.stored is not None
    assert job.stored.content == BytesExport(b"jsonl")


def test_cancels_only_what_is_not_finished(client: Client, vendor: VendorStandIn) -> None:
    """A submitted job can be cancelled once; a finished one cannot."""
    waiting, finished = vendor.add_job(None, status="submitted"), vendor.add_job(b"rows")

    def cancel(job_id: str) -> Got:
        return client.call(f"/bulk_api/jobs/{job_id}", method="DELETE", token=vendor.access_token)

    assert cancel(waiting.job_id).document["status"] == "cancelled"
    assert cancel(waiting.job_id).status_code == 400
    assert cancel(finished.job_id).status_code == 400


def test_scripted_answers_are_used_up_in_order(client: Client, vendor: VendorStandIn) -> None:
    """A test can dictate any answer for so many requests, of one job or of all."""
    job, other = vendor.add_job(b"rows"), vendor.add_job(b"rows")
    vendor.answer_next("results", status=503, body="<html>", times=2, job_id=job.job_id)
    vendor.answer_next("results", status=302, headers={"X-No": "Location"})
    assert client.results(other.job_id).headers.get("location") is None
    assert [client.results(job.job_id).status_code for _ in range(3)] == [503, 503, 302]


def test_a_scripted_length_may_promise_more_than_comes(
    client: Client, vendor: VendorStandIn
) -> None:
    """Truncated JSON ends with the connection, so that the client sees an incomplete body."""
    vendor.answer_next(
        "token", status=200, headers={"Content-Length": "90"}, body=b'{"access_token": "can'
    )
    with pytest.raises(http.client.IncompleteRead):
        client.request_token()


def test_the_journal_tells_all_but_secrets(client: Client, vendor: VendorStandIn) -> None:
    """Every request is written down with its route, its answer and no credential."""
    job, token = vendor.add_job(b"rows"), client.token()
    client.call(f"/bulk_api/jobs/{job.job_id}/results?trace=canary", token=token)
    client.call("/elsewhere")
    assert [(entry.route, entry.status, entry.authorized) for entry in vendor.journal] == [
        ("token", 200, False),
        ("results", 302, True),
        ("unknown", 404, False),
    ]
    entry = vendor.journal[1]
    assert (entry.method, entry.job_id, entry.bytes_served) == ("GET", job.job_id, 0)
    assert entry.path.endswith("/results?trace")
    assert "canary" not in repr(vendor.journal)


def test_stops_at_once_even_while_a_download_is_stalled(authority: trustme.CA) -> None:
    """Stopping cuts open connections and leaves no thread behind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    before = set(threading.enumerate())
    vendor = VendorStandIn(context)
    vendor.start()
    job = vendor.add_job(b"x" * 100)
    vendor.disturb_link(LinkFault(stall_until=threading.Event(), stall_after_bytes=10))
    url = urlsplit(vendor.link_for(job))
    connection = http.client.HTTPSConnection(url.netloc, context=trusting, timeout=10)
    connection.request("GET", f"{url.path}?{url.query}")
    answer = connection.getresponse()
    assert answer.read(10) == b"x" * 10
    vendor.stop()
    assert set(threading.enumerate()) <= before
    answer.close()
    connection.close()
