"""GET /metrics: what Prometheus reads. Counters are those that the transitions keep in Redis, so a restart of
the monitor resets none, and several monitors say the same.

The cost of a scrape depends on the number of queues, workers and sessions, not on what waits or ever was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import redis
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from monitor import catalogue
from monitor.census import CHANNELS, STATES, Census, Reader, clean
from pool import __version__, connect, costs, histogram, model, script_text
from pool.errors import CoordError
from pool.sessions import Confidence, Session, State
from pool.settings import Settings

#: Redis has so long (seconds) to answer: less than Prometheus waits for a scrape (10 s, usually).
TIMEOUT = 2.0
#: The histograms' bounds: from 10 ms, each twice the one before, to almost a day.
_BOUNDS = 24
_MEASURES = ("input", "output", "cache_read", "cache_write")
#: What may become of a notification (pool:totals counts them).
OUTCOMES = ("sent", "failed", "dropped")
_ACCOUNT_STATES = ("ok", "parked", "stopped")

router = APIRouter()

Values = Sequence[tuple[Sequence[str], float]]


class Sources(NamedTuple):
    """What the metrics are made of besides Redis."""

    #: Every session's record, as it is in memory.
    sessions: Callable[[], Iterable[Session]]
    #: How many follow the stream of events.
    stream_clients: Callable[[], int]
    #: When a hook was heard last (seconds since 1970; 0: never).
    last_hook: Callable[[], float]


class PoolCollector(Collector):
    """Makes the metrics anew with each scrape."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._sources = sources
        self._settings = settings
        self._reader: Reader | None = None

    def describe(self) -> Iterable[Metric]:
        """(So that the registry does not collect, to learn the names.)"""
        return [_family(name) for name in catalogue.METRICS]

    def collect(self) -> Iterator[Metric]:
        """Every metric that is known now."""
        began = time.perf_counter()
        up = False
        try:
            found = self._census()
            of_monitor = of_sessions(self._sources.sessions(), self._sources.last_hook(), found.now)
            families = [*of_pool(found), *of_monitor]
            up = True
        except (redis.RedisError, CoordError):
            families = []  # (coord_redis_up says it.)
        yield from families
        yield gauge("coord_build_info", [((__version__, str(script_text.VERSION)), 1)])
        yield gauge("coord_redis_up", [((), up)])
        yield gauge("coord_monitor_stream_clients", [((), self._sources.stream_clients())])
        yield gauge("coord_scrape_duration_seconds", [((), time.perf_counter() - began)])

    def _census(self) -> Census:
        if self._reader is None:
            client = connect.client(self._settings, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
            self._reader = Reader(self._settings, client, self._settings.monitor_label_limit)
        return self._reader.read()


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Every metric, as text for Prometheus or, if the Accept header asks for it, as OpenMetrics."""
    registry: CollectorRegistry = request.app.state.monitor.metrics
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"content-type": content_type, "cache-control": "no-store"})


def registry(settings: Settings, sources: Sources) -> CollectorRegistry:
    """The registry that a scrape asks: the pool's metrics, and those of this process."""
    made = CollectorRegistry(auto_describe=False)
    made.register(PoolCollector(settings, sources))
    ProcessCollector(registry=made)
    return made


# -- families ------------------------------------------------------------------------------------------


def of_pool(found: Census) -> Iterator[Metric]:
    """What Redis says."""
    yield gauge("coord_coordinator_leader", [((), found.leader)])
    yield gauge("coord_coordinators", [((), found.coordinators)])
    yield from _queues(found)
    yield gauge("coord_dead_letters", [((), found.dead_letters)])
    states = {**dict.fromkeys(map(str, State), 0), **found.workers}
    yield gauge("coord_workers", [((clean(state),), number) for state, number in sorted(states.items())])
    yield counter("coord_worker_registrations_total", [((), found.registrations)])
    yield gauge("coord_supervisors", [((state,), number) for state, number in found.supervisors.items()])
    for field, name in catalogue.OF_TOTALS.items():
        yield counter(name, [((), found.totals.get(field, 0))])
    yield from _notifications(found)
    yield from _costs(found)


def of_sessions(sessions: Iterable[Session], last_hook: float, now: float) -> Iterator[Metric]:
    """What the monitor knows of sessions."""
    known = list(sessions)
    kinds = ("worker", "other")
    by_state = Counter((each.state, "worker" if each.worker else "other") for each in known)
    by_confidence = Counter(each.confidence for each in known)
    asked = min((each.since for each in known if each.state is State.NEEDS_YOU), default=now)
    yield gauge(
        "coord_sessions", [((state, kind), by_state[state, kind]) for state in State for kind in kinds]
    )
    yield gauge("coord_sessions_by_confidence", [((each,), by_confidence[each]) for each in Confidence])
    yield gauge("coord_sessions_needs_you_oldest_seconds", [((), max(0.0, now - asked))])
    if last_hook:
        yield gauge("coord_monitor_last_hook_timestamp_seconds", [((), last_hook)])


def _queues(found: Census) -> Iterator[Metric]:
    queues = sorted(found.queues.items())
    yield gauge("coord_queues", [((), found.queue_count)])
    yield gauge("coord_queue_tasks", [
        ((name, priority, state), count)
        for name, queue in queues
        for priority in model.Priority
        for state, count in zip(STATES, queue.tasks[priority], strict=True)
    ])  # fmt: skip
    yield gauge("coord_queue_oldest_age_seconds", [
        ((name, priority), queue.oldest[priority]) for name, queue in queues for priority in model.Priority
    ])  # fmt: skip
    yield gauge("coord_queue_paused", [((name,), queue.paused) for name, queue in queues])
    for field, metric in catalogue.OF_QUEUES.items():
        yield counter(metric, [((name,), queue.counters.get(field, 0)) for name, queue in queues])
    waits = {name: histogram.parse("w", queue.counters) for name, queue in queues}
    runs = {name: histogram.parse("r", queue.counters) for name, queue in queues}
    yield counter("coord_claims_total", [((name,), each.count) for name, each in waits.items()])
    yield counter("coord_tasks_completed_total", [((name,), each.count) for name, each in runs.items()])
    yield _histogram("coord_task_wait_seconds", waits)
    yield _histogram("coord_task_run_seconds", runs)


def _costs(found: Census) -> Iterator[Metric]:
    idle = costs.Cost("idle")
    for (_, _, kind), cost in found.costs.items():
        if kind == "idle":
            idle.add(cost)
    rows = sorted(found.costs.items())
    yield counter("coord_model_requests_total", [(label, cost.requests) for label, cost in rows])
    yield counter("coord_model_tokens_total", [
        ((*label, measure), getattr(cost, measure)) for label, cost in rows for measure in _MEASURES
    ])  # fmt: skip
    yield counter("coord_model_cost_usd_total", [(label, cost.usd) for label, cost in rows])
    yield counter("coord_model_requests_unpriced_total", [(label, cost.unpriced) for label, cost in rows])
    yield counter("coord_idle_requests_total", [((), idle.requests)])
    yield counter("coord_idle_tokens_total", [((), idle.tokens)])
    yield gauge("coord_cost_today_usd", [((name,), usd) for name, usd in sorted(found.today.items())])
    standing = {clean(each.name): each for each in found.accounts}
    yield gauge("coord_account_state", [
        ((name, state), each.state == state) for name, each in standing.items() for state in _ACCOUNT_STATES
    ])  # fmt: skip
    yield gauge("coord_account_parked_until_timestamp_seconds", [
        ((name,), found.now + each.left) for name, each in standing.items() if each.left is not None
    ])  # fmt: skip


def _notifications(found: Census) -> Iterator[Metric]:
    yield counter("coord_notifications_total", [
        ((channel, outcome), found.totals.get(f"notified {channel} {outcome}", 0))
        for channel in CHANNELS
        for outcome in OUTCOMES
    ])  # fmt: skip
    yield gauge("coord_notifications_waiting", [((name,), n) for name, n in found.to_notify.items()])


# -- their making --------------------------------------------------------------------------------------


def gauge(name: str, values: Values) -> Metric:
    """A gauge of the catalogue with its values: labels' values (in the catalogue's order), number."""
    entry = catalogue.METRICS[name]
    made = GaugeMetricFamily(name, entry.help, labels=entry.labels)
    for labels, value in values:
        made.add_metric(labels, float(value))
    return made


def counter(name: str, values: Values) -> Metric:
    """The same for a counter."""
    entry = catalogue.METRICS[name]
    made = CounterMetricFamily(name, entry.help, labels=entry.labels)
    for labels, value in values:
        made.add_metric(labels, float(value))
    return made


def _histogram(name: str, found: Mapping[str, histogram.Histogram]) -> Metric:
    entry = catalogue.METRICS[name]
    made = HistogramMetricFamily(name, entry.help, labels=entry.labels)
    for label, times in found.items():
        buckets = [(f"{bound:.6g}", float(count)) for bound, count in times.cumulative()[:_BOUNDS]]
        made.add_metric((label,), [*buckets, ("+Inf", float(times.count))], sum_value=times.total)
    return made


def _family(name: str) -> Metric:
    """A metric of the catalogue without values."""
    entry = catalogue.METRICS[name]
    if entry.kind == "histogram":
        return _histogram(name, {})
    return counter(name, []) if entry.kind == "counter" else gauge(name, [])
