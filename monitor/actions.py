"""`POST /action/...`: what an operator does, as JSON; each is written to the audit log."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitor.errors import Problem
from pool import model, operate, profile
from pool.errors import CoordError

_T = TypeVar("_T")

_MORE: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such task or worker. Nothing was changed."},
    409: {"model": Problem, "description": "Not in its present state. Nothing was changed."},
}
router = APIRouter(prefix="/action", tags=["actions"], responses=_MORE)

Ids = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=1000)
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=500, description="Told to the worker that holds it.")]


class Given(BaseModel):
    """What is sent. Fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


#: What the fields of a task mean, and (for OpenAPI) what their validators take; the others are plain.
_FIELDS: dict[str, dict[str, Any]] = {
    "prompt": {"description": "What the session is to do.", "minLength": 1, "pattern": r"\S"},
    "id": {"description": "Its id; empty: one is made.", "pattern": "^[A-Za-z0-9_-]{0,200}$"},
    "title": {"description": "What lists show of it; empty: the prompt's first line."},
    "context": {"description": "Not here: files are read where one submits.", "maxItems": 0},
    "read": {"description": "Paths that the session is told to read."},
    "cwd": {"description": "Directory to work in, absolute; empty: the worker's own.", "pattern": "^(/|$)"},
    "queue": {"description": "Its queue; empty: the usual one.", "pattern": "^[A-Za-z0-9_.-]{0,200}$"},
    "priority": {"description": "Which of the waiting are claimed first."},
    "retries": {"description": "How often it is tried again.", "minimum": 0, "maximum": 1000},
    "backoff": {"description": "Waits before each retry, in seconds or as `10m`; it needs retries."},
    "timeout": {"description": "It may run for so long: seconds, or `2h`."},
    "run_at": {"description": "Not before: seconds since 1970, or 2026-01-31T12:00Z."},
    "run_in": {"description": "Not before so long has passed: seconds, or `10m`."},
    "after": {"description": "Tasks that must be finished first."},
    "allow_failure": {"description": "With `after`: a failed one will do."},
    "unique": {"description": "Enqueue nothing while a live task has this key.", "maxLength": 4096},
    "check": {"description": "A command that must pass before it is complete.", "maxLength": 4096},
    "finish": {"description": "What ends it: `coord-worker complete`, or a turn's last message."},
    "worktree": {"description": "A git worktree of its own: true, or the commit it begins with."},
    "model": {"description": "The model of its session.", "maxLength": 200},
    "effort": {"description": "How hard it thinks.", "enum": ["", *profile.EFFORTS]},
    "permission_mode": {
        "description": "How it asks for permission.", "enum": ["", *profile.PERMISSION_MODES],
    },
    "allowed_tools": {"description": "Tools that it may use unasked: Edit, Bash(git *).", "maxItems": 100},
    "disallowed_tools": {"description": "Tools that it may not use.", "maxItems": 100},
    "max_turns": {"description": "Turns at most.", "minimum": 1, "maximum": profile.MOST_TURNS},
    "budget": {
        "description": "US dollars at most.", "exclusiveMinimum": 0, "maximum": profile.MOST_USD,
    },
}  # fmt: skip


def _described(schema: dict[str, Any]) -> None:
    for name, more in _FIELDS.items():
        schema["properties"][name].update(more)


class Submit(model.TaskSpec):
    """A task: the fields of a line for `coord submit --from`. Only `prompt` is needed."""

    model_config = ConfigDict(json_schema_extra=_described)

    @field_validator("context")
    @classmethod
    def _none(cls, value: list[str]) -> list[str]:
        if value:
            raise ValueError("files are read where one submits: use `coord submit --context`")
        return value

    @field_validator("cwd")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if value and not os.path.isabs(value):
            raise ValueError("the directory is to be absolute")
        return value


class Submitted(BaseModel):
    """The task that was made, or that was there already."""

    id: str = Field(description="Its id.")
    status: str = Field(
        description="queued, deferred, scheduled, or duplicate (a live task has its unique key)."
    )


class Cancel(Given):
    """Tasks to be cancelled: all of them or none."""

    ids: Ids = Field(description="Tasks that have not ended.")
    reason: Reason = "cancelled by an operator"


class Retry(Given):
    """Tasks to be run again: all of them or none."""

    ids: Ids = Field(description="Failed or cancelled tasks.")


class Requeue(Given):
    """Tasks to be put back into their queue: all of them or none."""

    ids: Ids = Field(description="Running or scheduled tasks.")
    reason: Reason = "requeued by an operator"


class Moved(BaseModel):
    """A task that was moved."""

    id: str = Field(description="Its id.")
    status: str = Field(description="Its state now.")
    was: str = Field(description="Its state before.")
    worker: str | None = Field(description="The worker from which it was taken.")


class MovedTasks(BaseModel):
    """The tasks that were moved."""

    tasks: list[Moved] = Field(description="Each once, in the order in which they were given.")


class Drain(Given):
    """Workers that are to finish their task and stop. Give `workers` or `all`."""

    workers: list[Name] = Field([], max_length=1000, description="Live workers.")
    all: bool = Field(False, description="Every live worker.")
    undo: bool = Field(False, description="Let them go on after all.")


class Drained(BaseModel):
    """A worker that drains, or goes on."""

    id: str = Field(description="The worker.")
    draining: bool = Field(description="Whether it drains.")
    task: str | None = Field(description="The task that it holds.")


class DrainedWorkers(BaseModel):
    """The workers that were told."""

    workers: list[Drained] = Field(description="Each once.")


class Queue(Given):
    """A queue. Give `queue` or `all`."""

    queue: Name | None = Field(None, description="Its name, without a priority.")
    all: bool = Field(False, description="All queues, plain RQ workers included.")


class Paused(BaseModel):
    """A queue that was paused, or goes on."""

    queue: str | None = Field(description="Its name; null: all queues.")
    paused: bool = Field(description="Whether it is paused.")
    changed: bool = Field(description="Whether it was otherwise before.")


class Tell(Given):
    """A message to a session that works."""

    target: Name = Field(description="A live worker, or a task that runs.")
    text: str = Field(min_length=1, max_length=100_000, description="At most `message_limit` bytes.")
    wake: bool = Field(False, description="Wake a waiting session for it, which costs a turn.")


class Sent(BaseModel):
    """A message that was sent."""

    message: str = Field(description="Its id.")
    worker: str = Field(description="Who gets it.")
    task: str | None = Field(description="The task that was named, if one was.")
    state: str = Field(description="The worker's state.")
    holds: str | None = Field(description="The task that it holds.")


@router.post("/submit", summary="Submit a task")
def submit(request: Request, given: Submit) -> Submitted:
    """Enqueue a task."""

    def act(ctx: operate.Context) -> operate.Submitted:
        return operate.submit(ctx.pool, ctx.settings, [given])[0]

    done = _done(request, "submit", given.id or given.title or given.prompt[:80], act,
                 lambda made: f"{made.id} is {made.status}", task=lambda made: made.id)  # fmt: skip
    return Submitted(**vars(done))


@router.post("/cancel", summary="Cancel tasks")
def cancel(request: Request, given: Cancel) -> MovedTasks:
    """Cancel tasks that have not ended. A running one is taken from its worker, which is told."""
    return _moved(request, "cancel", given.ids, lambda ctx: operate.cancel(ctx, given.ids, given.reason))


@router.post("/retry", summary="Retry tasks")
def retry(request: Request, given: Retry) -> MovedTasks:
    """Run failed or cancelled tasks again, with fresh budgets."""
    return _moved(request, "retry", given.ids, lambda ctx: operate.retry(ctx, given.ids))


@router.post("/requeue", summary="Requeue tasks")
def requeue(request: Request, given: Requeue) -> MovedTasks:
    """Put running or scheduled tasks back into their queue; nothing is counted as a failure or a loss."""
    return _moved(request, "requeue", given.ids, lambda ctx: operate.requeue(ctx, given.ids, given.reason))


@router.post("/drain", summary="Drain workers")
def drain(request: Request, given: Drain) -> DrainedWorkers:
    """Let workers finish their task and stop."""

    def act(ctx: operate.Context) -> list[operate.Tuned]:
        return operate.drain(ctx, given.workers, given.all, given.undo)

    what = "drain, undone" if given.undo else "drain"
    done = _done(request, what, "all workers" if given.all else " ".join(given.workers), act,
                 lambda found: f"{len(found)} workers",
                 worker=lambda found: _only([each.id for each in found]))  # fmt: skip
    return DrainedWorkers(workers=[Drained(**vars(each), draining=not given.undo) for each in done])


@router.post("/pause", summary="Pause a queue")
def pause(request: Request, given: Queue) -> Paused:
    """Hand out no more tasks of a queue, or of any. Running ones go on."""
    return _paused(request, "pause", given, operate.pause)


@router.post("/resume", summary="Resume a queue")
def resume(request: Request, given: Queue) -> Paused:
    """Hand out tasks again. With `all`, each queue that was paused by its name stays so."""
    return _paused(request, "resume", given, operate.resume)


@router.post("/tell", summary="Tell a session something")
def tell(request: Request, given: Tell) -> Sent:
    """Send a message, which a session has with its next tool call. The audit log says nothing of its text."""

    def act(ctx: operate.Context) -> operate.Sent:
        return operate.tell(ctx, given.target, given.text, given.wake)

    done = _done(request, "tell", given.target, act, lambda sent: f"message {sent.message} to {sent.worker}",
                 task=lambda sent: sent.task or "", worker=lambda sent: sent.worker)  # fmt: skip
    return Sent(**vars(done))


def _moved(
    request: Request, what: str, ids: list[str], act: Callable[[operate.Context], list[operate.Moved]]
) -> MovedTasks:
    done = _done(request, what, " ".join(ids), act,
                 lambda rows: ", ".join(f"{row.id} is {row.status}, was {row.was}" for row in rows),
                 task=lambda rows: _only([row.id for row in rows]))  # fmt: skip
    return MovedTasks(tasks=[Moved(**vars(row)) for row in done])


def _paused(request: Request, what: str, given: Queue, act: Callable[..., operate.Paused]) -> Paused:
    done = _done(request, what, "all queues" if given.all else given.queue or "",
                 lambda ctx: act(ctx, given.queue, given.all),
                 lambda done: "done" if done.changed else "as before",
                 queue=lambda done: done.queue or "")  # fmt: skip
    return Paused(**vars(done))


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _done(
    request: Request, what: str, target: str, act: Callable[[operate.Context], _T], said: Callable[[_T], str],
    **about: Callable[[_T], str],
) -> _T:  # fmt: skip
    """Do it, and write it down, whatever came of it."""
    monitor, caller = request.app.state.monitor, request.scope["caller"]
    ctx = operate.Context(monitor.settings, monitor.redis)
    try:
        found = act(ctx)
    except CoordError as error:
        monitor.audit.did(caller, what, target, f"refused: {error}")
        raise
    monitor.audit.did(caller, what, target, said(found), **{name: of(found) for name, of in about.items()})
    return found
