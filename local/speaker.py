"""What `make local` says while it runs: a line for each outcome, or a JSON object (`--json`).

It hears what the functions themselves log, what the bus carries and what the dead-letter queue
holds, and says it in the words that were found there. It must not receive, change or judge
anything, and it needs no secret: the functions log none, and no message's body is said.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.aws.runtime import Invocation, Runtime
    from local.aws.server import QueuedMessage
    from local.cloud import LocalCloud

__all__ = ["LetterWatch", "LogWatch", "Said", "Speaker", "attach"]

_POLL_SECONDS = 0.25  # as often as events are read (emitted_events.py)
# What a function's lines are about; another function's are said under its own name.
_KINDS = {
    "ArchiveExportFunction": "message",
    "ReconcileExportsFunction": "sweep",
    "ReceiveCallbackFunction": "callback",
}
# What Powertools adds to every line, what is said in a place of its own, and a bug's stack.
_NOT_TOLD = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "cold_start", "xray_trace_id"),
        *("function_name", "function_memory_size", "function_arn", "function_request_id"),
        *("exception", "exception_name", "stack_trace"),
    }
)
# Of a sweep: what a person looks for first. `--json` has all of it.
_SWEEP_COUNTS = ("queued", "would_queue", "archived", "unarchived", "dead_lettered")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True)
class Said:
    """One outcome: of what, which, of which job if it is about one, in words, and all fields."""

    kind: str
    outcome: str
    job_id: str | None
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_line(self, now: datetime) -> str:
        """Return a line for people; control characters are escaped, for it is one line."""
        head = f"{now:%H:%M:%S}  {self.kind:<11}  {self.outcome:<17}"
        return _printable("  ".join(part for part in (head, self.job_id, self.text) if part))

    def as_json(self, now: datetime) -> str:
        """Return an object for programs; `at` is in UTC."""
        at = now.astimezone(UTC).isoformat(timespec="milliseconds")
        head = {"at": at, "kind": self.kind, "outcome": self.outcome, "job_id": self.job_id}
        return json.dumps({**self.fields, **head}, default=str)


class Speaker:
    """Says outcomes on one stream, whole line by whole line, from whichever thread."""

    def __init__(self, out: TextIO, *, as_json: bool, on_deaf: Callable[[], None]) -> None:
        """Take a stream; `on_deaf` is called once when nobody reads it any more."""
        self._out = out
        self._as_json = as_json
        self._on_deaf = on_deaf
        self._lock = Lock()
        self._is_deaf = False
        self._early: list[str] | None = []  # what came before it may be said

    def begin(self) -> None:
        """Say what has come so far, and from now on each as it comes."""
        with self._lock:
            early, self._early = self._early or [], None
            for text in early:
                self._write(text)

    def say(self, said: Said) -> None:
        """Say one outcome, once begun."""
        text = self._as_text(said)
        with self._lock:
            if self._early is None:
                self._write(text)
            else:
                self._early.append(text)

    def introduce(self, *first: str | Said) -> None:
        """Write what comes before all outcomes."""
        with self._lock:
            for one in first:
                self._write(one if isinstance(one, str) else self._as_text(one))

    def _as_text(self, said: Said) -> str:
        now = datetime.now().astimezone()
        return said.as_json(now) if self._as_json else said.as_line(now)

    def _write(self, text: str) -> None:
        if self._is_deaf:
            return
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except BrokenPipeError:
            self._is_deaf = True
            self._swallow_the_rest()
            self._on_deaf()

    def _swallow_the_rest(self) -> None:
        """Let Python's own last flush succeed (library reference, "Note on SIGPIPE")."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._out.fileno())
        os.close(nowhere)


@dataclass(frozen=True, slots=True)
class LogWatch:
    """Says what one function's invocations logged, and which of them came to nothing."""

    function: str
    say: Callable[[Said], None]

    def began(self, runtime: Runtime, event: object) -> None:
        """Say nothing: only outcomes are said."""

    def ended(self, runtime: Runtime, invocation: Invocation) -> None:  # noqa: ARG002 - a pool's watcher
        """Say all that this invocation logged, in its order."""
        kind = _KINDS.get(self.function, self.function)
        for line in _lines_in(invocation.log):
            self.say(_of_line(kind, line))
        if not invocation.succeeded:
            seconds = round(invocation.duration_seconds, 1)
            fields = {"error": invocation.error_type, "seconds": seconds}
            text = f"{invocation.error_type} after {seconds} s; what it held comes back"
            self.say(Said(kind, "run failed", None, text, fields))


class LetterWatch:
    """Says each dead letter that comes to lie in the queue, whoever put it there."""

    def __init__(
        self, read: Callable[[], Iterable[QueuedMessage]], say: Callable[[Said], None]
    ) -> None:
        self._read = read
        self._say = say
        self._known: set[str] = set()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="dead-letters", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        letters = {letter.message_id: letter for letter in self._read()}
        for message_id, letter in letters.items():
            if message_id not in self._known:
                self._say(_of_letter(letter))
        self._known = set(letters)


def attach(cloud: LocalCloud, speaker: Speaker) -> LetterWatch:
    """Let a speaker hear all of a cloud's outcomes from now on; stop what is returned, to end."""
    for function in cloud.functions:
        cloud.pool(function).watch(LogWatch(function, speaker.say))
    cloud.listen(lambda event: speaker.say(_of_event(event)))
    letters = LetterWatch(cloud.queued_dead_letters, speaker.say)
    letters.start()
    return letters


def _lines_in(log: str) -> Iterable[dict[str, Any]]:
    """Yield the lines that our functions wrote; metrics and the runtime's own name no service."""
    for text in log.splitlines():
        if text.startswith("{"):
            try:
                line = json.loads(text)
            except ValueError:
                continue  # cut off with its process
            if isinstance(line, dict) and {"service", "message", "timestamp"} <= line.keys():
                yield line


def _of_line(kind: str, line: Mapping[str, Any]) -> Said:
    fields = {name: value for name, value in line.items() if name not in _NOT_TOLD}
    outcome = str(line.get("outcome") or line["message"])
    job_id = line.get("job_id")
    text = "; ".join(_facts(kind, line))
    return Said(kind, outcome, None if job_id is None else str(job_id), text, fields)


def _facts(kind: str, line: Mapping[str, Any]) -> Iterable[str]:
    if "size_bytes" in line:
        took = f" in {line['duration_seconds']} s" if "duration_seconds" in line else ""
        how = str(line.get("copy_method", "")).replace("_", "-")
        yield f"{_size(line['size_bytes'])}{took}, {how}, verified by {line.get('verified_by')}"
    if line.get("dry_run"):
        yield "a dry run"
    if kind == "sweep":
        counts = [
            f"{_count(line[name])} {name.replace('_', ' ')}"
            for name in _SWEEP_COUNTS
            if name in line
        ]
        if counts:
            yield ", ".join(counts)
    if isinstance(line.get("job_ids"), list):
        yield " ".join(map(str, line["job_ids"]))
    why = ": ".join(str(line[name]) for name in ("reason", "detail") if line.get(name))
    if why:
        yield why
    if line.get("next_try_at"):
        yield f"next try at {_clock(line['next_try_at'])}"


def _count(told: object) -> object:
    """Return how many; a dry run lists the jobs that it would queue."""
    return len(told) if isinstance(told, list) else told


def _of_event(event: Mapping[str, Any]) -> Said:
    kind, detail = str(event.get("detail-type")), event.get("detail")
    known = detail if isinstance(detail, dict) else {}
    job = known.get("job") or known
    stored = known.get("object")
    if stored:
        text = f"s3://{stored.get('bucket')}/{stored.get('key')}"
    else:
        text = ": ".join(str(known[name]) for name in ("reason", "detail") if known.get(name))
    return Said("event", kind, job.get("job_id"), text, {"id": event.get("id"), "detail": detail})


def _of_letter(letter: QueuedMessage) -> Said:
    told = letter.attributes
    fields = {**told, "message_id": letter.message_id}
    reason = told.get("reason") or "no reason"
    detail = told.get("detail") or (
        "the runtime died every time, or EventBridge could not deliver; see the functions' logs"
    )
    return Said("dead letter", reason, told.get("job_id") or _job_in(letter.body), detail, fields)


def _job_in(body: str) -> str | None:
    """Return the job that a message's body names; nothing else of it is anybody's to read."""
    try:
        named = json.loads(body).get("job_id")
    except (ValueError, AttributeError, RecursionError):
        return None
    return named if isinstance(named, str) and _UUID.fullmatch(named) else None


def _clock(moment: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(moment)).astimezone():%H:%M:%S}"
    except ValueError:
        return str(moment)


def _size(size_bytes: object) -> str:
    if not isinstance(size_bytes, int):
        return str(size_bytes)
    power = min(len(_UNITS) - 1, max(0, (size_bytes.bit_length() - 1) // 10))
    return f"{size_bytes / 1024**power:.3g} {_UNITS[power]}" if power else f"{size_bytes} B"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
