"""Tasks as they stand, each as a line of pool.archive: what is read of one task is of one moment."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import redis

from pool import archive, evidence, keys, model, payload

#: Tasks read in one transaction. (A result may have a megabyte; Redis holds such a reply in memory.)
PAGE = 25

#: What a task that ran when it was exported says of its last attempt.
_RAN = "it ran on {} when it was exported"


class NotExported(ValueError):
    """The job cannot be exported; the message says why."""


def statuses(connection: redis.Redis, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Status and RQ queue of each, both '' for a job that is not there."""
    pipe = connection.pipeline(transaction=False)
    for task_id in ids:
        pipe.hmget(keys.key("job", task_id), ["status", "origin"])
    return [(_loose(status), _loose(origin)) for status, origin in pipe.execute()]


def lines(
    connection: redis.Redis, ids: Sequence[str], queues: Sequence[str]
) -> list[dict[str, Any] | NotExported]:
    """A line for each task that is still there (a run as a queued task; ``ran`` tells), or why there is none.

    ``queues`` are their RQ queues (a task never moves to another).
    """
    pipe = connection.pipeline(transaction=True)
    for task_id, queue in zip(ids, queues, strict=True):
        pipe.hgetall(keys.key("job", task_id))
        pipe.pttl(keys.key("job", task_id))
        pipe.smembers(keys.key("dependencies", task_id))
        pipe.xrange(keys.key("results", task_id))
        pipe.zscore("pool:tasks", task_id)
        pipe.zscore(keys.key("scheduled", queue), task_id)
        pipe.zscore(keys.key("canceled", queue), task_id)
    replies = pipe.execute()
    found: list[dict[str, Any] | NotExported] = []
    for place, task_id in enumerate(ids):
        raw, ttl, parents, results, made, due, canceled = replies[place * 7 : place * 7 + 7]
        if not raw.get(b"status"):
            continue
        try:
            line = _line(task_id, raw, ttl, made)
            line["parents"] = sorted(_strict(parent) for parent in parents)
            line["results"] = [[_strict(name), _pairs(fields)] for name, fields in results]
        except (payload.NotATask, UnicodeDecodeError) as error:
            found.append(NotExported(f"{task_id}: {error}"))
            continue
        at = {"scheduled": due, "canceled": canceled}.get(line["status"], _not_before(line))
        if at is not None:
            line["at"] = at
        if line["status"] == model.Status.FINISHED:  # and so they change no more
            files: Any = connection.hgetall(f"pool:artifacts:{task_id}")
            line["artifacts"] = {
                _loose(name): base64.b64encode(data).decode() for name, data in files.items()
            }
        if line["status"] in (model.Status.FINISHED, model.Status.FAILED):
            shown: Any = connection.hgetall(evidence.key(task_id))
            line["evidence"] = {_loose(name): _loose(text) for name, text in shown.items()}
        found.append({name: value for name, value in line.items() if value not in ([], {})})
    _leave_gone_parents(connection, [each for each in found if isinstance(each, dict)])
    return found


def _leave_gone_parents(connection: redis.Redis, lines: Sequence[dict[str, Any]]) -> None:
    """Who waits for a task that is gone waits for it no more, as the sweep would see."""
    waiting = [line for line in lines if line["status"] == model.Status.DEFERRED]
    pipe = connection.pipeline(transaction=False)
    for line in waiting:
        for parent in line.get("parents", []):
            pipe.exists(keys.key("job", parent))
    replies = iter(pipe.execute())
    for line in waiting:
        line["parents"] = [parent for parent in line.get("parents", []) if next(replies)]
        if not line["parents"]:
            line["status"] = (model.Status.SCHEDULED if "at" in line else model.Status.QUEUED).value


def _line(task_id: str, raw: dict[bytes, bytes], ttl: int, made: float | None) -> dict[str, Any]:
    status = _strict(raw[b"status"])
    fields = {_strict(name): value for name, value in raw.items()}
    moved = {name: _strict(value) for name, value in fields.items() if name in archive.FIELDS}
    line: dict[str, Any] = {
        "version": archive.VERSION, "id": task_id, "status": status,
        "queue": _strict(raw.get(b"origin", b"")),
        "task": payload.decode(raw.get(b"data", b"")), "made": _made(made, moved), "fields": moved,
    }  # fmt: skip
    if status == "stopped":
        line["status"] = model.Status.FAILED.value  # RQ's word for a run that a plain worker was told to stop
    elif status == model.Status.STARTED:
        line["status"] = model.Status.QUEUED.value
        line["ran"] = _loose(raw.get(b"worker_name")) or "a worker"
        moved["pool_error"] = _RAN.format(line["ran"])
    # An empty text stands for nothing, but where RQ writes it itself.
    line["fields"] = {
        name: value for name, value in moved.items() if value or name.endswith(("_at", "_name"))
    }
    if line["status"] in (model.Status.FINISHED, model.Status.FAILED) and ttl >= 0:
        line["ttl"] = max(ttl / 1000, 1.0)
    return line


def _made(score: float | None, fields: dict[str, str]) -> float:
    """When a task was made; one that no worker has looked at yet is not listed by that."""
    try:
        return datetime.fromisoformat(fields["created_at"]).timestamp() if score is None else score
    except (KeyError, ValueError):
        return 0.0


def _not_before(line: dict[str, Any]) -> float | None:
    try:
        return float(line["fields"]["pool_not_before"])
    except (KeyError, ValueError):
        return None


def _pairs(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {_strict(name): _strict(value) for name, value in raw.items()}


def _strict(raw: bytes) -> str:
    return raw.decode()


def _loose(raw: bytes | None) -> str:
    return raw.decode("utf-8", "replace") if raw else ""
