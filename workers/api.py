"""coord-worker as Python functions. Each call is one worker's; ``worker_id`` says which."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from pool import compiled, jsonlite, scripts, wire, worktree
from pool.claim import Caller, Claim
from pool.errors import CheckFailed, NotRegistered, StaleClaim, UsageError
from workers import desks, identity


@cache
def _context(path: str = "") -> tuple[compiled.Compiled, scripts.Pool]:
    settings = compiled.load(path)
    return settings, scripts.Pool(wire.Connection(settings.url), settings.values, settings.templates)


def _attend(worker_id: str) -> tuple[scripts.Pool, Caller]:
    settings, pool = _context()
    me = identity.whoami(settings, worker_id)
    return pool, identity.attend(settings, pool, me)


def claim_task(worker_id: str) -> dict[str, Any] | None:
    """The worker's next task, or None: ``id``, ``claim`` (TASK.TOKEN), ``attempt`` and the task's fields.

    A worker that holds a task gets that one again.

    Raises:
        NotRegistered: The registration ended.
        RedisAway: Redis cannot be reached.
    """
    settings, _ = _context()
    pool, caller = _attend(worker_id)
    while True:
        look = pool.claim(caller)
        if look.verdict == "gone":
            raise NotRegistered
        handed = look.handed
        if handed is None:
            return None
        fields = worktree.fields(pool, settings.values, caller, handed, "", os.getcwd())
        if fields is not None:  # else its git worktree cannot be made: it has failed, or is handed back
            break
    if handed.provisional:
        pool.confirm(caller, handed.claim)
    claim = handed.claim
    return {"id": claim.task_id, "claim": str(claim), "attempt": handed.attempts, **fields}


def complete_task(task_id: str, worker_id: str, result: Any = None) -> bool:
    """Commit a result (anything JSON can hold); False if it was committed already.

    ``task_id`` may be a bare id or the claim, TASK.TOKEN.

    Raises:
        StaleClaim: The task is not this worker's any more: drop it.
        UsageError: The result is no JSON, or too large.
        CheckFailed: The task's check did not pass; the message has the end of its output.
        RedisAway: Redis cannot be reached.
    """
    settings, _ = _context()
    pool, caller = _attend(worker_id)
    try:
        text = jsonlite.dumps(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the result cannot be kept: {error}") from None
    if len(text.encode()) > settings["result_limit"]:
        limit = f"the limit is {settings['result_limit']:,} (setting result_limit)"
        raise UsageError(f"the result has {len(text.encode()):,} bytes, {limit}")
    desk = desks.of(settings, pool, identity.Identity(caller, identity.whoami(settings, worker_id).session))
    settled = desk.settle(Claim.parse(task_id), text)
    if settled.verdict in ("again", "failed"):
        raise CheckFailed(settled.text)
    return settled.verdict == "done"


def fail_task(task_id: str, worker_id: str, error: str, retry: bool = True) -> str:
    """Report a failure: ``queued`` or ``scheduled`` (it is tried again), ``failed`` or ``already``.

    Raises:
        StaleClaim: The task is not this worker's any more.
        RedisAway: Redis cannot be reached.
    """
    pool, caller = _attend(worker_id)
    return pool.fail(caller, Claim.parse(task_id), error, retry)[0]


def heartbeat(worker_id: str, task_id: str = "") -> bool:
    """Say that the worker lives.

    Raises:
        StaleClaim: The task was taken away.
        RedisAway: Redis cannot be reached.
    """
    pool, caller = _attend(worker_id)
    answer = pool.beat(caller, Claim.parse(task_id) if task_id else None)
    if answer.verdict == "lost":
        lost = answer.claim.task_id if answer.claim else ""
        raise StaleClaim(f"task {lost} is not yours any more ({answer.why}): drop it, and go on")
    return answer.verdict == "ok"


def should_worker_continue(worker_id: str, max_idle_minutes: float = 10) -> tuple[bool, str]:
    """Whether a worker should go on waiting, and why: it holds a task, or its idle clock still runs.

    The clock counts from the last claim, completion or registration; asking does not reset it.

    Raises:
        RedisAway: Redis cannot be reached.
    """
    pool, caller = _attend(worker_id)
    answer = pool.beat(caller)
    if answer.verdict == "lost":
        answer = pool.beat(caller)  # a loss is told once; what matters here is how it stands now
    if answer.verdict == "gone":
        return False, f"not registered any more ({answer.state})"
    if answer.claim is not None:
        return True, f"working on {answer.claim.task_id}"
    values = pool.connection.execute_command("HMGET", f"pool:worker:{worker_id}", "draining", "idle_limit")
    if values[0]:
        return False, "draining"
    idle = float(values[1] or 0) - answer.idle_left
    left = max_idle_minutes * 60 - idle
    if left > 0:
        return True, f"waiting for tasks ({max(1, round(left / 60))} min idle remaining)"
    return False, f"idle for {round(idle / 60)} min"
