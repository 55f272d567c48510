"""The whole keyspace, read at once and sorted by what each key is. A key of no known family is a finding."""

from __future__ import annotations

import binascii
import re
from typing import Any, cast

import redis

from pool import keys

#: The type of each of RQ's keys, by the name that the scripts give it.
_RQ = {
    "job": "hash", "dependents": "set", "dependencies": "set", "queue": "list", "queues": "set",
    "started": "zset", "finished": "zset", "failed": "zset", "scheduled": "zset", "deferred": "zset",
    "canceled": "zset", "execution": "hash", "executions": "zset", "results": "stream", "worker": "hash",
    "workers": "set", "workers_of": "set", "suspended": "string", "scheduler_lock": "string",
}  # fmt: skip
#: The pool's own keys: name, template, type.
_POOL = {
    "fence": ("pool:fence", "string"), "epoch": ("pool:epoch", "string"), "leases": ("pool:leases", "zset"),
    "tasks": ("pool:tasks", "zset"), "live": ("pool:workers", "zset"), "departed": ("pool:departed", "zset"),
    "ours": ("pool:worker:{}", "hash"), "process": ("pool:process:{}", "string"),
    "waiters": ("pool:waiters:{}", "zset"), "bell": ("pool:bell:{}:{}", "list"),
    "call": ("pool:call:{}", "list"), "words": ("pool:words:{}", "list"),
    "unique": ("pool:unique:{}", "string"), "paused": ("pool:paused", "set"),
    "leader": ("pool:leader", "string"), "artifacts": ("pool:artifacts:{}", "hash"),
    "evidence": ("pool:evidence:{}", "hash"),
    "coordinators": ("pool:coordinators", "zset"), "floor": ("pool:floor", "string"),
    "stats": ("pool:stats:{}", "hash"), "stats_minute": ("pool:stats:{}:minute:{}", "string"),
    "stats_hour": ("pool:stats:{}:hour:{}", "string"),
    "due": ("pool:due", "zset"), "charged": ("pool:charged:{}", "string"), "day": ("pool:day", "hash"),
    "cost_day": ("pool:cost:day:{}", "hash"), "cost_tasks": ("pool:cost:tasks", "zset"),
    "cost_total": ("pool:cost:total", "hash"), "totals": ("pool:totals", "hash"),
    "account": ("pool:account:{}", "hash"), "accounts": ("pool:accounts", "set"),
    "events": ("pool:events", ""), "failures": ("pool:failures", ""),
    "dead_letters": ("pool:dead-letters", ""),
}  # fmt: skip

_HOLE = r"([^:]+(?::high|:low)?)"
_READ = {
    "hash": "hgetall", "set": "smembers", "list": "lrange", "zset": "zrange", "string": "get",
    "stream": "xrange",
}  # fmt: skip


def _families() -> list[tuple[str, str, re.Pattern[str]]]:
    found = [(name, kind, keys.templates()[name]) for name, kind in _RQ.items()]
    found += [(name, kind, template) for name, (template, kind) in _POOL.items()]
    return [
        (name, kind, re.compile(_HOLE.join(re.escape(part) for part in template.split("{}"))))
        for name, kind, template in found
    ]


FAMILIES = _families()


def _what(key: str) -> tuple[str, tuple[str, ...], str]:
    """A key's family, what stands in the family's holes, and the type."""
    for family, kind, pattern in FAMILIES:
        if match := pattern.fullmatch(key):
            return family, match.groups(), kind
    return "", (), ""


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_text(name): _text(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_text(part) for part in value)
    if isinstance(value, list):
        return [_text(part) for part in value]
    return {_text(part) for part in value} if isinstance(value, set) else value


class Keyspace:
    """Every key by family: ``jobs``, ``lists`` and so on, by id or queue."""

    def __init__(self, conn: redis.Redis, seen_event: str = "-") -> None:
        names = sorted(_text(key) for key in cast("list[bytes]", conn.keys("*")))
        self.unknown: list[str] = []
        self.ttl: dict[str, int] = {}
        found: list[tuple[str, tuple[str, ...], str]] = []
        pipe = conn.pipeline(transaction=False)
        for key in names:
            family, parts, kind = _what(key)
            if not family:
                self.unknown.append(key)
            if not kind:
                continue
            found.append((family, parts, kind))
            options = {"withscores": True} if kind == "zset" else {}
            getattr(pipe, _READ[kind])(key, *((0, -1) if kind in ("list", "zset") else ()), **options)
            if family == "job":
                found.append(("ttl", parts, ""))
                pipe.ttl(key)
        pipe.xrange("pool:events", min=seen_event if seen_event == "-" else f"({seen_event}")
        *values, events = pipe.execute()
        self.families: dict[str, dict[tuple[str, ...], Any]] = {}
        for (family, parts, kind), value in zip(found, values, strict=True):
            if family == "ttl":
                self.ttl[parts[0]] = value
            else:
                plain = _text(value)
                self.families.setdefault(family, {})[parts] = dict(plain) if kind == "zset" else plain
        #: What was told since ``seen_event``, and the last one's id.
        self.events: list[dict[str, str]] = [_text(fields) for _, fields in events]
        self.last_event: str = _text(events[-1][0]) if events else seen_event
        self.jobs: dict[str, dict[str, str]] = self.by("job")
        self.lists: dict[str, list[str]] = self.by("queue")
        self.workers: dict[str, dict[str, str]] = self.by("ours")
        self.leases: dict[str, float] = self.one("leases", {})
        self.live: dict[str, float] = self.one("live", {})

    def by(self, family: str) -> dict[str, Any]:
        """The values of a family whose keys have one part, by that part."""
        return {parts[0]: value for parts, value in self.families.get(family, {}).items()}

    def one(self, family: str, default: Any) -> Any:
        """The value of a family that has but one key."""
        return self.families.get(family, {}).get((), default)

    def pairs(self, family: str) -> set[tuple[str, str]]:
        """The keys of a family whose keys have two parts."""
        return {(parts[0], parts[1]) for parts in self.families.get(family, {})}

    def started(self) -> set[tuple[str, str, str]]:
        """The entries of RQ's started registries: queue, job, token."""
        return {
            (queue, *cast("tuple[str, str]", tuple(entry.split(":", 1))))
            for queue, entries in self.by("started").items()
            for entry in entries
        }

    def committed(self, task: str) -> list[str]:
        """The results (RQ's type 1) that the task's stream holds, oldest first."""
        stream = self.by("results").get(task, [])
        found = [fields["return_value"] for _, fields in stream if fields["type"] == "1"]
        return [binascii.a2b_base64(value).decode() for value in found]
