"""Takes orders, and lets go wrong with each what a test or a person has planned.

A plan is used up by the next orders that it fits; `times=None` keeps it until `clear`. `matching`
narrows it to orders whose fields say so ({"start_date": "2025-02-01"}); property ids match as a
set. Habits hold for every order and every job that is shown. No sockets, and no word of HTTP but
the answers themselves.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from local.apartmentiq.jobs import Job, JobBook, Order
from local.apartmentiq.messages import Answer, json_answer
from local.apartmentiq.order_form import OrderError, order_from_fields, read_order
from local.apartmentiq.ordered_exports import export_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from local.apartmentiq.exports import Export
    from local.apartmentiq.messages import Request

__all__ = [
    "CallbackUrlShown",
    "ErrorForm",
    "Habits",
    "LostAs",
    "OrderDesk",
    "QuotaForm",
    "beyond_quota",
]

_Planned = TypeVar("_Planned")
ErrorForm = Literal["errors", "error"]
LostAs = Literal["hung up", "silence", "half an answer", "gateway timeout"]
QuotaForm = Literal["429", "403", "403 empty"]
CallbackUrlShown = Literal["as sent", "null", "left out", "without query"]
_ANY: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Habits:
    """How this vendor is, for as long as nobody changes it; each default is what is documented.

    `list_lag_seconds`: the list shows the jobs, and how far they are, as of so long ago; a job's
    own page does not lag. `error_form`: validation errors as `{"errors": […]}` or as
    `{"error": …, "message": …}`, both of which the vendor's pages show. `quota_limit`: from so many
    accepted orders on, each is refused in `quota_form`, until it is raised or None.
    `most_property_ids` is documented nowhere, and None. `created_status`: the page says "created
    successfully" and no number.
    """

    list_lag_seconds: float = 0.0
    callback_url_shown: CallbackUrlShown = "as sent"
    error_form: ErrorForm = "errors"
    quota_limit: int | None = None
    quota_form: QuotaForm = "429"
    most_property_ids: int | None = None
    created_status: int = 201


_OPTIONAL = ("quota_limit", "most_property_ids")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "callback_url_shown": get_args(CallbackUrlShown),
    "error_form": get_args(ErrorForm),
    "quota_form": get_args(QuotaForm),
}


@dataclass(frozen=True, slots=True)
class _Loss:
    """An order that was read and whose answer never arrives; None: the job never exists."""

    recorded_after_seconds: float | None
    lost_as: LostAs


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a job goes on: after so long (None: never) it completes, or fails with a message."""

    after_seconds: float | None
    error_message: str | None = None


class OrderDesk:
    """All that happens between an order and its job, safe to use from many threads."""

    def __init__(self, jobs: JobBook, store: Callable[[str, Export], Job]) -> None:
        self.habits = Habits()
        self.default_after_seconds: float | None = None  # None: a job waits for `complete_job`
        self.make_export: Callable[[Order], Export] = export_for
        self.tell_job: Callable[[dict[str, object]], dict[str, object]] = _as_it_is
        self._jobs, self._store = jobs, store
        self._lock = threading.RLock()
        self._turns: _Plans[Answer | _Loss] = _Plans()
        self._endings: _Plans[_Ending] = _Plans()
        self._accepted = 0

    # --- what goes wrong ---

    def change_habits(self, **changes: Any) -> None:  # noqa: ANN401 - checked here
        """Change some of the habits by name. Raises ValueError if one cannot be; then none is."""
        names = [field.name for field in dataclasses.fields(Habits)]
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"no habit is called {name}: {', '.join(names)}")
            if choices := _CHOICES.get(name):
                _check_choice(name, value, choices)
            elif not (value is None and name in _OPTIONAL) and type(value) not in (int, float):
                raise ValueError(f"{name} is a number, not {value!r}")
        with self._lock:
            self.habits = dataclasses.replace(self.habits, **changes)

    def lose_answers(
        self,
        *,
        recorded_after_seconds: float | None = 0.0,
        lost_as: LostAs = "hung up",
        times: int | None = 1,
        matching: Mapping[str, object] = _ANY,
    ) -> None:
        """Take the next orders and lose the answers.

        The job is there at once, or only after so long by the stand-in's clock (the order is
        executed late), or never (None: the connection was lost before it was recorded).
        """
        _check_choice("lost_as", lost_as, get_args(LostAs))
        self._turns.add(_Loss(recorded_after_seconds, lost_as), times, matching)

    def refuse(
        self,
        sentences: Sequence[str] = ("start_date is out of range",),
        *,
        error_form: ErrorForm = "errors",
        times: int | None = 1,
        matching: Mapping[str, object] = _ANY,
    ) -> None:
        """Refuse the next orders as invalid, in one of the two documented forms."""
        _check_choice("error_form", error_form, get_args(ErrorForm))
        self._turns.add(_invalid(list(sentences), error_form), times, matching)

    def settle(
        self,
        after_seconds: float | None = None,
        *,
        error_message: str | None = None,
        times: int | None = 1,
        matching: Mapping[str, object] = _ANY,
    ) -> None:
        """Let the next jobs complete after so long, or fail with a message, or (None) never end.

        One that completes has the export that `make_export` makes.
        """
        if after_seconds is None and error_message is not None:
            raise ValueError("a job that never ends does not fail: say after_seconds")
        self._endings.add(_Ending(after_seconds, error_message), times, matching)

    def clear(self) -> None:
        """Forget every plan that is left, and go back to documented habits."""
        with self._lock:
            self.habits, self._accepted = Habits(), 0
            self.tell_job = _as_it_is
            self._turns.clear()
            self._endings.clear()

    # --- orders ---

    def by_hand(self, order: Order | Mapping[str, object], times: int = 1) -> list[Job]:
        """Order as a person does beside us, so often; nothing goes wrong, and the quota counts.

        Raises OrderError for fields that a person could not order either.
        """
        if isinstance(order, Mapping):
            order = order_from_fields(order)
        with self._lock:
            return [self._accept(order, None) for _ in range(times)]

    def answer(self, request: Request) -> Answer:
        """Answer `POST /bulk_api/jobs` of whoever may order."""
        with self._lock:
            habits = self.habits
            try:
                order = read_order(request, habits.most_property_ids)
            except OrderError as error:
                return _invalid(error.sentences, habits.error_form)
            turn = self._turns.take(order)
            if isinstance(turn, Answer):
                return turn
            if habits.quota_limit is not None and self._accepted >= habits.quota_limit:
                return beyond_quota(habits.quota_form, habits.quota_limit, self._accepted + 1)
            if turn and turn.recorded_after_seconds is None:
                return _lost(turn.lost_as, None)
            late = turn.recorded_after_seconds if turn else None
            job = self._accept(order, self._jobs.now() + timedelta(seconds=late) if late else None)
        told = json_answer(habits.created_status, self.shown(job))
        return _lost(turn.lost_as, None if late else told) if turn else told

    def _accept(self, order: Order, recorded_at: datetime | None) -> Job:
        self._accepted += 1
        job = self._jobs.add(order, recorded_at=recorded_at)
        ending = self._endings.take(order) or _Ending(self.default_after_seconds)
        after_seconds, fails_with = ending.after_seconds, ending.error_message
        if after_seconds is None:
            return job
        if fails_with is None:
            self._store(job.job_id, self.make_export(order))
        due_at = job.created_at + timedelta(seconds=after_seconds)

        def settle(job: Job) -> Job:
            return dataclasses.replace(job, completes_at=due_at, fails_with=fails_with)

        return self._jobs.change(job.job_id, settle)

    # --- jobs as they are shown ---

    def listed(self) -> list[Job]:
        """Return all jobs as the list has them, newest first."""
        lag_seconds = self.habits.list_lag_seconds
        jobs = self._jobs.newest_first()
        if not lag_seconds:
            return jobs
        moment = self._jobs.now() - timedelta(seconds=lag_seconds)
        return [seen for job in jobs if (seen := job.as_of(moment))]

    def shown(self, job: Job) -> dict[str, object]:
        """Return a job's object as this vendor shows it, its `callback_url` most of all."""
        document, shown = job.document(), self.habits.callback_url_shown
        if shown == "left out":
            del document["callback_url"]
        elif shown == "null":
            document["callback_url"] = None
        elif shown == "without query" and job.order.callback_url:
            document["callback_url"] = job.order.callback_url.partition("?")[0]
        return self.tell_job(document)


@dataclass(slots=True)
class _Plan(Generic[_Planned]):
    outcome: _Planned
    times: int | None
    matching: Mapping[str, object]


class _Plans(Generic[_Planned]):
    """Plans in the order in which they were made; the first that fits an order is taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[_Plan[_Planned]] = []

    def add(self, outcome: _Planned, times: int | None, matching: Mapping[str, object]) -> None:
        if unknown := matching.keys() - {field.name for field in dataclasses.fields(Order)}:
            raise ValueError(f"no order has {', '.join(sorted(unknown))}")
        if times is not None and times < 1:
            raise ValueError(f"times is at least 1, not {times}")
        with self._lock:
            self._plans.append(_Plan(outcome, times, matching))

    def take(self, order: Order) -> _Planned | None:
        with self._lock:
            for plan in self._plans:
                if not _fits(order, plan.matching):
                    continue
                if plan.times is not None:
                    plan.times -= 1
                    if not plan.times:
                        self._plans.remove(plan)
                return plan.outcome
        return None

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()


def _as_it_is(document: dict[str, object]) -> dict[str, object]:
    return document


def _fits(order: Order, matching: Mapping[str, object]) -> bool:
    for name, value in matching.items():
        if isinstance(value, (list, tuple, set, frozenset)):
            if set(order.property_ids) != set(value):
                return False
        elif getattr(order, name) != value:
            return False
    return True


def _invalid(sentences: list[str], error_form: ErrorForm) -> Answer:
    if error_form == "errors":
        return json_answer(400, {"errors": sentences})
    return json_answer(400, {"error": "Invalid parameter", "message": "; ".join(sentences)})


def beyond_quota(form: QuotaForm, limit: int, usage: int) -> Answer:
    """Return the refusal of an account without quota, in one of the documented ways."""
    if form == "403 empty":
        return Answer(403)
    document = {"error": "Trial API quota limit exceeded"}
    return json_answer(int(form), {**document, "quota_limit": limit, "quota_usage": usage})


def _lost(lost_as: LostAs, told: Answer | None) -> Answer:
    """Return what arrives in the place of an answer."""
    if lost_as == "gateway timeout":
        body = b"<html><body><h1>504 Gateway Time-out</h1></body></html>"
        return Answer(504, (("Content-Type", "text/html"),), body)
    if lost_as == "half an answer" and told is not None:
        head = (
            f"HTTP/1.1 {told.status} Created\r\nContent-Type: application/json; charset=utf-8\r\n"
        )
        length = f"Content-Length: {len(told.body)}\r\n\r\n"
        return Answer(0, raw=(head + length).encode() + told.body[: len(told.body) // 2])
    return Answer(0, raw=b"", held_open=lost_as == "silence")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
