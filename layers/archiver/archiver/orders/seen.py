"""A job as ordering sees it in the vendor's list: what it was ordered with, and by which intent.

Of its `callback_url` the id alone is read (intent.py). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archiver.apartmentiq.listing import ListedJob
from archiver.intent import Intent, Parameters, order_id_in, read_order_id
from archiver.job import parameters_of

__all__ = ["SeenJob"]

_ENDED = frozenset({"succeeded", "failed", "cancelled"})  # apartmentiq-api, "Job object"
_FAILED = frozenset({"failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class SeenJob(ListedJob):
    """One job of the list. `parameters` None: the list does not tell all of them.

    `intent`: the one whose id it carries, unless its own parameters disprove that.
    """

    parameters: Parameters | None = None
    intent: Intent | None = None

    @classmethod
    def from_vendor(cls, fields: Mapping[str, Any]) -> SeenJob | None:
        """Read a job object of the list; None for one without a job id that could be asked for."""
        listed = ListedJob.from_vendor(fields)
        if listed is None:
            return None
        parameters = parameters_of(listed.job)
        intent = read_order_id(order_id_in(fields.get("callback_url")))
        if intent is not None and parameters is not None and not intent.is_of(parameters):
            intent = None
        return cls(listed.job, listed.created_at, listed.updated_at, parameters, intent)

    @property
    def order_id(self) -> str | None:
        """The id that it carries."""
        return None if self.intent is None else self.intent.id

    @property
    def is_open(self) -> bool:
        """Tell whether it still runs, as far as anybody knows."""
        return self.job.status not in _ENDED

    @property
    def has_failed(self) -> bool:
        """Tell whether it will never have an export."""
        return self.job.status in _FAILED
