"""What should not lie about in Redis: claims, workers, uploads, triggers, queues that nobody serves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import redis

from coordinator.doctor.finding import Finding, note, ok, warning
from coordinator.doctor.patient import Patient
from coordinator.triggers import GROUP
from pool import events, keys, model, schedule, units, view

#: A coordinator mends such things within seconds: what is older (seconds) it does not see.
_OLD = 15.0
#: An upload is kept for 10 minutes from its last part on: one with less left (seconds) has stopped.
_FRESH = 570
#: So many of a kind are looked at, so many are named.
_MANY, _NAMED = 1000, 3


def _names(found: list[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def claims(patient: Patient) -> Iterator[Finding]:
    """Claims whose time is over and that nobody has taken back."""
    connection = patient.redis
    over = _until(connection, "pool:leases", view.server_time(connection) - _OLD)
    pipe = connection.pipeline(transaction=False)
    for raw in over:
        pipe.hmget(keys.key("job", raw.decode()), ["status", "pool_token", "pool_provisional"])
    kinds: dict[str, list[str]] = {"stray": [], "provisional": [], "expired": []}
    for raw, (status, token, provisional) in zip(over, pipe.execute(), strict=True):
        kind = "stray" if status != b"started" or not token else "provisional" if provisional else "expired"
        kinds[kind].append(raw.decode("utf-8", "replace"))
    if kinds["stray"]:
        yield warning(f"leases without a running task: {_names(kinds['stray'])}", "coord reap")
    if kinds["provisional"]:
        yield warning(
            f"hand-overs that were never confirmed and have not gone back: {_names(kinds['provisional'])}",
            "coord reap",
        )
    if kinds["expired"]:
        yield warning(
            f"claims whose lease ran out more than {_OLD:g} s ago: {_names(kinds['expired'])} (a coordinator "
            "believes it after one undisturbed lease)",
            "coord reap --expired (if you know those workers dead)",
        )
    if not over:
        yield ok("no claim is overdue")


def workers(patient: Patient) -> Iterator[Finding]:
    """Workers that are long silent."""
    connection = patient.redis
    limit = view.server_time(connection) - patient.settings.lease - _OLD
    silent = _until(connection, "pool:workers", limit)
    if silent:
        yield warning(
            f"workers that nobody has heard of for two leases count as live: {_names(_texts(silent))}",
            "coord reap --expired (if you know them dead)",
        )
    else:
        yield ok("no dead worker counts as live")


def strays(patient: Patient) -> Iterator[Finding]:
    """Keys of workers that are not registered and are not remembered for a while either."""
    connection = patient.redis
    found = []
    for key in _scan(connection, "pool:worker:*"):
        pipe = connection.pipeline(transaction=False)
        pipe.zscore("pool:workers", key.removeprefix("pool:worker:"))
        pipe.ttl(key)
        score, ttl = pipe.execute()
        if score is None and ttl == -1:
            found.append(key)
    if found:
        remedy = f"{patient.cli} del {shlex.quote(found[0])}"
        yield warning(f"keys of workers that are not registered: {_names(found)}", remedy)
    else:
        yield ok("no key of a worker that is none")


def uploads(patient: Patient) -> Iterator[Finding]:
    """What `coord submit --from` was uploading when it was cut off."""
    connection = patient.redis
    found = _scan(connection, "pool:staged:*")
    for key in found[:_NAMED]:
        left: Any = connection.ttl(key)
        size: Any = connection.llen(key)
        if left == -1:
            yield warning(
                f"an upload that never goes away: {key} ({size} task(s))",
                f"{patient.cli} del {shlex.quote(key)}",
            )
        elif 0 <= left < _FRESH:
            yield warning(
                f"an upload was cut off after {size} task(s): {key} (nothing of it is enqueued; it goes away "
                f"by itself in {units.span(left)})",
                "run that `coord submit --from FILE` again",
            )
        elif left >= 0:
            yield note(f"an upload is under way: {key} ({size} task(s) so far)")
    if not found:
        yield ok("no upload was cut off")


def triggers(patient: Patient) -> Iterator[Finding]:
    """Durable triggers that wait, or that a coordinator has read and never acknowledged."""
    connection, stream = patient.redis, patient.settings.trigger_stream
    waiting: Any = connection.xlen(stream)
    if not waiting:
        yield ok("no trigger waits")
        return
    try:
        pending: Any = connection.xpending_range(stream, GROUP, "-", "+", 1, idle=int(_OLD * 1000))
    except redis.ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        pending = []
    serve = "coord up -d" if patient.embedded else "coord serve"
    if pending:
        yield warning(
            f"{waiting} trigger(s) in {stream}: the oldest was read "
            f"{units.span(pending[0]['time_since_delivered'] / 1000)} ago and never acknowledged",
            f"{serve} (a running coordinator takes it over within seconds; its log says why it could not)",
        )
    else:
        yield note(f"{waiting} trigger(s) wait in {stream}", f"{serve} (unless one runs: it reads them)")


def dead_letters(patient: Patient) -> Iterator[Finding]:
    """What could not become a task."""
    count: Any = patient.redis.xlen(events.DEAD_LETTERS)
    if count:
        yield note(
            f"{count} dead letter(s): triggers and jobs that could not become tasks", "coord dead-letters"
        )
    else:
        yield ok("none")


def queues(patient: Patient) -> Iterator[Finding]:
    """Queues that are paused, and queues with tasks that nobody serves."""
    connection = patient.redis
    if connection.exists(keys.templates()["suspended"]):
        yield note("all queues are paused", "coord resume --all")
    paused = _texts(connection.smembers("pool:paused"))
    for name in sorted(paused):
        yield note(f"queue {name} is paused", f"coord resume {name}")
    names = view.queue_names(connection)
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.llen(keys.key("queue", name))
        pipe.scard(keys.key("workers_of", name))
        pipe.exists(f"pool:ready:{model.split_queue(name)[0]}")  # a supervisor, without a session so far
    counts = pipe.execute()
    waiting: dict[str, int] = {}
    served: dict[str, int] = {}
    for index, name in enumerate(names):
        base = model.split_queue(name)[0]
        waiting[base] = waiting.get(base, 0) + counts[3 * index]
        served[base] = served.get(base, 0) + counts[3 * index + 1] + counts[3 * index + 2]
    alone = [base for base in sorted(waiting) if waiting[base] and not served[base] and base not in paused]
    for base in alone:
        own = base in patient.settings.queues
        yield warning(
            f"{waiting[base]} task(s) wait in queue {base}, which no worker serves",
            f"{'' if own else f'COORD_QUEUES={base} '}claude (a session with coord's hooks serves it)",
        )
    if not alone and not paused:
        yield ok(f"{sum(waiting.values()) or 'no'} task(s) wait")


def schedules(patient: Patient) -> Iterator[Finding]:
    """Schedules that are held because they cannot be read, and those that are paused."""
    found = schedule.all_of(patient.redis)
    for each in found:
        if each.state == "broken":
            yield warning(
                f"schedule {each.name} makes no tasks, it cannot be read: {each.problem}",
                f"coord schedule add {shlex.quote(each.name)} --replace ... (or: coord schedule remove)",
            )
        elif each.state == "paused":
            yield note(f"schedule {each.name} is paused", f"coord schedule resume {each.name}")
    if all(each.state in ("waiting", "ended") for each in found):
        yield ok(f"{len(found) or 'no'} schedule(s)")


def _until(connection: redis.Redis, key: str, score: float) -> list[bytes]:
    """Members with at most that score. (ZRANGE, because a worker's user may do that anyway.)"""
    found: Any = connection.zrange(key, "-inf", score, byscore=True, offset=0, num=_MANY)
    return list(found)


def _texts(raw: Any) -> list[str]:
    return [each.decode("utf-8", "replace") for each in raw]


def _scan(connection: redis.Redis, pattern: str) -> list[str]:
    found = []
    for raw in connection.scan_iter(match=pattern, count=2000):
        found.append(raw.decode("utf-8", "replace"))
        if len(found) >= _MANY:
            break
    return sorted(found)
