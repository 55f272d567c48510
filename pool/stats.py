"""What the pool did: counters that the transitions keep, as people and programs look at them.

Reading only. The cost depends on the number of queues and on the window, neither on the backlog nor on the
number of tasks that ever were. What a plain ``rq worker`` does under RQ's own API is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import redis

from pool import costs, histogram, keys, model, view

#: Counters by name, and what they count; `finished` and `claimed` come from the histograms.
COUNTERS = {
    "submitted": "tasks made (or adopted from RQ's own API)",
    "failed": "tasks failed for good, dead letters included",
    "canceled": "tasks cancelled",
    "poisoned": "of those that failed, tasks whose workers died too often",
    "lost": "claims whose worker died",
    "released": "claims handed back",
    "returned": "claims that came back uncounted: a hand-over that was cut off, a quota",
    "refused": "commits refused, because the claim was no longer the caller's",
    "retried": "failed attempts that are tried again",
    "requeued": "tasks put back by an operator",
}
#: Up to so long (seconds) a window is read by the minute, a longer one by the hour.
BY_MINUTE = 6 * 3600.0
MINUTE, HOUR = 60, 3600
_PAGE = 500

Counters = dict[str, int]


@dataclass
class Times:
    """Waiting or running times in seconds; see pool/histogram.py for how exact they are."""

    count: int
    mean: float | None
    median: float | None
    p90: float | None
    p99: float | None
    max: float | None


@dataclass
class QueueStats:
    """A queue as it stands, and what was done on it in a window (all priorities together)."""

    queue: str
    queued: int
    oldest: float | None
    running: int
    scheduled: int
    deferred: int
    submitted: int = 0
    claimed: int = 0
    finished: int = 0
    failed: int = 0
    canceled: int = 0
    poisoned: int = 0
    lost: int = 0
    released: int = 0
    returned: int = 0
    refused: int = 0
    retried: int = 0
    requeued: int = 0
    per_minute: float = 0.0
    waiting: Times = field(default_factory=lambda: _times(histogram.Histogram()))
    running_time: Times = field(default_factory=lambda: _times(histogram.Histogram()))
    #: Finished tasks in each slot of the window, oldest first.
    finished_by_slot: list[int] = field(default_factory=list)


@dataclass
class Stats:
    """Every queue's numbers in one window. ``slot`` is the length (seconds) of one slot."""

    since: str | None
    until: str | None
    seconds: float
    slot: int
    queues: list[QueueStats]
    #: The idle meter: what was used today while no task was held and nothing waited. Its goal is zero.
    idle: costs.Cost = field(default_factory=lambda: costs.Cost("idle"))


def totals(connection: redis.Redis, queue: str) -> Counters:
    """A queue's counters since ever; they only grow."""
    raw: Any = connection.hgetall(_key(queue))
    return {_text(name): int(value) for name, value in raw.items()}


def read(connection: redis.Redis, seconds: float, queue: str = "") -> Stats:
    """The numbers of the last ``seconds``, rounded up to whole minutes or, beyond six hours, whole hours."""
    now = view.server_time(connection)
    slot = MINUTE if seconds <= BY_MINUTE else HOUR
    first, last = math.floor((now - seconds) / slot), math.floor(now / slot)
    known = {model.split_queue(name)[0] for name in view.queue_names(connection)}
    names = sorted(name for name in known if queue in ("", name))
    found = []
    for name in names:
        each = _depths(connection, name, now)
        _fill(each, _by_slot(connection, name, slot, first, last), now - first * slot)
        found.append(each)
    idle = costs.read(connection, "kind", 1).idle
    return Stats(model.utc(first * slot), model.utc(now), now - first * slot, slot, found, idle)


@dataclass
class Column:
    """What was done from ``at`` on (seconds since 1970), until the next column begins."""

    at: float
    submitted: int
    finished: int
    failed: int
    waiting: Times


def columns(connection: redis.Redis, seconds: float, queue: str = "", most: int = 60) -> list[Column]:
    """The last ``seconds`` in at most ``most`` columns, oldest first; the last one still grows."""
    now = view.server_time(connection)
    slot = MINUTE if seconds <= BY_MINUTE else HOUR
    first, last = math.floor((now - seconds) / slot) + 1, math.floor(now / slot)
    known = {model.split_queue(name)[0] for name in view.queue_names(connection)}
    slots: list[Counters] = [{} for _ in range(first, last + 1)]
    for name in known if not queue else known & {queue}:
        for sums, counted in zip(slots, _by_slot(connection, name, slot, first, last), strict=True):
            _add(sums, counted)
    each = -(-len(slots) // most)
    found = []
    for place in range(0, len(slots), each):
        sums = {}
        for counted in slots[place : place + each]:
            _add(sums, counted)
        waiting, running = histogram.parse("w", sums), histogram.parse("r", sums)
        found.append(
            Column((first + place) * slot, sums.get("submitted", 0), running.count, sums.get("failed", 0),
                   _times(waiting))
        )  # fmt: skip
    return found


def _add(sums: Counters, counted: Counters) -> None:
    for name, value in counted.items():
        sums[name] = sums.get(name, 0) + value


def _by_slot(connection: redis.Redis, queue: str, slot: int, first: int, last: int) -> list[Counters]:
    """What was counted in each slot."""
    kind = "minute" if slot == MINUTE else "hour"
    names = [f"{_key(queue)}:{kind}:{number}" for number in range(first, last + 1)]
    pipe = connection.pipeline(transaction=False)
    for start in range(0, len(names), _PAGE):
        pipe.mget(names[start : start + _PAGE])
    pipe.hgetall(_key(queue))  # last: so no snapshot is newer than it
    *pages, raw = pipe.execute()
    after: Counters = {_text(name): int(value) for name, value in raw.items()}
    found: list[Counters] = []
    for snapshot in reversed([text for page in pages for text in page]):
        # A slot without a snapshot is one in which nothing was counted.
        before = after if snapshot is None else _snapshot(snapshot)
        found.append({name: max(value - before.get(name, 0), 0) for name, value in after.items()})
        after = before
    return found[::-1]


def _snapshot(raw: bytes) -> Counters:
    parts = _text(raw).split(" ")
    return {name: int(value) for name, value in zip(parts[::2], parts[1::2], strict=False) if name}


def _fill(each: QueueStats, slots: list[Counters], seconds: float) -> None:
    """Put the counters of a window into a queue's numbers."""
    summed: Counters = {}
    for slot in slots:
        for name, value in slot.items():
            summed[name] = summed.get(name, 0) + value
    for name in COUNTERS:
        setattr(each, name, summed.get(name, 0))
    waiting, running = histogram.parse("w", summed), histogram.parse("r", summed)
    each.claimed, each.finished = waiting.count, running.count
    each.waiting, each.running_time = _times(waiting), _times(running)
    each.per_minute = running.count * 60 / seconds
    each.finished_by_slot = [histogram.parse("r", slot).count for slot in slots]


def _times(found: histogram.Histogram) -> Times:
    return Times(
        found.count, found.mean, found.quantile(0.5), found.quantile(0.9), found.quantile(0.99), found.maximum
    )


def _depths(connection: redis.Redis, queue: str, now: float) -> QueueStats:
    """How much waits and runs now, and for how long the first of those that wait has waited."""
    names = [model.rq_queue(queue, priority) for priority in model.Priority]
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.llen(keys.key("queue", name))
        for registry in ("started", "scheduled", "deferred"):
            pipe.zcard(keys.key(registry, name))
        pipe.lindex(keys.key("queue", name), 0)
    replies = pipe.execute()
    counts = [sum(replies[place::5]) for place in range(4)]
    heads = [_text(raw) for raw in replies[4::5] if raw]
    ages = [now - each for each in view.enqueued(connection, heads) if each is not None]
    return QueueStats(queue, counts[0], max(0.0, *ages) if ages else None, *counts[1:])


def _key(queue: str) -> str:
    return f"pool:stats:{queue}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
