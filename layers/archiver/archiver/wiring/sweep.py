"""The builder of reconcile_exports' clients, beside archiving.py, which builds archive_export's.

A module of its own, so that neither function imports what only the other needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config

from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.link import TrustedHosts
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.aws.credentials import SecretCredentials
from archiver.aws.job_table import JobTable
from archiver.aws.queue import Queue
from archiver.aws.sending import proxy_for, send_by
from archiver.aws.sweep_items import SweepItems
from archiver.aws.unfinished_uploads import UnfinishedUploads
from archiver.network.https import Network, UrllibClient
from archiver.network.outside import Deadline, HttpClient
from archiver.network.tls import tls_context
from archiver.sweep.abandoned_uploads import AbandonedUploads
from archiver.sweep.reconcile import Gauges, Log, Reconciler
from archiver.sweep.request import RequestRefused, read_sweep_request
from archiver.telemetry import Steps
from archiver.wiring.settings import SweepSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Sweeper", "World"]

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=20
)
# Shorter, because nothing hangs on it: a request ends within reconcile.RESERVE_SECONDS.
_S3_CONFIG = _CONFIG.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 2}, read_timeout=10)
)
_NEVER_ENDING_SECONDS = 900.0
# A job object names its properties, at 10 bytes each: 100 jobs of 8,000 properties are a page.
# Parsed, that is some 60 MB. Of longer ones fewer jobs are asked for at a time.
_MOST_LIST_BYTES = 8 << 20


class World(Protocol):
    """What a sweep touches; `outside.Outside` has all of it, and more than a sweep needs."""

    @property
    def client(self) -> Callable[[str, Any], Any]:
        """A service's name and botocore's Config → boto3's client."""

    @property
    def http(self) -> HttpClient:
        """To the vendor."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The date and time."""

    @property
    def pause(self) -> Callable[[float], None]:
        """Waits."""

    @property
    def deadline(self) -> Deadline:
        """How long anything may be waited for."""


class Sweeper:
    """One runtime's sweeps: everything built, no request sent yet."""

    def __init__(
        self,
        settings: SweepSettings,
        *,
        log: Log,
        gauges: Gauges,
        steps: Steps,
        world: World | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._gauges = gauges
        self._steps = steps
        self._world = world or _real_world(settings.extra_ca_bundle)
        self._remaining_seconds: Callable[[], float] = lambda: _NEVER_ENDING_SECONDS

    def sweep(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Run the sweep that an event asks for; raises RequestRefused for a payload that cannot be.

        That is the one error here that people make, so it is said in the log in their words.
        """
        self._remaining_seconds = lambda: context.get_remaining_time_in_millis() / 1000
        self._world.deadline.begin(self._remaining_seconds)
        look_back = timedelta(days=self._settings.look_back_days)
        try:
            request = read_sweep_request(event, now=self._world.now(), look_back=look_back)
        except RequestRefused as refusal:
            self._log.warning("refused", outcome="refused", detail=str(refusal))
            raise
        answer = self._reconciler.reconcile(request)
        if request.scheduled and self._abandoned_uploads is not None:
            self._abandoned_uploads.abort()
        return answer

    def _time_left(self) -> float:
        return self._remaining_seconds()  # of this invocation; the reconciler outlives it

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._world.client("dynamodb", _CONFIG)
        return client

    @cached_property
    def _items(self) -> SweepItems:
        return SweepItems(self._dynamodb, self._settings.table_name, self._world.pause)

    @cached_property
    def _abandoned_uploads(self) -> AbandonedUploads | None:
        settings, world = self._settings, self._world
        if settings.archive_bucket is None:
            return None
        s3 = world.client("s3", _S3_CONFIG)
        return AbandonedUploads(
            uploads=UnfinishedUploads(s3, settings.archive_bucket, settings.key_prefix),
            items=self._items,
            gauges=self._gauges,
            log=self._log,
            now=world.now,
            remaining_seconds=self._time_left,
        )

    @cached_property
    def _reconciler(self) -> Reconciler:
        settings, world = self._settings, self._world
        return Reconciler(
            vendor=self._vendor(JobTable(self._dynamodb, settings.table_name).close_vendor),
            items=self._items,
            queue=Queue(world.client("sqs", _CONFIG), settings.queue_url),
            gauges=self._gauges,
            log=self._log,
            now=world.now,
            pause=world.pause,
            remaining_seconds=self._time_left,
        )

    def _vendor(self, close_vendor: Callable[[float], None]) -> ApartmentIq:
        settings, world = self._settings, self._world
        return ApartmentIq(
            ThrottledHttp(world.http, close_vendor, world.now),
            SecretCredentials(
                world.client("secretsmanager", _CONFIG),
                settings.credentials_secret_arn,
                self._steps,
            ),
            api_base_url=settings.api_base_url,
            token_url=settings.token_url,
            trusted_hosts=TrustedHosts(),  # a sweep asks for no link
            steps=self._steps,
            pause=world.pause,
        )


@dataclass(frozen=True, slots=True)
class _RealWorld:
    client: Callable[[str, Any], Any]
    http: HttpClient
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    deadline: Deadline


def _real_world(extra_ca_bundle: str | None) -> World:
    session = boto3.session.Session()
    network = Network(tls_context(extra_ca_bundle), proxy_for=proxy_for)

    def client(service: str, config: Config) -> Any:  # noqa: ANN401 - a name at run time
        return send_by(network, session.client(service, config=config))  # type: ignore[call-overload] # likewise

    return _RealWorld(
        client=client,
        http=UrllibClient(network, most_bytes=_MOST_LIST_BYTES),
        now=lambda: datetime.now(UTC),
        pause=time.sleep,
        deadline=network.deadline,
    )
