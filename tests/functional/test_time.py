"""A run tells its outcome before Lambda would end it, whoever fails to answer.

What is silent here stays so for longer than the invocation lasts: without a bound on every wait the
run would be killed, and the message would come back without anybody knowing why.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import Company, LambdaContext

_WORK_SECONDS = 1.5
_TELLING_SECONDS = 8.0  # what the handler keeps free for it


@dataclass
class EndingContext(LambdaContext):
    """An invocation whose time runs."""

    ends_at: float = field(
        default_factory=lambda: time.monotonic() + _WORK_SECONDS + _TELLING_SECONDS
    )

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return int((self.ends_at - time.monotonic()) * 1000)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Return what lets the silent go on, set at the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Run a host that accepts and says nothing, not even for TLS."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield f"localhost:{listener.getsockname()[1]}"


Silence = Callable[[Company, str, threading.Event], None]


def vendor(company: Company, host: str, _: threading.Event) -> None:
    """Move the vendor's API to a silent host."""
    company.set_environment(APARTMENTIQ_API_BASE_URL=f"https://{host}/api")


def token_endpoint(company: Company, host: str, _: threading.Event) -> None:
    """Move the token endpoint to a silent host."""
    company.set_environment(APARTMENTIQ_TOKEN_URL=f"https://{host}/oauth/token")


def link_host(company: Company, host: str, _: threading.Event) -> None:
    """Let the vendor redirect to a silent host that is trusted."""
    company.set_environment(TRUSTED_LINK_HOSTS=host)
    location = {"Location": f"https://{host}/export?X-Amz-Signature=0"}
    company.vendor.answer_next("results", status=302, headers=location, times=None)


def _aws(name: str) -> Silence:
    def silence(company: Company, _: str, released: threading.Event) -> None:
        silent = Refusal(500, silent_until=released)
        company.aws_script.answer_next(operation(name), silent, times=9)

    return silence


def bucket(company: Company, _: str, released: threading.Event) -> None:
    """Let S3 say nothing of a PUT."""
    put = s3_call("PUT", company.bucket)
    company.aws_script.answer_next(put, Refusal(500, silent_until=released), times=9)


@pytest.mark.parametrize(
    "silence",
    [
        vendor,
        token_endpoint,
        link_host,
        bucket,
        _aws("GetSecretValue"),
        _aws("PutEvents"),
    ],
    ids=["vendor", "token", "link", "S3", "secret", "bus"],
)
def test_whoever_is_silent_the_job_waits_and_the_run_ends_in_time(
    company: Company, silent_host: str, released: threading.Event, silence: Silence
) -> None:
    """Out of time is no failure: acknowledged, sent on, with what it was that took the time."""
    silence(company, silent_host, released)
    company.runtime.restart()  # so that the secret is read
    job = company.vendor.add_job(b"late")
    context = EndingContext()
    assert company.deliver({"job_id": job.job_id}, context=context) == []
    assert context.get_remaining_time_in_millis() > 1_000
    assert company.outcomes() == [("deferred", "out_of_time")]
    assert "The last thing: " in company.log.getvalue()


# The embedded table takes one call after the other: a silent read is a table that is silent.
@pytest.mark.parametrize("name", ["SendMessage", "UpdateItem", "BatchGetItem"])
def test_telling_ends_in_time_too(
    company: Company, silent_host: str, released: threading.Event, name: str
) -> None:
    """If even the queue is silent, the message comes back by its visibility; no table is needed."""
    vendor(company, silent_host, released)
    _aws(name)(company, silent_host, released)
    job = company.vendor.add_job(b"later")
    context = EndingContext()
    failed = company.deliver({"job_id": job.job_id}, context=context)
    assert failed == (company.delivered[-1:] if name == "SendMessage" else [])
    assert len(company.waiting()) == 1 - len(failed)
    assert context.get_remaining_time_in_millis() > 1_000


def test_a_silent_heartbeat_holds_nobody_up(company: Company, released: threading.Event) -> None:
    """A queue that does not answer the beat costs the copy no more than its grace at the end."""
    _aws("ChangeMessageVisibility")(company, "", released)
    job = company.vendor.add_job(b"a beat was not heard")
    began = time.monotonic()
    assert company.archive(job) == b"a beat was not heard"
    assert time.monotonic() - began < 10.0
