"""The world of one schedule: every service in memory, the clock, the fleet, and what goes wrong.

No socket is opened, no thread started, no second passed. The archiver meets this world through
`archiver.network.outside.Outside` alone; a mutant (mutants.py) is a change on that way, or a part
of the application replaced by a worse one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials

from archiver.network.deadline import Deadline
from archiver.network.outside import Outside
from archiver.telemetry import NoSteps
from archiver.transfer.plan import PartPlan
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings, SweepSettings
from archiver.wiring.sweep import Sweeper
from tests.faults.chaos import Chaos, Killed, Profile
from tests.faults.choices import Merged
from tests.faults.fleet import CountingOutcomes, Fleet, Journal, make_every, make_run_workers
from tests.faults.objects import S3_HOST, Objects
from tests.faults.outages import Outages
from tests.faults.part_site import PartSite
from tests.faults.queues import DEAD_LETTERS, QUEUE, Queues
from tests.faults.scheduler import START, Scheduler, Task
from tests.faults.small_services import EventBus, Secrets
from tests.faults.table import Table
from tests.faults.vendor import API, EXPORT_HOST, TOKEN_URL, ExportHost, ExportJob, Vendor
from tests.faults.wires import Site, Wire

if TYPE_CHECKING:
    import time_machine

__all__ = ["NO_MUTATION", "SCALED_PLAN", "Mutation", "Physics", "World", "loop_allowed_by_template"]

TABLE = "archiver-table"
_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:vendor"
# Everything about sizes is scaled by 1 : 16,384, so that a copy in parts costs little to simulate.
LEAST_PART_BYTES = 1_024
SCALED_PLAN = PartPlan(
    single_put_bytes=LEAST_PART_BYTES,
    small_part_bytes=LEAST_PART_BYTES,
    large_part_bytes=2 * LEAST_PART_BYTES,
    server_side_part_bytes=2 * LEAST_PART_BYTES,
    least_part_bytes=LEAST_PART_BYTES,
    unit_bytes=1,
    slowest_bytes_per_second=30,
)


@dataclass(frozen=True)
class Physics:
    """What a stack and its surroundings are like."""

    profile: Profile
    function_seconds: float = 300.0
    concurrency: int = 2
    max_receives: int = 4
    max_wait_hours: int = 12
    lease_seconds: int = 45
    visibility_seconds: float = 5_400.0
    bytes_per_second: float = 2_000.0  # of one connection
    chunk_bytes: int = 400
    loop_allowed: bool = True
    plan: PartPlan = SCALED_PLAN
    least_part_bytes: int = LEAST_PART_BYTES
    server_side: bool = True  # SOURCE_BUCKETS lists the vendor's bucket
    deadline: type[Deadline] = Deadline


@dataclass(frozen=True)
class Mutation:
    """A deliberate breakage: the way to the world changed, or the application."""

    outside: Callable[[Outside], Outside] = lambda outside: outside
    application: Callable[[Application], None] = lambda _: None
    physics: Callable[[Physics], Physics] = lambda physics: physics


NO_MUTATION = Mutation()


class World:
    """One schedule's world."""

    def __init__(
        self,
        seed: object,
        physics: Physics,
        clock: time_machine.Traveller,
        mutation: Mutation = NO_MUTATION,
        *,
        make_scheduler: type[Scheduler] = Scheduler,
        make_chaos: type[Chaos] = Chaos,
    ) -> None:
        random.seed(f"application {seed}")  # the archiver's own jitter
        physics = mutation.physics(physics)
        self.physics = physics
        self.scheduler = make_scheduler(seed, clock)
        self.chaos = make_chaos(self.scheduler, physics.profile, START)
        self.jobs: dict[str, ExportJob] = {}
        self.table = Table(self.chaos, TABLE)
        self.objects = Objects(self.chaos, least_part_bytes=physics.least_part_bytes)
        self.queues = Queues(
            self.chaos,
            visibility_seconds=physics.visibility_seconds,
            max_receives=physics.max_receives,
        )
        self.bus = EventBus(self.chaos)
        self.secrets = Secrets(self.chaos)
        self.vendor = Vendor(self.chaos, self.jobs)
        self.export_host = ExportHost(self.chaos, self.vendor)
        self.journal = Journal(self.chaos)
        self.outcomes = CountingOutcomes()
        self.objects.sources = self._granted
        self._sites: Mapping[str, Site] = {
            S3_HOST: PartSite(self.chaos, self.objects),
            EXPORT_HOST: self.export_host,
        }
        self.mutation = mutation
        self._settings = _settings(physics)
        self.outages = Outages(self.chaos)
        self._outside = mutation.outside(self.outages.on_the_way(self._make_outside()))
        self.fleet = Fleet(
            self.chaos,
            self.queues,
            self._make_application,
            make_deadline=lambda: physics.deadline(self.chaos.ring_after),
            timeout_seconds=physics.function_seconds,
            concurrency=physics.concurrency,
            loop_allowed=physics.loop_allowed,
        )
        self.scheduler.on_error = self._on_error

    @property
    def now(self) -> float:
        """The time, in epoch seconds."""
        return self.scheduler.now

    def add(self, job: ExportJob) -> ExportJob:
        """Let the vendor have a job."""
        self.jobs[job.job_id] = job
        return job

    def fill_secret(self) -> None:
        """Put the vendor's present credentials into the secret."""
        secret = self.vendor.client_secret
        self.secrets.value = f'{{"client_id": "client", "client_secret": "{secret}"}}'

    def sweeper(self, deadline: Deadline) -> Sweeper:
        """Return reconcile_exports, cold."""
        return Sweeper(
            SweepSettings.from_environ(
                {
                    "STACK_NAME": "archiver",
                    "APARTMENTIQ_API_BASE_URL": API,
                    "APARTMENTIQ_TOKEN_URL": TOKEN_URL,
                    "CREDENTIALS_SECRET_ARN": _SECRET,
                    "TABLE_NAME": TABLE,
                    "QUEUE_URL": QUEUE,
                }
            ),
            log=self.journal,
            gauges=_Gauges(),
            steps=NoSteps(),
            outside=replace(self._outside, deadline=deadline),
        )

    def run(self, *, until: float, max_steps: int) -> bool:
        """Run until the world has come to rest; False if it has not, or an invariant broke."""
        rests = False
        while not self.chaos.violations:
            before = self.scheduler.steps
            rests = self.scheduler.run(until=until, max_steps=min(max_steps, before + 50))
            if rests or self.scheduler.steps >= max_steps or self.scheduler.steps == before:
                break
        return rests and not self.chaos.violations

    def close(self) -> None:
        """End what is left; a world is not used again."""
        for invocation in self.fleet.invocations:
            invocation.dead = True
        self.scheduler.close(Killed)

    # --- inside ---

    def _make_outside(self) -> Outside:
        chaos = self.chaos
        clients: dict[str, Any] = {
            "s3": self.objects,
            "dynamodb": self.table,
            "sqs": self.queues,
            "events": self.bus,
            "secretsmanager": self.secrets,
        }

        def client(service: str, config: Any) -> Any:  # noqa: ANN401 - any client
            self.chaos.configs[service] = config
            return clients[service]

        def connect(host: str, port: int, *, tls: bool = True) -> Any:  # noqa: ANN401 - a Connection
            if port != 443 or not tls or host not in self._sites:
                raise chaos.violate(f"a connection to {host}:{port}, tls {tls}")
            return Wire(chaos, host, self._sites[host], self._rate, self.physics.chunk_bytes)

        def now() -> datetime:
            chaos.check()
            return datetime.fromtimestamp(self.scheduler.now, UTC)

        def monotonic() -> float:
            chaos.check()
            return self.scheduler.now

        credentials = Credentials("AKIDEXAMPLE", "canary-role-secret")
        return Outside(
            client=client,
            credentials=lambda: credentials,
            http=self.vendor,
            connect=connect,
            now=now,
            monotonic=monotonic,
            pause=chaos.sleep,
            run_workers=make_run_workers(chaos),
            every=make_every(chaos),
            deadline=Deadline(chaos.ring_after),  # each runtime gets one of its own
        )

    def _make_application(self, deadline: Deadline) -> Application:
        application = Application(
            self._settings,
            log=self.journal,
            outcomes=self.outcomes,
            steps=NoSteps(),
            outside=replace(self._outside, deadline=deadline),
            plan=self.physics.plan,
        )
        self.mutation.application(application)
        return application

    def _rate(self) -> float:
        return self.physics.bytes_per_second * self.scheduler.random.uniform(0.5, 1.5)

    def _granted(self, key: str) -> Any:  # noqa: ANN401 - a Source or None
        for job in self.jobs.values():
            if job.key == key:
                return job.source if job.granted else None
        return None

    def _on_error(self, task: Task, error: BaseException) -> None:
        if not isinstance(error, Killed | Merged) and not self.chaos.violations:
            self.chaos.violate(f"a task of {getattr(task.owner, 'name', '-')} raised {error!r}")


class _Gauges:
    """What a sweep measures, for nobody."""

    def count(self, name: str, number: int) -> None:
        """Take a number."""

    def count_by(self, name: str, dimension: str, numbers: Mapping[str, int]) -> None:
        """Take numbers."""

    def seconds(self, name: str, seconds: float) -> None:
        """Take seconds."""


def _settings(physics: Physics) -> Settings:
    return Settings.from_environ(
        {
            "APARTMENTIQ_API_BASE_URL": API,
            "APARTMENTIQ_TOKEN_URL": TOKEN_URL,
            "ARCHIVE_BUCKET": "archive",
            "CREDENTIALS_SECRET_ARN": _SECRET,
            "SOURCE_BUCKETS": "vendor-exports" if physics.server_side else "",
            "TABLE_NAME": TABLE,
            "EVENT_BUS_NAME": "default",
            "QUEUE_URL": QUEUE,
            "DEAD_LETTER_QUEUE_URL": DEAD_LETTERS,
            "MAX_RECEIVES": str(physics.max_receives),
            "MAX_WAIT_HOURS": str(physics.max_wait_hours),
            "LEASE_SECONDS": str(physics.lease_seconds),
        }
    )


@cache
def loop_allowed_by_template() -> bool:
    """Tell whether template.yaml lets the function send messages to its own queue for ever."""
    text = (Path(__file__).parents[2] / "template.yaml").read_text()
    found = [line.split(":")[1].strip() for line in text.splitlines() if "RecursiveLoop:" in line]
    return found == ["Allow"]
