"""Histograms of times with logarithmic buckets, as the scripts count them (pool/lua/lib/stats.lua).

Bucket ``n`` counts the times of at most ``bound(n)`` seconds and more than ``bound(n - 1)``: four buckets to
each doubling, from 10 ms to 124 days. What is read out of them is therefore not exact:

* ``quantile`` is within 9.1 % of the exact one (nearest rank), or within 5 ms below 10 ms;
* ``maximum`` is the exact one or up to 19 % more;
* counts and means are exact (a mean is summed up in whole milliseconds).

A longer time is counted as 124 days. No dependencies, no Redis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The bound of bucket 0 (seconds), buckets to each doubling, and the last bucket.
FIRST = 0.01
PER_DOUBLING = 4
LAST = 120

#: A quantile lies between the exact one divided and multiplied by this.
ERROR = math.pow(2.0, 0.5 / PER_DOUBLING)


def bound(bucket: int) -> float:
    """The longest time (seconds) that a bucket counts."""
    return FIRST * math.pow(2.0, bucket / PER_DOUBLING)


def bucket_of(seconds: float) -> int:
    """The bucket that counts a time: what the scripts do, in Python."""
    if seconds <= FIRST:
        return 0
    return min(math.ceil(math.log(seconds / FIRST) * PER_DOUBLING / math.log(2)), LAST)


@dataclass
class Histogram:
    """How many times fell into each bucket, and their sum (seconds)."""

    counts: dict[int, int] = field(default_factory=dict)
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many times there are."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float | None:
        """Their mean in seconds; None without any."""
        return self.total / self.count if self.count else None

    @property
    def maximum(self) -> float | None:
        """The longest is at most this many seconds (see the module); None without any."""
        hit = [bucket for bucket, count in self.counts.items() if count]
        return bound(max(hit)) if hit else None

    def quantile(self, part: float) -> float | None:
        """The time (seconds) that ``part`` of all do not exceed, by nearest rank; None without any."""
        rank = max(1, math.ceil(part * self.count - 1e-9))
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return bound(bucket) / ERROR if bucket else FIRST / 2
        return None

    def cumulative(self, step: int = PER_DOUBLING) -> list[tuple[float, int]]:
        """(bound, how many are no longer) for every ``step``-th bound: what a Prometheus histogram wants."""
        running, found = 0, []
        for bucket in range(LAST + 1):
            running += self.counts.get(bucket, 0)
            if bucket % step == 0:
                found.append((bound(bucket), running))
        return found

    def __add__(self, other: Histogram) -> Histogram:
        buckets = self.counts.keys() | other.counts.keys()
        counts = {n: self.counts.get(n, 0) + other.counts.get(n, 0) for n in buckets}
        return Histogram(counts, self.total + other.total)


def parse(name: str, counters: Mapping[str, int]) -> Histogram:
    """The histogram of that name (``w``, ``r``) among a queue's counters: see pool/lua/lib/stats.lua."""
    counts = {
        int(key[len(name) :]): value
        for key, value in counters.items()
        if key.startswith(name) and key[len(name) :].isdecimal() and value > 0
    }
    return Histogram(counts, max(counters.get(name, 0), 0) / 1000)
