"""The test of the test: deliberate breakages, each of which some schedule must catch.

A mutant is made on the way to the world (a client that drops a header, swallows an error, skips a
call) or by replacing a part of the application with a worse one. Nothing of ours is patched.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import time_machine
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from archiver.catalogue import FOLDER
from archiver.claim import Claim
from archiver.errors import Deferral, Failure
from archiver.network.answer import Answer
from archiver.network.deadline import Deadline
from archiver.network.outside import Outside
from archiver.receipt import Receipt
from archiver.wiring.archiving import Application
from tests.faults.queues import DEAD_LETTERS
from tests.faults.scenario import Schedule
from tests.faults.scheduler import START
from tests.faults.vendor import EXPORT_HOST
from tests.faults.world import Mutation, Physics

__all__ = ["FIRST_HUNTED_SEED", "GREEDY_WAITS", "LOCKED_BEATS", "MUTANTS", "Found", "hunt"]

FIRST_HUNTED_SEED = 1_000_000
# Where a hunt from the first seed on caught the rare ones last: minutes of CPU each. When draws
# have shifted since, the hunt takes as long again, and finds another.
_FIRST_SEEDS = {
    "a 200 Complete is trusted": 1_000_600,
    "the checkpoint is not fenced": 1_000_350,
    "acknowledged though not sent on": 1_000_160,
    "no If-Match, no ETag compared": 1_002_250,
    "AWS is given 20 s for each answer": 1_001_890,
}
_MAX_SCHEDULES = 3_000

Override = Callable[..., Any]


class _Worse:
    """A client or a connection of which some methods are worse. Each gets the real one first."""

    def __init__(self, real: Any, **overrides: Override) -> None:  # noqa: ANN401 - any client
        self._real = real
        self._overrides = overrides

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the real one's
        if name in self._overrides:
            override = self._overrides[name]
            return lambda *args, **call: override(self._real, *args, **call)
        return getattr(self._real, name)


def _worse_client(service: str, **overrides: Override) -> Mutation:
    def change(outside: Outside) -> Outside:
        def client(name: str, config: Any) -> Any:  # noqa: ANN401 - any client
            real = outside.client(name, config)
            return _Worse(real, **overrides) if name == service else real

        return replace(outside, client=client)

    return Mutation(outside=change)


def _worse_http(make: Callable[[Any], Any]) -> Mutation:
    return Mutation(outside=lambda outside: replace(outside, http=make(outside.http)))


def _worse_wire(**overrides: Override) -> Mutation:
    """Change connections to the link's host alone."""

    def change(outside: Outside) -> Outside:
        def connect(host: str, port: int, *, tls: bool = True) -> Any:  # noqa: ANN401 - a Connection
            real = outside.connect(host, port, tls=tls)
            return _Worse(real, **overrides) if host == EXPORT_HOST else real

        return replace(outside, connect=connect)

    return Mutation(outside=change)


# --- S3 ---


def _without_if_none_match(method: str) -> Override:
    def call(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        call.pop("IfNoneMatch")
        return getattr(real, method)(**call)

    return call


def _trusting_complete(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    try:
        return real.complete_multipart_upload(**call)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InternalError":
            raise
        return {"ETag": '"trusted"', "ChecksumCRC64NVME": call.get("ChecksumCRC64NVME")}


def _blind_head(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    if call["Bucket"] != "archive":
        return real.head_object(**call)
    response: Any = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    raise ClientError(response, "HeadObject")


def _no_parts_listed(real: Any, operation: str) -> Any:  # noqa: ANN401 - boto3's own
    def paginate(**call: Any) -> Any:  # noqa: ANN401 - boto3's own
        for page in real.get_paginator(operation).paginate(**call):
            yield {**page, "Parts": []} if operation == "list_parts" else page

    return SimpleNamespace(paginate=paginate)


# --- DynamoDB, SQS, EventBridge ---


def _unfenced_checkpoint(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    if ":upload_id" in call["ExpressionAttributeValues"]:
        del call["ConditionExpression"], call["ExpressionAttributeValues"][":owner"]
        for name in ("#owner", "#held_as", "#attempts", "#held_until"):
            del call["ExpressionAttributeNames"][name]
    return real.update_item(**call)


def _unshared_throttle(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    return {} if call["Key"] == {"id": {"S": "throttle#vendor"}} else real.update_item(**call)


def _careless_send(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    if call["QueueUrl"] == DEAD_LETTERS:
        return real.send_message(**call)
    with suppress(ClientError, BotoCoreError):  # the message is acknowledged all the same
        real.send_message(**call)
    return {}


def _letter_without_reason(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    if call["QueueUrl"] == DEAD_LETTERS:
        call["MessageAttributes"] = {}
    return real.send_message(**call)


def _blind_put_events(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    return {**real.put_events(**call), "FailedEntryCount": 0}


def _emitting_after_the_receipt(outside: Outside) -> Outside:
    late: list[dict[str, Any]] = []
    bus: Any = None

    def put_events(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        if call["Entries"][0]["DetailType"] != "Export Archived":
            return real.put_events(**call)
        late.append(call)
        return {"FailedEntryCount": 0}

    def update_item(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        answer = real.update_item(**call)
        if call["ExpressionAttributeValues"].get(":state") != {"S": "archived"}:
            return answer
        with suppress(ClientError, BotoCoreError):
            while late:
                bus.put_events(**late.pop())
        return answer

    def client(name: str, config: Any) -> Any:  # noqa: ANN401 - any client
        nonlocal bus
        real = outside.client(name, config)
        bus = real if name == "events" else bus
        worse = {
            "events": {"put_events": put_events},
            "dynamodb": {"update_item": update_item},
        }
        return _Worse(real, **worse[name]) if name in worse else real

    return replace(outside, client=client)


def _forgotten_entry(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
    return {} if call["Key"].startswith(FOLDER) else real.put_object(**call)


def _cataloguing_after_the_event(outside: Outside) -> Outside:
    late: list[dict[str, Any]] = []
    s3: Any = None

    def put_object(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        if not call["Key"].startswith(FOLDER):
            return real.put_object(**call)
        late.append(call)
        return {}

    def put_events(real: Any, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        answer = real.put_events(**call)
        with suppress(ClientError, BotoCoreError):
            while late:
                s3.put_object(**late.pop())
        return answer

    def client(name: str, config: Any) -> Any:  # noqa: ANN401 - any client
        nonlocal s3
        real = outside.client(name, config)
        s3 = real if name == "s3" else s3
        worse = {"s3": {"put_object": put_object}, "events": {"put_events": put_events}}
        return _Worse(real, **worse[name]) if name in worse else real

    return replace(outside, client=client)


# --- the vendor and its links ---


class _OldLinks:
    """Asks for each job's link once."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401 - an HttpClient
        self._real = real
        self._known: dict[str, Answer] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Answer from memory where it can."""
        answer = self._known.get(url)
        if answer is None:
            answer = self._real.send(method, url, headers, body)
        if answer.status == 302:
            self._known[url] = answer
        return answer


class _Impatient:
    """Does not hear for how long the vendor asks to wait."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401 - an HttpClient
        self._real = real

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Hide the header."""
        answer: Answer = self._real.send(method, url, headers, body)
        if "retry-after" not in answer.headers:
            return answer
        return Answer(answer.status, {"retry-after": "1"}, answer.body)


class _Talkative:
    """Says in its errors what it was asked."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401 - an HttpClient
        self._real = real

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Quote the headers."""
        try:
            return cast("Answer", self._real.send(method, url, headers, body))
        except Failure as failure:
            raise Failure("network", f"{method} {url} {dict(headers)} {body}") from failure


def _begin_without_if_match(
    real: Any,  # noqa: ANN401 - a Connection
    method: str,
    target: str,
    headers: Mapping[str, str],
) -> None:
    kept = {name: value for name, value in headers.items() if name.lower() != "if-match"}
    real.begin(method, target, kept)


def _answer_without_etag(real: Any) -> Any:  # noqa: ANN401 - an answer
    answer = real.answer()
    told = answer.headers.get("content-range", "")
    if answer.status == 206 and not told.startswith("bytes 0-"):  # that one tells what it is
        answer.headers.pop("etag", None)
    return answer


def _begin_with_token(
    real: Any,  # noqa: ANN401 - a Connection
    method: str,
    target: str,
    headers: Mapping[str, str],
) -> None:
    real.begin(method, target, {**headers, "Authorization": "Bearer canary"})


# --- the application ---


def _storing_deferrals(application: Application) -> None:
    once = cast("Any", application._once)
    run = once.run

    def worse(claim: Claim, attempt: Callable[[], Receipt]) -> Receipt:
        def swallow() -> Receipt:
            try:
                return attempt()
            except Deferral:
                nothing = dict.fromkeys(Receipt.__slots__, "unknown")
                known = {"job_id": claim.job_id, "key": claim.key, "size_bytes": 0}
                return Receipt.from_fields({**nothing, **known, "duration_seconds": 0.0})

        return cast("Receipt", run(claim, swallow))

    once.run = worse


def _acknowledging_failures(application: Application) -> None:
    real = application.delivery

    def handle(message: Any) -> None:  # noqa: ANN401 - a Message
        with suppress(Exception):
            real.handle(message)

    cast("Any", application).__dict__["delivery"] = SimpleNamespace(handle=handle)


# --- waiting ---


class _Unclipped(Deadline):
    """Waits for as long as it would."""

    def clip(self, seconds: float) -> float:
        """Return so much patience."""
        return seconds


class _Silent(Deadline):
    """An alarm clock that rings and hangs up on nobody."""

    def _hang_up(self) -> None:
        pass


class _Greedy(Deadline):
    """Gives all that is left to whoever asks first."""

    def clip(self, seconds: float) -> float:
        """Return so much patience, or what is left."""
        super().clip(seconds)
        return min(seconds, self.left())


def _waiting(deadline: type[Deadline]) -> Mutation:
    return Mutation(physics=lambda physics: replace(physics, deadline=deadline))


def _patient(outside: Outside) -> Outside:
    def client(name: str, config: Any) -> Any:  # noqa: ANN401 - any client
        return outside.client(name, config.merge(Config(read_timeout=20)))

    return replace(outside, client=client)


def _locked_beats(application: Application) -> None:
    """Let the run's own writes wait while the heartbeat asks the table."""
    records = cast("Any", application._once)._records
    extend, held = records.extend, False

    def locked() -> None:
        nonlocal held
        held = True
        try:
            extend()
        finally:
            held = False

    def after_it(call: Override) -> Override:
        def late(**record: Any) -> Any:  # noqa: ANN401 - Powertools' own
            while held:
                application._outside.pause(0.1)
            return call(**record)

        return late

    records.extend = locked
    for name in ("_put_record", "_update_record", "free"):
        setattr(records, name, after_it(getattr(records, name)))


def _loop_detection(physics: Physics) -> Physics:
    return replace(physics, loop_allowed=False)


MUTANTS: dict[str, Mutation] = {
    "no If-None-Match": _worse_client(
        "s3",
        put_object=_without_if_none_match("put_object"),
        complete_multipart_upload=_without_if_none_match("complete_multipart_upload"),
    ),
    "no If-Match, no ETag compared": _worse_wire(
        begin=_begin_without_if_match, answer=_answer_without_etag
    ),
    "a 200 Complete is trusted": _worse_client("s3", complete_multipart_upload=_trusting_complete),
    "the object is never looked for": _worse_client("s3", head_object=_blind_head),
    "uploads are not aborted": _worse_client("s3", abort_multipart_upload=lambda *_, **__: {}),
    "finished parts are not asked for": _worse_client("s3", get_paginator=_no_parts_listed),
    "the checkpoint is not fenced": _worse_client("dynamodb", update_item=_unfenced_checkpoint),
    "the throttle is not told to the fleet": _worse_client(
        "dynamodb", update_item=_unshared_throttle
    ),
    "acknowledged though not sent on": _worse_client("sqs", send_message=_careless_send),
    "dead letters without a reason": _worse_client("sqs", send_message=_letter_without_reason),
    "the message is not kept hidden, nor freed": _worse_client(
        "sqs", change_message_visibility=lambda *_, **__: {}
    ),
    "FailedEntryCount is ignored": _worse_client("events", put_events=_blind_put_events),
    "emitted after the receipt": Mutation(outside=_emitting_after_the_receipt),
    "no entry is written": _worse_client("s3", put_object=_forgotten_entry),
    "the entry follows the event": Mutation(outside=_cataloguing_after_the_event),
    "an expired link is used again": _worse_http(_OldLinks),
    "Retry-After is not honoured": _worse_http(_Impatient),
    "the token goes to the link's host": _worse_wire(begin=_begin_with_token),
    "an error quotes what was asked": _worse_http(_Talkative),
    "no heartbeat": Mutation(
        outside=lambda outside: replace(outside, every=lambda *_: nullcontext())
    ),
    "a deferral is stored as completed": Mutation(application=_storing_deferrals),
    "failures are acknowledged": Mutation(application=_acknowledging_failures),
    "waits are not clipped": _waiting(_Unclipped),
    "nobody is hung up on": _waiting(_Silent),
    "AWS is given 20 s for each answer": Mutation(outside=_patient),
    "RecursiveLoop is not set": Mutation(physics=_loop_detection),
}


# Rare moments: schedules would have to be drawn for long. test_scenarios.py makes them.
LOCKED_BEATS = Mutation(application=_locked_beats)
GREEDY_WAITS = _waiting(_Greedy)


@dataclass(frozen=True)
class Found:
    """Which schedule caught a mutant, and what it said; None: none did."""

    name: str
    seed: int | None
    violation: str


def hunt(name: str) -> Found:
    """Run schedules until one catches the mutant that is right without it."""
    with time_machine.travel(START, tick=False) as clock, warnings.catch_warnings():
        # Powertools' own complaint of a context that is not registered must not catch that mutant.
        warnings.simplefilter("ignore")
        first = _FIRST_SEEDS.get(name, FIRST_HUNTED_SEED)
        for seed in range(first, first + _MAX_SCHEDULES):
            violations = Schedule(seed, clock, MUTANTS[name]).run()
            if violations and not Schedule(seed, clock).run():
                return Found(name, seed, violations[0])
    return Found(name, None, "")
