"""The pool's numbers on the first page: a few reads of Redis, shared by all readers for a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from pool import clock, costs, stats

T = TypeVar("T")

#: So long (seconds) one look serves every reader.
_FRESH = 1.0


@dataclass(frozen=True)
class Numbers:
    """What the pool has before it and behind it, all queues together."""

    queued: int
    running: int
    #: How long (seconds) the first of those that wait has waited.
    oldest: float | None
    #: In the last hour.
    finished: int
    failed: int
    #: Today, in the operators' time zone.
    usd: float
    requests: int
    unpriced: int
    idle_requests: int


def read(connection: redis.Redis) -> Numbers:
    """As they stand now."""
    found = stats.read(connection, 3600.0)
    spent = costs.read(connection, "day", 1)
    ages = [each.oldest for each in found.queues if each.oldest is not None]
    return Numbers(
        queued=sum(each.queued for each in found.queues), running=sum(each.running for each in found.queues),
        oldest=max(ages, default=None), finished=sum(each.finished for each in found.queues),
        failed=sum(each.failed for each in found.queues), usd=spent.total.usd,
        requests=spent.total.requests, unpriced=spent.total.unpriced, idle_requests=spent.idle.requests,
    )  # fmt: skip


class Shared:
    """What was read a moment ago, by what it is; each is read by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._away: tuple[float, redis.RedisError] | None = None

    def get(self, name: Any, look: Callable[[], T], fresh: float = _FRESH) -> T:
        """The value of that name, read anew unless it is fresh (seconds).

        Raises:
            redis.RedisError: Redis is away. Those who have waited meanwhile are told at once, too: else a
                Redis that hangs would hold up one after the other.
        """
        with self._lock:
            at, value = self._kept.get(name, (float("-inf"), None))
            if clock.mono() - at > fresh:
                if self._away is not None and clock.mono() - self._away[0] < _FRESH:
                    raise self._away[1].with_traceback(None)
                try:
                    value = look()
                except redis.RedisError as error:
                    self._away = clock.mono(), error
                    raise
                if len(self._kept) > 200:
                    self._kept.clear()
                self._kept[name] = (clock.mono(), value)
            found: T = value
            return found
