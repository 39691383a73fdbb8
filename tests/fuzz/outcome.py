"""What became of a message, and whether it may have: one outcome, a true reason, no secret."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from archiver.archiving.message import read_sqs_record
from archiver.errors import Deferral, EndedAtVendor, Failure, Interruption, Rejection
from archiver.network.answer import Answer
from tests.fuzz.answers import export
from tests.fuzz.assembled import MAX_RECEIVES, MAX_WAIT, SETTINGS, Assembled
from tests.fuzz.canaries import ACCESS_TOKEN, leaks
from tests.fuzz.limits import MAX_MESSAGE_BYTES
from tests.fuzz.links import is_good_link
from tests.fuzz.promises import check_shown, requested_job_id
from tests.fuzz.values import CALLBACK_NAME

if TYPE_CHECKING:
    from tests.fuzz.whole import Case

__all__ = ["check_batch", "check_direct", "check_message"]

_EVENT_OF = {
    "Archived": "Export Archived",
    "Rejected": "Export Rejected",
    "EndedAtVendor": "Export Failed At Vendor",
}
_KINDS: dict[str, type[Interruption]] = {
    "Deferred": Deferral,
    "EndedAtVendor": EndedAtVendor,
    "Rejected": Rejection,
    "Failed": Failure,
}


def check_message(case: Case, archiver: Assembled, answer: Any) -> str:  # noqa: ANN401 - Lambda's answer
    """Hold all promises of one message; returns its outcome and reason."""
    world = archiver.world
    check_nothing_secret(archiver, answer)
    assert len(archiver.counted.outcomes) == 1, f"not one outcome: {archiver.counted.outcomes}"
    ((outcome, reason),) = archiver.counted.outcomes
    failed = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    told = [event["DetailType"] for event in world.events]
    assert told == ([_EVENT_OF[outcome]] if outcome in _EVENT_OF else []), (outcome, told)
    last = outcome == "Failed" and not failed
    ends = (len(world.letters), len(world.copies), failed)
    if outcome == "Rejected" or last:
        assert ends == (1, 0, []), ends
        _check_letter(case, world.letters[0], reason)
    elif outcome == "Deferred":
        assert ends == (0, 1, []), ends
        # The message was read before anybody waited: one that says no moment was first seen then.
        read_at = world.now() - timedelta(seconds=world.elapsed_seconds)
        _check_copy(case, world.copies[0], read_at)
    elif outcome == "Failed":
        assert ends == (0, 0, [case.record["messageId"]]), ends
    else:
        assert ends == (0, 0, []), ends
    if outcome == "Failed":
        assert last == (read_sqs_record(case.record, world.now()).receive_count >= MAX_RECEIVES)
    if outcome == "Archived":
        _check_archived(case, archiver)
    if reason:
        assert reason in _KINDS[outcome].reasons
        assert Truth(case, archiver).of(reason), f"{reason} is not true; log: {archiver.logged}"
    else:
        assert outcome == "Archived" or case.state == "archived"
    return f"{outcome} {reason}".strip()


def check_direct(event: Any, archiver: Assembled) -> str:  # noqa: ANN401 - any JSON
    """Hold that an event which came directly is on the queue or set aside."""
    world = archiver.world
    check_nothing_secret(archiver, None)
    assert len(world.letters) + len(world.copies) == 1
    if world.copies:
        wanted = requested_job_id(json.dumps(event))
        assert wanted is not None
        assert requested_job_id(world.copies[0]["MessageBody"]) == wanted
        return "queued"
    assert world.letters[0]["MessageAttributes"]["reason"]["StringValue"] == "malformed_message"
    return "rejected"


def check_batch(event: Any, archiver: Assembled, answer: Any) -> str:  # noqa: ANN401 - JSON
    """Hold that each record of a batch has an outcome of its own."""
    world = archiver.world
    check_nothing_secret(archiver, answer)
    ends = len(world.letters) + len(world.copies) + len(answer["batchItemFailures"])
    assert ends == len(event["Records"])
    assert len(archiver.counted.outcomes) == ends
    assert not [outcome for outcome in archiver.counted.outcomes if outcome[1] == "bug"]
    return f"batch of {len(event['Records'])}"


def check_nothing_secret(archiver: Assembled, answer: object) -> None:
    """Hold that no secret is in what is logged, sent, emitted, stored or answered."""
    world = archiver.world
    told: list[object] = [world.letters, world.copies, world.events, world.hidden, answer]
    told += [world.table.items, list(world.specs.values()), archiver.counted.outcomes]
    told += [[key, dict(stored.metadata)] for key, stored in world.objects.items()]
    told += [[key, stored.body.decode()] for key, stored in world.entries.items()]
    check_shown(
        [archiver.logged, *(json.dumps(one, ensure_ascii=False, default=repr) for one in told)]
    )
    for sent in world.wire:  # a link's host gets its link, and nothing else of ours
        leaked = leaks([sent.decode("latin-1")]) - {"link signature"}
        assert not leaked, f"{leaked} was sent to a link's host"


def _check_letter(case: Case, letter: dict[str, Any], reason: str) -> None:
    attributes = {name: one["StringValue"] for name, one in letter["MessageAttributes"].items()}
    assert attributes["reason"] == reason
    assert attributes.get("job_id") == requested_job_id(case.record["body"])
    assert attributes["detail"].isprintable()
    _check_body(case, letter["MessageBody"])


def _check_copy(case: Case, copy: dict[str, Any], now: datetime) -> None:
    attributes = {name: one["StringValue"] for name, one in copy["MessageAttributes"].items()}
    before = read_sqs_record(case.record, now)
    assert attributes["deferrals"] == str(before.deferrals + 1)
    as_record = {"body": copy["MessageBody"], "attributes": case.record["attributes"]}
    as_record["messageAttributes"] = {
        name: {"stringValue": value} for name, value in attributes.items()
    }
    after = read_sqs_record(as_record, now)
    assert abs((after.first_seen_at - before.first_seen_at).total_seconds()) < 1
    assert requested_job_id(copy["MessageBody"]) == requested_job_id(case.record["body"])
    _check_body(case, copy["MessageBody"])


def _check_body(case: Case, sent: str) -> None:
    body = case.record["body"]
    if CALLBACK_NAME.search(body) is None and len(body) < MAX_MESSAGE_BYTES // 8:
        assert sent == body, "a body is not sent on as it came"


def _check_archived(case: Case, archiver: Assembled) -> None:
    world = archiver.world
    ((key, stored),) = world.objects.items()
    assert key.startswith(SETTINGS.key_prefix)
    assert len(key.encode()) <= 1024
    (event,) = world.events
    detail = json.loads(event["Detail"])
    assert detail["object"]["key"] == key
    ((entry_key, entry),) = world.entries.items()
    assert entry_key.startswith(SETTINGS.key_prefix)
    assert len(entry_key.encode()) <= 1024
    assert json.loads(entry.body)["object_key"] == key
    assert detail["object"]["size_bytes"] == len(stored.body)
    sent = [raw for raw in case.exports if raw is not None]
    assert any(stored.body in raw or b"chunked" in raw for raw in sent), "other bytes"
    for host, port in world.connected:
        assert any(_names(location, host, port) for location in _locations(archiver)), host


def _names(location: str, host: str, port: int) -> bool:
    parts = urlsplit(location)
    return (parts.hostname, parts.port or 443) == (host, port)


def _locations(archiver: Assembled) -> list[str]:
    given = archiver.world.given.get("results", [])
    return [answer.headers.get("location", "") for answer in given if answer is not None]


class Truth:
    """Whether a reason is true of what was fed: read from the case, not from the archiver."""

    def __init__(self, case: Case, archiver: Assembled) -> None:
        self.case, self.world, self.archiver = case, archiver.world, archiver
        self.job_id = requested_job_id(case.record["body"])
        self.given = [
            (route, answer) for route, answers in self.world.given.items() for answer in answers
        ]

    def of(self, reason: str) -> bool:
        """Tell; what AWS did not refuse is no aws_error, and nothing may be a bug."""
        if reason in {"aws_error", "bug"}:
            return False
        return bool(getattr(self, f"_{reason}")())

    def _statuses(self, *routes: str) -> set[int]:
        return {answer.status for route, answer in self.given if answer and route in routes}

    def _said(self) -> list[dict[str, Any]]:
        return [one for _, answer in self.given if answer for one in _objects(answer)]

    def _malformed_message(self) -> bool:
        return self.job_id is None or 400 in self._statuses("results")

    def _no_such_job(self) -> bool:
        return 404 in self._statuses("results")

    def _forbidden(self) -> bool:
        return 403 in self._statuses("results", "list", "job")

    def _quota_exceeded(self) -> bool:
        return any(
            answer and answer.status in {403, 429} and b"quota_limit" in _plain(answer.body)
            for _, answer in self.given
        )

    def _untrusted_link(self) -> bool:
        return not all(is_good_link(location) for location in _locations(self.archiver))

    def _object_conflict(self) -> bool:
        return self.case.state == "taken"

    def _waited_too_long(self) -> bool:
        now = self.world.now()
        waited = now - read_sqs_record(self.case.record, now).first_seen_at
        return waited > MAX_WAIT and any(self.of(reason) for reason in Deferral.reasons)

    def _not_finished(self) -> bool:
        return any(
            one.get("status") == "submitted" or one.get("error") == "Invalid operation"
            for one in self._said()
        )

    def _rate_limited(self) -> bool:
        return 429 in self._statuses("results", "list", "job", "token")

    def _in_progress_elsewhere(self) -> bool:
        return self.case.state == "held"

    def _out_of_time(self) -> bool:
        return self.case.remaining_seconds < 60

    def _credentials_missing(self) -> bool:
        return not _is_usable(self.case.secret)

    def _credentials_rejected(self) -> bool:
        refused = self._statuses("token") - {429}
        return bool(
            {status for status in refused if 400 <= status < 500}
            or 401 in self._statuses("results", "list", "job")
        )

    def _job_failed(self) -> bool:
        return any(one.get("status") == "failed" for one in self._said())

    def _job_cancelled(self) -> bool:
        return any(one.get("status") == "cancelled" for one in self._said())

    def _network(self) -> bool:
        return any(answer is None for _, answer in self.given) or self._strange_export()

    def _vendor_error(self) -> bool:
        return self._strange_export() or any(
            answer is not None and not _is_expected(route, answer, self.job_id)
            for route, answer in self.given
        )

    def _strange_export(self) -> bool:
        asked = self.world.asked["connection"]
        return asked > 1 or any(
            not _is_good_export(raw) for raw in self.case.exports[: max(1, asked)]
        )


def _objects(answer: Answer) -> list[dict[str, Any]]:
    """Return the JSON objects of an answer in which a job or an error may be told."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    jobs = value.get("jobs")
    found = [value, value.get("job"), *(jobs if isinstance(jobs, list) else [])]
    return [one for one in found if isinstance(one, dict)]


def _plain(body: bytes) -> bytes:
    return body.replace(b"\x00", b"")  # UTF-16, as far as ASCII goes


def _is_good_export(raw: bytes | None) -> bool:
    body = b"" if raw is None else raw.partition(b"\r\n\r\n")[2]
    return bool(body) and raw == export(body)


def _is_usable(secret: str | None) -> bool:
    try:
        fields = json.loads(secret or "")
    except (ValueError, RecursionError):
        return False
    if not isinstance(fields, dict):
        return False
    names = ("client_id", "client_secret", "access_token")
    values = {n: fields[n].strip() for n in names if isinstance(fields.get(n), str)}
    if not all(value.isascii() and value.isprintable() for value in values.values()):
        return False
    pair = values.get("client_id") and values.get("client_secret")
    return bool(values.get("access_token") or pair)


def _contradicts_itself(listed: dict[str, Any]) -> bool:
    """Tell whether a list has more pages than one: this world answers each with the same."""
    told = listed.get("pagination")
    pages = told.get("total_pages") if isinstance(told, dict) else None
    return not isinstance(pages, int) or pages > 1


def _is_expected(route: str, answer: Answer, job_id: str | None) -> bool:
    """Tell whether this answer is one that the contract knows, so that it is no vendor_error."""
    said = _objects(answer)
    if route == "token":
        token = said[0].get("access_token") if said else None
        return 400 <= answer.status < 500 or (answer.status == 200 and token == ACCESS_TOKEN)
    if route == "results":
        headers = str(answer.headers.get("location", ""))
        good = answer.status == 302 and "SignedHeaders=host&" in headers
        return good or answer.status in {400, 401, 403, 404, 429}
    if answer.status in {401, 403, 429}:
        return True
    if answer.status in {404, 405}:  # no list has either: its job is looked for in the list then
        return route == "job"
    if route == "list":
        good = answer.status == 200 and bool(said) and isinstance(said[0].get("jobs"), list)
        return good and not _contradicts_itself(said[0])
    return answer.status == 200 and any(one.get("job_id") == job_id for one in said)
