"""The test of the test: the fuzzer finds archivers that are broken on purpose.

Each is broken through a seam: a collaborator wrapped, a function of the same shape handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.archiving.archive import Archived, Request
from archiver.archiving.delivery import Archives, Delivery, SendsMessages
from archiver.archiving.message import Message, read_request, read_sqs_record
from archiver.archiving.object_key import object_key
from archiver.errors import Failure, Rejection
from archiver.job import Job
from tests.fuzz import doors, whole
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.assembled import Assembled
from tests.fuzz.runner import run_target
from tests.fuzz.target import Target
from tests.fuzz.world import World

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
_CASES = 1_500  # within which each must be found; most are within a hundred
_SEED = 4


def found(name: str, check: Callable[[Any], str]) -> str:
    """Run a target with a broken check's subject; returns how the promise was said to be broken."""
    target = next(target for target in TARGETS if target.name == name)
    run = run_target(replace(target, check=check), _CASES, _SEED, shrink=False)
    assert run.broken is not None, f"{name} found nothing in {run.passed} cases"
    assert run.broken.example != "(no example was kept)"
    return repr(run.broken.error)


# --- broken doors ---


class Careless(TrustedHosts):
    """Forgets the dot before a suffix."""

    def trusts(self, host: str, port: int) -> bool:
        """Trust whatever ends alike."""
        known = TrustedHosts(self.exact, self.suffixes).trusts(host, port)
        return known or host.endswith(("trusted.example", "amazonaws.com"))


def trusting(location: str, trusted: TrustedHosts) -> Link:
    """Follow a link by a careless list."""
    return read_link(location, Careless(trusted.exact, trusted.suffixes))


def tidying(location: str, trusted: TrustedHosts) -> Link:
    """Tidy a link's path, as URL libraries do."""
    link = read_link(location, trusted)
    return replace(link, target=link.target.replace("/./", "/"))


def lenient(body: str) -> tuple[str, bool]:
    """Take anything in a UUID's place."""
    try:
        return read_request(body)
    except Rejection:
        if '"job_id"' in body:
            return "job", False
        raise


def literal(job: Job, *, prefix: str, template: str) -> str:
    """Forget to escape what the vendor says."""
    if job.report_type == "../..":
        return prefix + template.replace("{report_type}", job.report_type)
    return object_key(job, prefix=prefix, template=template)


def believing(record: dict[str, Any], now: datetime) -> Message:
    """Believe any count of receives."""
    attributes = record.get("attributes")
    count = attributes.get("ApproximateReceiveCount", 1) if isinstance(attributes, dict) else 1
    return replace(read_sqs_record(record, now), receive_count=int(count))


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("links", lambda case: doors.check_link(case, trusting), "not a trusted host"),
        ("links", lambda case: doors.check_link(case, tidying), "not as it was given"),
        ("bodies", lambda case: doors.check_body(case, read=lenient), "AssertionError"),
        ("bodies", lambda case: doors.check_body(case, sanitise=str), "callback"),
        ("keys", lambda case: doors.check_key(case, literal), "AssertionError"),
        ("records", lambda case: doors.check_record(case, believing), "Error"),
    ],
    ids=["trusts a suffix", "tidies a path", "takes any id", "keeps callbacks", "no escape", "int"],
)
def test_a_broken_door_is_found(name: str, check: Callable[[Any], str], said: str) -> None:
    """A link to a stranger, a rewritten target, a strange id, a token kept, a key outside."""
    assert said in found(name, check)


# --- broken wholes ---


@dataclass
class Losing:
    """A queue that loses what it is sent."""

    queue: SendsMessages

    def send(self, body: str, attributes: Mapping[str, str], *, delay_seconds: int = 0) -> None:
        """Lose it."""

    def hide(self, receipt_handle: str, *, seconds: int) -> None:
        """Hide as ever."""
        self.queue.hide(receipt_handle, seconds=seconds)


@dataclass
class Doubling(Losing):
    """A queue that sends twice."""

    def send(self, body: str, attributes: Mapping[str, str], *, delay_seconds: int = 0) -> None:
        """Send it twice."""
        for _ in range(2):
            self.queue.send(body, attributes, delay_seconds=delay_seconds)


@dataclass
class Misnaming(Losing):
    """A dead-letter queue that names another reason: one that is settled, but not true."""

    def send(self, body: str, attributes: Mapping[str, str], *, delay_seconds: int = 0) -> None:
        """Call a malformed message one that the vendor does not know."""
        told = {**attributes, "reason": "no_such_job"}
        self.queue.send(body, told, delay_seconds=delay_seconds)


@dataclass
class Changed:
    """A use case in which something is changed before it is told."""

    archiver: Archives
    change: Callable[[Exception], Exception]

    def archive(self, request: Request) -> Archived:
        """Archive, and change what is raised."""
        try:
            return self.archiver.archive(request)
        except Exception as error:
            raise self.change(error) from error

    def give_up(self, job_id: str, asked_by: str) -> None:
        """Give up as ever."""
        self.archiver.give_up(job_id, asked_by)


def quoting(error: Exception) -> Exception:
    """Quote the credentials in what people are shown, as a careless error message does."""
    if isinstance(error, Failure):
        return Failure(error.reason, f"{error.detail} ({whole.GOOD_SECRET})")  # type: ignore[arg-type] # a settled reason
    return error


def unclassified(error: Exception) -> Exception:
    """Let an error of a library's through."""
    return KeyError("access_token") if isinstance(error, Failure) else error


def untrue(error: Exception) -> Exception:
    """Take every failure for a 403."""
    return Rejection("forbidden", "403.") if isinstance(error, Failure) else error


def broken(change: Callable[[Delivery], Delivery]) -> type[Assembled]:
    """Return an archiver whose delivery is changed."""

    class Broken(Assembled):
        def __init__(self, world: World) -> None:
            super().__init__(world)
            self.delivery = change(self.delivery)

    return Broken


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: replace(d, dead_letters=Losing(d.dead_letters)), "(0, 0, [])"),
        (lambda d: replace(d, queue=Doubling(d.queue)), "(0, 2, [])"),
        (lambda d: replace(d, dead_letters=Misnaming(d.dead_letters)), "AssertionError"),
        (lambda d: replace(d, archiver=Changed(d.archiver, quoting)), "client secret"),
        (lambda d: replace(d, archiver=Changed(d.archiver, unclassified)), "bug is not true"),
        (lambda d: replace(d, archiver=Changed(d.archiver, untrue)), "forbidden is not true"),
    ],
    ids=["loses letters", "waits twice", "misnames", "quotes a secret", "lets through", "lies"],
)
def test_a_broken_whole_is_found(change: Callable[[Delivery], Delivery], said: str) -> None:
    """No outcome, two outcomes, a wrong or an untrue reason, a secret shown, a bug."""
    archiver = broken(change)
    assert said in found("messages", lambda case: whole.check(case, archiver))


def test_a_broken_promise_ends_the_run_with_its_example() -> None:
    """The smallest case is printed, and the run says that it failed."""

    def check(case: int) -> str:
        assert case < 1_000
        return "small"

    run = run_target(Target("numbers", 1, st.integers(), check), _CASES, _SEED)
    assert run.broken is not None
    assert "case=1000" in run.broken.example
