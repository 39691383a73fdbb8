"""The only builder of archive_export's clients: from settings to what takes Lambda's events.

Built once per runtime, at the first invocation, and used by all that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from archiver import VERSION
from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.link import Link
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.archiving.archive import ExportArchiver, Retains
from archiver.archiving.cataloguing import Catalogue
from archiver.archiving.delivery import Delivery, Outcomes
from archiver.archiving.inspection import Inspection
from archiver.archiving.message import Message
from archiver.aws.credentials import SecretCredentials
from archiver.aws.events import EventBus
from archiver.aws.job_table import JobTable
from archiver.aws.kinds import Kinds
from archiver.aws.object_store import ObjectStore
from archiver.aws.once import Once
from archiver.aws.queue import Queue
from archiver.errors import Failure
from archiver.log import Log
from archiver.network.outside import Connection, Outside
from archiver.outage import Outages
from archiver.telemetry import Steps
from archiver.transfer.copier import Copier
from archiver.transfer.plan import COPIES_AT_ONCE, MIB, PartPlan
from archiver.transfer.server_side import ServerSideCopy
from archiver.transfer.source import ExportSource
from archiver.transfer.streaming import StreamingCopy
from archiver.wiring.settings import Settings
from archiver.wiring.world import real_outside

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

__all__ = ["Application"]

_COMMON = Config(
    # botocore puts its own long user agent together anew, twice a request: 0.15 ms of CPU.
    user_agent=f"apartmentiq-archiver/{VERSION} Boto3/{boto3.__version__}",
    # Pauses of at most 1 and 2 s between them: what deadline.py keeps free has room for these.
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=5,
)
_S3_CONFIG = _COMMON.merge(
    Config(
        # Our own checksums are sent where they matter; botocore's would hash every body in Python,
        # and without a checksum of its own it would fall back to signing the payload with SHA-256.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False},
        read_timeout=120,  # S3 may take minutes to assemble 10,000 parts before it answers Complete
    )
)
# These answer in milliseconds. One that is silent holds a beat up for 18 s at most (three tries and
# two pauses), so that the other hears the next beat before its lease of 45 s is over.
_CONFIG = _COMMON.merge(Config(read_timeout=5))
_NEVER_ENDING_SECONDS = 900.0
# A page of the job list: 100 jobs that name 4,000 properties each. Parsed, that is some 30 MB,
# which the smallest function still has. Of longer ones fewer jobs are asked for at a time.
_MOST_LIST_BYTES = 4 << 20
_BEATS_PER_LEASE = 3  # two may fail before a lease is lost


class Application:
    """One runtime's archiver: everything built, no request sent yet.

    `outside` and `plan` are for simulations and measurements; Lambda passes neither.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: Log,
        outcomes: Outcomes,
        steps: Steps,
        outside: Outside | None = None,
        plan: PartPlan | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._outcomes = outcomes
        self.steps = steps
        self._outside = outside or real_outside(
            settings.extra_ca_bundle,
            most_list_bytes=_MOST_LIST_BYTES,
            connections_per_host=COPIES_AT_ONCE,
        )
        self._plan = plan or PartPlan()
        self._remaining_seconds: Callable[[], float] = lambda: _NEVER_ENDING_SECONDS

    def begin_invocation(self, context: LambdaContext) -> None:
        """Learn when this invocation ends."""
        self._once.register(context)
        self._remaining_seconds = lambda: context.get_remaining_time_in_millis() / 1000
        self._outside.deadline.begin(self._remaining_seconds)

    def now(self) -> datetime:
        """Return the date and time."""
        return self._outside.now()

    @cached_property
    def delivery(self) -> Delivery:
        """Return what handles messages."""
        settings = self._settings
        return Delivery(
            archiver=self._archiver,
            keep=self._keep,
            queue=self._queue,
            dead_letters=Queue(self._sqs, settings.dead_letter_queue_url),
            jobs=self._jobs,
            outages=self._outages,
            events=self._events,
            outcomes=self._outcomes,
            steps=self.steps,
            log=self._log,
            now=self._outside.now,
            max_receives=settings.max_receives,
            max_wait=timedelta(hours=settings.max_wait_hours),
        )

    def prove_writes(self, job_id: str) -> dict[str, str]:
        """Show what the bucket does with writes (probe.py); `job_id`: of an archived job."""
        # Imported here, because no run that archives needs it.
        from archiver.archiving.probe import prove_writes  # noqa: PLC0415

        receipt = self._jobs.read(job_id).receipt
        told = prove_writes(self._store, self._settings.key_prefix, receipt)
        self._log.info("probed", **told)
        return told

    def tend_catalogue(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write what is asked for into the catalogue (catalogue_upkeep.py)."""
        # Imported here, because no run that archives needs it.
        from archiver.archiving.catalogue_upkeep import CatalogueUpkeep  # noqa: PLC0415

        upkeep = CatalogueUpkeep(
            self._store,
            self._jobs,
            self.catalogue,
            self._outside.now,
            self._remaining_seconds,
        )
        told = upkeep.answer(asked)
        counts = {name: len(it) if isinstance(it, list) else it for name, it in told.items()}
        self._log.info("catalogued", **counts)
        return told

    def _keep(self, message: Message) -> AbstractContextManager[None]:
        """Keep a message and the claim to its job ours, a lease at a time.

        The claim first: when the message comes back, the job is free.
        """
        lease_seconds = self._settings.lease_seconds

        def beat() -> None:
            with suppress(Failure):  # the next beat tries again; two of three may fail
                self._once.extend()
            with suppress(Failure):
                self._queue.hide(message.receipt_handle, seconds=lease_seconds)

        return self._work_with(self._outside.every(lease_seconds / _BEATS_PER_LEASE, beat))

    @contextmanager
    def _work_with(self, heartbeat: AbstractContextManager[None]) -> Iterator[None]:
        with self._outside.deadline.working(), heartbeat:
            yield

    @cached_property
    def _archiver(self) -> ExportArchiver:
        settings = self._settings
        return ExportArchiver(
            vendor=ApartmentIq(
                ThrottledHttp(self._outside.http, self._jobs.close_vendor, self._outside.now),
                SecretCredentials(
                    self._client("secretsmanager"), settings.credentials_secret_arn, self.steps
                ),
                api_base_url=settings.api_base_url,
                token_url=settings.token_url,
                trusted_hosts=settings.trusted_hosts,
                steps=self.steps,
                pause=self._outside.pause,
            ),
            jobs=self._jobs,
            once=self._once,
            store=self._store,
            copier=self._copier,
            inspection=Inspection(
                self._store,
                Kinds(self._dynamodb, settings.table_name),
                seconds_left=self._outside.deadline.left,
                briefly=self._outside.deadline.briefly,
            ),
            catalogue=self.catalogue,
            retention=self._retention() if settings.keep_superseded_days else None,
            events=self._events,
            outages=self._outages,
            steps=self.steps,
            key_prefix=settings.key_prefix,
            key_template=settings.key_template,
            now=self._outside.now,
            seconds_left=self._outside.deadline.left,
        )

    def _retention(self) -> Retains:
        # Imported here, because most stacks keep everything.
        from archiver.archiving.retention import Retention  # noqa: PLC0415
        from archiver.aws.superseded_items import SupersededItems  # noqa: PLC0415

        return Retention(
            SupersededItems(self._dynamodb, self._settings.table_name),
            self._store,
            self._events,
            self._log,
            key_prefix=self._settings.key_prefix,
            days=self._settings.keep_superseded_days,
            now=self._outside.now,
            seconds_left=self._outside.deadline.left,
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        """Return what writes entries, each beside the exports that it tells of."""
        return Catalogue(self._store, self._settings.key_prefix, self._log)

    @cached_property
    def _copier(self) -> Copier:
        def remaining_seconds() -> float:
            return self._remaining_seconds()

        outside = self._outside
        return Copier(
            store=self._store,
            streaming=StreamingCopy(
                self._store,
                self.steps,
                remaining_seconds,
                held=self._once.held,
                pause=outside.pause,
                monotonic=outside.monotonic,
                run_workers=outside.run_workers,
                plan=self._plan,
                memory_bytes=self._settings.memory_mib * MIB,
            ),
            server_side=ServerSideCopy(
                self._store,
                self.steps,
                remaining_seconds,
                held=self._once.held,
                pause=outside.pause,
                monotonic=outside.monotonic,
                run_workers=outside.run_workers,
                plan=self._plan,
            ),
            source_buckets=self._settings.source_buckets,
            open_source=self._open_source,
            steps=self.steps,
        )

    def _open_source(self, link: Link, ask_for_link: Callable[[], Link]) -> ExportSource:
        def connect(to: Link) -> Connection:
            return self._outside.connect(to.host, to.port)

        return ExportSource(link, ask_for_link, connect)

    @cached_property
    def _store(self) -> ObjectStore:
        return ObjectStore(
            client=self._client("s3", _S3_CONFIG),
            credentials=self._outside.credentials(),
            bucket=self._settings.archive_bucket,
            kms_key_arn=self._settings.kms_key_arn,
            connect=self._outside.connect,
        )

    @cached_property
    def _once(self) -> Once:
        return Once(
            self._dynamodb,
            self._settings.table_name,
            lease_seconds=self._settings.lease_seconds,
        )

    @cached_property
    def _jobs(self) -> JobTable:
        return JobTable(self._dynamodb, self._settings.table_name)

    @cached_property
    def _outages(self) -> Outages:
        return Outages(self._jobs, self._outside.now)

    @cached_property
    def _queue(self) -> Queue:
        return Queue(self._sqs, self._settings.queue_url)

    @cached_property
    def _events(self) -> EventBus:
        return EventBus(self._client("events"), self._settings.event_bus_name)

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @cached_property
    def _sqs(self) -> SQSClient:
        client: SQSClient = self._client("sqs")
        return client

    def _client(self, service: str, config: Config = _CONFIG) -> Any:  # noqa: ANN401 - each is typed where it is used
        return self._outside.client(service, config)
