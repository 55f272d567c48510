"""Tasks and workers as people and programs look at them: reading only, in few round trips."""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis

from pool import blocked, clock, events, evidence, keys, model, payload
from pool.errors import UnknownTask, UnknownWorker

_TASK_FIELDS = (
    "status", "description", "origin", "worker_name", "pool_worker", "pool_attempts", "pool_losses",
    "pool_releases", "retries_left", "created_at", "enqueued_at", "started_at", "ended_at", "timeout",
    "dependency_ids", "pool_error", "pool_progress", "pool_not_before", "pool_unique", "pool_token",
    "allow_dependency_failures", "pool_needs", "pool_ran",
)  # fmt: skip
#: Whether a task runs though a parent has failed.
_ALLOW = _TASK_FIELDS.index("allow_dependency_failures")

#: How many ids one pipeline asks for.
_PAGE = 500
#: A failure's text is read up to so many bytes: a small one may unpack to very many.
_TEXT_LIMIT = 256 * 1024


@dataclass
class TaskView:
    """A task as it stands in Redis."""

    id: str
    title: str
    status: str
    queue: str
    priority: str
    worker: str | None
    attempts: int
    losses: int
    releases: int
    retries_left: int
    created_at: str | None
    started_at: str | None
    ended_at: str | None
    run_at: str | None
    after: list[str]
    error: str | None
    progress: str | None
    unique: str | None
    timeout: int | None
    #: The machine of its last worker, and that worker's supervisor ('': none); None where it is not known.
    host: str | None = None
    supervisor: str | None = None
    #: What its worker must offer (pool/needs.py).
    needs: list[str] = field(default_factory=list)
    result: Any = None
    artifacts: list[str] = field(default_factory=list)
    #: What its end is believed by (pool/evidence.py); of one task alone.
    evidence: dict[str, Any] = field(default_factory=dict)
    #: Of a deferred one: the failed or cancelled tasks because of which it will not run, as things stand.
    blocked_by: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it has ended, or will not run unless somebody retries what it comes after."""
        return self.status in model.TERMINAL or bool(self.blocked_by)


@dataclass
class WorkerView:
    """A worker as it stands in Redis, each state with its evidence and that evidence's age."""

    id: str
    state: str
    evidence: str
    state_age: float
    task: str | None
    title: str | None
    last_heartbeat: float
    last_heartbeat_at: str | None
    idle_left: float | None
    idle_limit: float
    queues: list[str]
    tasks: int
    host: str
    pid: int
    cwd: str
    session: str
    epoch: int
    draining: bool
    #: An operator's messages that its session has not got yet.
    messages: int
    parked_until: str | None
    registered_at: str | None
    #: Model requests of this registration, what they cost (USD, as far as it is known), and how many of
    #: them were made while it held nothing and nothing waited.
    requests: int
    usd: float
    idle_requests: int
    #: coord's release and its scripts' version, as this worker runs them.
    coord: str
    scripts: int
    #: What tasks may need of it (pool/needs.py); whose quota it uses; how its session is run, and by whom.
    offers: list[str]
    account: str
    mode: str
    supervisor: str
    #: Seconds since it was registered.
    age: float


@dataclass
class CoordinatorView:
    """A coordinator that was heard of within its leader_ttl."""

    id: str
    leads: bool
    coord: str
    scripts: int


def _text(raw: Any) -> str:
    # (redis-py types every reply as bytes or text; ours are bytes.)
    return raw.decode("utf-8", "replace") if raw else ""


def _pairs(raw: Any) -> dict[str, bytes]:
    return {_text(key): value for key, value in raw.items()}


def _number(raw: bytes | None) -> float:
    try:
        return float(raw or 0)
    except ValueError:
        return 0.0


def _whole(raw: bytes | None) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def _exc_text(entries: Any) -> str:
    """What the newest result of a failed task says; RQ's own workers write it nowhere else."""
    for _, raw in entries:
        try:
            packed = base64.b64decode(_pairs(raw)["exc_string"])
            text = zlib.decompressobj().decompress(packed, _TEXT_LIMIT)
            return text.decode("utf-8", "replace").strip()
        except (KeyError, ValueError, zlib.error):
            return ""
    return ""


def _task(task_id: str, values: Sequence[bytes | None]) -> TaskView | None:
    f = dict(zip(_TASK_FIELDS, values, strict=True))
    if not f["status"]:
        return None
    queue, priority = model.split_queue(_text(f["origin"]))
    status = _text(f["status"])
    if status == "stopped":
        status = "failed"  # RQ's word for a job that a plain worker was told to stop: it failed for good
    holder = f["worker_name"] if status in ("started", "finished", "failed") else None
    # (A plain rq worker leaves it as the worker before has written it.)
    ran = _text(f["pool_ran"]).split(" ")
    known = holder is not None and len(ran) == 3 and ran[0] == _text(holder)
    return TaskView(
        id=task_id, title=_text(f["description"]), status=status, queue=queue, priority=priority,
        worker=_text(holder) or None, attempts=_whole(f["pool_attempts"]), losses=_whole(f["pool_losses"]),
        releases=_whole(f["pool_releases"]), retries_left=_whole(f["retries_left"]),
        created_at=_text(f["created_at"]) or None, started_at=_text(f["started_at"]) or None,
        ended_at=_text(f["ended_at"]) or None,
        run_at=model.utc(_number(f["pool_not_before"])) if f["pool_not_before"] else None,
        after=blocked.ids(f["dependency_ids"]), error=_text(f["pool_error"]) or None,
        progress=_text(f["pool_progress"]) or None,
        unique=_text(f["pool_unique"]) or None, timeout=_whole(f["timeout"]) or None,
        needs=_text(f["pool_needs"]).split(), host=ran[1] if known else None,
        supervisor=ran[2] if known else None,
    )  # fmt: skip


def tasks(connection: redis.Redis, ids: Iterable[str]) -> list[TaskView]:
    """The tasks of these ids that exist, in that order, without their results."""
    wanted = list(ids)
    found: list[TaskView] = []
    for first in range(0, len(wanted), _PAGE):
        page = wanted[first : first + _PAGE]
        pipe = connection.pipeline(transaction=False)
        for task_id in page:
            pipe.hmget(keys.key("job", task_id), list(_TASK_FIELDS))
        raws = dict(zip(page, pipe.execute(), strict=True))
        views = (_task(task_id, raws[task_id]) for task_id in page)
        there = [view for view in views if view is not None]
        failed = [view for view in there if view.status == model.Status.FAILED]
        pipe = connection.pipeline(transaction=False)
        for view in failed:
            pipe.xrevrange(keys.key("results", view.id), count=1)
        for view, entries in zip(failed, pipe.execute(), strict=True):
            view.error = _exc_text(entries) or view.error
        waiting = [view for view in there if view.status == model.Status.DEFERRED]
        deferred = {view.id: (view.after, raws[view.id][_ALLOW] == b"1") for view in waiting}
        parents = blocked.Parents(connection, deferred)
        for view in waiting:
            view.blocked_by = parents.causes(view.id)
        found += there
    return found


def task(connection: redis.Redis, task_id: str) -> TaskView:
    """One task with its result and the names of its artifacts.

    Raises:
        UnknownTask: There is none.
    """
    found = tasks(connection, [task_id])
    if not found:
        raise UnknownTask(f"there is no task {task_id!r} (it may have expired): `coord tasks` lists them")
    view = found[0]
    view.result = results(connection, found)[0]
    view.evidence = evidence.of(connection, task_id)
    view.artifacts = sorted(_text(name) for name in connection.hkeys(f"pool:artifacts:{task_id}"))
    return view


def result(connection: redis.Redis, task_id: str) -> Any:
    """The committed result, or None (of a finished task: it was None, or has expired)."""
    return _result(connection.xrevrange(keys.key("results", task_id), count=1))


def results(connection: redis.Redis, found: Sequence[TaskView]) -> list[Any]:
    """The committed result of each task; None without one (or it was None, or has expired)."""
    values: list[Any] = []
    for first in range(0, len(found), _PAGE):
        pipe = connection.pipeline(transaction=False)
        page = found[first : first + _PAGE]
        for each in page:
            pipe.xrevrange(keys.key("results", each.id), count=1)
        replies = pipe.execute()
        values += [
            _result(entries) if each.status == model.Status.FINISHED else None
            for each, entries in zip(page, replies, strict=True)
        ]
    return values


def _result(entries: Any) -> Any:
    for _, raw in entries:
        value = _pairs(raw).get("return_value")
        if value:
            try:
                return json.loads(base64.b64decode(value))
            except (ValueError, binascii.Error, RecursionError):
                return _text(value)
    return None


def fields(connection: redis.Redis, task_id: str) -> dict[str, Any]:
    """What the task says: prompt, context, cwd ...

    Raises:
        UnknownTask: There is none.
        payload.NotATask: It is a job, but none of ours.
    """
    data: Any = connection.hget(keys.key("job", task_id), "data")
    if data is None:
        raise UnknownTask(f"there is no task {task_id!r} (it may have expired): `coord tasks` lists them")
    return payload.decode(data)


def queue_names(connection: redis.Redis) -> list[str]:
    """Every RQ queue there is, priorities included."""
    prefix = len(keys.key("queue", ""))
    found: Any = connection.smembers(keys.templates()["queues"])
    return sorted(_text(key)[prefix:] for key in found)


def queued(connection: redis.Redis, queue: str, limit: int) -> list[TaskView]:
    """What waits, in the order in which a worker of all these queues would claim it."""
    names = [name for name in queue_names(connection) if not queue or model.split_queue(name)[0] == queue]
    found: list[TaskView] = []
    for priority in model.Priority:
        lists = []
        for name in names:
            if model.split_queue(name)[1] == priority:
                raw: Any = connection.lrange(keys.key("queue", name), 0, limit - 1)
                lists.append(tasks(connection, [_text(task_id) for task_id in raw]))
        # A claim takes the oldest of the lists' heads: just what a merge of them yields.
        found += heapq.merge(*lists, key=lambda each: each.created_at or "")
    return found[:limit]


def enqueued(connection: redis.Redis, ids: Sequence[str]) -> list[float | None]:
    """When each was put into its queue (seconds since 1970); None where that is not known."""
    pipe = connection.pipeline(transaction=False)
    for task_id in ids:
        pipe.hget(keys.key("job", task_id), "enqueued_at")
    found: list[float | None] = []
    for raw in pipe.execute():
        try:
            found.append(datetime.fromisoformat(_text(raw)).timestamp())
        except ValueError:
            found.append(None)
    return found


def in_registry(connection: redis.Redis, status: str, queue: str, limit: int) -> list[TaskView]:
    """Tasks in a state that RQ keeps a registry of: the latest first; scheduled ones by when they are due."""
    scored: list[tuple[float, str]] = []
    soonest = status == model.Status.SCHEDULED
    for name in queue_names(connection):
        if not queue or model.split_queue(name)[0] == queue:
            raw: Any = connection.zrange(
                keys.key(status, name), 0, limit - 1, desc=not soonest, withscores=True
            )
            scored += [(score, _text(member).partition(":")[0]) for member, score in raw]
    scored.sort(key=lambda pair: pair[0], reverse=not soonest)
    return tasks(connection, list(dict.fromkeys(task_id for _, task_id in scored))[:limit])


def latest_ids(connection: redis.Redis, first: int, last: int) -> list[str]:
    """Ids of the tasks made last, newest first."""
    found: Any = connection.zrevrange("pool:tasks", first, last)
    return [_text(raw) for raw in found]


def ids_by_age(connection: redis.Redis, until: float) -> Iterator[list[str]]:
    """Pages of ids of the tasks made until then, oldest first; what is deleted meanwhile shifts nothing."""
    low, seen = 0.0, set[str]()
    while True:
        raw: Any = connection.zrange(
            "pool:tasks", low, until, byscore=True, offset=0, num=_PAGE + len(seen), withscores=True
        )
        page = [(_text(task_id), score) for task_id, score in raw]
        fresh = [task_id for task_id, _ in page if task_id not in seen]
        if not fresh:
            return
        yield fresh
        # Several may have been made in one moment: the next page begins with that moment's again.
        last = page[-1][1]
        seen = {task_id for task_id, score in page if score == last} | (seen if last == low else set())
        low = last


def unadopted(connection: redis.Redis, limit: int) -> list[str]:
    """Ids of jobs that RQ's own API has put into our queues and no worker has looked at yet."""
    ids: list[str] = []
    for name in queue_names(connection):
        raw: Any = connection.lrange(keys.key("queue", name), 0, limit - 1)
        ids += [_text(task_id) for task_id in raw]
    pipe = connection.pipeline(transaction=False)
    for task_id in ids:
        pipe.zscore("pool:tasks", task_id)
    return [task_id for task_id, score in zip(ids, pipe.execute(), strict=True) if score is None]


_WORKER_FIELDS = (
    "epoch", "state", "state_at", "evidence", "claim", "beat_at", "active_at", "idle_limit", "queues",
    "tasks", "host", "pid", "cwd", "session", "draining", "park_until", "registered_at", "parked_at",
    "cost_requests", "cost_nano", "idle_requests", "coord", "scripts", "offers", "account", "mode",
    "supervisor", "words",
)  # fmt: skip


def workers(connection: redis.Redis, departed: bool = True) -> list[WorkerView]:
    """Every live worker (and, unless told otherwise, those that left a while ago), by id."""
    now = server_time(connection)
    live: Any = connection.zrange("pool:workers", 0, -1)
    gone: Any = connection.zrange("pool:departed", 0, -1) if departed else []
    return _workers(connection, [_text(raw) for raw in (*live, *gone)], now)


def workers_of(connection: redis.Redis, ids: Sequence[str]) -> list[WorkerView]:
    """Those of these workers that there are, by id."""
    return _workers(connection, ids, server_time(connection)) if ids else []


def barred_workers(connection: redis.Redis) -> list[WorkerView]:
    """Workers whose supervisor starts no session for them now, as workers in the state `broken`: by id."""
    now = server_time(connection)
    names: Any = connection.zrangebyscore("pool:supervisors", now, "+inf")
    pipe = connection.pipeline(transaction=False)
    for raw in names:
        pipe.hgetall(f"pool:supervisor:{_text(raw)}")
    found = []
    for raw, fields in zip(names, pipe.execute(), strict=True):
        f = _pairs(fields)
        if not f.get("breaker"):
            continue
        for worker_id in _text(f.get("workers")).split(","):
            if connection.zscore("pool:workers", worker_id) is None:
                found.append(_barred(worker_id, _text(raw), f, now))
    return sorted(found, key=lambda view: view.id)


def _barred(worker_id: str, supervisor: str, f: dict[str, bytes], now: float) -> WorkerView:
    nothing = dict.fromkeys(_WORKER_FIELDS)
    known: dict[str, bytes | None] = {
        name: f[name] for name in ("host", "pid", "mode", "account") if name in f
    }
    said = {"state": b"broken", "state_at": f.get("said_at"), "beat_at": f.get("said_at")}
    view = _worker(worker_id, {**nothing, **known, **said, "evidence": f["breaker"]}, now)
    view.supervisor, view.queues, view.idle_left = supervisor, [], None
    return view


def coordinators(connection: redis.Redis) -> list[CoordinatorView]:
    """Every coordinator that runs, the one that leads first."""
    leader = _text(connection.get("pool:leader"))
    entries: Any = connection.zrangebyscore("pool:coordinators", server_time(connection), "+inf")
    found = []
    for raw in entries:
        number, token, release = [*_text(raw).split(" "), "", ""][:3]
        found.append(CoordinatorView(token, token == leader, release, _whole(number.encode())))
    return sorted(found, key=lambda each: (not each.leads, each.id))


def worker(connection: redis.Redis, worker_id: str) -> WorkerView:
    """One worker.

    Raises:
        UnknownWorker: There is none.
    """
    found = _workers(connection, [worker_id], server_time(connection))
    if not found:
        raise UnknownWorker(f"there is no worker {worker_id!r}: `coord workers` lists them")
    return found[0]


def server_time(connection: redis.Redis) -> float:
    """Seconds since 1970 on Redis' own clock."""
    reply: Any = connection.time()
    return float(reply[0]) + float(reply[1]) / 1e6


def _workers(connection: redis.Redis, ids: Sequence[str], now: float) -> list[WorkerView]:
    found: list[WorkerView] = []
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        pipe = connection.pipeline(transaction=False)
        for worker_id in page:
            pipe.hmget(f"pool:worker:{worker_id}", list(_WORKER_FIELDS))
        for worker_id, values in zip(page, pipe.execute(), strict=True):
            f = dict(zip(_WORKER_FIELDS, values, strict=True))
            if f["epoch"]:
                found.append(_worker(worker_id, f, now))
    busy = [view for view in found if view.task]
    pipe = connection.pipeline(transaction=False)
    for view in busy:
        pipe.hget(keys.key("job", view.task or ""), "description")
    for view, title in zip(busy, pipe.execute(), strict=True):
        view.title = None if title is None else _text(title)
    return sorted(found, key=lambda view: view.id)


def _worker(worker_id: str, f: dict[str, bytes | None], now: float) -> WorkerView:
    def number(name: str) -> float:
        return _number(f[name])

    state = _text(f["state"])
    gone = state in ("stopped", "dead")
    left = number("active_at") + number("idle_limit") - now
    if f["parked_at"]:
        left += now - number("parked_at")
    until = number("park_until")
    return WorkerView(
        id=worker_id, state="draining" if f["draining"] and state == "waiting" else state,
        evidence=_text(f["evidence"]), state_age=max(0.0, now - number("state_at")),
        task=_text(f["claim"]) or None, title=None, last_heartbeat=max(0.0, now - number("beat_at")),
        last_heartbeat_at=model.utc(number("beat_at")) if f["beat_at"] else None,
        idle_left=None if gone or f["claim"] else max(0.0, left), idle_limit=number("idle_limit"),
        queues=_text(f["queues"]).split(","), tasks=_whole(f["tasks"]), host=_text(f["host"]),
        pid=_whole(f["pid"]), cwd=_text(f["cwd"]), session=_text(f["session"]), epoch=_whole(f["epoch"]),
        draining=bool(f["draining"]), messages=_whole(f["words"]),
        parked_until=model.utc(until) if until > 0 else None,
        registered_at=model.utc(number("registered_at")), requests=_whole(f["cost_requests"]),
        usd=_whole(f["cost_nano"]) / 1e9, idle_requests=_whole(f["idle_requests"]), coord=_text(f["coord"]),
        scripts=_whole(f["scripts"]) or 1, offers=_text(f["offers"]).split(),
        account=_text(f["account"]) or "default", mode=_text(f["mode"]), supervisor=_text(f["supervisor"]),
        age=max(0.0, now - number("registered_at")) if f["registered_at"] else 0.0,
    )  # fmt: skip


def wait_for(connection: redis.Redis, ids: Sequence[str], seconds: float | None) -> list[TaskView]:
    """Wait until all tasks have ended (or will not run), or the time has passed; as they stand then.

    Wakes on the pool's events, and looks again each second for tasks that a plain RQ worker ends.

    Raises:
        UnknownTask: A task does not exist.
    """
    deadline = None if seconds is None else clock.mono() + seconds
    last = events.newest(connection)
    while True:
        found = tasks(connection, ids)
        missing = set(ids) - {view.id for view in found}
        if missing:
            raise UnknownTask(f"there is no task {sorted(missing)[0]!r} (it may have expired)")
        left = None if deadline is None else deadline - clock.mono()
        if all(view.over for view in found) or (left is not None and left <= 0):
            return found
        again = clock.mono() + (1.0 if left is None else min(1.0, left))
        while (rest := again - clock.mono()) > 0:
            happened = events.after(connection, last, rest)
            if happened:
                last = happened[-1]["id"]
                time.sleep(0.01)  # events come in bursts: one look for all of them
            if any(row.get("type") != "session" for row in happened):
                break  # (what the monitor saw of sessions ends no task)
