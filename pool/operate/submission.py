"""Submitting: one task or a whole file of them, all or none."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from pool import clock, keys, model, scripts
from pool.errors import CoordError, TaskExists, UnknownDependency, UsageError
from pool.model import TaskSpec
from pool.settings import Settings

#: More records than this are staged in chunks (with a progress bar) and enqueued by one script.
DIRECT = 100
_CHUNK = 500
_NOTHING = "nothing was submitted"
#: What an interrupted upload leaves behind goes away by itself (seconds).
_STAGED_TTL = 600
_EXPIRED = "the upload took too long and has expired; nothing was submitted: try again"


@dataclass(frozen=True)
class Submitted:
    """What became of one description: ``status`` is the task's, or `duplicate` (the id is the other's)."""

    id: str
    status: str


def submit(
    pool: scripts.Pool,
    settings: Settings,
    specs: Sequence[TaskSpec],
    cwd: str = "",
    where: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> list[Submitted]:
    """Enqueue tasks: all of them or none. ``where`` names each for error messages (``line 3``).

    Raises:
        UsageError: A bound is hit; nothing was enqueued.
        TaskExists: An id is taken; nothing was enqueued.
        UnknownDependency: A parent does not exist; nothing was enqueued.
    """
    if len(specs) > settings.batch_limit:
        raise UsageError(f"{len(specs):,} tasks, the limit is {settings.batch_limit:,} (setting batch_limit)")
    now, upload = clock.wall(), uuid.uuid4().hex
    ids: list[str] = []
    records: list[bytes] = []
    for index, spec in enumerate(specs):
        try:
            task_id, record = model.record(spec, settings, now, cwd, upload)
        except UsageError as error:
            raise UsageError(f"{where[index]}: {error}; {_NOTHING}" if where else str(error)) from None
        ids.append(task_id)
        records.append(record)
    if len(records) <= DIRECT:
        reply = pool.submit(records)
    else:
        reply = pool.submit([], staged=_stage(pool, upload, records, progress))
    if reply[0] in ("exists", "expired"):
        # redis-py sends a command again when its reply was lost: it may be this very call that made them.
        made = _made_by(pool, upload, ids)
        if made:
            return made
    if reply[0] != "ok":
        _refuse(reply, where)
    return [Submitted(*pair) for pair in zip(reply[1::2], reply[2::2], strict=True)]


def _stage(
    pool: scripts.Pool, upload: str, records: Sequence[bytes], progress: Callable[[int], None] | None
) -> str:
    """Upload the records to a list of their own; nothing is enqueued by that."""
    key = f"pool:staged:{upload}"
    for first in range(0, len(records), _CHUNK):
        chunk = records[first : first + _CHUNK]
        if not pool.stage(key, _STAGED_TTL, first, chunk):
            raise CoordError(_EXPIRED)
        if progress is not None:
            progress(len(chunk))
    return key


def _made_by(pool: scripts.Pool, upload: str, ids: Sequence[str]) -> list[Submitted]:
    """The tasks of these ids, if it was this upload that made them: all were, or none."""
    ask = pool.connection.execute_command
    found = [ask("HMGET", keys.key("job", task_id), "pool_upload", "status") for task_id in ids]
    if not any(mark == upload.encode() for mark, _ in found):
        return []
    # One that is missing was there already, under the id of the task that holds its unique key.
    return [
        Submitted(task_id, status.decode() if mark == upload.encode() else "duplicate")
        for task_id, (mark, status) in zip(ids, found, strict=True)
    ]


def _refuse(reply: Sequence[str], where: Sequence[str]) -> None:
    index = int(reply[1]) - 1
    prefix = f"{where[index]}: " if where and index >= 0 else ""
    if reply[0] == "exists":
        raise TaskExists(f"{prefix}a task with the id {reply[2]!r} exists already; {_NOTHING}")
    if reply[0] == "nodep":
        which = "is no task, nor an earlier line" if where else "is no task"
        raise UnknownDependency(f"{prefix}it comes after {reply[2]!r}, which {which}; {_NOTHING}")
    raise CoordError(_EXPIRED)


def read_jsonl(path: str, lines: Iterable[str], limit: int) -> tuple[list[TaskSpec], list[str]]:
    """The tasks of a file of JSON lines, and a name for each (``FILE line 3``). Blank lines are skipped.

    Paths in it are relative to the current directory.

    Raises:
        UsageError: A line is not a task (the message names it), or there are too many. Nothing is read
            further.
    """
    specs: list[TaskSpec] = []
    where: list[str] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = f"{path} line {number}"
        try:
            spec = _parse_line(line)
        except UsageError as error:
            raise UsageError(f"{name}: {error}; {_NOTHING}") from None
        first = lines_of.setdefault(spec.id, number) if spec.id else number
        if first != number:
            raise UsageError(f"{name}: line {first} has the id {spec.id!r} already; {_NOTHING}")
        if len(specs) == limit:
            raise UsageError(f"{name}: more than {limit:,} tasks (setting batch_limit); {_NOTHING}")
        specs.append(spec)
        where.append(name)
    if not specs:
        raise UsageError(f"{path}: there is no task in it")
    return specs, where


def _parse_line(line: str) -> TaskSpec:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError):
        raise UsageError("nested too deeply, or a number of too many digits") from None
    if not isinstance(fields, dict):
        raise UsageError("a task is a JSON object")
    if "file" in fields and "prompt" in fields:
        raise UsageError("give one of 'prompt' and 'file', not both")
    if isinstance(fields.get("file"), str):
        fields["prompt"] = read_prompt(str(fields.pop("file")))
    if isinstance(fields.get("cwd"), str) and fields["cwd"]:
        fields["cwd"] = os.path.abspath(fields["cwd"])
    return model.parse_spec(fields)


def read_prompt(path: str) -> str:
    """A prompt from a file.

    Raises:
        UsageError: It cannot be read, or is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"{path} is not text (UTF-8)") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def unserved(connection: redis.Redis, queues: Iterable[str]) -> list[str]:
    """Those of the queues that no live worker serves, nor a supervisor, nor a plain RQ worker."""
    missing = []
    for queue in sorted(set(queues)):
        names = [keys.key("workers_of", model.rq_queue(queue, priority)) for priority in model.Priority]
        if not connection.exists(f"pool:ready:{queue}", *names):
            missing.append(queue)
    return missing


def unoffered(connection: redis.Redis, settings: Settings, specs: Iterable[TaskSpec]) -> list[str]:
    """What these tasks need (`check`, `bypass`, `profile`) and nobody who serves their queues offers."""
    wanted = {(token, spec.queue or settings.queue) for spec in specs for token in spec.needs()}
    if not wanted:
        return []
    live: Any = connection.zrange("pool:workers", 0, -1)
    pipe = connection.pipeline(transaction=False)
    for raw in live:
        pipe.hmget(f"pool:worker:{raw.decode()}", ["offers", "queues"])
    there = [[(value or b"").decode() for value in values] for values in pipe.execute()]
    missing = set()
    for token, queue in wanted:
        kind = token.partition(":")[0]
        offered = any(token in offers.split() and queue in queues.split(",") for offers, queues in there)
        if not offered and not connection.exists(f"pool:ready:{queue}:{kind}"):
            missing.add(kind)
    return sorted(missing)
