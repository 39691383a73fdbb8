"""CloudWatch's judgement, as its user guide documents it: from an alarm's properties and from data.

Sources, in the Amazon CloudWatch User Guide: [W] "Alarm evaluation window" (the window slides, and
its length is Period x EvaluationPeriods), [E] "Alarm evaluation" (M out of N), [M] "Configuring how
CloudWatch alarms treat missing data" (evaluation range, the four treatments, premature
transitions), [X] "Using math expressions with CloudWatch metrics", [A] "Acting on alarm changes"
(actions come with a change of state). The tables of [M] are in test_evaluator.py. What is not known
here is an error, never a pass.
"""

from __future__ import annotations

import ast
import bisect
import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Literal

from local.metrics import Datum

__all__ = ["Metrics", "State", "judge", "metrics_of", "next_state", "stayed_away"]

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Series = list[float | None]  # one value a period, newest last; None where there is no data
Metric = tuple[str, str, frozenset[tuple[str, str]]]

# "CloudWatch attempts to retrieve a higher number of data points than the number specified as
# Evaluation Periods": how many more depends on the period, and is not published. [M] has 5 for 3.
EXTRA_PERIODS = 2
_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": lambda values: float(len(values)),
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


class Metrics:
    """Data as CloudWatch keeps it: by namespace, name and the whole set of dimensions."""

    def __init__(self, data: Iterable[Datum] = ()) -> None:
        self._of: dict[Metric, list[tuple[float, float]]] = defaultdict(list)
        for datum in data:
            metric = (datum.namespace, datum.name, datum.dimensions)
            self._of[metric].append((datum.at, datum.value))
        self._known: dict[tuple[Metric, str, float, float], float | None] = {}
        for points in self._of.values():
            points.sort()

    def has(self, metric: Metric) -> bool:
        """Tell whether there is any datum."""
        return metric in self._of

    def statistic(self, metric: Metric, name: str, begin: float, end: float) -> float | None:
        """Return a statistic of the data after `begin` and up to `end`; None: there are none.

        What was once asked is kept: a window that slides by less than its length asks again.
        """
        asked = (metric, name, begin, end)
        if asked not in self._known:
            points = self._of.get(metric, [])
            first = bisect.bisect_right(points, (begin, float("inf")))
            last = bisect.bisect_right(points, (end, float("inf")))
            values = [value for _, value in points[first:last]]
            self._known[asked] = _STATISTICS[name](values) if values else None
        return self._known[asked]


def judge(alarm: Mapping[str, Any], data: Iterable[Datum], now: float) -> bool:
    """Tell whether a new alarm that sees these data would be in ALARM at `now`."""
    return next_state(alarm, Metrics(data), now, "INSUFFICIENT_DATA") == "ALARM"


def metrics_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return every metric that an alarm reads: namespace, name, dimensions."""
    if "Metrics" not in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def next_state(
    alarm: Mapping[str, Any], metrics: Metrics, now: float, state: State, extra: int = EXTRA_PERIODS
) -> State:
    """Return the state that an evaluation at `now` leaves an alarm in that was in `state`."""
    wanted = int(alarm["EvaluationPeriods"])
    compare, threshold = _COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    series = _series_of(alarm, metrics, now, wanted + extra)
    points = [None if value is None else compare(value, threshold) for value in reversed(series)]
    to_alarm = int(alarm.get("DatapointsToAlarm", wanted))
    return state_of(points, wanted, to_alarm, alarm.get("TreatMissingData", "missing"), state)


def state_of(
    points: list[bool | None], wanted: int, to_alarm: int, treatment: str, state: State
) -> State:
    """Return the state by [M]; `wanted` is N, `to_alarm` M.

    Points are newest first: None is missing, else whether it breaches.
    """
    real = [point for point in points if point is not None][:wanted]
    lacking, breaching = wanted - len(real), sum(real)
    if treatment == "breaching":
        breaching += lacking
    if not lacking or breaching >= to_alarm or treatment in {"breaching", "notBreaching"}:
        return "ALARM" if breaching >= to_alarm else "OK"
    assert treatment in {"ignore", "missing"}, treatment
    if not all(real):
        return "OK"
    # Only breaching points, and too few, or none at all. What is not known keeps its state, but
    # for one rule: the oldest breaching point rings when it is old enough.
    oldest = max((age for age, point in enumerate(points, start=1) if point), default=0)
    if treatment == "missing" and not real:
        return "INSUFFICIENT_DATA"
    return "ALARM" if treatment == "missing" and oldest >= to_alarm else state


def stayed_away(state: State, was: State) -> bool:
    """Tell whether a change of state is none that anybody is told of: see AlarmSubscription."""
    return state == was or (state == "OK" and was == "INSUFFICIENT_DATA")


def _series_of(alarm: Mapping[str, Any], metrics: Metrics, now: float, periods: int) -> Series:
    if "Metrics" not in alarm:
        return _collect(alarm, alarm["Statistic"], int(alarm["Period"]), periods, metrics, now)
    series: dict[str, Series] = {}
    expressions = []
    for query in alarm["Metrics"]:
        if "Expression" in query:
            expressions.append(query["Expression"])
            continue
        wanted = query["MetricStat"]
        assert str(query["ReturnData"]).lower() == "false"
        series[query["Id"]] = _collect(
            wanted["Metric"], wanted["Stat"], int(wanted["Period"]), periods, metrics, now
        )
    (expression,) = expressions
    names = tuple(series)
    return [_result(expression, names, values) for values in zip(*series.values(), strict=True)]


def _collect(
    metric: Mapping[str, Any],
    statistic: str,
    period_seconds: int,
    periods: int,
    metrics: Metrics,
    now: float,
) -> Series:
    dimensions = frozenset((d["Name"], str(d["Value"])) for d in metric["Dimensions"])
    wanted = (metric["Namespace"], metric["MetricName"], dimensions)
    if not metrics.has(wanted):
        return [None] * periods
    ends = [now - number * period_seconds for number in range(periods, -1, -1)]
    return [metrics.statistic(wanted, statistic, *window) for window in itertools.pairwise(ends)]


@cache  # an expression meets the same few values in most periods of a scenario
def _result(
    expression: str, names: tuple[str, ...], values: tuple[float | None, ...]
) -> float | None:
    return _evaluate(_parse(expression), dict(zip(names, values, strict=True)))


@cache
def _parse(expression: str) -> ast.expr:
    return ast.parse(expression.replace(" OR ", " or ").replace(" AND ", " and "), mode="eval").body


def _evaluate(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    """Evaluate metric math in one period; without data there is no result, but for FILL ([X])."""
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]  # a number, or an error as it should be
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node.args, values)
    if isinstance(node, ast.BinOp):
        return _apply(_OPERATORS[type(node.op)], node.left, node.right, values)
    if isinstance(node, ast.Compare):
        return _apply(_OPERATORS[type(node.ops[0])], node.left, node.comparators[0], values)
    if isinstance(node, ast.BoolOp):
        told = [_evaluate(part, values) for part in node.values]
        known = [bool(value) for value in told if value is not None]
        return (
            None
            if len(known) < len(told)
            else float((any if isinstance(node.op, ast.Or) else all)(known))
        )
    raise LookupError(f"this judge does not know {ast.dump(node)}")


def _call(name: str, arguments: list[ast.expr], values: Mapping[str, float | None]) -> float | None:
    given = [_evaluate(argument, values) for argument in arguments]
    if name == "FILL":
        return given[1] if given[0] is None else given[0]
    if name == "IF":
        return None if given[0] is None else given[1 if given[0] else 2]
    raise LookupError(f"this judge does not know {name}")


def _apply(
    act: Callable[[float, float], float],
    left: ast.expr,
    right: ast.expr,
    values: Mapping[str, float | None],
) -> float | None:
    first, second = _evaluate(left, values), _evaluate(right, values)
    return None if first is None or second is None else float(act(first, second))
