"""The id of an intent to order: what a job at the vendor is known by as ours. Pure.

    monthly-units.2026-10.2026-12-02.1.5d1f…   order, window, cycle, try, digest

The digest is that of the job's parameters and of cycle and try. So the id can be computed again
when a table is lost, and a job that carries one proves by its own parameters whose it is.

`order_id_in` is the one way on which anything of a `callback_url` passes our boundary, whose path
is a secret (invariant 5): what has exactly an id's form in the one place where we write it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = [
    "MOST_NAME_CHARACTERS",
    "NAME",
    "Intent",
    "Parameters",
    "fingerprint",
    "order_id_in",
    "read_order_id",
    "with_order_id",
]

MOST_NAME_CHARACTERS = 40
NAME = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{MOST_NAME_CHARACTERS - 2}}}[a-z0-9])?", re.ASCII)
# No name in which a callback is searched for job ids (callbacks: `job`, `data`, … and `job_id`).
_FIELD = "archiver_order"
_ID = re.compile(
    rf"(?P<name>{NAME.pattern})\.(?P<window>\d{{4}}(?:-W\d\d|-\d\d(?:-\d\d)?))"
    r"\.(?P<cycle>\d{4}-\d\d-\d\d)\.(?P<attempt>[1-9]\d{0,5})\.(?P<digest>[0-9a-f]{24})",
    re.ASCII,
)
_DIGEST_CHARACTERS = 24  # 96 bits: two of a trillion ids are the same once in 10^4 such plans
_MOST_CHARACTERS = 2000  # of a URL that is looked into


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a job is ordered with; `properties`: the fingerprint of its property ids, as a set."""

    report_type: str
    output_format: str
    properties: str
    start_date: str
    end_date: str


@dataclass(frozen=True, slots=True)
class Intent:
    """To have one window of one order, as of one cycle, by the so-manieth try (from 1)."""

    order_name: str
    window: str
    cycle: str
    attempt: int
    digest: str

    @classmethod
    def of(
        cls, order_name: str, window: str, cycle: date, attempt: int, parameters: Parameters
    ) -> Intent:
        """Return the intent with these parameters."""
        cycle_date = cycle.isoformat()
        digest = _digest(parameters, cycle_date, attempt)
        return cls(order_name, window, cycle_date, attempt, digest)

    @property
    def id(self) -> str:
        """Return it as text that a URL's query takes as it is."""
        return f"{self.order_name}.{self.window}.{self.cycle}.{self.attempt}.{self.digest}"

    def is_of(self, parameters: Parameters) -> bool:
        """Tell whether a job with these parameters was ordered by it."""
        return self.digest == _digest(parameters, self.cycle, self.attempt)


def _digest(parameters: Parameters, cycle: str, attempt: int) -> str:
    told = [
        parameters.report_type,
        parameters.output_format,
        parameters.properties,
        parameters.start_date,
        parameters.end_date,
        cycle,
        attempt,
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def fingerprint(property_ids: Iterable[int]) -> str:
    """Return what tells sets of property ids apart, whatever their order."""
    text = ",".join(map(str, sorted(set(property_ids))))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def read_order_id(value: object) -> Intent | None:
    """Return the intent that an id names; None for what is none."""
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    fields: dict[str, Any] = found.groupdict()
    return Intent(
        fields["name"], fields["window"], fields["cycle"], int(fields["attempt"]), fields["digest"]
    )


def with_order_id(callback_url: str, order_id: str) -> str:
    """Return a callback URL that carries an id."""
    return f"{callback_url}{'&' if '?' in callback_url else '?'}{_FIELD}={order_id}"


def order_id_in(callback_url: object) -> str | None:
    """Return the id that a callback URL, or its query after a "?", carries; nothing else of it."""
    if not isinstance(callback_url, str) or len(callback_url) > _MOST_CHARACTERS:
        return None
    try:
        fields = parse_qsl(urlsplit(callback_url).query)
    except ValueError:
        return None
    told = next((value for name, value in fields if name == _FIELD), None)
    return None if read_order_id(told) is None else told
