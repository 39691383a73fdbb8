"""The Lambda function that archives exports: decorators outside, one call inside.

What it does is in the layer: archiver.archiving.archive is the use case, and what becomes of a
message archiver.archiving.delivery. The application is built at the first invocation, so that a
wrong setting is an error with a name and not a failed import. No event may be logged, not even
where POWERTOOLS_LOGGER_LOG_EVENT asks for it: a job object's `callback_url` holds our token.
"""

from __future__ import annotations

import gc

# Importing makes objects that stay. To look through them for garbage, over and over, took 12 of the
# 190 ms of CPU of a cold start (`make bench-cold`); the peak memory is the same without.
gc.disable()

# ruff: noqa: E402 - imports that are not at the top, for the reason above
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from archiver.archiving.reception import receive
from archiver.telemetry import (
    Counters,
    NoSteps,
    TraceSteps,
    make_logger,
    make_metrics,
    make_tracer,
)
from archiver.wiring.archiving import Application
from archiver.wiring.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = ["handle"]

logger = make_logger()
metrics = make_metrics()
tracer = make_tracer()


@logger.inject_lambda_context(clear_state=True, log_event=False)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handle(event: dict[str, Any], context: LambdaContext) -> Any:  # noqa: ANN401 - JSON for Lambda
    """Take an SQS batch or an EventBridge event."""
    return receive(event, context, _application())


@cache
def _application() -> Application:
    settings = Settings.from_environ(os.environ)
    steps = TraceSteps(tracer) if settings.traced else NoSteps()
    return Application(
        settings, log=logger, outcomes=Counters(metrics, settings.stack_name), steps=steps
    )


gc.freeze()  # what is there by now is never garbage: later collections need not look at it
gc.enable()
