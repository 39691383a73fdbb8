"""The Lambda function behind the callbacks: it finds completed jobs that nobody told us of.

Decorators outside, one call inside. What it does is in the layer: archiver.sweep.reconcile is the
use case, archiver.sweep.request what it can be asked for. No event is logged, whatever the
environment asks for: what a person sends may be anything.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from archiver.telemetry import (
    Gauges,
    NoSteps,
    TraceSteps,
    make_logger,
    make_metrics,
    make_tracer,
)
from archiver.wiring.settings import SweepSettings
from archiver.wiring.sweep import Sweeper

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
    """Take EventBridge's scheduled event, or a person's payload."""
    return _sweeper().sweep(event, context)


@cache
def _sweeper() -> Sweeper:
    settings = SweepSettings.from_environ(os.environ)
    steps = TraceSteps(tracer) if settings.traced else NoSteps()
    return Sweeper(settings, log=logger, gauges=Gauges(metrics, settings.stack_name), steps=steps)
