"""What is out of order for hours: between the archiver and a service every request fails.

A layer on the way to the world, as a mutant is one (mutants.py): the services themselves go on, and
whoever is not the function reaches them. Which side it is names the way that is closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import EndpointConnectionError

from archiver.errors import Failure
from archiver.network.answer import Answer
from archiver.network.outside import Outside
from tests.faults.aws_calls import client_error
from tests.faults.chaos import Chaos
from tests.faults.objects import S3_HOST

__all__ = ["SIDES", "Outage", "Outages"]

# The network is the way to the vendor and to its links: AWS is reached by endpoints of its own.
SIDES = ("vendor", "network", "s3", "dynamodb", "secretsmanager", "events", "sqs")


@dataclass(frozen=True)
class Outage:
    """One side is out of order for a while; times in epoch seconds.

    A side is one of SIDES, or a single method of a service (`sqs.send_message`). `headers` come
    with the vendor's 503.
    """

    side: str
    begins: float
    ends: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outages:
    """All outages of a world, and how many requests met one, by side."""

    chaos: Chaos
    planned: list[Outage] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    poisoned: set[str] = field(default_factory=set)  # jobs whose export breaks off each time

    def on_the_way(self, outside: Outside) -> Outside:
        """Return the same way out of the function, closed where and while something is out."""

        def client(service: str, config: Any) -> Any:  # noqa: ANN401 - any client
            return _Client(outside.client(service, config), partial(self._refuse_aws, service))

        def connect(host: str, port: int, *, tls: bool = True) -> Any:  # noqa: ANN401 - a Connection
            side = "s3" if host == S3_HOST else "network"
            return _Wire(outside.connect(host, port, tls=tls), partial(self._refuse_wire, side))

        return replace(
            outside, client=client, connect=connect, http=_Http(outside.http, self._refuse_vendor)
        )

    def total_seconds(self) -> float:
        """Return for how long something was out of order, at the most."""
        return sum(outage.ends - outage.begins for outage in self.planned)

    def _meets(self, side: str, cause: str) -> Outage | None:
        self.chaos.check()
        now = self.chaos.scheduler.now
        for outage in self.planned:
            if outage.side == side and outage.begins <= now < outage.ends:
                self.asked[side] += 1
                self.chaos.count(cause, f"{side} is out of order", side.partition(".")[0])
                self.chaos.sleep(self.chaos.latency())
                return outage
        return None

    def _refuse_aws(self, service: str, method: str) -> None:
        if self._meets(service, "aws") or self._meets(f"{service}.{method}", "aws"):
            if self.chaos.random.random() < 0.5:
                raise EndpointConnectionError(endpoint_url="https://aws.example")
            raise client_error("ServiceUnavailable", 503, "Call")

    def _refuse_wire(self, side: str, target: str) -> None:
        if side == "network" and any(job_id in target for job_id in self.poisoned):
            self.chaos.count("network", "a poisoned export")
            raise ConnectionResetError("reset")
        if self._meets(side, "aws" if side == "s3" else "network"):
            raise ConnectionRefusedError("refused")

    def _refuse_vendor(self) -> Answer | None:
        if self._meets("network", "network"):
            raise Failure("network", "api.apartmentiq.example did not answer: TimeoutError.")
        outage = self._meets("vendor", "vendor")
        status = self.chaos.random.choice([500, 502, 503])
        return None if outage is None else Answer(status, outage.headers, b"<html>sorry</html>")


class _Client:
    def __init__(self, real: Any, refuse: Callable[[str], None]) -> None:  # noqa: ANN401 - any client
        self._real = real
        self._refuse = refuse

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the real one's
        found = getattr(self._real, name)
        if name in {"meta", "upload_part"}:  # neither sends anything (objects.py)
            return found

        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - boto3's own
            self._refuse(name)
            return found(*arguments, **named)

        return call

    def get_paginator(self, operation: str) -> Any:  # noqa: ANN401 - boto3's own
        """Return what asks for each page, and asks nothing before."""
        real = self._real.get_paginator(operation)

        def paginate(**named: Any) -> Iterator[Any]:  # noqa: ANN401 - boto3's own
            self._refuse(operation)
            yield from real.paginate(**named)

        return SimpleNamespace(paginate=paginate)


class _Wire:
    def __init__(self, real: Any, refuse: Callable[[str], None]) -> None:  # noqa: ANN401 - a Connection
        self._real = real
        self._refuse = refuse

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the real one's
        return getattr(self._real, name)

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect, if the way is open."""
        self._refuse(target)
        self._real.begin(method, target, headers)


class _Http:
    def __init__(self, real: Any, refuse: Callable[[], Answer | None]) -> None:  # noqa: ANN401 - an HttpClient
        self._real = real
        self._refuse = refuse

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send, if the way is open."""
        refusal = self._refuse()
        answer: Answer = refusal or self._real.send(method, url, headers, body)
        return answer
