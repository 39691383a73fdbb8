"""The Lambda function behind the vendor's `callback_url`: decorators outside, one call inside.

What it does is in the layer: archiver.callbacks.reception. No event may be logged, not even where
POWERTOOLS_LOGGER_LOG_EVENT asks for it: its path is a secret.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from archiver.callbacks.reception import CallbackReception
from archiver.telemetry import Counters, make_logger, make_metrics
from archiver.wiring.callbacks import build_callback_reception
from archiver.wiring.settings import CallbackSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = ["handle"]

logger = make_logger()
metrics = make_metrics()


@logger.inject_lambda_context(clear_state=True, log_event=False)
@metrics.log_metrics
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Take a request to the Function URL and return its answer."""
    return _reception().answer(event)


@cache
def _reception() -> CallbackReception:
    settings = CallbackSettings.from_environ(os.environ)
    return build_callback_reception(
        settings, log=logger, counts=Counters(metrics, settings.stack_name)
    )
