"""Moving tasks: cancel, retry, requeue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from pool import keys, model, view
from pool.errors import UnknownTask, WrongState
from pool.operate.context import Context


@dataclass(frozen=True)
class Moved:
    """A task's state now and before, and the worker from which it was taken."""

    id: str
    status: str
    was: str
    worker: str | None


def cancel(ctx: Context, ids: Sequence[str], reason: str = "cancelled by an operator") -> list[Moved]:
    """Take tasks that have not ended from the pool; a worker that holds one is told the reason.

    Raises:
        UsageError: One cannot be cancelled; nothing was changed.
    """
    return _move(ctx, ids, "cancelled", lambda task_id: ctx.pool.cancel(task_id, reason))


def retry(ctx: Context, ids: Sequence[str], reason: str = "retried by an operator") -> list[Moved]:
    """Run failed or cancelled tasks again, with fresh budgets.

    Raises:
        UsageError: One cannot be retried; nothing was changed.
    """
    return _move(ctx, ids, "retried", lambda task_id: ctx.pool.requeue(task_id, "retry", reason))


def requeue(ctx: Context, ids: Sequence[str], reason: str = "requeued by an operator") -> list[Moved]:
    """Put running or scheduled tasks back into their queue; a worker that holds one is told the reason.

    Raises:
        UsageError: One cannot be requeued; nothing was changed.
    """
    return _move(ctx, ids, "requeued", lambda task_id: ctx.pool.requeue(task_id, "requeue", reason))


def left_behind(connection: redis.Redis, ids: Sequence[str]) -> list[str]:
    """The tasks that wait for one of these, and are not among them."""
    children: set[str] = set()
    for task_id in ids:
        raw: Any = connection.smembers(keys.key("dependents", task_id))
        children |= {child.decode() for child in raw}
    found = view.tasks(connection, sorted(children - set(ids)))
    return [each.id for each in found if each.status == model.Status.DEFERRED]


#: From which states a task can be moved.
_FROM = {
    "cancelled": ("queued", "deferred", "scheduled", "started"),
    "retried": ("failed", "canceled"),
    "requeued": ("started", "scheduled"),
}
#: What is to be said of a task that is in another.
_INSTEAD = {
    "queued": "it waits for a worker",
    "deferred": "it waits for other tasks",
    "scheduled": "it waits for its time (`coord requeue` ends that)",
    "started": "it runs (`coord requeue` takes it back)",
    "finished": "submit it anew",
    "failed": "`coord retry` runs it again",
    "canceled": "`coord retry` runs it again",
}


def _move(ctx: Context, ids: Sequence[str], verb: str, act: Callable[[str], list[str]]) -> list[Moved]:
    """Move tasks, each once, after a look whether all of them can be.

    Raises:
        UsageError: One cannot; nothing was changed. Or one could not be any more, after the look.
    """
    wanted = list(dict.fromkeys(ids))
    states = {each.id: each.status for each in view.tasks(ctx.connection, wanted)}
    for task_id in wanted:
        _check(task_id, states.get(task_id, ""), verb, "nothing was changed")
    rows: list[Moved] = []
    for task_id in wanted:
        reply = act(task_id)
        if reply[0] == "no":
            moved = f"{len(rows)} others were {verb}" if rows else "nothing was changed"
            if reply[1].startswith("unique:"):
                raise WrongState(f"task {task_id}: {reply[1][7:]} has its unique key now; {moved}")
            if reply[1] == "started":
                raise WrongState(
                    f"task {task_id} runs in a plain rq worker, which coord cannot stop; {moved}"
                )
            _check(task_id, reply[1], verb, moved)
        taken_from = reply[2] if reply[1] == model.Status.STARTED else ""
        rows.append(Moved(task_id, reply[0], reply[1], taken_from or None))
    return rows


def _check(task_id: str, status: str, verb: str, moved: str) -> None:
    if not status:
        raise UnknownTask(
            f"there is no task {task_id!r} (it may have expired): `coord tasks` lists them; {moved}"
        )
    if status not in _FROM[verb]:
        raise WrongState(
            f"task {task_id} is {status} and cannot be {verb}: {_INSTEAD.get(status, '')}; {moved}"
        )
