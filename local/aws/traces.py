"""An X-Ray daemon that forwards nothing: collects what functions send and draws it up as trees.

It must not fail on what it does not understand: tracing is best effort, as it is on Lambda.
"""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Segment", "Trace", "TraceCollector", "read_traces"]

_DATAGRAM_BYTES = 65_536  # the most that UDP carries


@dataclass(frozen=True, slots=True)
class Segment:
    """A step with its steps inside; times are Unix seconds, `end` None while it is in progress."""

    name: str
    start: float
    end: float | None
    failed: bool
    annotations: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    subsegments: tuple[Segment, ...] = ()

    def walk(self) -> Iterator[Segment]:
        """Yield this segment and every one below it, in order of their start."""
        yield self
        for child in self.subsegments:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Trace:
    """All segments with one trace id; the roots are invocations."""

    trace_id: str
    roots: tuple[Segment, ...]

    def walk(self) -> Iterator[Segment]:
        """Yield every segment, parents before children."""
        for root in self.roots:
            yield from root.walk()


class TraceCollector:
    """A UDP socket on 127.0.0.1 whose address goes into AWS_XRAY_DAEMON_ADDRESS.

    Each document is a line of the file at `path`, too, for tools in other processes (read_traces).
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"
        self._documents: list[dict[str, Any]] = []
        self._datagrams: list[str] = []
        self._lock = Lock()
        self._thread = Thread(target=self._receive, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop collecting; what was collected stays readable."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())  # an empty datagram ends the thread
        self._thread.join()
        self._socket.close()

    def add(self, document: dict[str, Any]) -> None:
        """Take a segment document; a later one with the same id replaces the earlier."""
        with self._lock:
            self._documents.append(document)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(document) + "\n")

    def traces(self) -> list[Trace]:
        """Return the traces so far, oldest first."""
        with self._lock:
            documents = list(self._documents)
        return _as_traces(documents)

    def datagrams(self) -> list[str]:
        """Return all that was received, as it came: whatever the trees above leave out, too."""
        with self._lock:
            return list(self._datagrams)

    def _receive(self) -> None:
        while datagram := self._socket.recv(_DATAGRAM_BYTES):
            self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        _, _, body = datagram.partition(b"\n")  # the first line is the protocol's header
        with suppress(ValueError):
            document = json.loads(body)
            if isinstance(document, dict) and "id" in document and "start_time" in document:
                self.add(document)
        with self._lock:  # last, so that whoever sees it here sees it in the trees, too
            self._datagrams.append(datagram.decode(errors="replace"))


def read_traces(path: Path) -> list[Trace]:
    """Return the traces of a run out of its file, oldest first; a run without one has none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return _as_traces([json.loads(line) for line in lines])


def _as_traces(documents: list[dict[str, Any]]) -> list[Trace]:
    newest = {item["id"]: item for item in documents}
    by_trace = defaultdict(list)
    for item in newest.values():
        by_trace[str(item.get("trace_id"))].append(item)
    traces = [Trace(key, _grow_trees(items)) for key, items in by_trace.items()]
    return sorted(traces, key=lambda trace: trace.roots[0].start)


def _grow_trees(documents: list[dict[str, Any]]) -> tuple[Segment, ...]:
    known = {item["id"] for item in documents}
    roots: list[dict[str, Any]] = []
    children: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in documents:
        parent = str(item.get("parent_id"))
        (children[parent] if parent in known else roots).append(item)
    return _order(_build(item, children) for item in roots)


def _build(document: dict[str, Any], children: Mapping[str, list[dict[str, Any]]]) -> Segment:
    inner = [*document.get("subsegments", []), *children.get(document["id"], [])]
    return Segment(
        name=str(document.get("name")),
        start=document["start_time"],
        end=document.get("end_time"),
        failed=any(document.get(flag) for flag in ("error", "fault", "throttle")),
        annotations=document.get("annotations", {}),
        metadata=document.get("metadata", {}),
        subsegments=_order(_build(item, children) for item in inner),
    )


def _order(segments: Iterator[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted(segments, key=lambda segment: segment.start))
