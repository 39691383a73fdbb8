"""The stand-in calls back as the vendor says it does: once, when a job has ended, and only then."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from local.apartmentiq import PAYLOADS, Order, VendorStandIn
from local.apartmentiq.listener import Listener, Reply
from local.apartmentiq.messages import Answer, Request
from local.apartmentiq.script import LinkFault
from local.certificates import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Receiver:
    """A customer's server, and what it was called with."""

    context: ssl.SSLContext
    status: int = 202
    seen: list[Request] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.listener = Listener(self.context, self._respond, "receiver")

    @property
    def url(self) -> str:
        """Return the URL to call."""
        return f"https://localhost:{self.listener.server_port}/our-token"

    def _respond(self, request: Request) -> Reply:
        self.seen.append(request)
        self.called.set()
        headers = (("Location", "https://localhost:9/elsewhere"),) if self.status == 302 else ()
        return Reply(Answer(self.status, headers), LinkFault(), lambda _: None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority of the tests' own."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def receiver(authority: CertificateAuthority) -> Iterator[Receiver]:
    """Run a customer's server."""
    receiver = Receiver(authority.server_context())
    receiver.listener.start()
    yield receiver
    receiver.listener.stop()


@pytest.fixture
def vendor(authority: CertificateAuthority) -> Iterator[VendorStandIn]:
    """Run a stand-in that calls back."""
    context = authority.server_context()
    with VendorStandIn(context, callbacks_trust=authority.bundle_path) as running:
        yield running


def test_a_job_is_called_back_once_when_it_completes(
    vendor: VendorStandIn, receiver: Receiver
) -> None:
    """Not before it is finished, and not again when somebody looks at it."""
    job = vendor.add_job(b"x", order=Order(callback_url=receiver.url), completes_after_seconds=3600)
    other = vendor.add_job(b"x", order=Order(callback_url=receiver.url))
    vendor.callbacks.wait_for(other.job_id)
    assert [job.job_id.encode() in request.body for request in receiver.seen] == [False]
    vendor.clock.advance(3601)
    assert vendor.callbacks.wait_for(job.job_id).status == 202
    assert vendor.jobs.take_ended() == []
    assert len(receiver.seen) == 2


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_payload_names_the_job(
    vendor: VendorStandIn, receiver: Receiver, payload: str
) -> None:
    """The job's id is in the body or in the query, in the form that the header says."""
    vendor.callbacks.payload = payload
    job = vendor.add_job(b"x", order=Order(callback_url=receiver.url))
    vendor.callbacks.wait_for(job.job_id)
    (request,) = receiver.seen
    assert request.method == "POST"
    assert request.raw_path == "/our-token"
    fields = parse_qs(request.body.decode()) if "form" in payload else {}
    said = [request.query().get("job_id"), request.body.decode(), *map(str, fields.values())]
    assert any(job.job_id in text for text in said if text)


@pytest.mark.parametrize("payload", ["job object", "query"])
def test_a_callback_urls_own_query_arrives(
    vendor: VendorStandIn, receiver: Receiver, payload: str
) -> None:
    """What the customer wrote there comes back, before what the vendor adds."""
    vendor.callbacks.payload = payload
    job = vendor.add_job(b"x", order=Order(callback_url=f"{receiver.url}?order=0b1c"))
    vendor.callbacks.wait_for(job.job_id)
    (request,) = receiver.seen
    added = {"job_id": job.job_id} if payload == "query" else {}
    assert request.query() == {"order": "0b1c", **added}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_ends_badly_is_called_back_too(
    vendor: VendorStandIn, receiver: Receiver, status: str
) -> None:
    """It has ended; what became of it is for the customer to ask."""
    job = vendor.add_job(None, order=Order(callback_url=receiver.url), status=status)  # type: ignore[arg-type] # one of the two
    assert vendor.callbacks.wait_for(job.job_id).status == 202


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_whatever_the_answer_nothing_is_tried_again(
    vendor: VendorStandIn, receiver: Receiver, status: int
) -> None:
    """No retry, no redirect: the customer must not depend on either."""
    receiver.status = status
    job = vendor.add_job(b"x", order=Order(callback_url=receiver.url))
    assert vendor.callbacks.wait_for(job.job_id).status == status
    receiver.called.clear()
    assert not receiver.called.wait(0.3)
    assert len(receiver.seen) == 1


def test_lost_callbacks_never_leave(vendor: VendorStandIn, receiver: Receiver) -> None:
    """With a probability of 1 none arrives, and each is written down as lost."""
    vendor.callbacks.lose = 1.0
    jobs = [vendor.add_job(b"x", order=Order(callback_url=receiver.url)) for _ in range(5)]
    assert all(vendor.callbacks.wait_for(job.job_id).lost for job in jobs)
    assert receiver.seen == []


@pytest.mark.parametrize("url", ["https://hooks.example.com/x", "https://localhost:9/", "nonsense"])
def test_nobody_else_is_called(vendor: VendorStandIn, url: str) -> None:
    """An address that is not of this machine is left alone, a dead one does no harm."""
    job = vendor.add_job(b"x", order=Order(callback_url=url))
    record = vendor.callbacks.wait_for(job.job_id)
    assert (record.status, record.lost) == (None, False)


def test_a_receiver_that_cannot_prove_who_it_is_is_not_told(
    vendor: VendorStandIn, tmp_path: Path
) -> None:
    """TLS is verified, as the vendor's would be."""
    stranger = CertificateAuthority.create(tmp_path / "other")
    receiver = Receiver(stranger.server_context())
    receiver.listener.start()
    try:
        job = vendor.add_job(b"x", order=Order(callback_url=receiver.url))
        assert vendor.callbacks.wait_for(job.job_id).status is None
    finally:
        receiver.listener.stop()
    assert receiver.seen == []


def test_without_trust_nobody_is_called(authority: CertificateAuthority) -> None:
    """A stand-in that was not told whom to trust has no callbacks, and says so."""
    with (
        VendorStandIn(authority.server_context()) as vendor,
        pytest.raises(ValueError, match="callbacks_trust"),
    ):
        _ = vendor.callbacks.records
