"""What tests with real sessions ask about the pool: hooks in place, workers, tasks, processes."""

from __future__ import annotations

from typing import Any

import redis

from tests.client.client import Home
from tests.session import eventually

#: What the client says when it ends a turn by force.
CAP_WORDS = "A hook blocked the turn from ending"


def install(home: Home, *options: str, scope: str = "user") -> None:
    """`coord hooks install` in this home."""
    home.run("coord", "hooks", "install", "--scope", scope, *options)


def state(conn: redis.Redis, worker: str) -> str:
    """A worker's state ('' unknown)."""
    found = conn.hget(f"pool:worker:{worker}", "state")
    return found.decode() if isinstance(found, bytes) else ""


def field(conn: redis.Redis, worker: str, name: str) -> str:
    found = conn.hget(f"pool:worker:{worker}", name)
    return found.decode() if isinstance(found, bytes) else ""


def until(conn: redis.Redis, worker: str, *states: str, seconds: float = 30.0) -> str:
    """Wait until a worker is in one of these states."""

    def look() -> str:
        now = state(conn, worker)
        return now if now in states else ""

    found: str = eventually(look, seconds, f"{worker} in {states}, not {state(conn, worker)!r}")
    return found


def status(conn: redis.Redis, task: str) -> str:
    """A task's status ('' unknown)."""
    found = conn.hget(f"rq:job:{task}", "status")
    return found.decode() if isinstance(found, bytes) else ""


def job(conn: redis.Redis, task: str, name: str) -> str:
    found = conn.hget(f"rq:job:{task}", name)
    return found.decode() if isinstance(found, bytes) else ""


def finished(conn: redis.Redis, *tasks: str, seconds: float = 60.0) -> None:
    """Wait until these tasks are finished."""
    eventually(
        lambda: all(status(conn, each) == "finished" for each in tasks),
        seconds,
        f"finished: {tasks}",
    )


def events(conn: redis.Redis, kind: str, task: str = "") -> int:
    """How often an event was written (of a task)."""
    found: list[Any] = conn.xrange("pool:events") or []
    rows = [fields for _, fields in found]
    return sum(row[b"type"].decode() == kind and task in ("", row[b"task"].decode()) for row in rows)


def complaints(home: Home) -> str:
    """What the hooks have written into their logs: what went wrong."""
    return "".join(path.read_text() for path in home.folder.parent.rglob("hooks.log"))
