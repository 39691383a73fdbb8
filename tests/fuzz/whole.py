"""Whole messages and events through the whole archiver, each to its outcome and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from archiver.archiving.reception import receive
from tests.fuzz.answers import (
    export_answers,
    good_answers,
    good_exports,
    job_answers,
    list_answers,
    result_answers,
    token_answers,
)
from tests.fuzz.assembled import Assembled
from tests.fuzz.canaries import CLIENT_SECRET
from tests.fuzz.letters import batches, sqs_records
from tests.fuzz.outcome import check_batch, check_direct, check_message
from tests.fuzz.secrets import secrets
from tests.fuzz.target import Target
from tests.fuzz.values import JOB_ID, any_json
from tests.fuzz.world import World

__all__ = ["TARGETS", "Case", "check", "good_case"]

GOOD_SECRET = json.dumps({"client_id": "client", "client_secret": CLIENT_SECRET})
_GOOD_BODY = json.dumps({"job_id": JOB_ID})


@dataclass(frozen=True, slots=True)
class Case:
    """All that one case draws. `state`: what was before the message came."""

    record: dict[str, Any]
    secret: str | None = GOOD_SECRET
    answers: dict[str, list[Any]] = field(default_factory=dict)
    exports: list[bytes | None] = field(default_factory=list)
    state: str = "new"
    remaining_seconds: float = 300.0


class Context:
    """Lambda's, as far as anybody asks it."""

    aws_request_id = "request"
    function_name = "archive_export"

    def __init__(self, world: World) -> None:
        self._world = world

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return int(self._world.remaining_seconds * 1000)


def prepare(case: Case) -> World:
    """Make the world of a case."""
    world = World(
        answers=case.answers,
        exports=case.exports,
        secret=case.secret,
        remaining_seconds=case.remaining_seconds,
    )
    world.begin_as(case.state, JOB_ID)
    return world


def check(case: Case, assemble: type[Assembled] = Assembled) -> str:
    """Hold that a message ends in exactly one of the six outcomes, and that its reason is true."""
    archiver = assemble(prepare(case))
    answer = receive({"Records": [case.record]}, Context(archiver.world), archiver)  # type: ignore[arg-type] # as much as it asks of either
    return check_message(case, archiver, answer)


def check_events(event: Any) -> str:  # noqa: ANN401 - any JSON
    """Hold that an event is queued or set aside, and each record of a batch accounted for."""
    archiver = Assembled(World(secret=None))
    answer = receive(event, Context(archiver.world), archiver)  # type: ignore[arg-type] # as in check
    if answer == {"queued": True}:
        return check_direct(event, archiver)
    return check_batch(event, archiver, answer)


def _lists(one: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(one, min_size=1, max_size=3)


_good_secret, _new = st.just(GOOD_SECRET), st.just("new")
_good_records = sqs_records(st.just(_GOOD_BODY))
_states = st.sampled_from(["new", "new", "new", "new", "archived", "held", "taken", "attempted"])


def _cases(
    records: st.SearchStrategy[Any] = _good_records,
    secret: st.SearchStrategy[Any] = _good_secret,
    exports: st.SearchStrategy[Any] = good_exports,
    states: st.SearchStrategy[str] = _new,
    **answers: st.SearchStrategy[Any],
) -> st.SearchStrategy[Case]:
    """Draw cases in which all is good but what is named."""
    return st.builds(
        Case,
        record=records,
        secret=secret,
        answers=st.fixed_dictionaries(
            {route: _lists(answers.get(route, good)) for route, good in good_answers.items()}
        ),
        exports=_lists(exports),
        state=states,
        remaining_seconds=st.sampled_from([300.0, 300.0, 300.0, 30.0, 5.0]),
    )


_vendor = {
    "token": token_answers,
    "job": job_answers,
    "list": list_answers,
    "results": result_answers,
}
good_case = _cases()
_messages = st.one_of(
    _cases(sqs_records(), states=_states),
    _cases(job=job_answers, list=list_answers),
    _cases(results=result_answers, exports=export_answers, states=_states),
    _cases(sqs_records(), secrets, export_answers, _states, **_vendor),
)
_events = st.one_of(
    batches.map(lambda records: {"Records": records}),
    st.dictionaries(st.sampled_from(["detail", "Records", "job_id", "id"]), any_json, max_size=3),
    sqs_records().map(lambda record: _as_json(record["body"])),
    any_json,
)


def _as_json(body: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return {"detail": body}


TARGETS = (
    Target("messages", 8, _messages, check),
    Target("secrets", 4, _cases(secret=secrets, token=token_answers), check),
    Target("exports", 4, _cases(exports=export_answers), check),
    Target("events", 4, _events, check_events),
)
