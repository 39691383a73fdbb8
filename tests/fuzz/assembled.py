"""The archiver of a fuzzed case: wiring.Application itself, over a drawn world."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import get_args

from aws_lambda_powertools import Logger
from botocore.credentials import Credentials

from archiver.archiving.quality import Oddity
from archiver.network.deadline import Deadline
from archiver.network.outside import Outside
from archiver.receipt import Receipt
from archiver.telemetry import NoSteps
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings
from tests.fuzz.world import API, DEAD_LETTER_QUEUE_URL, QUEUE_URL, TOKEN_URL, World

__all__ = ["MAX_RECEIVES", "MAX_WAIT", "SETTINGS", "Assembled", "Counted"]

MAX_RECEIVES = 3
MAX_WAIT = timedelta(hours=72)
SETTINGS = Settings.from_environ(
    {
        "APARTMENTIQ_API_BASE_URL": API,
        "APARTMENTIQ_TOKEN_URL": TOKEN_URL,
        "TRUSTED_LINK_HOSTS": "files.example.com,.trusted.example,odd.example:8443",
        "ARCHIVE_BUCKET": "archive",
        "KEY_PREFIX": "exports/",
        "SOURCE_BUCKETS": "granted",
        "CREDENTIALS_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s",
        "TABLE_NAME": "table",
        "EVENT_BUS_NAME": "bus",
        "QUEUE_URL": QUEUE_URL,
        "DEAD_LETTER_QUEUE_URL": DEAD_LETTER_QUEUE_URL,
        "MAX_RECEIVES": str(MAX_RECEIVES),
    }
)


# One for the process: Powertools keeps a service's first stream. Each case empties it.
_WRITTEN = io.StringIO()
_LOG = Logger(service="fuzz", level="DEBUG", stream=_WRITTEN)


@dataclass
class Counted:
    """Counts outcomes, with their reasons; implements delivery.Outcomes."""

    outcomes: list[tuple[str, str]] = field(default_factory=list)

    def archived(self, receipt: Receipt) -> None:
        """Count an archived export."""
        assert receipt.size_bytes >= 0
        assert receipt.duration_seconds >= 0
        assert receipt.seconds_since_completion is None or receipt.seconds_since_completion >= 0
        assert receipt.copy_method in {"streaming", "server_side"}
        self.outcomes.append(("Archived", ""))

    def count(self, name: str) -> None:
        """Count something that needs no reason."""
        self.outcomes.append((name, ""))

    def count_reason(self, name: str, reason: str) -> None:
        """Count an outcome by reason."""
        if name == "QualityWarnings":  # beside an outcome
            assert reason in get_args(Oddity)
        else:
            self.outcomes.append((name, reason))


class Assembled(Application):
    """One runtime's archiver over a world, and what it logged and counted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counted = Counted()
        _WRITTEN.seek(0)
        _WRITTEN.truncate()
        super().__init__(
            SETTINGS,
            log=_LOG,
            outcomes=self.counted,
            steps=NoSteps(),
            outside=outside(world),
        )

    @property
    def logged(self) -> str:
        """All that was logged."""
        return _WRITTEN.getvalue()


def outside(world: World) -> Outside:
    """Return the seam to a world: one thread, and clocks that only waiting moves."""
    return Outside(
        client=world.client,
        credentials=lambda: Credentials("access", "key"),
        http=world,
        connect=world.connect,
        now=world.now,
        monotonic=world.monotonic,
        pause=world.pause,
        run_workers=_run_in_turn,
        every=_once,
        deadline=Deadline(lambda _seconds, _act: nullcontext()),
    )


def _run_in_turn(
    tasks: Sequence[Callable[[], None]],
    *,
    seconds_left: Callable[[], float],  # noqa: ARG001 - the interface's
    interrupt: Callable[[], None],
) -> Sequence[BaseException]:
    for task in tasks:
        try:
            task()
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            interrupt()
            return [error]
    return []


@contextmanager
def _once(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    assert seconds > 0
    act()
    yield
