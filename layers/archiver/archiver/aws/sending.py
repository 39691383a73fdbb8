"""How boto3's requests are sent: by our own network, so that they keep the invocation's deadline.

boto3 signs, retries and parses as ever. Only the sending is ours: botocore's time-outs are fixed
when a client is made, while the time that an invocation has left is not, and S3 may keep a
connection alive with white space for minutes before it answers a commit (S3 API Reference,
CompleteMultipartUpload). A handler of the event `before-send` may answer a request (boto3's guide,
"Extensibility"); botocore treats what it raises like an error of its own sender.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import HTTPClientError
from botocore.utils import get_environ_proxies
from urllib3.exceptions import TimeoutError  # noqa: A004 - of connecting and of reading

from archiver.network.deadline import TimeIsUp
from archiver.network.https import NETWORK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3
    from botocore.awsrequest import AWSPreparedRequest

    from archiver.network.https import Network

__all__ = ["ANSWERED_HERE", "proxy_for", "send_by"]

# All handlers of an event are called, whoever has answered: so who answers a request in AWS's place
# says so in the request's context, and nothing is sent.
ANSWERED_HERE = "archiver_answered_here"
# The longest that is asked for: DynamoDB's BatchGetItem ends at 16 MB of items (API Reference),
# which as JSON are somewhat more.
_MOST_ANSWER_BYTES = 24 << 20


def proxy_for(url: str) -> str | None:
    """Return the proxy that boto3 would take for a URL: HTTPS_PROXY, unless NO_PROXY names it.

    What is not https goes to loopback alone (a store of somebody's own machine), never by a proxy.
    """
    parts = urlsplit(url)
    proxy = get_environ_proxies(url).get("https") if parts.scheme == "https" else None
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"  # as botocore reads it


def send_by(network: Network, client: Any) -> Any:  # noqa: ANN401 - of any service
    """Let a client's requests go out by this network, and return the client.

    Its time-outs are the longest that is waited for. A request for which no time is left, or that
    got less than its time-outs and had no answer by then, raises deadline.TimeIsUp, which is not
    tried again: the time that is left is somebody else's.
    """
    config = client.meta.config

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        if ANSWERED_HERE in request.context:  # type: ignore[attr-defined] # newer than its types
            return None
        timeout = network.timeout(config.connect_timeout, config.read_timeout)
        try:
            answer = _send(network, request, timeout)
        except NETWORK_ERRORS as error:
            whole = (config.connect_timeout, config.read_timeout)
            if isinstance(error, TimeoutError) and _seconds(timeout) != whole:
                raise TimeIsUp("The time that was left brought no answer.") from error
            raise HTTPClientError(error=type(error).__name__) from error
        network.deadline.check()
        return answer

    client.meta.events.register("before-send", send)
    return client


def _seconds(timeout: urllib3.Timeout) -> tuple[object, object]:
    return timeout.connect_timeout, timeout.read_timeout


def _send(network: Network, request: AWSPreparedRequest, timeout: urllib3.Timeout) -> AWSResponse:
    url = urlsplit(request.url)
    response = network.pool(request.url).urlopen(
        request.method,
        f"{url.path or '/'}?{url.query}" if url.query else url.path or "/",
        body=request.body,  # type: ignore[arg-type] # text, bytes or a bytearray, as it came
        headers=request.headers,  # type: ignore[arg-type] # botocore's mapping
        retries=False,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
        timeout=timeout,
    )
    # Read now, in the time that was given; whoever reads an object's body takes it from memory. So
    # a GET must name a small range, and a store that knows none must not fill the memory. By
    # pieces, because only so urllib3 tells an answer that breaks off.
    content = bytearray()
    for piece in response.stream():
        content += piece
        if len(content) > _MOST_ANSWER_BYTES:
            response.close()
            raise HTTPClientError(error=f"more than {_MOST_ANSWER_BYTES} bytes")
    return AWSResponse(request.url, response.status, response.headers, _Body(content))  # type: ignore[arg-type] # a mapping, and a body as botocore reads one


class _Body(io.BytesIO):
    """The bytes of an answer, as botocore's answers and their readers take them."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """Yield them."""
        yield self.getvalue()
