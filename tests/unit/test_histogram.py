"""Percentiles out of logarithmic buckets, against the exact ones."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import histogram

TIMES = st.floats(min_value=0.0, max_value=100 * 86400.0, allow_nan=False)
MANY = st.lists(TIMES, min_size=1, max_size=300)


def of(times: list[float]) -> histogram.Histogram:
    return histogram.Histogram(dict(Counter(map(histogram.bucket_of, times))), sum(times))


def nearest_rank(times: list[float], part: float) -> float:
    return sorted(times)[max(1, math.ceil(part * len(times) - 1e-9)) - 1]


@given(TIMES)
def test_a_time_is_counted_between_two_bounds(seconds: float) -> None:
    bucket = histogram.bucket_of(seconds)
    assert seconds <= histogram.bound(bucket) * (1 + 1e-9)
    assert bucket == 0 or seconds > histogram.bound(bucket - 1) * (1 - 1e-9)


@given(MANY, st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_the_bound_that_is_promised(times: list[float], part: float) -> None:
    exact, found = nearest_rank(times, part), of(times).quantile(part)
    assert found is not None
    if exact <= histogram.FIRST:
        assert abs(found - exact) <= 0.005
    else:
        assert exact / 1.0906 <= found <= exact * 1.0906


@given(MANY)
def test_the_maximum_is_never_less_and_at_most_19_percent_more(times: list[float]) -> None:
    found = of(times).maximum
    assert found is not None
    assert max(times) <= found * (1 + 1e-9)
    assert found <= max(max(times) * 1.1893, histogram.FIRST)


@given(MANY, MANY)
def test_histograms_add_up(some: list[float], others: list[float]) -> None:
    both, together = of(some) + of(others), of(some + others)
    assert both.counts == together.counts
    assert both.total == pytest.approx(together.total)


@given(MANY)
def test_cumulative_counts_grow_and_end_with_all(times: list[float]) -> None:
    found = of(times).cumulative()
    bounds, counts = [bound for bound, _ in found], [count for _, count in found]
    assert bounds == sorted(bounds) and counts == sorted(counts)
    assert counts[-1] == len(times)
    for bound, count in found:
        exact = sum(each <= bound for each in times)
        assert abs(exact - count) <= sum(math.isclose(each, bound) for each in times)


def test_nothing_was_measured() -> None:
    empty = histogram.Histogram()
    assert (empty.count, empty.mean, empty.maximum, empty.quantile(0.5)) == (0, None, None, None)


def test_what_lasted_longer_than_the_last_bound_is_counted_there() -> None:
    assert histogram.bucket_of(1e12) == histogram.LAST
    assert of([1e12]).quantile(0.5) == pytest.approx(histogram.bound(histogram.LAST) / histogram.ERROR)


def test_a_histogram_out_of_counters() -> None:
    found = histogram.parse("w", {"w": 1500, "w0": 2, "w12": 1, "r3": 7, "minute": 29, "weird": 4, "w9": 0})
    assert (found.counts, found.total) == ({0: 2, 12: 1}, 1.5)
