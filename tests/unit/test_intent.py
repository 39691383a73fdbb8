"""The id of an intent, and the one way on which it leaves a callback URL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.callbacks.job_ids import find_job_ids
from archiver.intent import (
    Intent,
    Parameters,
    fingerprint,
    order_id_in,
    read_order_id,
    with_order_id,
)

TOKEN = "canary-of-a-callback-token-0123456789abcdef01234567"
URL = f"https://abc.lambda-url.us-east-1.on.aws/{TOKEN}"
PARAMETERS = Parameters("units", "csv", fingerprint([7, 3]), "2026-10-01", "2026-10-31")
INTENT = Intent.of("monthly-units", "2026-10", date(2026, 12, 2), 1, PARAMETERS)


def test_an_id_is_read_back_and_proves_whose_it_is() -> None:
    """It names order, window, cycle and try, and belongs to jobs of its own parameters alone."""
    assert read_order_id(INTENT.id) == INTENT
    assert INTENT.is_of(PARAMETERS)
    for change in (
        {"report_type": "property"},
        {"output_format": "parquet"},
        {"properties": fingerprint([7])},
        {"start_date": "2026-10-02"},
        {"end_date": "2026-11-01"},
    ):
        assert not INTENT.is_of(replace(PARAMETERS, **change))
    assert not replace(INTENT, cycle="2026-12-03").is_of(PARAMETERS)
    assert not replace(INTENT, attempt=2).is_of(PARAMETERS)


def test_property_ids_are_a_set() -> None:
    """Their order and repetition tell nothing apart, and digits do not run together."""
    assert fingerprint([3, 7, 7]) == fingerprint([7, 3])
    assert fingerprint([1, 23]) != fingerprint([12, 3])


@pytest.mark.parametrize("url", [URL, f"{URL}?job=1", f"{URL}/?x=y&z="])
def test_a_callback_url_carries_the_id_and_nothing_that_a_callback_is_searched_for(
    url: str,
) -> None:
    """It is found again in the URL and in the bare query, and reads as no job."""
    carried = with_order_id(url, INTENT.id)
    assert carried.startswith(url)
    assert order_id_in(carried) == INTENT.id
    query = carried.partition("?")[2]
    assert order_id_in(f"?{query}") == INTENT.id
    assert find_job_ids(query, b"") == []


@given(st.text() | st.text(alphabet="archiver_order=.?&/%2026-10-W0abcdef"))
def test_nothing_else_of_a_callback_url_passes(text: str) -> None:
    """Whatever stands in path, fragment, other fields or in the field itself."""
    for url in (text, f"{URL}?{text}", f"{URL}?archiver_order={text}", f"{URL}#{text}"):
        passed = order_id_in(url)
        assert passed is None or read_order_id(passed) is not None
        assert TOKEN not in (passed or "")


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        INTENT.id.upper(),
        f"{INTENT.id}0",
        f"{INTENT.id}\n",
        INTENT.id.replace(".1.", ".0."),
        f"https://h/{INTENT.id}",
        f"https://h/?other={INTENT.id}",
        f"https://[h/?archiver_order={INTENT.id}",
        f"https://h/?archiver_order={INTENT.id}&pad={'x' * 3000}",
    ],
)
def test_what_is_no_id_is_none(value: object) -> None:
    """Also where it nearly is one."""
    assert order_id_in(value) is None
