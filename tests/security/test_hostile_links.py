"""The corpus of links: whatever is hostile is refused before a connection, what is good is taken.

tests/data/hostile-links.jsonl and good-links.jsonl hold them, one a line, each with the trick or
the shape that it stands for. The whole application runs, in a world that is put in at its seam
(`Outside`): no wire would carry all of these Locations, and every connection is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from archiver.archiving.message import Message
from archiver.network.answer import Answer
from archiver.network.outside import Connection, Outside
from archiver.telemetry import NoSteps
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings
from archiver.wiring.world import real_outside

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DATA = Path(__file__).resolve().parents[1] / "data"
TRUSTED = "files.example.com,.partner.example:8443"
LEAST_HOSTILE = 200  # the number; fewer would mean that the file was cut
LEAST_GOOD = 50
API = "https://api.vendor.example/v1"
SETTINGS = {
    "APARTMENTIQ_API_BASE_URL": API,
    "APARTMENTIQ_TOKEN_URL": f"{API}/token",
    "TRUSTED_LINK_HOSTS": TRUSTED,
    "ARCHIVE_BUCKET": "archive",
    "CREDENTIALS_SECRET_ARN": "secret",
    "TABLE_NAME": "table",
    "EVENT_BUS_NAME": "bus",
    "QUEUE_URL": "queue",
    "DEAD_LETTER_QUEUE_URL": "dead",
}


@cache
def corpus(name: str) -> tuple[dict[str, Any], ...]:
    """Read a corpus; a link that is too long to be written out says what is repeated."""
    lines = (DATA / f"{name}-links.jsonl").read_text(encoding="ascii").splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for entry in entries:
        if "repeat" in entry:
            middle = entry["repeat"] * entry["times"]
            entry["location"] = f"{entry['before']}{middle}{entry['after']}"
    return tuple(entries)


@dataclass
class Vendor:
    """Answers the API's questions: each job succeeded, its results are at the given Location."""

    locations: Mapping[str, str]
    asked: list[str] = field(default_factory=list)

    def send(self, method: str, url: str, _headers: Mapping[str, str], _body: str | None) -> Answer:
        """Answer as ApartmentIQ does."""
        self.asked.append(f"{method} {url}")
        if method == "POST":
            return self._json({"access_token": "canary-token-corpus", "expires_in": 7200})
        job_id, _, rest = url.partition("/bulk_api/jobs/")[2].partition("/")
        if rest == "results":
            return Answer(302, {"location": self.locations[job_id]}, b"")
        return self._json({"job_id": job_id, "status": "succeeded", "output_format": "csv"})

    @staticmethod
    def _json(document: Mapping[str, object]) -> Answer:
        return Answer(200, {"content-type": "application/json"}, json.dumps(document).encode())


@dataclass
class Connections:
    """Counts connections that are asked for, and refuses each at its first request."""

    opened: list[tuple[str, int, bool]] = field(default_factory=list)
    requested: list[tuple[str, str]] = field(default_factory=list)

    def connect(self, host: str, port: int, *, tls: bool = True) -> Connection:
        """Note who is connected to."""
        self.opened.append((host, port, tls))
        return _Refusing(self.requested)


@dataclass
class _Refusing:
    requested: list[tuple[str, str]]

    def begin(self, method: str, target: str, _headers: Mapping[str, str]) -> NoReturn:
        self.requested.append((method, target))
        raise ConnectionRefusedError

    def send(self, _data: bytes | memoryview) -> NoReturn:
        raise AssertionError("nothing was begun")

    def answer(self) -> NoReturn:
        raise AssertionError("nothing was begun")

    def interrupt(self) -> None:
        """Interrupt nothing."""

    def close(self) -> None:
        """Close nothing."""


@dataclass
class Aws:
    """Agrees to everything, knows of nothing, and remembers what it was asked."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def client(self, _service: str, _config: object) -> Aws:
        """Return itself: no two services have a call of the same name here."""
        return self

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's JSON
            self.calls.append((name, parameters))
            answers: dict[str, dict[str, Any]] = {
                "get_secret_value": {"SecretString": '{"access_token": "canary-token-corpus"}'},
                "put_events": {"FailedEntryCount": 0, "Entries": [{}]},
            }
            return answers.get(name, {})

        return call

    def letters(self) -> dict[str, dict[str, str]]:
        """Return the attributes of each dead letter, by job id."""
        letters = [
            {name: value["StringValue"] for name, value in sent["MessageAttributes"].items()}
            for name, sent in self.calls
            if name == "send_message" and sent["QueueUrl"] == SETTINGS["DEAD_LETTER_QUEUE_URL"]
        ]
        return {letter["job_id"]: letter for letter in letters}


@dataclass
class Record:
    """Takes log lines and counts as texts."""

    lines: list[str] = field(default_factory=list)

    def note(self, *arguments: object, **fields: object) -> None:
        """Keep a line, or a count, as it is."""
        self.lines.append(f"{arguments} {fields}")

    info = warning = error = exception = archived = count = count_reason = note


@dataclass
class World:
    """The application, a vendor that answers with the links of a corpus, and what came of them."""

    locations: dict[str, str] = field(repr=False)  # job id → Location
    vendor: Vendor = field(repr=False)
    aws: Aws = field(default_factory=Aws, repr=False)
    connections: Connections = field(default_factory=Connections)
    record: Record = field(default_factory=Record, repr=False)

    @classmethod
    def of(cls, name: str) -> World:
        """Make the world of a corpus and deliver a message for each link; failures are noted."""
        locations = {
            f"00000000-0000-4000-8000-{number:012x}": entry["location"]
            for number, entry in enumerate(corpus(name))
        }
        world = cls(locations, Vendor(locations))
        application = world._application()
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 300_000)
        application.begin_invocation(cast("LambdaContext", context))
        for job_id in locations:
            body = json.dumps({"job_id": job_id})
            try:
                application.delivery.handle(
                    Message(job_id, body, "receipt", 1, datetime.now(UTC), 0)
                )
            except Exception as error:  # noqa: BLE001 - what SQS would see
                world.record.note("raised", job_id, repr(error), repr(error.__cause__))
        return world

    def _application(self) -> Application:
        return Application(
            Settings.from_environ(SETTINGS),
            log=self.record,
            outcomes=self.record,
            steps=NoSteps(),
            outside=self._outside(),
        )

    def _outside(self) -> Outside:
        return replace(
            real_outside(None, most_list_bytes=1 << 20, connections_per_host=1),
            client=self.aws.client,
            credentials=lambda: None,
            http=self.vendor,
            connect=self.connections.connect,
            pause=lambda _seconds: None,
            every=lambda _seconds, _act: nullcontext(),
        )


@pytest.fixture(scope="module")
def hostile() -> World:
    """Return the world after every hostile link was tried."""
    return World.of("hostile")


def test_no_hostile_link_of_the_corpus_opens_a_connection(hostile: World) -> None:
    """Each ends as rejected, untrusted_link; zero connections; nobody but the API is asked."""
    assert len(hostile.locations) >= LEAST_HOSTILE
    assert hostile.connections.opened == []
    assert all(f" {API}/" in f" {asked.partition(' ')[2]}" for asked in hostile.vendor.asked)
    letters = hostile.aws.letters()
    wrong = [
        location[:120]
        for job_id, location in hostile.locations.items()
        if letters.get(job_id, {}).get("reason") != "untrusted_link"
    ]
    assert wrong == []
    assert not [line for line in hostile.record.lines if "raised" in line]
    objects = {"put_object", "create_multipart_upload", "copy_object"}
    assert not [name for name, _ in hostile.aws.calls if name in objects]


def test_a_refusal_says_why_and_tells_neither_path_nor_query(hostile: World) -> None:
    """A sentence of bounded length that names a host at most."""
    for letter in hostile.aws.letters().values():
        detail = letter["detail"]
        assert detail.startswith("The link was not followed: "), detail
        assert len(detail) < 600
        assert detail.isprintable()
        for secret in ("secret-path", "canary", "X-Amz", "?", "@", "password"):
            assert secret not in detail, detail


def test_nothing_of_a_hostile_link_is_left_anywhere(hostile: World) -> None:
    """Neither in the log, nor in what was written to table, bus and queues."""
    left = json.dumps([hostile.record.lines, hostile.aws.calls], default=str)
    assert "untrusted_link" in left
    for secret in ("canary", "secret-path", "X-Amz-Signature"):
        assert secret not in left


def test_every_trick_and_every_shape_is_in_the_corpus() -> None:
    """A trick that loses its examples is noticed; no link is there twice."""
    groups = Counter(entry["group"] for entry in corpus("hostile"))
    assert len(groups) >= 25
    assert min(groups.values()) >= 3
    for name in ("hostile", "good"):
        locations = [entry["location"] for entry in corpus(name)]
        assert len(set(locations)) == len(locations)


def test_every_good_link_of_the_corpus_is_asked_as_it_is() -> None:
    """Exactly the named host and port, over TLS, and the target byte for byte as it was signed."""
    world = World.of("good")
    expected = {(entry["host"], entry["port"], True) for entry in corpus("good")}
    assert set(world.connections.opened) == expected
    assert set(world.connections.requested) == {("GET", e["target"]) for e in corpus("good")}
    assert world.aws.letters() == {}
    raised = [line for line in world.record.lines if "raised" in line]
    assert len(raised) == len(world.locations) >= LEAST_GOOD  # each connection was refused
    assert "canary" not in json.dumps([raised, world.record.lines])
