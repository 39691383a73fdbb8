"""What our functions tell CloudWatch: of their own stack, in states and sums that alarms need."""

from __future__ import annotations

import pytest

from archiver.telemetry import Counters, Gauges, make_metrics
from local.metrics import read_emf


def told(
    capsys: pytest.CaptureFixture[str], counters: Counters
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what was printed, by name and dimensions."""
    counters._metrics.flush_metrics()
    printed = capsys.readouterr().out
    return {(datum.name, datum.dimensions): datum.value for datum in read_emf(printed)}


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    """Count for a stack, where an operator has named a service, too."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "mine")
    metrics = make_metrics()
    metrics.clear_default_dimensions()  # Powertools keeps them for the whole process
    metrics.clear_metrics()
    return Counters(metrics, "archiver-dev")


STACK = ("stack", "archiver-dev")


@pytest.mark.parametrize(
    ("name", "reason", "beside"),
    [
        ("Failed", "bug", {"Failed": 1}),
        ("CallbackFailed", "aws_error", {"CallbackFailed": 1}),
        ("Deferred", "credentials_missing", {"CredentialsRefused": 1}),
        ("Deferred", "credentials_rejected", {"CredentialsRefused": 1}),
        ("Rejected", "quota_exceeded", {"QuotaExceeded": 1}),
    ],
)
def test_a_reason_is_told_with_its_sum_or_its_state(
    counters: Counters,
    capsys: pytest.CaptureFixture[str],
    name: str,
    reason: str,
    beside: dict[str, float],
) -> None:
    """Under the stack's name alone, whatever Powertools' own variables say."""
    counters.count_reason(name, reason)
    assert told(capsys, counters) == {
        (name, frozenset({STACK, ("reason", reason)})): 1,
        **{(other, frozenset({STACK})): value for other, value in beside.items()},
    }


@pytest.mark.parametrize(
    ("reason", "held_up"),
    [("vendor_error", 1), ("out_of_time", 1), ("credentials_missing", 0), ("quota_exceeded", 0)],
)
def test_a_sweep_that_is_held_up_is_told_once(
    counters: Counters, capsys: pytest.CaptureFixture[str], reason: str, held_up: float
) -> None:
    """By its own alarm, unless what holds it up has one; a finished sweep ends all three."""
    gauges = Gauges(counters._metrics, "archiver-dev")
    gauges.count_by("SweepsUnfinished", "reason", {reason: 1})
    assert told(capsys, counters)["SweepsHeldUp", frozenset({STACK})] == held_up
    gauges.count("SweepsFinished", 1)
    after = told(capsys, counters)
    for state in ("SweepsHeldUp", "CredentialsRefused", "QuotaExceeded"):
        assert after[state, frozenset({STACK})] == 0
