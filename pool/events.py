"""The pool's streams as people and programs read them: events, and the dead letters."""

from __future__ import annotations

from typing import Any

import redis

from pool import model

EVENTS = "pool:events"
DEAD_LETTERS = "pool:dead-letters"
#: Entries that are read at once, where many are looked at.
_PAGE = 2000


def row(key: bytes, raw: dict[bytes, bytes]) -> dict[str, Any]:
    """An entry: its id, the moment, and its fields."""
    name = key.decode()
    fields = {_text(field): _text(value) for field, value in raw.items()}
    return {"id": name, "at": model.utc(int(name.partition("-")[0]) / 1000), **fields}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def newest(connection: redis.Redis) -> str:
    """Where the stream of events stands: following from there misses nothing."""
    found: Any = connection.xrevrange(EVENTS, count=1)
    return str(found[0][0].decode()) if found else "0-0"


def latest(
    connection: redis.Redis, count: int, stream: str = EVENTS, until: str = "+"
) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    found: Any = connection.xrevrange(stream, max=until, count=count) if count else []
    return [row(*entry) for entry in found]


def after(connection: redis.Redis, last: str, seconds: float) -> list[dict[str, Any]]:
    """The events after ``last``, oldest first; waits for one so long."""
    reply: Any = connection.xread({EVENTS: last}, count=1000, block=max(1, int(seconds * 1000)))
    return [row(*entry) for _, page in reply or [] for entry in page]


def of_task(
    connection: redis.Redis, task_id: str, since: float, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """What happened to a task, oldest first, in the newest ``limit`` events; whether that was all.

    ``since``: seconds since 1970, when it was made. What the monitor saw of sessions is not among it.
    """
    found: list[dict[str, Any]] = []
    first, last, looked = max(0, int(since * 1000) - 1000), "+", 0
    while looked < limit:
        most = min(_PAGE, limit - looked)
        raw: Any = connection.xrevrange(EVENTS, max=last, min=str(first), count=most)
        for key, fields in raw:
            # (Of very many, few are this task's: only those are decoded.)
            if fields.get(b"task") == task_id.encode() and fields.get(b"type") != b"session":
                found.append(row(key, fields))
        looked += len(raw)
        if len(raw) < most:
            return found[::-1], True
        last = f"({raw[-1][0].decode()}"
    return found[::-1], False
