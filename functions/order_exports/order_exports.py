"""The Lambda function that orders what a plan wants and nobody has: decorators outside, one call.

What it does is in the layer: archiver.orders.ordering is the use case. Without an applied plan it
does nothing. No event is logged, whatever the environment asks for.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from archiver.telemetry import (
    NoSteps,
    OrderGauges,
    TraceSteps,
    make_logger,
    make_metrics,
    make_tracer,
)
from archiver.wiring.orders import Orderer
from archiver.wiring.settings import OrderSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = ["handle"]

logger = make_logger()
metrics = make_metrics()
tracer = make_tracer()


@logger.inject_lambda_context(clear_state=True, log_event=False)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handle(event: object, context: LambdaContext) -> dict[str, Any]:
    """Do what a person asks for (orders/desk.py); else, as on schedule, order what is missing."""
    return _orderer().answer(event, context)


@cache
def _orderer() -> Orderer:
    settings = OrderSettings.from_environ(os.environ)
    steps = TraceSteps(tracer) if settings.traced else NoSteps()
    gauges = OrderGauges(metrics, settings.stack_name)
    return Orderer(settings, log=logger, gauges=gauges, steps=steps)
