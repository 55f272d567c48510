"""What GET /metrics shows of Redis, read in four round trips, however much waits there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from pool import accounts, costs, keys, model, script_text
from pool.settings import Settings

_TEXT = (Path(__file__).parent / "census.lua").read_text(encoding="utf-8")
#: How many of a list's first tasks are asked since when they wait: what came back is put first.
HEADS = 4
#: So many queues are read at most; those beyond the labels are summed up.
READ_LIMIT = 500
#: The label of all that have none of their own.
OTHER = "other"
#: How people are told (monitor/notify.py).
CHANNELS = ("desktop", "webhook", "browser")
STATES = ("queued", "started", "scheduled", "deferred", "failed")


class Labels:
    """Who has a label of its own: the first so many that were seen, for good; the rest are `other`.

    So a label's counter never falls because another one came.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """The label of each name. Where not all can have one, the first of ``names`` have."""
        found: dict[str, str] = {}
        with self._lock:
            taken = set(self._known.values())
            for name in names:
                if name not in self._known and len(self._known) < self.limit:
                    text = clean(name)
                    # (Two that look alike when cleaned must not be two series of one name.)
                    self._known[name] = OTHER if text in taken else text
                    taken.add(text)
                found[name] = self._known.get(name, OTHER)
        return found


def clean(text: str) -> str:
    """A name as a label's value: printable, of one line, not long."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return (shown if len(shown) <= 80 else shown[:79] + "…") or "unknown"


@dataclass
class Queue:
    """A queue (or all that share the label `other`): tasks by priority and state, and its counters."""

    paused: bool = False
    tasks: dict[str, list[int]] = field(default_factory=dict)
    oldest: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def add(self, raw: dict[str, Any], now: float) -> None:
        """Add what the script says of a queue."""
        self.paused = self.paused or raw["paused"] == 1
        for priority, (*counts, oldest) in raw["lists"].items():
            before = self.tasks.get(priority, [0] * len(STATES))
            self.tasks[priority] = [a + b for a, b in zip(before, counts, strict=True)]
            self.oldest[priority] = max(self.oldest.get(priority, 0.0), _age(oldest, now))
        pairs = raw["stats"] or []
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.counters[name] = self.counters.get(name, 0) + _whole(value)


@dataclass
class Census:
    """All of it. Moments are seconds since 1970 on Redis' clock."""

    now: float
    leader: bool
    coordinators: int
    workers: dict[str, int]
    supervisors: dict[str, int]
    queue_count: int
    queues: dict[str, Queue]
    accounts: list[accounts.AccountView]
    today: dict[str, float]
    #: By account, model and kind of request.
    costs: dict[tuple[str, str, str], costs.Cost]
    #: Notifications that wait, by channel.
    to_notify: dict[str, int]
    totals: dict[str, int]
    registrations: int
    dead_letters: int


class Reader:
    """Takes the census, over one client; threads may share it."""

    def __init__(self, settings: Settings, connection: redis.Redis, limit: int) -> None:
        self.connection = connection
        header = script_text.header(settings.model_dump(), keys.templates())
        self._text = header + _TEXT
        self._sha = hashlib.sha1(self._text.encode()).hexdigest()
        self.queue_labels, self.account_labels = Labels(limit), Labels(limit)
        self.model_labels = Labels(limit)

    def read(self) -> Census:
        """Everything, as of now."""
        pipe = self.connection.pipeline(transaction=False)
        pipe.smembers(keys.templates()["queues"])
        pipe.smembers("pool:accounts")
        pipe.hgetall("pool:cost:total")
        pipe.hgetall("pool:totals")
        pipe.get("pool:epoch")
        pipe.xlen("pool:dead-letters")
        for channel in CHANNELS:
            pipe.zcard(f"pool:notices:{channel}")
        lists, raw_accounts, spent, totals, epoch, dead_letters, *waiting = pipe.execute()
        prefix = len(keys.key("queue", ""))
        names = sorted({model.split_queue(_text(name)[prefix:])[0] for name in lists})
        labels = self.queue_labels.of(names)
        # Those with labels are read; as many of the others as one may look at.
        wanted = sorted(names, key=lambda name: labels[name] == OTHER)[:READ_LIMIT]
        found: dict[str, Any] = json.loads(self._look(wanted))
        now = float(found["now"])
        queues: dict[str, Queue] = {}
        for name, raw in (found["queues"] or {}).items():
            queues.setdefault(labels.get(name, OTHER), Queue()).add(raw, now)
        known = sorted(_text(name) for name in raw_accounts)
        return Census(
            now, found["leader"] == 1, found["coordinators"], found["workers"] or {}, found["supervisors"],
            len(names), queues, self._accounts(known, now), self._today(known),
            self._costs(costs.since_ever(spent)), dict(zip(CHANNELS, waiting, strict=True)),
            {_text(name): _whole(value) for name, value in totals.items()}, _whole(epoch), dead_letters,
        )  # fmt: skip

    def _look(self, queues: Sequence[str]) -> str:
        """What the script says. (redis-py's own way, to load it first, takes a right of an operator's.)"""
        args = [str(HEADS), *queues]
        try:
            reply: Any = self.connection.evalsha(self._sha, 0, *args)
        except redis.exceptions.NoScriptError:
            reply = self.connection.eval(self._text, 0, *args)
        return _text(reply) if isinstance(reply, bytes) else str(reply)

    def _accounts(self, names: Sequence[str], now: float) -> list[accounts.AccountView]:
        labels = self.account_labels.of(names)
        shown = [name for name in names if labels[name] != OTHER]
        return accounts.states(self.connection, shown, now)

    def _costs(
        self, spent: Mapping[tuple[str, str, str], costs.Cost]
    ) -> dict[tuple[str, str, str], costs.Cost]:
        names = self.account_labels.of(sorted({account for _, account, _ in spent}))
        models = self.model_labels.of(sorted({name for _, _, name in spent}))
        found: dict[tuple[str, str, str], costs.Cost] = {}
        for (kind, account, name), cost in spent.items():
            label = names[account], models[name], kind if kind in costs.KINDS else OTHER
            found.setdefault(label, costs.Cost(name)).add(cost)
        return found

    def _today(self, names: Sequence[str]) -> dict[str, float]:
        """What today has cost, in USD, by the account's label."""
        if not names:
            return {}
        labels = self.account_labels.of(names)
        day = f"pool:cost:day:{costs.today(self.connection)}"
        raw: Any = self.connection.hmget(day, [f"account={name}:nano" for name in names])
        found: dict[str, float] = {}
        for name, value in zip(names, raw, strict=True):
            found[labels[name]] = found.get(labels[name], 0.0) + _whole(value) / 1e9
        return found


def _age(moment: str, now: float) -> float:
    try:
        return max(0.0, now - datetime.fromisoformat(moment).timestamp()) if moment else 0.0
    except ValueError:
        return 0.0


def _whole(raw: Any) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
