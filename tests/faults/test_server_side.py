"""How long a server-side copy takes on a simulated clock, by what AWS's engineers measured.

The copy is the real one, its workers are tasks of the scheduler, and S3 is one in memory that takes
its time for each part, counts what it has under way, and may refuse what is too much for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from archiver.claim import Checkpoint
from archiver.errors import Deferral, Failure
from archiver.telemetry import NoSteps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import ObjectSpec, Part, Upload
from archiver.transfer.plan import COPIES_AT_ONCE, GIB, MIB
from archiver.transfer.server_side import ServerSideCopy
from tests.faults.chaos import Chaos, Profile, Run
from tests.faults.fleet import make_run_workers
from tests.faults.scheduler import Scheduler
from tests.unit.fakes import FakeStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import time_machine

    from archiver.transfer.contract import Committed

SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "server_side"})
NAME = {"Bucket": "vendor", "Key": "export.csv"}
TIB = 1024 * GIB
# awslabs/aws-c-s3 #288: seconds for 1 to 10 GiB in parts of so many MiB, all of them at once. The
# slowest of each row, as if the whole copy were one part; for 64 MiB but 10 GiB, which took two
# rounds.
MEASURED = ((64, 3.69), (128, 4.82), (256, 6.70), (512, 11.45), (1024, 17.24))
PARTS_ASSEMBLED_A_SECOND = 100  # as pace.py has it


def seconds_for(part_bytes: int) -> float:
    """Return how long S3 takes for a part: as measured, straight between and beyond."""
    mib = part_bytes / MIB
    if mib <= MEASURED[0][0]:
        return MEASURED[0][1]
    (low, low_seconds), (high, high_seconds) = next(
        (pair for pair in pairwise(MEASURED) if mib <= pair[1][0]), MEASURED[-2:]
    )
    return low_seconds + (mib - low) * (high_seconds - low_seconds) / (high - low)


@dataclass
class TimedS3(FakeStore):
    """Takes its time; `most` is what it copies at once, and `pace` how slow it is."""

    chaos: Chaos = field(kw_only=True)
    most: Callable[[], float] = lambda: float("inf")
    pace: float = 1.0
    at_once: int = 0
    peak: int = 0
    assembling: float = 0.0  # the seconds of the commit, which S3 ends by itself if need be

    def copy_part(
        self,
        upload: Upload,
        number: int,
        source: Mapping[str, str],
        etag: str,
        byte_range: str | None,
    ) -> Part:
        """Copy, or refuse what boto3 has asked for three times in vain."""
        if self.at_once >= self.most():
            self.chaos.sleep(1.5)  # boto3's own pauses: up to 1 and 2 s
            raise Failure("aws_error", "Copying a part server-side: SlowDown.")
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            size_bytes = self._granted(source)[0]
            if byte_range is not None:
                start, _, end = byte_range.removeprefix("bytes=").partition("-")
                size_bytes = int(end) - int(start) + 1
            self.chaos.sleep(seconds_for(size_bytes) * self.pace)
            # What is copied is there, whoever still listens.
            return super().copy_part(upload, number, source, etag, byte_range)
        finally:
            self.at_once -= 1

    def commit_upload(
        self, upload: Upload, parts: Sequence[Part], size_bytes: int, crc: int | None
    ) -> Committed:
        """Assemble."""
        self.assembling = len(parts) / PARTS_ASSEMBLED_A_SECOND
        self.chaos.sleep(self.assembling)
        return super().commit_upload(upload, parts, size_bytes, crc)


@dataclass
class Copying:
    """One job's runs, each a call of the real copy, until it is archived."""

    clock: time_machine.Traveller
    size_bytes: int
    function_seconds: float = 900.0
    checkpoint: Checkpoint | None = None
    lasted: list[float] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    error: Failure | None = None

    def __post_init__(self) -> None:
        """Make the world."""
        self.scheduler = Scheduler(1, self.clock)
        self.chaos = Chaos(self.scheduler, Profile(0, 0), self.scheduler.now)
        self.s3 = TimedS3(
            granted={("vendor", "export.csv"): (self.size_bytes, '"source"')}, chaos=self.chaos
        )

    @property
    def copied_twice(self) -> int:
        """How many parts were copied that were there already."""
        return len(self.s3.ranges) - len(set(self.s3.ranges))

    def run(self, most_runs: int = 1) -> Copying:
        """Run until the object is there, or so many times; what the last run raised is kept."""
        for number in range(most_runs):
            began = self.scheduler.now
            self.scheduler.start(self._copy, Run(f"r{number}", began + self.function_seconds))
            assert self.scheduler.run(until=float("inf"), max_steps=10_000_000)
            if self.s3.objects or self.error is not None:
                break
        return self

    def _copy(self) -> None:
        began = self.scheduler.now
        copy = ServerSideCopy(
            self.s3,
            NoSteps(),
            remaining_seconds=lambda: began + self.function_seconds - self.scheduler.now,
            pause=self.chaos.sleep,
            monotonic=lambda: self.scheduler.now,
            run_workers=make_run_workers(self.chaos),
        )
        known = self.checkpoint
        uploads = Uploads(self.s3, "k", known, known is None, self._save)
        try:
            copy.copy(copy.look(NAME), SPEC, uploads)
        except Deferral as deferral:
            self.deferred.append(deferral.reason)
        except Failure as failure:
            self.error = failure
        self.lasted.append(self.scheduler.now - began)

    def _save(self, checkpoint: Checkpoint | None) -> None:
        self.checkpoint = checkpoint


@pytest.fixture
def copying(clock: time_machine.Traveller) -> Iterator[Callable[..., Copying]]:
    """Return what makes a world with one source; it stands still at the end."""
    made: list[Copying] = []

    def make(size_bytes: int, function_seconds: float = 900.0) -> Copying:
        made.append(Copying(clock, size_bytes, function_seconds))
        return made[-1]

    yield make
    for one in made:
        one.scheduler.close(KeyboardInterrupt)


@pytest.mark.parametrize(
    ("size_bytes", "most_seconds"),
    [(GIB, 6.0), (10 * GIB, 6.0), (100 * GIB, 20.0), (2 * 10**12, 300.0)],
)
def test_a_server_side_copy_takes_what_s3_takes(
    copying: Callable[..., Copying], size_bytes: int, most_seconds: float
) -> None:
    """10 GiB in six seconds and 2 TB in five minutes, as others have seen S3 copy, in one run."""
    copy = copying(size_bytes).run()
    assert copy.s3.objects["k"].size_bytes == size_bytes
    assert copy.lasted[0] <= most_seconds
    assert copy.s3.peak <= COPIES_AT_ONCE


@pytest.mark.parametrize("most", [1, 3, 20, 100])
def test_an_s3_that_takes_fewer_at_once_is_asked_for_fewer(
    copying: Callable[..., Copying], most: int
) -> None:
    """SlowDown ends no copy: fewer are asked for, what S3 has copied counts, nothing twice."""
    copy = copying(200 * GIB)
    copy.s3.most = lambda: most
    copy.run(most_runs=20)
    assert copy.s3.objects["k"].size_bytes == 200 * GIB
    assert copy.copied_twice == 0
    # At half of what S3 would take, on average, and a third more for refusals.
    parts = -(-200 * GIB // GIB)
    assert sum(copy.lasted) < 2.7 * seconds_for(GIB) * parts / most + 60


def test_after_a_bad_minute_all_are_asked_for_again(copying: Callable[..., Copying]) -> None:
    """The number grows back within the run: 2 TB still take less than twice as long."""
    copy = copying(2 * 10**12)
    ends = copy.scheduler.now + 60
    copy.s3.most = lambda: 4 if copy.scheduler.now < ends else float("inf")
    copy.run()
    assert copy.s3.peak == COPIES_AT_ONCE
    assert copy.lasted[0] < 2 * 300


def test_an_s3_that_takes_nothing_at_all_fails_soon_and_with_its_own_reason(
    copying: Callable[..., Copying],
) -> None:
    """An outage is the message's to wait for, not the run's; the upload stays."""
    copy = copying(10 * GIB)
    copy.s3.most = lambda: 0
    copy.run()
    assert copy.error is not None
    assert "SlowDown" in copy.error.detail
    assert copy.lasted[0] < 120
    assert list(copy.s3.uploads) == ["upload-1"]
    assert copy.s3.asked["abort"] == 0


@pytest.mark.parametrize("function_seconds", [30.0, 60.0, 300.0, 900.0])
@pytest.mark.parametrize("size_bytes", [1, GIB, 150 * GIB, 2 * TIB])
@pytest.mark.parametrize("pace", [0.5, 1.0, 1.3])
def test_a_copy_ends_in_runs_of_any_length(
    copying: Callable[..., Copying], size_bytes: int, function_seconds: float, pace: float
) -> None:
    """Parts fit into short runs too; each run makes progress and leaves in time."""
    copy = copying(size_bytes, function_seconds)
    copy.s3.pace = pace
    copy.run(most_runs=200)
    assert copy.s3.objects["k"].size_bytes == size_bytes
    assert copy.copied_twice == 0
    copy.lasted[-1] -= copy.s3.assembling
    assert max(copy.lasted) < function_seconds
    assert set(copy.deferred) <= {"out_of_time"}
    assert len(copy.lasted) <= 1 + 5 * 300 * size_bytes / (2 * 10**12) / (function_seconds - 20)


def test_the_largest_object_that_s3_keeps_is_copied_where_its_parts_fit(
    copying: Callable[..., Copying],
) -> None:
    """10,000 parts of 5 GiB need 1.5 x 81 s and the reserve: 300 s of a run do, 120 s do not."""
    largest = 10_000 * 5 * GIB
    copy = copying(largest, 300.0).run(most_runs=200)
    assert copy.s3.objects["k"].size_bytes == largest
    assert copy.copied_twice == 0
    short = copying(largest, 90.0).run(most_runs=3)
    assert short.s3.objects == {}
    assert short.s3.asked["create"] == 0
