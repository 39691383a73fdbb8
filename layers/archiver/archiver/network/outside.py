"""Everything through which the application touches the world, as one value.

wiring/ makes the real one; tests/faults hands in another, with faults, clocks and kills at will.
Nothing here does anything.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from archiver.network.answer import Answer

__all__ = ["Connect", "Connection", "Deadline", "Every", "HttpClient", "Outside", "RunWorkers"]


class HttpClient(Protocol):
    """Sends one request and returns its answer, whatever its status; raises Failure("network")."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send a request over verified TLS."""


class Connection(Protocol):
    """One kept-alive connection to one host, for one thread (https.ByteConnection)."""

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None: ...  # noqa: D102 - described there
    def send(self, data: bytes | memoryview) -> None: ...  # noqa: D102
    def answer(self) -> http.client.HTTPResponse: ...  # noqa: D102
    def interrupt(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Connect(Protocol):
    """Prepares a connection; `tls` is False only for a store on this machine's loopback."""

    def __call__(self, host: str, port: int, *, tls: bool = True) -> Connection: ...  # noqa: D102


class RunWorkers(Protocol):
    """Runs tasks at once (workers.run_in_threads)."""

    def __call__(  # noqa: D102 - described there
        self,
        tasks: Sequence[Callable[[], None]],
        *,
        seconds_left: Callable[[], float],
        interrupt: Callable[[], None],
    ) -> Sequence[BaseException]: ...


class Every(Protocol):
    """Does something now and then in the background (workers.every)."""

    def __call__(self, seconds: float, act: Callable[[], None]) -> AbstractContextManager[None]: ...  # noqa: D102


class Deadline(Protocol):
    """How long anything may be waited for (deadline.Deadline)."""

    def begin(self, remaining_seconds: Callable[[], float]) -> None: ...  # noqa: D102 - described there
    def left(self) -> float: ...  # noqa: D102
    def working(self) -> AbstractContextManager[None]: ...  # noqa: D102
    def briefly(self, seconds: float) -> AbstractContextManager[None]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Outside:
    """AWS, HTTP, the clocks and the other threads."""

    client: Callable[[str, Any], Any]  # a service's name and botocore Config → boto3's client
    credentials: Callable[[], Any]  # botocore's, for the parts that we sign ourselves
    http: HttpClient
    connect: Connect
    now: Callable[[], datetime]  # for every age that outlives an invocation (age.py)
    monotonic: Callable[[], float]  # within one invocation: it may stand while Lambda freezes us
    pause: Callable[[float], None]
    run_workers: RunWorkers
    every: Every
    deadline: Deadline
