"""The calls of a small job at half of boto3's CPU: one plain try, and boto3 itself for the rest.

A small job asks AWS's JSON services five times, and boto3 takes about 1 ms of CPU for each, most of
it neither for the signature nor for the bytes (docs/costs.md). Here the try is signed by botocore's
own signer and sent over a kept connection. Whatever then is not a 200 with JSON in it (a refusal, a
throttle, a torn connection) is not judged here: boto3 makes the same call, with its own checks,
retries and errors. So callers see boto3's client, and this module could go without a trace.

The call may thereby be made once more than by boto3, which repeats calls too: a transaction is the
same one by its token, and the others are conditional, reads, or harmless twice.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.handlers import add_recursion_detection_header

from archiver.https import NETWORK_ERRORS

if TYPE_CHECKING:
    from botocore.credentials import Credentials

    from archiver.outside import Connect

__all__ = ["LEAN_SERVICES", "LeanClient"]

LEAN_SERVICES = frozenset({"dynamodb", "events", "sqs"})
_TRANSACTION = "transact_write_items"
_LEAN_METHODS = frozenset(
    {"batch_get_item", _TRANSACTION, "update_item", "put_events", "change_message_visibility"}
)


class LeanClient:
    """A boto3 client of a JSON service, some of whose methods take the short way first."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - of any service
        credentials: Callable[[], Credentials],
        connect: Connect,
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._connect = connect
        self._url = urlsplit(client.meta.endpoint_url)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - boto3's
        """Return a method or an attribute as boto3's client has it."""
        if name in _LEAN_METHODS:
            return partial(self._call, name)
        return getattr(self._client, name)

    def _call(self, method: str, **parameters: Any) -> Any:  # noqa: ANN401 - boto3's
        if method == _TRANSACTION:
            parameters.setdefault("ClientRequestToken", str(uuid.uuid4()))
        try:
            return self._try(method, parameters)
        except (*NETWORK_ERRORS, TypeError, ValueError):  # not sent, not answered, not JSON
            return getattr(self._client, method)(**parameters)

    def _try(self, method: str, parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        body = json.dumps(parameters).encode()
        request = self._signed(method, body)
        url = self._url
        connection = self._connect(url.hostname or "", url.port or 443, tls=url.scheme == "https")
        try:
            connection.begin("POST", url.path or "/", dict(request.headers.items()))
            connection.send(body)
            answer = connection.answer()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(answer.status)
        return json.loads(text)

    def _signed(self, method: str, body: bytes) -> AWSRequest:
        meta = self._client.meta
        protocol = meta.service_model.metadata
        headers = {
            "Host": self._url.netloc,
            "Content-Type": f"application/x-amz-json-{protocol['jsonVersion']}",
            "Content-Length": str(len(body)),
            "X-Amz-Target": f"{protocol['targetPrefix']}.{meta.method_to_api_mapping[method]}",
            "User-Agent": meta.config.user_agent,
        }
        add_recursion_detection_header({"headers": headers})
        request = AWSRequest("POST", self._url.geturl(), headers=headers, data=body)
        frozen = self._credentials().get_frozen_credentials()
        SigV4Auth(frozen, meta.service_model.signing_name, meta.region_name).add_auth(request)
        return request
