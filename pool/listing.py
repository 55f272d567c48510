"""Tasks and queues as the command line and the monitor show them: reading only."""

from __future__ import annotations

from typing import Any

import redis

from pool import keys, model, view
from pool.errors import UnknownWorker

#: What is counted of a queue.
COUNTED = ("queued", "running", "scheduled", "deferred", "failed", "workers")


def tasks(
    connection: redis.Redis, status: str | None, queue: str, worker: str, limit: int
) -> list[view.TaskView]:
    """The tasks asked for. Without a status, all of them are paged through, newest first."""
    enough = 100_000 if worker else limit
    if status == model.Status.QUEUED:
        found = view.queued(connection, queue, enough)
    elif status:
        found = [
            each for each in view.in_registry(connection, status, queue, enough) if each.status == status
        ]
    else:
        found = [
            each
            for each in view.tasks(connection, view.unadopted(connection, limit))
            if queue in ("", each.queue)
        ]
        first, page = 0, 500
        while len(found) < limit:
            ids = view.latest_ids(connection, first, first + page - 1)
            found += [
                each for each in view.tasks(connection, ids)
                if queue in ("", each.queue) and worker in ("", each.worker)
            ]  # fmt: skip
            if len(ids) < page:
                break
            first += page
    return [each for each in found if worker in ("", each.worker)][:limit]


def queues(connection: redis.Redis) -> list[dict[str, Any]]:
    """Depths by queue and priority; a queue that is paused before its first task is there, too."""
    raw: Any = connection.smembers("pool:paused")
    paused = {name.decode() for name in raw}
    known = view.queue_names(connection)
    names = sorted({*known, *(paused - {model.split_queue(name)[0] for name in known})})
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.llen(keys.key("queue", name))
        for registry in ("started", "scheduled", "deferred", "failed"):
            pipe.zcard(keys.key(registry, name))
        pipe.scard(keys.key("workers_of", name))
    pipe.exists(keys.templates()["suspended"])
    *counts, suspended = pipe.execute()
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        base, priority = model.split_queue(name)
        numbers = dict(zip(COUNTED, counts[index * 6 : index * 6 + 6], strict=True))
        rows.append(
            {"queue": base, "priority": priority, **numbers, "paused": bool(suspended) or base in paused}
        )
    return rows


def messages(connection: redis.Redis, found: view.TaskView) -> int:
    """How many messages of an operator's its worker's session has not got yet."""
    if found.status != model.Status.STARTED or not found.worker:
        return 0
    try:
        return view.worker(connection, found.worker).messages
    except UnknownWorker:
        return 0  # a plain rq worker
