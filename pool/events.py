"""The pool's streams as people and programs read them: events, and the dead letters."""

from __future__ import annotations

from typing import Any

import redis

from pool import model

EVENTS = "pool:events"
DEAD_LETTERS = "pool:dead-letters"


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
