"""The builder of order_exports' clients, beside archiving.py, which builds archive_export's.

A module of its own, so that neither function imports what only the other needs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.link import TrustedHosts
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.aws.callback_secret import CallbackSecret
from archiver.aws.credentials import SecretCredentials
from archiver.aws.events import EventBus
from archiver.aws.job_table import JobTable
from archiver.aws.order_items import OrderItems
from archiver.aws.queue import Queue
from archiver.aws.sweep_items import SweepItems
from archiver.callbacks.token import NONE_THERE, good_tokens
from archiver.errors import Failure
from archiver.log import Log
from archiver.network.outside import Outside
from archiver.orders.adoption import Told
from archiver.orders.desk import OrderDesk, is_asked
from archiver.orders.ordering import Gauges, OrderExports
from archiver.telemetry import Steps
from archiver.wiring.settings import OrderSettings
from archiver.wiring.world import real_outside

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["Orderer"]

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=10
)
_LONGEST_SECONDS = 900.0  # Lambda's limit
_MOST_LIST_BYTES = 8 << 20  # of a page of the job list, as the sweep reads it (sweep.py)


class Orderer:
    """One runtime's orders: everything built, nothing asked yet."""

    def __init__(
        self,
        settings: OrderSettings,
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
        self._remaining_seconds: Callable[[], float] = lambda: _LONGEST_SECONDS

    def answer(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Do what a person asks for, or else order what is missing, as far as this run comes."""
        self._remaining_seconds = lambda: context.get_remaining_time_in_millis() / 1000
        self._outside.deadline.begin(self._remaining_seconds)
        if isinstance(event, dict) and is_asked(event):
            return OrderDesk(self._items, self._outside.now, _token).answer(event)
        return self._orders.run()

    def _time_left(self) -> float:
        return self._remaining_seconds()  # of this invocation; what is built outlives it

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._outside.client("dynamodb", _CONFIG)
        return client

    @cached_property
    def _secrets(self) -> SecretsManagerClient:
        client: SecretsManagerClient = self._outside.client("secretsmanager", _CONFIG)
        return client

    @cached_property
    def _items(self) -> OrderItems:
        return OrderItems(self._dynamodb, self._settings.table_name, self._outside.pause)

    @cached_property
    def _orders(self) -> OrderExports:
        settings, outside = self._settings, self._outside
        dynamodb = self._dynamodb
        table = settings.table_name
        events = EventBus(outside.client("events", _CONFIG), settings.event_bus_name)

        def emit(told: Told) -> None:
            events.emit("Order Needs Attention", told.event_detail())

        return OrderExports(
            vendor=self._vendor(JobTable(dynamodb, table).close_vendor),
            items=self._items,
            jobs=SweepItems(dynamodb, table, outside.pause),
            queue=Queue(outside.client("sqs", _CONFIG), settings.queue_url),
            callback_url=self._callback_url,
            emit=emit,
            gauges=self._gauges,
            log=self._log,
            now=outside.now,
            pause=outside.pause,
            remaining_seconds=self._time_left,
            token=_token,
            # Lambda's limit, and not this function's: the run that wrote an intent may have been of
            # a version that had more.
            function_seconds=_LONGEST_SECONDS,
        )

    def _callback_url(self) -> str | None:
        """Return the URL that completed jobs are told at, its token read anew: it may be rotated.

        Raises Failure("aws_error") where there is to be one and its token cannot be read.
        """
        settings = self._settings
        if settings.callback_base_url is None or settings.callback_token_secret_arn is None:
            return None
        tokens = CallbackSecret(self._secrets, settings.callback_token_secret_arn).read()
        good = good_tokens(tokens)
        if not good:
            raise Failure("aws_error", NONE_THERE)
        return f"{settings.callback_base_url}/{good[0]}"

    def _vendor(self, close_vendor: Callable[[float], None]) -> ApartmentIq:
        settings, outside = self._settings, self._outside
        return ApartmentIq(
            ThrottledHttp(outside.http, close_vendor, outside.now),
            SecretCredentials(
                self._secrets,
                settings.credentials_secret_arn,
                self._steps,
            ),
            api_base_url=settings.api_base_url,
            token_url=settings.token_url,
            trusted_hosts=TrustedHosts(),  # nobody here asks for a link
            steps=self._steps,
            pause=outside.pause,
        )


def _token() -> str:
    return uuid.uuid4().hex
