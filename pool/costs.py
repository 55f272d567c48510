"""What the pool has used and what that cost, as people and programs look at it. Reading only.

By day: whole days in the operators' time zone (setting ``schedule_tz``), as charge.lua has booked them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import redis

from pool import keys, view

#: What can be summed up, and how it is called in a day's hash.
BY = ("task", "worker", "account", "day", "queue", "model", "kind")
#: Kinds of requests: for a task; without one, while nothing waited (idle) or something did (overhead).
KINDS = ("task", "overhead", "idle")
_DAY = "pool:cost:day:"
_NANO = 1e9
#: How many tasks one pipeline asks for.
_PAGE = 500


@dataclass
class Cost:
    """Requests of the model, their tokens, and USD; ``unpriced`` requests have no known price."""

    name: str
    requests: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float = 0.0
    unpriced: int = 0
    #: Of a task: what it may cost.
    budget: float | None = None

    @property
    def tokens(self) -> int:
        """All of them together."""
        return self.input + self.output + self.cache_read + self.cache_write

    def add(self, other: Cost) -> None:
        """Add another's amounts."""
        for each in fields(self):
            if each.name not in ("name", "budget"):
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass
class Report:
    """What was used since a day, in rows; ``total`` is all of it, ``idle`` what was spent for nothing."""

    by: str
    since: str
    until: str
    rows: list[Cost]
    total: Cost
    idle: Cost


#: What is counted: as the hashes name it (USD besides, as `nano`), and as a Cost does.
MEASURES = {
    "requests": "requests", "input": "input", "output": "output", "read": "cache_read",
    "write": "cache_write", "unpriced": "unpriced",
}  # fmt: skip


def today(connection: redis.Redis) -> str:
    """The operators' date, as the coordinator has told it; UTC's without one."""
    raw: Any = connection.hmget("pool:day", ["date", "ends"])
    now = view.server_time(connection)
    if raw[0] and raw[1] and float(raw[1]) > now:
        return str(raw[0].decode())
    return _utc_date(now)


def read(connection: redis.Redis, by: str, days: int, limit: int = 0) -> Report:
    """What was used in the last ``days`` days, today included; so many tasks at most, the latest."""
    last = date.fromisoformat(today(connection))
    dates = [(last - timedelta(days=back)).isoformat() for back in range(days)][::-1]
    pipe = connection.pipeline(transaction=False)
    for each in dates:
        pipe.hgetall(_DAY + each)
    found = [_day(raw) for raw in pipe.execute()]
    total, idle = Cost("all"), Cost("idle")
    sums: dict[str, Cost] = {}
    for name, costs in zip(dates, found, strict=True):
        for (what, of), cost in costs.items():
            if what == "all":
                total.add(cost)
            if (what, of) == ("kind", "idle"):
                idle.add(cost)
            if what == by or (by == "day" and what == "all"):
                label = name if by == "day" else of
                sums.setdefault(label, Cost(label)).add(cost)
    rows = sorted(sums.values(), key=lambda each: each.name)
    if by == "task":
        # (From the tasks themselves: since ever, those that were worked on in these days.)
        rows = _tasks(connection, days, limit)
    elif by != "day":
        rows.sort(key=lambda each: (-each.usd, -each.tokens, each.name))
    return Report(by, dates[0], dates[-1], rows, total, idle)


def since_ever(raw: dict[bytes, bytes]) -> dict[tuple[str, str, str], Cost]:
    """The hash `pool:cost:total` by kind, account and model: amounts that only grow."""
    found: dict[tuple[str, str, str], Cost] = {}
    for key, value in raw.items():
        label, _, measure = key.decode("utf-8", "replace").rpartition(":")
        kind, _, rest = label.partition(" ")
        account, _, model = rest.partition(" ")
        if not model:
            continue
        cost = found.setdefault((kind, account, model), Cost(model))
        _book(cost, measure, value)
    return found


def of_tasks(connection: redis.Redis, ids: Iterable[str]) -> list[Cost | None]:
    """What each task has cost since ever; None for one that has not cost anything, or is gone."""
    names = [f"pool_cost_{measure}" for measure in (*MEASURES, "nano")]
    wanted = list(ids)
    found: list[Cost | None] = []
    for first in range(0, len(wanted), _PAGE):
        page = wanted[first : first + _PAGE]
        pipe = connection.pipeline(transaction=False)
        for task_id in page:
            pipe.hmget(keys.key("job", task_id), [*names, "pool_budget"])
        for task_id, values in zip(page, pipe.execute(), strict=True):
            *numbers, budget = values
            cost = Cost(task_id, budget=_float(budget) or None)
            for (_, name), value in zip(MEASURES.items(), numbers, strict=False):
                setattr(cost, name, _whole(value))
            cost.usd = _whole(numbers[-1]) / _NANO
            found.append(cost if any(numbers) or cost.budget else None)
    return found


def of_workers(connection: redis.Redis, ids: Iterable[str]) -> dict[str, tuple[Cost, Cost]]:
    """What each worker's registration has used, and of that what it used idly."""
    wanted = list(ids)
    names = [f"cost_{measure}" for measure in (*MEASURES, "nano")]
    pipe = connection.pipeline(transaction=False)
    for worker in wanted:
        pipe.hmget(f"pool:worker:{worker}", [*names, "idle_requests", "idle_tokens"])
    found = {}
    for worker, values in zip(wanted, pipe.execute(), strict=True):
        cost, idle = Cost(worker), Cost(worker)
        for (_, name), value in zip(MEASURES.items(), values, strict=False):
            setattr(cost, name, _whole(value))
        cost.usd = _whole(values[len(MEASURES)]) / _NANO
        idle.requests, idle.input = _whole(values[-2]), _whole(values[-1])
        found[worker] = (cost, idle)
    return found


def _tasks(connection: redis.Redis, days: int, limit: int) -> list[Cost]:
    since = view.server_time(connection) - days * 86400
    last: Any = "+inf"
    raw: Any = connection.zrange(
        "pool:cost:tasks", last, int(since), desc=True, byscore=True, offset=0, num=limit or 1_000_000
    )
    found = of_tasks(connection, [each.decode("utf-8", "replace") for each in raw])
    return [cost for cost in found if cost is not None]


def _day(raw: dict[bytes, bytes]) -> dict[tuple[str, str], Cost]:
    """A day's hash, by what and name."""
    found: dict[tuple[str, str], Cost] = {}
    for key, value in raw.items():
        label, _, measure = key.decode("utf-8", "replace").rpartition(":")
        what, _, name = label.partition("=")
        cost = found.setdefault((what, name), Cost(name))
        _book(cost, measure, value)
    return found


def _book(cost: Cost, measure: str, value: bytes) -> None:
    if measure == "nano":
        cost.usd += _whole(value) / _NANO
    elif measure in MEASURES:
        setattr(cost, MEASURES[measure], _whole(value))


def _utc_date(now: float) -> str:
    return (date(1970, 1, 1) + timedelta(days=int(now // 86400))).isoformat()


def _whole(raw: Any) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def _float(raw: Any) -> float:
    try:
        return float(raw or 0)
    except ValueError:
        return 0.0
