"""What an order may say: `POST /bulk_api/jobs` read as the vendor's page documents its body.

The page gives the names, types and formats of the fields, which are all required but the
`callback_url`; no limit on properties, on the range of dates, and no word on what is refused with
which sentence. Where it is silent, this is stricter than it needs to be, so that nobody comes to
rely on what may be refused: an unknown field, an empty list, an end before its start.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from local.apartmentiq.jobs import OUTPUT_FORMATS, REPORT_TYPES, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.apartmentiq.messages import Request

__all__ = ["OrderError", "order_from_fields", "read_order"]

_REQUIRED = ("report_type", "output_format", "start_date", "end_date", "property_ids")
_OPTIONAL = ("callback_url",)
# The characters of RFC 3986; https://developers.apartmentiq.io says "string<uri>" and no more.
_URI_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")


class OrderError(ValueError):
    """An order that is refused; `sentences` has one for each problem, in words of our own."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


def read_order(request: Request, most_property_ids: int | None = None) -> Order:
    """Return what a request orders. Raises OrderError."""
    if request.headers.get_content_type() != "application/json":
        raise OrderError(["the body must be application/json"])
    try:
        fields = json.loads(request.body)
    except ValueError:
        raise OrderError(["the body must be JSON"]) from None
    if not isinstance(fields, dict):
        raise OrderError(["the body must be a JSON object"])
    return order_from_fields(fields, most_property_ids)


def order_from_fields(fields: Mapping[str, object], most_property_ids: int | None = None) -> Order:
    """Return what the fields order. Raises OrderError."""
    problems = [f"{name} is required" for name in _REQUIRED if name not in fields]
    problems += [f"{name} is unknown" for name in fields if name not in _REQUIRED + _OPTIONAL]
    problems += [
        f"{name} {problem}"
        for name, value in fields.items()
        if name in _PROBLEMS and (problem := _PROBLEMS[name](value))
    ]
    if not problems and str(fields["end_date"]) < str(fields["start_date"]):
        problems.append("end_date must not be before start_date")
    if not problems and most_property_ids is not None:
        count = len(cast("list[int]", fields["property_ids"]))
        if count > most_property_ids:
            problems.append(f"property_ids must be at most {most_property_ids}, not {count}")
    if problems:
        raise OrderError(problems)
    return Order(
        report_type=str(fields["report_type"]),
        output_format=str(fields["output_format"]),
        property_ids=tuple(cast("list[int]", fields["property_ids"])),
        start_date=str(fields["start_date"]),
        end_date=str(fields["end_date"]),
        callback_url=cast("str | None", fields.get("callback_url")),
    )


def _report_type_problem(value: object) -> str | None:
    return None if value in REPORT_TYPES else f"must be one of {', '.join(REPORT_TYPES)}"


def _output_format_problem(value: object) -> str | None:
    return None if value in OUTPUT_FORMATS else f"must be one of {', '.join(OUTPUT_FORMATS)}"


def _date_problem(value: object) -> str | None:
    try:
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return None
    except ValueError:
        pass
    return "must be a date (YYYY-MM-DD)"


def _property_ids_problem(value: object) -> str | None:
    if isinstance(value, list) and value and all(map(_is_property_id, value)):
        return None
    return "must be a list of integers"


def _is_property_id(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63  # what a database calls an integer


def _callback_url_problem(value: object) -> str | None:
    try:
        if isinstance(value, str) and _URI_CHARACTERS.fullmatch(value):
            url = urlsplit(value)
            if url.scheme in ("http", "https") and url.hostname:
                return None
    except ValueError:  # brackets that hold no IPv6 address
        pass
    return "must be a URI"


_PROBLEMS = {
    "report_type": _report_type_problem,
    "output_format": _output_format_problem,
    "start_date": _date_problem,
    "end_date": _date_problem,
    "property_ids": _property_ids_problem,
    "callback_url": _callback_url_problem,
}
