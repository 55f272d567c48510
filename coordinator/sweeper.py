"""Looks for what should not exist; sweep.lua judges each candidate again before it mends it."""

from __future__ import annotations

import redis

from pool import keys, model, scripts, view

_PAGE = 1000
#: Candidates whose list must be searched, at most, per round: LPOS costs what the backlog is long.
_SEARCHES = 20
#: The words by which RQ says that it could not read a job (a worker with another serializer).
_UNREADABLE = ("DeserializationError", "UnpicklingError")


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
            head = self.connection.lindex(keys.key("queue", queue), 0)
            at = self.connection.hget(keys.key("job", head.decode()), "enqueued_at") if head else None
            heads[queue] = at.decode() if at else "9999"
        return heads[queue]

    def _started(self, leader: str) -> list[str]:
        pairs: list[str] = []
        for queue in view.queue_names(self.connection):
            for raw in self.connection.zrange(keys.key("started", queue), 0, _PAGE - 1):
                member = raw.decode()
                if self.connection.zscore("pool:leases", member.partition(":")[0]) is None:
                    pairs += [queue, member]
        return self.pool.sweep(leader, "unleased", pairs)

    def _unreadable(self) -> list[str]:
        """Tasks that a plain `rq worker` without our serializer has failed unread."""
        undone: list[str] = []
        for queue in view.queue_names(self.connection):
            for raw in self.connection.zrevrange(keys.key("failed", queue), 0, 49):
                task_id = raw.decode()
                kind = self.connection.hget(keys.key("job", task_id), "pool_kind")
                if kind != b"task":
                    continue
                found = view.tasks(self.connection, [task_id])
                if found and found[0].status == model.Status.FAILED and any(w in (found[0].error or "") for w in _UNREADABLE):
                    who = found[0].worker or "a plain rq worker"
                    if self.pool.undo(task_id, f"{who} cannot read tasks: start it with -S rq.serializers.JSONSerializer"):
                        undone.append(task_id)
        return undone
