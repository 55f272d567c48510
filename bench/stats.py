"""Median and spread of repeated measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Summary:
    """Repeated values in one unit: the median, the quartiles, the extremes and how many there were."""

    median: float
    q1: float
    q3: float
    low: float
    high: float
    p99: float
    count: int


def summary(values: Sequence[float]) -> dict[str, float]:
    """The summary of at least one value, for the JSON."""
    ordered = sorted(values)
    q1, _, q3 = statistics.quantiles(ordered, n=4) if len(ordered) > 3 else (ordered[0], 0.0, ordered[-1])
    p99 = ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]
    made = Summary(statistics.median(ordered), q1, q3, ordered[0], ordered[-1], p99, len(ordered))
    return {name: float(f"{value:.6g}") for name, value in asdict(made).items()}
