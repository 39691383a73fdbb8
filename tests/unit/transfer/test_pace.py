"""A copy ends on any network on which one part fits into a run: simulated, from 0.5 MB/s on.

The real part loop, plan and pace copy on a clock that nobody waits for. The network gives what it
has to all connections alike, or each connection its own share, whichever is less: what S3 and
Lambda do by all reports. A run that its time-out finds at work loses its parts under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from archiver.claim import Checkpoint
from archiver.errors import Deferral, Transient
from archiver.telemetry import NoSteps
from archiver.transfer.checkpoint import Uploads
from archiver.transfer.contract import Chunks, ObjectSpec, Part, TrailerRefused, Upload
from archiver.transfer.pace import LEAVE_SECONDS, Pace
from archiver.transfer.plan import GIB, IN_FLIGHT, MIB, PartPlan, cut
from archiver.transfer.source import ExportSource, LinkReader, SourceHead
from archiver.transfer.streaming import StreamingCopy
from tests.unit.fakes import FakePartWriter, FakeStore

MB = 1_000_000
TIB = 1 << 40
BEFORE_SECONDS = 2.0  # of a run: claim, token and link
_SPEC = ObjectSpec("k", "text/csv", None, {"copy-method": "streaming"})
_MOST_PARTS = 26  # that are simulated of an export; what it is cut into follows its true size


@dataclass
class Flow:
    """A part on its way."""

    left_bytes: float
    dropped: bool = False


@dataclass
class Network:
    """A clock, and the bytes that pass in its time. Threads wait here for their part's end."""

    bytes_per_second: float
    per_connection: float = float("inf")
    now: float = 0.0
    moved_bytes: float = 0.0
    _flows: list[Flow] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _working: int = 0

    def run_workers(
        self,
        tasks: Sequence[Callable[[], None]],
        *,
        seconds_left: Callable[[], float],
        interrupt: Callable[[], None],
    ) -> Sequence[BaseException]:
        """Run the tasks in the network's own time; as workers.run_in_threads does in ours."""
        errors: list[BaseException] = []
        until = self.now + max(0.0, seconds_left())

        def run(task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - handed on
                errors.append(error)
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

        self._working = len(tasks)
        threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        with self._changed:
            while self._settled() and not errors:
                if not self._advance(until):
                    break
            working = self._working
        if working:
            interrupt()
            self._drop_all()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        return errors

    def carry(self, size_bytes: int) -> None:
        """Return when so many bytes have passed; raises Transient if they are interrupted."""
        flow = Flow(size_bytes)
        with self._changed:
            self._flows.append(flow)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: flow.dropped or flow.left_bytes <= 0, 30)
        if flow.dropped:
            raise Transient("network", "interrupted")

    def _settled(self) -> bool:
        """Wait until all who work wait for their bytes; False if nobody works any more."""
        waiting = self._changed.wait_for(lambda: len(self._flows) == self._working, 30)
        assert waiting
        return self._working > 0

    def _advance(self, until: float) -> bool:
        """Let time pass until a part has ended; False if there is none left."""
        rate = min(self.per_connection, self.bytes_per_second / len(self._flows))
        seconds = min(flow.left_bytes for flow in self._flows) / rate
        if self.now + seconds > until:
            self.now = until
            return False
        self.now += seconds
        for flow in self._flows:
            flow.left_bytes -= seconds * rate
            self.moved_bytes += seconds * rate
            if flow.left_bytes < 1e-3:  # bytes; what rounding leaves
                flow.left_bytes = 0
        self._flows = [flow for flow in self._flows if flow.left_bytes]
        self._changed.notify_all()
        return True

    def _drop_all(self) -> None:
        with self._changed:
            for flow in self._flows:
                flow.dropped = True
            self._flows = []
            self._changed.notify_all()


class Writer(FakePartWriter):
    """Sends parts through the network, and keeps their sizes alone."""

    network: Network

    def send_streaming(
        self,
        upload: Upload,
        number: int,
        size_bytes: int,
        chunks: Chunks,  # noqa: ARG002 - the network carries sizes alone
    ) -> Part:
        """Send a part; a store that refuses trailers says so at its end."""
        self.network.carry(size_bytes)
        if self.store.refuses_trailers:
            self.store.takes_trailers = False
            raise TrailerRefused
        return self._keep(upload, number, size_bytes)

    def send_buffered(
        self,
        upload: Upload,
        number: int,
        size_bytes: int,
        chunks: Chunks,  # noqa: ARG002 - as above
        buffer: memoryview,  # noqa: ARG002
    ) -> Part:
        """Send a part from memory."""
        self.network.carry(size_bytes)
        return self._keep(upload, number, size_bytes)

    def _keep(self, upload: Upload, number: int, size_bytes: int) -> Part:
        part = Part(number, f'"{number:032x}"', size_bytes, None, "-")
        with self.store.lock:
            self.store.uploads[upload.upload_id][number] = part
        return part


@dataclass
class Store(FakeStore):
    """A store at the network's end."""

    network: Network = field(default_factory=lambda: Network(MB))

    def part_writer(self) -> Writer:
        """Return a writer."""
        writer = Writer(self)
        writer.network = self.network
        return writer


class Source:
    """An export whose bytes pass with the part's."""

    def reader(self) -> Source:
        """Return itself."""
        return self

    def interrupt(self) -> None:
        """Interrupt nothing: the network does."""

    def close(self) -> None:
        """Close nothing."""


@dataclass
class Copy:
    """One job's runs, one after the other, until its export is archived or nothing gets on."""

    network: Network
    store: Store
    size_bytes: int
    timeout_seconds: float
    plan: PartPlan
    known: Checkpoint | None = None
    runs: int = 0
    idle_runs: int = 0  # that finished no part
    in_a_row: int = 0

    def go(self) -> bool:
        """Return whether the export was archived; no run may be without progress twice in a row."""
        while self.in_a_row < 4:
            try:
                self._run()
            except Deferral as deferral:
                if deferral.reason != "out_of_time":
                    raise
                idle = deferral.wait_seconds is None
                self.idle_runs += idle
                self.in_a_row = self.in_a_row + 1 if idle else 0
            else:
                return True
        return False

    def _run(self) -> None:
        self.runs += 1
        ends_at = self.network.now + self.timeout_seconds
        self.network.now += BEFORE_SECONDS
        streaming = StreamingCopy(
            self.store,
            NoSteps(),
            lambda: ends_at - self.network.now,
            pause=lambda _: None,
            monotonic=lambda: self.network.now,
            run_workers=self.network.run_workers,
            plan=self.plan,
        )
        uploads = Uploads(self.store, "k", self.known, self.runs == 1, self._save)
        source = cast("ExportSource", Source())
        head = SourceHead(self.size_bytes, '"source"', None, None)
        streaming.copy_large(source, cast("LinkReader", source), head, _SPEC, uploads)

    def _save(self, checkpoint: Checkpoint | None) -> None:
        self.known = checkpoint


def simulate(
    size_bytes: int,
    rate: float,
    timeout_seconds: float,
    per_connection: float = float("inf"),
    store: Store | None = None,
) -> tuple[Copy, int]:
    """Return an export's copy and its parts' size; a few of the parts are simulated."""
    seconds = (timeout_seconds - BEFORE_SECONDS - LEAVE_SECONDS) / 1.5
    part_bytes = PartPlan().part_size(size_bytes, seconds)
    network = Network(rate, per_connection)
    store = store or Store()
    store.network = network
    simulated_bytes = min(size_bytes, _MOST_PARTS * part_bytes - 1)
    plan = replace(
        PartPlan(),
        small_part_bytes=part_bytes,
        large_part_bytes=part_bytes,
        least_part_bytes=part_bytes,
    )
    return Copy(network, store, simulated_bytes, timeout_seconds, plan), part_bytes


# From what fits two parts to S3's largest object.
_SIZES = (17 * MIB, 200 * MIB, 40 * GIB, 2 * TIB, 27 * TIB, 10_000 * 5 * GIB)
_RATES = (0.5, 1.5, 4, 20, 78, 400)
_TIMEOUTS = (30, 60, 300, 900)


@pytest.mark.parametrize("per_connection", [float("inf"), 40 * MB], ids=["shared", "40 MB/s each"])
@pytest.mark.parametrize("timeout_seconds", _TIMEOUTS)
@pytest.mark.parametrize("rate", _RATES)
def test_a_copy_ends_whenever_one_part_fits_into_a_run(
    rate: float, timeout_seconds: float, per_connection: float
) -> None:
    """At most the first run is without progress; where no part fits, none is ever finished."""
    for size_bytes in _SIZES:
        copy, part_bytes = simulate(size_bytes, rate * MB, timeout_seconds, per_connection)
        alone_seconds = part_bytes / min(rate * MB, per_connection)
        fits = alone_seconds <= timeout_seconds - BEFORE_SECONDS - LEAVE_SECONDS
        assert copy.go() is fits, (size_bytes, part_bytes)
        if fits:
            assert copy.idle_runs <= 1, (size_bytes, part_bytes)
            assert copy.store.objects["k"].size_bytes == copy.size_bytes


@pytest.mark.parametrize("rate", _RATES)
@pytest.mark.parametrize("timeout_seconds", _TIMEOUTS)
def test_up_to_10_000_parts_of_a_run_each_every_export_fits(
    rate: float, timeout_seconds: float
) -> None:
    """The limit that docs/operations.md tells: below it, one part always fits into a run."""
    usable_seconds = timeout_seconds - BEFORE_SECONDS - LEAVE_SECONDS
    limit = min(10_000 * 5 * GIB, int(10_000 * usable_seconds * rate * MB / 1.1))
    _, part_bytes = simulate(limit, rate * MB, timeout_seconds)
    assert part_bytes <= usable_seconds * rate * MB


def test_eight_that_share_too_little_are_followed_by_one_that_has_it_all() -> None:
    """1.5 MB/s, 91 MiB parts, 300 s: eight never end, and one does in 65 s (the reported kind)."""
    copy, part_bytes = simulate(10 * GIB, 1.5 * MB, 300)
    assert part_bytes == 91 * MIB
    assert copy.go()
    assert copy.idle_runs == 1
    least_seconds = copy.size_bytes / copy.network.bytes_per_second
    assert copy.network.now < 300 + 1.25 * least_seconds


@pytest.mark.parametrize("per_connection", [float("inf"), 40 * MB], ids=["shared", "40 MB/s each"])
def test_what_is_under_way_at_the_end_of_a_run_is_little(per_connection: float) -> None:
    """No byte more than the export's passes where the network stays as it is."""
    copy, _ = simulate(27 * TIB, 78 * MB, 900, per_connection)
    assert copy.go()
    assert copy.network.moved_bytes == pytest.approx(copy.size_bytes)
    least_seconds = copy.size_bytes / (78 * MB)
    assert copy.network.now < 1.25 * least_seconds


def test_all_begin_at_once_where_time_is_plentiful() -> None:
    """Eight parts at 40 MB/s each take the time of one: nothing is tried out first."""
    copy, part_bytes = simulate(2 * GIB, 10_000 * MB, 900, 40 * MB)
    assert copy.go()
    assert copy.size_bytes == IN_FLIGHT * part_bytes
    assert copy.network.now - BEFORE_SECONDS == pytest.approx(part_bytes / (40 * MB))


def test_one_goes_first_into_a_store_that_nobody_knows() -> None:
    """A store that refuses trailers reads one part of the export twice, and no other."""
    store = Store(refuses_trailers=True, takes_trailers=None)
    copy, part_bytes = simulate(70 * MIB, 78 * MB, 300, store=store)
    assert copy.go()
    assert copy.network.moved_bytes == pytest.approx(70 * MIB + part_bytes)


def test_no_part_is_begun_without_time_and_none_is_admitted_beyond_it() -> None:
    """The reserve at a run's end is not copied in, however short the parts."""
    remaining = 300.0
    pace = Pace(lambda: remaining, lambda: 0.0, 1.0)
    assert pace.at_once(8) == 8
    remaining = LEAVE_SECONDS + 4.6
    assert pace.at_once(8) == 3
    assert pace.admits_another()
    remaining = LEAVE_SECONDS
    assert pace.at_once(8) == 0
    assert not pace.admits_another()


def test_the_largest_export_is_cut_into_10_000_parts_that_fit() -> None:
    """48.8 TiB in functions of 300 s, at what AWS gives a function: 5 GiB take 69 s alone."""
    copy, part_bytes = simulate(10_000 * 5 * GIB, 78 * MB, 300)
    assert (part_bytes, len(cut(10_000 * 5 * GIB, part_bytes))) == (5 * GIB, 10_000)
    assert copy.go()
