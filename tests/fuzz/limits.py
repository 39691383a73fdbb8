"""What AWS takes and what it refuses, as far as bad input can meet it.

A fake that took everything would hide the worst outcome: a letter that SQS refuses again and again.
Names and types of parameters are judged by botocore's own models, as in the real client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError, ParamValidationError
from botocore.handlers import validate_ascii_metadata
from botocore.validate import ParamValidator

__all__ = ["MAX_MESSAGE_BYTES", "SQS_REFUSED", "check_call", "refusal"]

# SQS API Reference, SendMessage: these characters and no others, in body and attributes; the size
# of a message is that of its body and of its attributes' names, types and values.
SQS_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAX_MESSAGE_BYTES = 256 * 1024  # a queue's least default; newer queues take 1 MiB
_MAX_EVENT_BYTES = 256 * 1024  # EventBridge, PutEvents: one entry
_MAX_ITEM_BYTES = 400 * 1024  # DynamoDB
_MAX_KEY_BYTES = 1024  # S3
_MAX_METADATA_BYTES = 2048  # S3, user-defined metadata


def refusal(operation: str, code: str, status: int = 400, **more: Any) -> ClientError:  # noqa: ANN401
    """Return an error as botocore raises it."""
    answer: Any = {
        "Error": {"Code": code, "Message": "as fuzzed"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(answer, operation)


def check_call(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Raise what botocore or the service would raise for these parameters."""
    report = ParamValidator().validate(parameters, _shape(service, operation))
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())
    further = _FURTHER.get(operation)
    if further is not None:
        further(operation, parameters)


@cache
def _model(service: str) -> Any:  # noqa: ANN401 - botocore ships no types
    return botocore.session.get_session().get_service_model(service)


@cache
def _shape(service: str, operation: str) -> Any:  # noqa: ANN401 - botocore ships no types
    return _model(service).operation_model(operation).input_shape


def _check_message(operation: str, parameters: Mapping[str, Any]) -> None:
    attributes = parameters.get("MessageAttributes", {})
    texts = [parameters["MessageBody"]]
    for name, attribute in attributes.items():
        if not attribute.get("StringValue"):
            raise refusal(operation, "InvalidParameterValue")
        texts += [name, attribute["DataType"], attribute["StringValue"]]
    if not texts[0] or len(attributes) > 10 or not 0 <= parameters.get("DelaySeconds", 0) <= 900:
        raise refusal(operation, "InvalidParameterValue")
    if any(SQS_REFUSED.search(text) for text in texts):
        raise refusal(operation, "InvalidMessageContents")
    if sum(len(text.encode()) for text in texts) > MAX_MESSAGE_BYTES:
        raise refusal(operation, "InvalidParameterValue")


def _check_visibility(operation: str, parameters: Mapping[str, Any]) -> None:
    if not 0 <= parameters["VisibilityTimeout"] <= 43_200:
        raise refusal(operation, "InvalidParameterValue")


def _check_events(operation: str, parameters: Mapping[str, Any]) -> None:
    for entry in parameters["Entries"]:
        detail = entry["Detail"]
        json.loads(detail, parse_constant=_refuse_constant)
        if len((entry["Source"] + entry["DetailType"] + detail).encode()) > _MAX_EVENT_BYTES:
            raise refusal(operation, "ValidationException")


def _refuse_constant(name: str) -> None:
    raise refusal("PutEvents", f"MalformedDetail{name}")


def _check_items(operation: str, parameters: Mapping[str, Any]) -> None:
    text = json.dumps(parameters, ensure_ascii=False, default=repr)
    try:
        if len(text.encode()) > _MAX_ITEM_BYTES:
            raise refusal(operation, "ValidationException")
    except UnicodeEncodeError as error:  # a lone surrogate
        raise refusal(operation, "SerializationException") from error


def _check_object(operation: str, parameters: Mapping[str, Any]) -> None:
    if len(parameters["Key"].encode()) > _MAX_KEY_BYTES:
        raise refusal(operation, "KeyTooLongError")
    validate_ascii_metadata(dict(parameters))
    metadata = parameters.get("Metadata", {})
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA_BYTES:
        raise refusal(operation, "MetadataTooLarge")
    for text in [*metadata.values(), parameters.get("ContentEncoding", "")]:
        if not (text.isascii() and text.isprintable()):
            raise refusal(operation, "InvalidHeader")


_FURTHER = {
    "SendMessage": _check_message,
    "ChangeMessageVisibility": _check_visibility,
    "PutEvents": _check_events,
    "UpdateItem": _check_items,
    "PutItem": _check_items,
    "PutObject": _check_object,
    "CreateMultipartUpload": _check_object,
}
