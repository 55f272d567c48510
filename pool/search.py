"""Tasks that are looked for by what is said of them: the newest first, and never very many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from pool import keys, model, units, view

#: So many tasks are looked at for one page of what was found.
LOOK = 2000
_PAGE = 500


@dataclass
class Found:
    """What was found. ``looked``: so many of ``total`` were looked at; ``more``: where to go on."""

    tasks: list[view.TaskView]
    looked: int
    total: int
    more: int | None


def search(
    connection: redis.Redis, text: str = "", status: str = "", queue: str = "", worker: str = "",
    first: int = 0, limit: int = 50,
) -> Found:  # fmt: skip
    """Tasks in whose id, title, error or progress all words of ``text`` occur, from the ``first`` newest on.

    With a status, those that are in it: queued ones in the order in which they will be claimed, scheduled
    ones by when they are due. What it costs is bounded by LOOK, however many there are.
    """
    words = text.casefold().split()
    found: list[view.TaskView] = []
    exact = _exact(connection, text) if not first else None
    if exact is not None and _has(exact, [], status, queue, worker):
        found.append(exact)
    looked, total = 0, _total(connection, status, queue)
    for place, each in _from(connection, status, queue, first):
        looked += 1
        if _has(each, words, status, queue, worker) and (exact is None or each.id != exact.id):
            found.append(each)
        if len(found) >= limit or looked >= LOOK:
            return Found(found, looked, total, place if place < total else None)
    return Found(found, looked, total, None)


def _exact(connection: redis.Redis, text: str) -> view.TaskView | None:
    """The task of just that id."""
    found = view.tasks(connection, [text.strip()]) if units.is_name(text.strip()) else []
    return found[0] if found else None


def _from(
    connection: redis.Redis, status: str, queue: str, first: int
) -> Iterator[tuple[int, view.TaskView]]:
    """Tasks from the ``first`` on, each with the place behind it."""
    if status:
        # (Registries of several queues are merged: they are read from their beginnings.)
        most = first + LOOK
        if status == model.Status.QUEUED:
            found = view.queued(connection, queue, most)
        else:
            found = view.in_registry(connection, status, queue, most)
        yield from enumerate(found[first:], first + 1)
        return
    if not first:
        yield from ((0, each) for each in view.tasks(connection, view.unadopted(connection, _PAGE)[:_PAGE]))
    while ids := view.latest_ids(connection, first, first + _PAGE - 1):
        places = {task_id: place for place, task_id in enumerate(ids, first + 1)}
        yield from ((places[each.id], each) for each in view.tasks(connection, ids))
        first += len(ids)


def _has(each: view.TaskView, words: list[str], status: str, queue: str, worker: str) -> bool:
    if status not in ("", each.status) or queue not in ("", each.queue) or worker not in ("", each.worker):
        return False
    if not words:
        return True
    known = "\n".join(
        (each.id, each.title, each.error or "", each.progress or "", each.worker or "")
    ).casefold()
    return all(word in known for word in words)


def _total(connection: redis.Redis, status: str, queue: str) -> int:
    """How many tasks there are to look at (of every queue)."""
    if not status:
        count: Any = connection.zcard("pool:tasks")
        return int(count)
    pipe = connection.pipeline(transaction=False)
    for name in view.queue_names(connection):
        if not queue or model.split_queue(name)[0] == queue:
            if status == model.Status.QUEUED:
                pipe.llen(keys.key("queue", name))
            else:
                pipe.zcard(keys.key(status, name))
    return sum(pipe.execute())
