"""CloudWatch's part in an alarm: metrics from lines of the log, and when an alarm of the template rings."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.deploy.stack.iam import filled

Series = Mapping[int, float]
"""The values of a metric by period (0 is the first)."""

_STATISTICS = {"Sum": sum, "Maximum": max, "Average": lambda values: sum(values) / len(values)}


@dataclass
class Metrics:
    """What CloudWatch has: values by metric (namespace, name, dimensions) and second."""

    values: dict[tuple[str, str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def take(self, line: Mapping[str, Any], at: float) -> None:
        """A line of a function's log, in the embedded metric format."""
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for dimensions in directive["Dimensions"]:
                of = frozenset((name, str(line[name])) for name in dimensions)
                for metric in directive["Metrics"]:
                    self.put(directive["Namespace"], metric["Name"], of, at, float(line[metric["Name"]]))

    def put(self, space: str, name: str, of: frozenset[tuple[str, str]], at: float, value: float) -> None:
        self.values[space, name, of].append((at, value))

    def series(self, metric: Mapping[str, Any], statistic: str, period: int) -> dict[int, float]:
        of = frozenset((d["Name"], filled(d["Value"], {})) for d in metric["Dimensions"])
        found = defaultdict(list)
        for at, value in self.values.get((metric["Namespace"], metric["MetricName"], of), ()):
            found[int(at // period)].append(value)
        return {n: float(_STATISTICS[statistic](values)) for n, values in found.items()}


def metrics_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics that an alarm reads."""
    return [m["MetricStat"]["Metric"] for m in alarm["Metrics"] if "MetricStat" in m] if "Metrics" in alarm else [alarm]


def period_of(alarm: Mapping[str, Any]) -> int:
    """Its period in seconds."""
    if "Metrics" not in alarm:
        return int(alarm["Period"])
    (period,) = {int(m["MetricStat"]["Period"]) for m in alarm["Metrics"] if "MetricStat" in m}
    return period


def rings(alarm: Mapping[str, Any], metrics: Metrics, now: float) -> bool:
    """Whether an alarm is in the state ALARM at ``now``, of the periods that are over."""
    period = period_of(alarm)
    values = _values(alarm, metrics, period)
    last = int(now // period)
    judged = [_is_over(alarm, values.get(n)) for n in range(last - alarm["EvaluationPeriods"], last)]
    return sum(judged) >= alarm["DatapointsToAlarm"]


def _is_over(alarm: Mapping[str, Any], value: float | None) -> bool:
    if value is None:
        return bool(alarm["TreatMissingData"] == "breaching")
    if alarm["ComparisonOperator"] == "LessThanThreshold":
        return bool(value < alarm["Threshold"])
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    return bool(value > alarm["Threshold"])


def _values(alarm: Mapping[str, Any], metrics: Metrics, period: int) -> Series:
    if "Metrics" not in alarm:
        return metrics.series(alarm, alarm["Statistic"], period)
    by_id = {
        m["Id"]: metrics.series(m["MetricStat"]["Metric"], m["MetricStat"]["Stat"], period)
        for m in alarm["Metrics"]
        if "MetricStat" in m
    }
    (result,) = [m for m in alarm["Metrics"] if m.get("ReturnData")]
    return _share(result["Expression"], by_id)


def _share(expression: str, by_id: Mapping[str, Series]) -> Series:
    """The one kind of expression that is used: a / (b + c). CloudWatch has no value where it divides by zero, or where
    one of the metrics has none."""
    found = re.fullmatch(r"(\w+) / \((\w+) \+ (\w+)\)", expression)
    assert found is not None, expression
    names: Sequence[str] = found.groups()
    upper, left, right = (by_id[name] for name in names)
    both = set(upper) & set(left) & set(right)
    return {n: upper[n] / (left[n] + right[n]) for n in both if left[n] + right[n]}
