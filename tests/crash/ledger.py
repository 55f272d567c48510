"""What must be true of every task at any moment, whoever was killed: one home, one lease, one result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis

from pool import keys, view

#: Where RQ keeps a job of each status, beside the list of the queued and the registry of the started.
_REGISTRIES = ("scheduled", "deferred", "finished", "failed", "canceled")
_FIELDS = (
    "status", "origin", "pool_token", "pool_worker", "pool_epoch", "pool_done", "pool_losses",
    "pool_provisional", "dependency_ids", "allow_dependency_failures",
)  # fmt: skip


@dataclass
class Task:
    """A task as it lies in Redis."""

    id: str
    fields: dict[str, str]
    #: Every place that has it: ``queue tasks``, ``started tasks TOKEN``, ``finished tasks`` ...
    homes: list[str] = field(default_factory=list)
    results: list[dict[str, str]] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    artifacts: int = 0

    @property
    def status(self) -> str:
        return self.fields.get("status", "")

    @property
    def committed(self) -> int:
        """How many results were ever committed (RQ's type 1)."""
        return sum(each["type"] == "1" for each in self.results)


class Ledger:
    """The whole pool, read in a few round trips, and what is wrong with it."""

    def __init__(self, conn: redis.Redis) -> None:
        self.leases = _scores(conn.zrange("pool:leases", 0, -1, withscores=True))
        listed = {_text(raw) for raw in conn.zrange("pool:tasks", 0, -1)}
        prefix = keys.key("job", "")
        hashes = {_text(raw)[len(prefix) :] for raw in conn.scan_iter(f"{prefix}*", count=1000)}
        self.hashes = {name for name in hashes if ":" not in name}
        self.tasks = {name: Task(name, {}) for name in sorted(listed | self.hashes)}
        self.strangers: list[str] = []
        self._read_jobs(conn)
        self._read_homes(conn)
        prefix = keys.key("execution", "", "").rstrip(":") + ":"
        self.executions = {_text(raw)[len(prefix) :] for raw in conn.scan_iter(f"{prefix}*", count=1000)}
        self.holders: dict[str, dict[str, str]] = {}
        self.live = set(_texts(conn.zrange("pool:workers", 0, -1)))
        for name in [*self.live, *_texts(conn.zrange("pool:departed", 0, -1))]:
            found = conn.hgetall(f"pool:worker:{name}")
            self.holders[name] = {_text(field): _text(value) for field, value in found.items()}

    def _read_jobs(self, conn: redis.Redis) -> None:
        pipe = conn.pipeline(transaction=False)
        for name in self.tasks:
            pipe.hmget(keys.key("job", name), list(_FIELDS))
            pipe.xrange(keys.key("results", name))
            pipe.zrange(keys.key("executions", name), 0, -1)
            pipe.hlen(f"pool:artifacts:{name}")
        replies = iter(pipe.execute())
        for task in self.tasks.values():
            values, results, executions, task.artifacts = (next(replies) for _ in range(4))
            pairs = zip(_FIELDS, values, strict=True)
            task.fields = {name: _text(raw) for name, raw in pairs if raw is not None}
            task.results = [{_text(k): _text(v) for k, v in fields.items()} for _, fields in results]
            task.executions = [_text(raw) for raw in executions]

    def _read_homes(self, conn: redis.Redis) -> None:
        for queue in view.queue_names(conn):
            for name in _texts(conn.lrange(keys.key("queue", queue), 0, -1)):
                self._at(name, f"queue {queue}")
            for registry in _REGISTRIES:
                for name in _texts(conn.zrange(keys.key(registry, queue), 0, -1)):
                    self._at(name, f"{registry} {queue}")
            for entry in _texts(conn.zrange(keys.key("started", queue), 0, -1)):
                name, _, token = entry.partition(":")
                self._at(name, f"started {queue} {token}")

    def _at(self, name: str, home: str) -> None:
        if name in self.tasks:
            self.tasks[name].homes.append(home)
        else:
            self.strangers.append(f"{name} lies in {home}, but there is no such task")

    # -- what is wrong -----------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Everything that must never be, in words; none is wrong when it is empty."""
        found = list(self.strangers)
        for task in self.tasks.values():
            found += [f"{task.id}: {what}" for what in self._wrong_with(task)]
        held = Counter(f"{f['claim']}.{f['token']}" for name, f in self.holders.items() if f.get("claim"))
        found += [f"{claim} is held by {count} workers" for claim, count in held.items() if count > 1]
        started = [task for task in self.tasks.values() if task.status == "started"]
        running = {f"{task.id}:{task.fields.get('pool_token')}" for task in started}
        found += [f"execution {name} is left over" for name in sorted(self.executions - running)]
        found += [f"a lease of {name} is left over" for name in self.leases if name not in self.tasks]
        return found

    def _wrong_with(self, task: Task) -> list[str]:
        status, queue = task.status, task.fields.get("origin", "")
        found = []
        if task.id not in self.hashes or not status:
            return ["it is listed, but has no hash"]
        token = task.fields.get("pool_token", "")
        due = {"queued": f"queue {queue}", "started": f"started {queue} {token}"}
        if task.homes != [due.get(status, f"{status} {queue}")]:
            found.append(f"it is {status} and lies in {', '.join(task.homes) or 'no place at all: LOST'}")
        if task.committed != (status == "finished"):
            found.append(f"it is {status} with {task.committed} committed results")
        if task.artifacts and status != "finished":
            found.append(f"it is {status} and has artifacts")
        if status == "started":
            found += self._wrong_with_claim(task, token)
        else:
            left: list[str] = [name for name in ("pool_token", "pool_provisional") if name in task.fields]
            left += ["lease"] * (task.id in self.leases) + ["execution"] * len(task.executions)
            found += [f"it is {status}, but {name} is left" for name in left]
            holders = [name for name, f in self.holders.items() if f.get("claim") == task.id]
            found += [f"it is {status}, but {name} holds it" for name in holders]
        if status in ("queued", "scheduled", "started", "finished") and self._unmet(task):
            found.append(f"it is {status} before its parents: {', '.join(self._unmet(task))}")
        if status == "deferred" and not self._unmet(task):
            found.append("it waits, though its parents are done")
        return found

    def _wrong_with_claim(self, task: Task, token: str) -> list[str]:
        found = []
        if not token or task.id not in self.leases:
            found.append("it is started without a token or a lease")
        if task.executions != [token] or f"{task.id}:{token}" not in self.executions:
            found.append(f"it is started with the executions {task.executions}")
        holder = self.holders.get(task.fields.get("pool_worker", ""), {})
        if (holder.get("claim"), holder.get("token")) != (task.id, token):
            found.append("it is started, but its worker does not hold it")
        return found

    def _unmet(self, task: Task) -> list[str]:
        names = [part.strip('" ') for part in task.fields.get("dependency_ids", "").strip("[]").split(",")]
        allowed = task.fields.get("allow_dependency_failures") == "1"
        over = ("finished", "failed") if allowed else ("finished",)
        return [name for name in names if name and name in self.tasks and self.tasks[name].status not in over]

    # -- in a word ---------------------------------------------------------------------------------------

    def statuses(self) -> dict[str, str]:
        """Each task's status by its id."""
        return {name: task.status for name, task in self.tasks.items()}

    def summary(self) -> str:
        """Where everything is, in a few words: ``t started (w1)``."""
        if len(self.tasks) > 4:
            counts = Counter(task.status for task in self.tasks.values())
            return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        words = [f"{t.id} {t.status}" + self._holder(t) for t in self.tasks.values()]
        return ", ".join(words) or "no task"

    def _holder(self, task: Task) -> str:
        if task.status != "started":
            return ""
        unsure = ", not confirmed" if "pool_provisional" in task.fields else ""
        return f" ({task.fields.get('pool_worker')}{unsure})"


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _texts(raws: Any) -> list[str]:
    return [_text(raw) for raw in raws]


def _scores(pairs: Any) -> dict[str, float]:
    return {_text(name): float(score) for name, score in pairs}
