"""Looks for what should not exist; sweep.lua judges each candidate again before it mends it."""

from __future__ import annotations

from typing import Any

import redis

from pool import keys, model, scripts, view

_PAGE = 1000
#: Candidates whose list must be searched, at most, per round: LPOS costs what the backlog is long.
_SEARCHES = 20
#: The words by which RQ says that it could not read a job (a worker with another serializer).
_UNREADABLE = ("DeserializationError", "UnpicklingError")
#: So many of a queue's newest failures are looked at for those words.
_NEWEST = 50


class Sweeper:
    """Walks over all tasks page by page, a page a round."""

    def __init__(self, connection: redis.Redis, pool: scripts.Pool) -> None:
        self.connection = connection
        self.pool = pool
        self._cursor = 0

    def round(self, leader: str) -> list[str]:
        """One round; the tasks that were mended."""
        mended = self._started(leader)
        mended += self._unreadable()
        ids = view.latest_ids(self.connection, self._cursor, self._cursor + _PAGE - 1)
        self._cursor = self._cursor + _PAGE if len(ids) == _PAGE else 0
        if not ids:
            return mended
        pipe = self.connection.pipeline(transaction=False)
        for task_id in ids:
            pipe.hmget(keys.key("job", task_id), ["status", "origin", "enqueued_at"])
        unlisted: list[str] = []
        deferred: list[str] = []
        forgotten: list[str] = []
        heads: dict[str, str] = {}
        for task_id, (status, origin, enqueued) in zip(ids, pipe.execute(), strict=True):
            if status is None:
                forgotten.append(task_id)
            elif status == b"deferred":
                deferred.append(task_id)
            elif status == b"queued" and (enqueued or b"").decode() <= self._head(origin.decode(), heads):
                # RQ's LPOP takes from the head: what it lost was enqueued before what is there now.
                unlisted.append(task_id)
        mended += self.pool.sweep(leader, "forgotten", forgotten)
        mended += self.pool.sweep(leader, "deferred", deferred)
        return mended + self.pool.sweep(leader, "unlisted", unlisted[-_SEARCHES:])

    def _head(self, queue: str, heads: dict[str, str]) -> str:
        """When the head of a queue was enqueued; later than any when it is empty."""
        if queue not in heads:
            head: Any = self.connection.lindex(keys.key("queue", queue), 0)
            at: Any = self.connection.hget(keys.key("job", head.decode()), "enqueued_at") if head else None
            heads[queue] = at.decode() if at else "9999"
        return heads[queue]

    def _started(self, leader: str) -> list[str]:
        """Runs without a lease, and what is no run any more (its token is not the task's)."""
        pairs: list[str] = []
        for queue in view.queue_names(self.connection):
            raws: Any = self.connection.zrange(keys.key("started", queue), 0, _PAGE - 1)
            members = [raw.decode() for raw in raws]
            pipe = self.connection.pipeline(transaction=False)
            for member in members:
                task_id = member.partition(":")[0]
                pipe.hmget(keys.key("job", task_id), ["status", "pool_token"])
                pipe.zscore("pool:leases", task_id)
            found = pipe.execute()
            for member, (status, token), lease in zip(members, found[::2], found[1::2], strict=True):
                current = status == b"started" and token == member.partition(":")[2].encode()
                if not current or lease is None:
                    pairs += [queue, member]
        return self.pool.sweep(leader, "unleased", pairs)

    def _unreadable(self) -> list[str]:
        """Tasks that a plain `rq worker` without our serializer has failed unread."""
        undone: list[str] = []
        for queue in view.queue_names(self.connection):
            found: Any = self.connection.zrevrange(keys.key("failed", queue), 0, _NEWEST - 1)
            oldest_first = [raw.decode() for raw in reversed(found)]  # parents before their children
            for each in view.tasks(self.connection, oldest_first):
                if each.status == model.Status.FAILED and any(
                    word in (each.error or "") for word in _UNREADABLE
                ):
                    who = each.worker or "a plain rq worker"
                    remedy = f"{who} cannot read tasks: start it with -S rq.serializers.JSONSerializer"
                    if self.pool.undo(each.id, remedy):  # it looks whether the task is ours
                        undone.append(each.id)
        return undone
