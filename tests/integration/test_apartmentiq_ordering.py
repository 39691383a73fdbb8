"""The stand-in takes orders as documented, and everything can go wrong with them that may.

Requests and answers are held to tests/data/apartmentiq-jobs-openapi.yaml. Time is the stand-in's
own clock; nothing here waits.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import parse_qsl

import pytest
import trustme
import yaml
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError

from local.apartmentiq import Order, OrderError, VendorStandIn
from local.apartmentiq.messages import Request
from local.apartmentiq.order_desk import Habits, LostAs, QuotaForm
from local.apartmentiq.order_form import read_order
from tests.integration.apartmentiq_client import ORDER, Asked, Client, Got

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTRACT = Path(__file__).parents[1] / "data" / "apartmentiq-jobs-openapi.yaml"
OUR_URL = "https://hooks.example/ours/token?order=0b1c&x=%2F"
MINUTES = 60


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


def read_contract() -> OpenAPI:
    """Return what the vendor's pages say of jobs."""
    return OpenAPI.from_dict(yaml.safe_load(CONTRACT.read_text("utf-8")))


JOBS = read_contract()


def asked(method: str, path: str, body: bytes | None = None, job_id: str | None = None) -> Asked:
    """Return a request as the contract's validator sees it."""
    parameters = RequestParameters(
        path={"job_id": job_id} if job_id else {},
        query=dict(parse_qsl(path.partition("?")[2])),
        header={"Authorization": "Bearer x"},
    )
    return Asked(
        f"/apartmentiq/api/v1{path.partition('?')[0]}",
        parameters,
        method=method.lower(),
        content_type="application/json" if body is not None else "",
        body=body,
    )


def hold_order(got: Got) -> Got:
    """Hold the answer to an order to the contract. Raises OpenAPIError."""
    JOBS.validate_response(asked("POST", "/bulk_api/jobs", b"{}"), got)
    return got


def hold_job(client: Client, method: Literal["GET", "DELETE"], job_id: str) -> Got:
    """Make a call on one job and hold request and answer to the contract."""
    path = f"/bulk_api/jobs/{job_id}"
    request = asked(method, path, job_id=job_id)
    JOBS.validate_request(request)
    got = client.call(path, method=method, token=client.vendor.access_token)
    JOBS.validate_response(request, got)
    return got


def hold_list(client: Client, query: str) -> Got:
    """Ask for a page of the list and hold request and answer to the contract."""
    request = asked("GET", f"/bulk_api/jobs?{query}")
    JOBS.validate_request(request)
    got = client.call(f"/bulk_api/jobs?{query}", token=client.vendor.access_token)
    JOBS.validate_response(request, got)
    return got


# --- as documented ---


def test_the_contract_refuses_what_it_should() -> None:
    """The validator is awake: wrong statuses, bodies, fields of a job, of an order all fail."""
    json_type = {"content-type": "application/json"}
    whole = {"job_id": "3c90c3cc-0d44-4b50-8888-8dd25736052a", "status": "submitted", **ORDER}
    hold_order(Got(201, json_type, json.dumps(whole).encode()))
    for change in ({"status": "running"}, {"size_bytes": 5}, {"report_type": None}):
        with pytest.raises(OpenAPIError):
            hold_order(Got(201, json_type, json.dumps({**whole, **change}).encode()))
    with pytest.raises(OpenAPIError):
        hold_order(Got(404, json_type, b"{}"))
    with pytest.raises(OpenAPIError):
        JOBS.validate_request(asked("GET", "/bulk_api/jobs?per_page=101"))


def test_the_whole_life_of_a_job_is_as_documented(client: Client, vendor: VendorStandIn) -> None:
    """Ordered, listed, looked at, cancelled or completed: each answer is the documented object."""
    first = hold_order(client.order(callback_url=OUR_URL)).document
    second = hold_order(client.order(property_ids=[7, 5, 7])).document
    assert (first["status"], first["callback_url"]) == ("submitted", OUR_URL)
    assert second["property_ids"] == [7, 5, 7]
    vendor.complete_job(str(second["job_id"]), b"{}\n")
    listed = hold_list(client, "page=1&per_page=1").document
    assert [job["job_id"] for job in listed["jobs"]] == [second["job_id"]]  # type: ignore[attr-defined]  # parsed JSON
    assert hold_job(client, "GET", str(second["job_id"])).document["status"] == "succeeded"
    cancelled = hold_job(client, "DELETE", str(first["job_id"])).document
    assert (cancelled["status"], cancelled["callback_url"]) == ("cancelled", OUR_URL)
    assert hold_job(client, "GET", "3c90c3cc-0d44-4b50-8888-8dd25736052a").status_code == 404


def form(body: bytes, content_type: str = "application/json") -> Request:
    """Return an order as it comes over the wire."""
    headers = Message()
    headers["Content-Type"] = content_type
    return Request("POST", "/apartmentiq/api/v1/bulk_api/jobs", headers, body)


# What a field may be sent as, good and bad; ABSENT leaves it out.
ABSENT = object()
DATES = (
    *("2025-02-20", "2024-02-29", "9999-12-31", "2025-02-29", "2025-13-01", "2025-2-20"),
    *("20250220", "2025-W08-4", "2025-02-20T00:00:00Z", " 2025-02-20", "2025-02-20 ", "02/20/2025"),
)
ANY: tuple[object, ...] = (ABSENT, None, True, 7, 7.5, "", "x", [], ["x"], {}, {"a": 1})
VALUES: Mapping[str, tuple[object, ...]] = {
    "report_type": ("floorplans", "property", "units", "unit", "Units", " units", ["units"]),
    "output_format": ("csv", "jsonl", "parquet", "json", "CSV"),
    "start_date": DATES,
    "end_date": DATES,
    "property_ids": (
        *([99001416], [2, 1, 2], list(range(5_000)), [0], [-3], [2**63 - 1]),
        *(["1"], [True], [None], [1.5], [[1]], [1, "2"], "1,2"),
    ),
    "callback_url": (
        *(OUR_URL, "http://localhost:8443/x", "https://[2001:db8::1]/x?a=b#c", "https://x"),
        *("/only/a/path", "//x/y", "ftp://x/", "https:", "mailto:a@b.example", "x.example/y"),
        *("https://x/ü", "https://x/a b", "https://x/%4"),
    ),
    "idempotency_key": ("0b1c",),
    "Report_Type": ("units",),
}
GOOD = {**ORDER, "callback_url": OUR_URL}
CHANGES = [
    (name, value)
    for name, values in VALUES.items()
    for value in (*values, *(ANY if name in GOOD else (ABSENT,)))
]


def accepts(fields: Mapping[str, object]) -> bool:
    """Say whether the stand-in takes an order."""
    try:
        order = read_order(form(json.dumps(fields).encode()))
    except OrderError:
        return False
    assert {**ORDER, **fields} == {
        **{name: getattr(order, name) for name in fields},
        "property_ids": list(order.property_ids),
    }
    return True


def documented(fields: Mapping[str, object]) -> bool:
    """Say whether the vendor's pages allow an order."""
    try:
        JOBS.validate_request(asked("POST", "/bulk_api/jobs", json.dumps(fields).encode()))
    except OpenAPIError:
        return False
    return True


def test_takes_exactly_the_orders_that_are_documented() -> None:
    """Each field good, bad, absent or invented: the stand-in and the vendor's pages agree.

    But for two that no page allows or forbids: no property at all, an end before its start.
    """
    verdicts = []
    for name, value in CHANGES:
        fields = {**GOOD, name: value}
        if value is ABSENT:
            del fields[name]
        allowed = documented(fields) and bool(fields["property_ids"])
        allowed = allowed and str(fields["start_date"]) <= str(fields["end_date"])
        assert accepts(fields) == allowed, (name, value)
        verdicts.append(allowed)
    assert verdicts.count(True) > 20
    assert verdicts.count(False) > 80


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (json.dumps(ORDER).encode(), "application/x-www-form-urlencoded"),
        (json.dumps({**ORDER, "property_ids": []}).encode(), "application/json"),
        (json.dumps({**ORDER, "property_ids": [2**63]}).encode(), "application/json"),
    ],
)
def test_takes_nothing_but_a_json_object_with_properties(body: bytes, content_type: str) -> None:
    """Whatever else comes is refused, not guessed at."""
    with pytest.raises(OrderError):
        read_order(form(body, content_type))


def test_an_order_needs_a_token_and_is_a_route_of_its_own(
    client: Client, vendor: VendorStandIn
) -> None:
    """Scripted answers for orders leave the list alone, and a 401 orders nothing."""
    vendor.refuse_token_next("order")
    vendor.limit_rate_next("order", retry_after_seconds=7)
    refused = hold_order(client.order())
    assert (refused.status_code, refused.document["error"]) == (401, "Unauthorized")
    limited = hold_order(client.order())
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert client.listed() == []
    body = json.dumps(ORDER).encode()
    nobody = client.call(
        "/bulk_api/jobs", method="POST", body=body, content_type="application/json"
    )
    assert hold_order(nobody).status_code == 401
    assert hold_order(client.order()).status_code == 201
    assert [entry.status for entry in vendor.journal if entry.route == "order"] == [
        *(401, 429, 401, 201)
    ]


def test_the_journal_tells_a_fresh_connection_from_a_used_one(
    client: Client, vendor: VendorStandIn
) -> None:
    """By how many requests it carried before."""
    client.listed()
    host = f"localhost:{vendor.api_base_url.partition('localhost:')[2].partition('/')[0]}"
    connection = http.client.HTTPSConnection(host, context=client.context, timeout=10)
    for _ in range(3):
        connection.request("GET", "/nowhere")
        connection.getresponse().read()
    connection.close()
    assert [entry.requests_before for entry in vendor.journal] == [0, 0, 1, 2]


# --- answers that are lost ---


@pytest.mark.parametrize("lost_as", get_args(LostAs))
@pytest.mark.parametrize("recorded", [True, False])
def test_loses_the_answer_after_or_before_the_job_is_recorded(
    client: Client, vendor: VendorStandIn, lost_as: LostAs, *, recorded: bool
) -> None:
    """The customer hears nothing that names a job; the list alone knows whether there is one."""
    vendor.orders.lose_answers(recorded_after_seconds=0 if recorded else None, lost_as=lost_as)
    impatient = Client(vendor, client.context, timeout_seconds=0.5)
    if lost_as == "gateway timeout":
        got = impatient.order(callback_url=OUR_URL)
        assert (got.status_code, b"job_id" in got.data) == (504, False)
    else:
        with pytest.raises((http.client.HTTPException, OSError)):
            impatient.order(callback_url=OUR_URL)
    assert [job["callback_url"] for job in client.listed()] == [OUR_URL] * recorded
    assert client.order().status_code == 201
    assert len(client.listed()) == 1 + recorded


def test_executes_an_order_minutes_after_its_answer_was_lost(
    client: Client, vendor: VendorStandIn
) -> None:
    """Until then nobody knows the job; then it stands where its creation puts it, and completes."""
    vendor.complete_orders_after(MINUTES)
    vendor.orders.lose_answers(recorded_after_seconds=10 * MINUTES, lost_as="gateway timeout")
    client.order(callback_url=OUR_URL)
    vendor.clock.advance(9 * MINUTES)
    early = str(client.order().document["job_id"])
    assert [job["job_id"] for job in client.listed()] == [early]
    vendor.clock.advance(1 * MINUTES)
    late, before = client.listed()
    assert (late["callback_url"], late["status"], before["job_id"]) == (OUR_URL, "submitted", early)
    assert str(late["created_at"]) > str(before["created_at"])
    assert late["updated_at"] == late["created_at"]
    vendor.clock.advance(1 * MINUTES)
    job_id = str(late["job_id"])
    assert hold_job(client, "GET", job_id).document["status"] == "succeeded"
    assert client.results(job_id).status_code == 302


def test_a_late_order_is_no_job_until_it_is_executed(client: Client, vendor: VendorStandIn) -> None:
    """Not in the list, not by its id, and no callback goes out for it."""
    vendor.orders.settle(0)
    vendor.orders.lose_answers(recorded_after_seconds=10 * MINUTES, lost_as="gateway timeout")
    client.order(callback_url="https://localhost:9/")
    assert (client.listed(), vendor.jobs.newest_first(), vendor.jobs.take_ended()) == ([], [], [])
    vendor.clock.advance(10 * MINUTES)
    (job,) = vendor.jobs.take_ended()
    assert hold_job(client, "GET", job.job_id).document["status"] == "succeeded"


# --- a list that tells less ---


def test_a_list_may_lag_while_jobs_pages_do_not(client: Client, vendor: VendorStandIn) -> None:
    """It shows jobs, their number and how far they were as of so long ago."""
    vendor.orders.change_habits(list_lag_seconds=5 * MINUTES)
    first = str(client.order().document["job_id"])
    assert hold_job(client, "GET", first).status_code == 200
    assert hold_list(client, "page=1").document["pagination"] == {
        "current_page": 1,
        "total_pages": 1,
        "total_count": 0,
        "per_page": 50,
    }
    vendor.clock.advance(4 * MINUTES)
    vendor.complete_job(first, b"{}\n")
    second = str(client.order().document["job_id"])
    vendor.clock.advance(1 * MINUTES)
    assert [(job["job_id"], job["status"]) for job in client.listed()] == [(first, "submitted")]
    assert hold_job(client, "GET", first).document["status"] == "succeeded"
    vendor.clock.advance(4 * MINUTES)
    assert [(job["job_id"], job["status"]) for job in client.listed()] == [
        (second, "submitted"),
        (first, "succeeded"),
    ]


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("as sent", [OUR_URL]),
        ("null", [None]),
        ("left out", []),
        ("without query", ["https://hooks.example/ours/token"]),
    ],
)
def test_a_callback_url_may_not_be_echoed(
    client: Client, vendor: VendorStandIn, shown: str, told: list[str | None]
) -> None:
    """Neither in the answer to the order, nor in the list, on the job's page, at its end."""
    vendor.orders.change_habits(callback_url_shown=shown)
    ordered = hold_order(client.order(callback_url=OUR_URL)).document
    job_id = str(ordered["job_id"])
    documents = [
        ordered,
        *client.listed(),
        hold_job(client, "GET", job_id).document,
        hold_job(client, "DELETE", job_id).document,
    ]
    for document in documents:
        assert [value for name, value in document.items() if name == "callback_url"] == told
    job = vendor.jobs.get(job_id)
    assert job is not None
    assert job.order.callback_url == OUR_URL, "it is called all the same"


def test_jobs_told_otherwise_are_told_so_everywhere(client: Client, vendor: VendorStandIn) -> None:
    """Such as property ids in another order."""

    def shuffled(job: dict[str, object]) -> dict[str, object]:
        return {**job, "property_ids": [9, 1, 5]}

    vendor.tell_jobs_as(shuffled)
    ordered = client.order(property_ids=[1, 5, 9]).document
    assert ordered["property_ids"] == client.listed()[0]["property_ids"] == [9, 1, 5]


# --- refusals ---


def test_refuses_in_both_documented_forms(client: Client, vendor: VendorStandIn) -> None:
    """A test chooses sentence and form; what is really wrong is told in the vendor's form."""
    vendor.orders.refuse(["property_ids: 7 is not yours"], matching={"property_ids": {7, 5}})
    vendor.orders.refuse(["start_date is too early"], error_form="error", times=2)
    assert [hold_order(client.order(property_ids=[5, 7])).document for _ in range(2)] == [
        {"errors": ["property_ids: 7 is not yours"]},
        {"error": "Invalid parameter", "message": "start_date is too early"},
    ]
    assert [hold_order(client.order()).status_code for _ in range(2)] == [400, 201]
    wrong = hold_order(client.order(report_type="x", end_date="2025-02-31")).document
    assert len(wrong["errors"]) == 2  # type: ignore[arg-type]  # parsed JSON
    vendor.orders.change_habits(error_form="error", most_property_ids=2)
    many = hold_order(client.order(property_ids=[1, 2, 3])).document
    assert many == {
        "error": "Invalid parameter",
        "message": "property_ids must be at most 2, not 3",
    }


@pytest.mark.parametrize("quota_form", get_args(QuotaForm))
def test_an_account_may_have_no_quota_left(
    client: Client, vendor: VendorStandIn, quota_form: QuotaForm
) -> None:
    """So many orders are taken, then none until the quota grows; the list goes on."""
    vendor.orders.change_habits(quota_limit=2, quota_form=quota_form)
    assert [client.order().status_code for _ in range(2)] == [201, 201]
    got = client.order()
    assert got.status_code == int(quota_form[:3])
    assert "retry-after" not in got.headers
    if quota_form == "403 empty":
        assert (got.data, got.content_type) == (b"", "")
    else:
        assert (got.document["quota_limit"], got.document["quota_usage"]) == (2, 3)
        hold_order(got)
    assert len(client.listed()) == 2
    vendor.orders.change_habits(quota_limit=3)
    assert [client.order().status_code for _ in range(2)] == [201, got.status_code]
    vendor.orders.change_habits(quota_limit=None)
    vendor.exceed_quota_next("order", form=quota_form)
    assert [client.order().status_code for _ in range(2)] == [got.status_code, 201]


# --- how jobs go on, and what others do ---


def test_jobs_complete_fail_or_never_end(client: Client, vendor: VendorStandIn) -> None:
    """Each as it was planned for its order, the others as the vendor does by itself."""
    vendor.complete_orders_after(5 * MINUTES)
    vendor.orders.settle(MINUTES, error_message="No data", matching={"start_date": "2025-02-02"})
    vendor.orders.settle(None, times=None, matching={"start_date": "2025-02-03"})
    failing, endless, good, again = (
        str(client.order(start_date=f"2025-02-0{day}").document["job_id"]) for day in (2, 3, 4, 2)
    )
    vendor.clock.advance(MINUTES)
    failed = hold_job(client, "GET", failing).document
    assert (failed["status"], failed["error_message"]) == ("failed", "No data")
    assert hold_job(client, "GET", good).document["status"] == "submitted"
    vendor.clock.advance(365 * 24 * 60 * MINUTES)
    statuses = {job["job_id"]: job["status"] for job in client.listed()}
    assert statuses[good] == statuses[again] == "succeeded"
    assert (statuses[endless], statuses[failing]) == ("submitted", "failed")


def test_people_order_by_hand_beside_us(client: Client, vendor: VendorStandIn) -> None:
    """As often as they like: each a job of its own, told apart by its callback_url alone."""
    ours = client.order(callback_url=OUR_URL).document
    theirs = vendor.orders.by_hand(ORDER, times=2)
    listed = client.listed()
    assert [job["job_id"] for job in listed] == [
        *(job.job_id for job in reversed(theirs)),
        ours["job_id"],
    ]
    assert [job["callback_url"] for job in listed] == [None, None, OUR_URL]
    same = [{name: job[name] for name in ORDER} for job in listed]
    assert same == [dict(ORDER)] * 3
    assert vendor.orders.by_hand(Order(report_type="units"))[0].order.report_type == "units"
    with pytest.raises(OrderError, match="report_type"):
        vendor.orders.by_hand({**ORDER, "report_type": "x"})


def test_plans_are_used_up_by_the_orders_that_they_fit(
    client: Client, vendor: VendorStandIn
) -> None:
    """In the order in which they were made; an invalid order uses none, and clear forgets all."""
    vendor.orders.lose_answers(lost_as="gateway timeout", matching={"report_type": "units"})
    vendor.orders.refuse(times=None, matching={"report_type": "units"})
    assert client.order(report_type="x").status_code == 400
    statuses = [client.order(report_type=name).status_code for name in ("property", "units")]
    assert statuses == [201, 504]
    assert [client.order(report_type="units").status_code for _ in range(3)] == [400] * 3
    vendor.orders.change_habits(list_lag_seconds=60)
    vendor.clear_script()
    assert client.order(report_type="units").status_code == 201
    assert len(client.listed()) == 3


def test_nonsense_is_planned_for_nobody(vendor: VendorStandIn) -> None:
    """A test that misspells a fault is told, and nothing is changed."""
    wrong_word: LostAs = "lost"  # type: ignore[assignment]  # that is the point
    with pytest.raises(ValueError, match="hung up"):
        vendor.orders.lose_answers(lost_as=wrong_word)
    with pytest.raises(ValueError, match="reporttype"):
        vendor.orders.refuse(matching={"reporttype": "units"})
    with pytest.raises(ValueError, match="at least 1"):
        vendor.orders.refuse(times=0)
    with pytest.raises(ValueError, match="never ends"):
        vendor.orders.settle(error_message="No data")
    habits = vendor.orders.habits
    for wrong in ({"lag": 1}, {"quota_form": "500"}, {"list_lag_seconds": "5"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            vendor.orders.change_habits(created_status=200, **wrong)
    assert vendor.orders.habits is habits


# --- the switchboard ---


def control(client: Client, **said: object) -> Got:
    """Tell the stand-in by HTTP what to do."""
    return client.call(
        "/stand-in",
        method="POST",
        token=client.vendor.access_token,
        body=json.dumps(said).encode(),
        content_type="application/json",
    )


def test_faults_are_switched_by_http_too(client: Client, vendor: VendorStandIn) -> None:
    """A person with curl loses an answer, moves the clock, lets the list lag, orders by hand."""
    got = control(client, do="lose_answers", recorded_after_seconds=300, lost_as="gateway timeout")
    assert got.status_code == 200
    assert client.order().status_code == 504
    assert client.listed() == []
    control(client, do="advance_clock", seconds=300)
    assert len(client.listed()) == 1
    control(client, do="by_hand", order=dict(ORDER), times=2)
    control(client, do="settle", after_seconds=0, error_message="No data")
    assert client.order().status_code == 201
    assert [job["status"] for job in client.listed()] == ["failed", *["submitted"] * 3]
    told = control(client, do="change_habits", list_lag_seconds=60).document
    assert told["habits"] == {**dataclasses.asdict(Habits()), "list_lag_seconds": 60}
    for said in ({"do": "refuse"}, {"do": "limit_rate", "route": "order"}):
        control(client, **said)
    assert [client.order().status_code for _ in range(3)] == [429, 400, 201]
    control(client, do="revoke_tokens")
    assert client.order().status_code == 401
    assert "control" not in {entry.route for entry in vendor.journal}


def test_the_switchboard_refuses_what_it_does_not_understand(
    client: Client, vendor: VendorStandIn
) -> None:
    """With a sentence; and whoever has no token is told nothing."""
    for said in (
        {},
        {"do": "explode"},
        {"do": "lose_answers", "lost": 1},
        {"do": "lose_answers", "lost_as": "x"},
        {"do": "by_hand", "order": {}},
        {"do": "advance_clock", "seconds": "x"},
        {"do": "limit_rate", "route": "orders"},
        {"do": ["clear"]},
    ):
        got = control(client, **said)
        assert (got.status_code, bool(got.document["error"])) == (400, True), said
    token = vendor.access_token
    for method, body, status in (("POST", b"{", 400), ("PUT", b"{}", 405), ("GET", None, 200)):
        got = client.call("/stand-in", method=method, token=token, body=body)
        assert got.status_code == status
    assert "lose_answers" in got.document["commands"]  # type: ignore[operator]  # parsed JSON
    assert client.call("/stand-in").status_code == 401
