"""CloudWatch's judgement, as far as our alarms need it: from an alarm's properties and from data.

Periods are counted back from the moment of judgement. Source: "Using Amazon CloudWatch alarms" and
"Using metric math" in CloudWatch's user guide. What is not known here is an error, never a pass.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.metrics import Datum

__all__ = ["judge", "metrics_of"]

Series = list[float | None]  # one value a period, newest last; None where there is no data
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
_MISSING = {"notBreaching": False, "breaching": True}
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


def judge(alarm: Mapping[str, Any], data: Iterable[Datum], now: float) -> bool:
    """Tell whether an alarm is in ALARM: every one of its periods breaches, newest at `now`."""
    series = _series_of(alarm, list(data), now)
    compare, threshold = _COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    missing = alarm.get("TreatMissingData", "missing")
    found = [value for value in series if value is not None]
    if missing == "ignore" and not found:
        return False  # the state stays, and before the first datum there was none
    known = series if missing in _MISSING else found
    return all(_MISSING[missing] if value is None else compare(value, threshold) for value in known)


def metrics_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return every metric that an alarm reads: namespace, name, dimensions."""
    if "Metrics" not in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def _series_of(alarm: Mapping[str, Any], data: list[Datum], now: float) -> Series:
    periods = int(alarm["EvaluationPeriods"])
    if "Metrics" not in alarm:
        return _collect(alarm, alarm["Statistic"], int(alarm["Period"]), periods, data, now)
    series: dict[str, Series] = {}
    expressions = []
    for query in alarm["Metrics"]:
        if "Expression" in query:
            expressions.append(query["Expression"])
            continue
        wanted = query["MetricStat"]
        assert str(query["ReturnData"]).lower() == "false"
        series[query["Id"]] = _collect(
            wanted["Metric"], wanted["Stat"], int(wanted["Period"]), periods, data, now
        )
    (expression,) = expressions
    tree = ast.parse(expression, mode="eval").body
    return [
        _evaluate(tree, {name: values[index] for name, values in series.items()})
        for index in range(periods)
    ]


def _collect(
    metric: Mapping[str, Any],
    statistic: str,
    period_seconds: int,
    periods: int,
    data: list[Datum],
    now: float,
) -> Series:
    dimensions = frozenset((d["Name"], str(d["Value"])) for d in metric["Dimensions"])
    wanted = (metric["Namespace"], metric["MetricName"], dimensions)
    mine = [d for d in data if (d.namespace, d.name, d.dimensions) == wanted]
    series: Series = []
    for number in range(periods, 0, -1):
        begin, end = now - number * period_seconds, now - (number - 1) * period_seconds
        values = [datum.value for datum in mine if begin < datum.at <= end]
        series.append(_STATISTICS[statistic](values) if values else None)
    return series


def _evaluate(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    """Evaluate metric math in one period; without data there is no result, but for FILL."""
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
