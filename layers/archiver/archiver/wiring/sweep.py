"""The builder of reconcile_exports' clients, beside archiving.py, which builds archive_export's.

A module of its own, so that neither function imports what only the other needs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.link import TrustedHosts
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.aws.credentials import SecretCredentials
from archiver.aws.job_table import JobTable
from archiver.aws.queue import Queue
from archiver.aws.sweep_items import SweepItems
from archiver.aws.unfinished_uploads import UnfinishedUploads
from archiver.log import Log
from archiver.network.outside import Outside
from archiver.sweep.abandoned_uploads import AbandonedUploads
from archiver.sweep.reconcile import Gauges, Reconciler
from archiver.sweep.request import RequestRefused, read_sweep_request
from archiver.telemetry import Steps
from archiver.wiring.settings import SweepSettings
from archiver.wiring.world import real_outside

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Sweeper"]

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


class Sweeper:
    """One runtime's sweeps: everything built, no request sent yet."""

    def __init__(
        self,
        settings: SweepSettings,
        *,
        log: Log,
        gauges: Gauges,
        steps: Steps,
        outside: Outside | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._gauges = gauges
        self._steps = steps
        self._outside = outside or real_outside(
            settings.extra_ca_bundle, most_list_bytes=_MOST_LIST_BYTES, connections_per_host=1
        )
        self._remaining_seconds: Callable[[], float] = lambda: _NEVER_ENDING_SECONDS

    def sweep(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Run the sweep that an event asks for; raises RequestRefused for a payload that cannot be.

        That is the one error here that people make, so it is said in the log in their words.
        """
        self._remaining_seconds = lambda: context.get_remaining_time_in_millis() / 1000
        self._outside.deadline.begin(self._remaining_seconds)
        look_back = timedelta(days=self._settings.look_back_days)
        try:
            request = read_sweep_request(event, now=self._outside.now(), look_back=look_back)
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
        client: DynamoDBClient = self._outside.client("dynamodb", _CONFIG)
        return client

    @cached_property
    def _items(self) -> SweepItems:
        return SweepItems(self._dynamodb, self._settings.table_name, self._outside.pause)

    @cached_property
    def _abandoned_uploads(self) -> AbandonedUploads | None:
        settings, outside = self._settings, self._outside
        if settings.archive_bucket is None:
            return None
        s3 = outside.client("s3", _S3_CONFIG)
        return AbandonedUploads(
            uploads=UnfinishedUploads(s3, settings.archive_bucket, settings.key_prefix),
            items=self._items,
            gauges=self._gauges,
            log=self._log,
            now=outside.now,
            remaining_seconds=self._time_left,
        )

    @cached_property
    def _reconciler(self) -> Reconciler:
        settings, outside = self._settings, self._outside
        return Reconciler(
            vendor=self._vendor(JobTable(self._dynamodb, settings.table_name).close_vendor),
            items=self._items,
            queue=Queue(outside.client("sqs", _CONFIG), settings.queue_url),
            gauges=self._gauges,
            log=self._log,
            now=outside.now,
            pause=outside.pause,
            remaining_seconds=self._time_left,
        )

    def _vendor(self, close_vendor: Callable[[float], None]) -> ApartmentIq:
        settings, outside = self._settings, self._outside
        return ApartmentIq(
            ThrottledHttp(outside.http, close_vendor, outside.now),
            SecretCredentials(
                outside.client("secretsmanager", _CONFIG),
                settings.credentials_secret_arn,
                self._steps,
            ),
            api_base_url=settings.api_base_url,
            token_url=settings.token_url,
            trusted_hosts=TrustedHosts(),  # a sweep asks for no link
            steps=self._steps,
            pause=outside.pause,
        )
