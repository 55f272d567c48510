"""The tools of whoever looks after the pool: submit, look, cancel, tell."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from mcp.types import CallToolResult
from pydantic import BaseModel, ConfigDict, Field

from coordinator.commands import common, description
from coordinator.mcp import serve
from pool import listing, model, operate, view

INSTRUCTIONS = (
    "A pool of Claude Code sessions fed from Redis. submit enqueues a task, which a session does; task "
    "and result show what became of it, tasks and workers what there is; cancel takes a task from the pool; "
    "tell sends a message to the session that works on one."
)


class Submitted(BaseModel):
    """A task that was enqueued."""

    id: str
    status: str = Field(
        description="queued, deferred, scheduled, or duplicate (a live task has its unique key)."
    )


class Task(BaseModel):
    """A task as it stands."""

    model_config = ConfigDict(extra="allow")
    id: str
    title: str
    status: str
    queue: str
    priority: str
    worker: str | None
    attempts: int
    error: str | None
    progress: str | None


class Tasks(BaseModel):
    """Tasks, the newest first."""

    tasks: list[Task]


class Worker(BaseModel):
    """A worker session as it stands."""

    id: str
    state: str
    evidence: str
    task: str | None
    title: str | None
    last_heartbeat: float = Field(description="Seconds ago.")
    idle_left: float | None
    queues: list[str]
    messages: int = Field(description="Messages of an operator's that it has not read yet.")


class Workers(BaseModel):
    """The live workers."""

    workers: list[Worker]


class Result(BaseModel):
    """A task's result, if it has one."""

    id: str
    status: str
    result: Any
    error: str | None
    artifacts: list[str]


class Canceled(BaseModel):
    """A task that was taken from the pool."""

    id: str
    status: str
    was: str
    worker: str | None = Field(description="The worker that held it, and is told.")


class Sent(BaseModel):
    """A message that was sent."""

    message: str
    worker: str
    task: str | None
    state: str
    holds: str | None


def tools(server: serve.Server) -> None:
    """Give a server the tools of an operator."""

    @server.tool(name="submit", **serve.changes("Submit a task"))
    async def submit(
        prompt: Annotated[str, Field(description="What the session is to do, with all that it must know.")],
        title: str = "",
        id: Annotated[str, Field(description="Its id; empty: one is made.")] = "",
        queue: str = "",
        priority: Literal["high", "normal", "low"] = "normal",
        cwd: Annotated[str, Field(description="Directory to work in; empty: the server's own.")] = "",
        after: Annotated[list[str], Field(description="Tasks that must be finished first.")] = [],  # noqa: B006
        retries: Annotated[int, Field(ge=0)] = 0,
        timeout: Annotated[str, Field(description="It may run for so long: 90s, 10m, 2h.")] = "",
        unique: Annotated[str, Field(description="Enqueue nothing while a live task has this key.")] = "",
        check: Annotated[str, Field(description="A command that must pass before it is complete.")] = "",
        finish: Annotated[
            Literal["command", "message"],
            Field(description="What ends it: coord-worker complete, or a turn's last message."),
        ] = "command",
        worktree: Annotated[
            bool | str, Field(description="A git worktree of its own: true, or the commit it begins with.")
        ] = False,
        read: Annotated[list[str], Field(description="Paths that the session is told to read.")] = [],  # noqa: B006
        backoff: Annotated[list[str], Field(description="Waits before each retry: 10s, 1m.")] = [],  # noqa: B006
        run_at: Annotated[str, Field(description="Not before: 2026-01-31T12:00, or ...Z.")] = "",
        run_in: Annotated[str, Field(description="Not before so long has passed: 10m.")] = "",
        allow_failure: Annotated[bool, Field(description="With after: a failed task will do.")] = False,
        model: Annotated[str, Field(description="The model of its session.")] = "",
        effort: Literal["", "low", "medium", "high", "xhigh", "max"] = "",
        permission_mode: Annotated[str, Field(description="The client's word for how it asks.")] = "",
        allowed_tools: list[str] = [],  # noqa: B006
        disallowed_tools: list[str] = [],  # noqa: B006
        max_turns: Annotated[int | None, Field(ge=1)] = None,
        budget: Annotated[float | None, Field(gt=0, description="US dollars, at most.")] = None,
    ) -> Annotated[CallToolResult, Submitted]:
        """Enqueue a task for the pool's workers."""
        given = {
            "id": id, "title": title, "queue": queue, "priority": priority, "cwd": cwd, "after": after,
            "retries": retries, "timeout": timeout, "unique": unique, "check": check, "finish": finish,
            "worktree": worktree, "read": read, "backoff": backoff, "run_at": run_at, "run_in": run_in,
            "allow_failure": allow_failure, "model": model, "effort": effort,
            "permission_mode": permission_mode, "allowed_tools": allowed_tools,
            "disallowed_tools": disallowed_tools, "max_turns": max_turns, "budget": budget,
        }  # fmt: skip
        given = {"prompt": prompt, **{name: value for name, value in given.items() if value}}
        return await serve.call(_submit, given)

    @server.tool(name="tasks", **serve.reads("List tasks"))
    async def tasks(
        status: Annotated[
            Literal["", "queued", "deferred", "scheduled", "started", "finished", "failed", "canceled"],
            Field(description="Only those in this state; empty: all."),
        ] = "",
        queue: str = "",
        worker: str = "",
        limit: Annotated[int, Field(ge=1, le=500)] = 20,
    ) -> Annotated[CallToolResult, Tasks]:
        """List tasks: the newest first; queued ones in the order in which they will be claimed."""
        return await serve.call(_tasks, status or None, queue, worker, limit)

    @server.tool(name="task", **serve.reads("Show a task"))
    async def task(id: str) -> Annotated[CallToolResult, Task]:
        """Show one task: its state, worker, progress, error, times."""
        return await serve.call(_task, id)

    @server.tool(name="result", **serve.reads("Read a task's result"))
    async def result(id: str) -> Annotated[CallToolResult, Result]:
        """A finished task's result; of another its status and error."""
        return await serve.call(_result, id)

    @server.tool(name="workers", **serve.reads("List workers"))
    async def workers() -> Annotated[CallToolResult, Workers]:
        """List the live worker sessions: state with its evidence, task, last heartbeat."""
        return await serve.call(_workers)

    @server.tool(name="cancel", **serve.changes("Cancel a task", destroys=True))
    async def cancel(
        id: str,
        reason: Annotated[
            str, Field(description="Told to the worker that holds it.")
        ] = "cancelled by an operator",
    ) -> Annotated[CallToolResult, Canceled]:
        """Cancel a task that has not ended. A running one is taken from its worker, which is told."""
        return await serve.call(_cancel, id, reason)

    @server.tool(name="tell", **serve.changes("Tell a working session"))
    async def tell(
        target: Annotated[str, Field(description="A live worker, or a task that runs.")],
        text: str,
        wake: Annotated[
            bool, Field(description="Wake a waiting session for it, which costs a turn.")
        ] = False,
    ) -> Annotated[CallToolResult, Sent]:
        """Send a message to a working session, which has it with its next tool call."""
        return await serve.call(_tell, target, text, wake)


def _submit(given: dict[str, Any]) -> CallToolResult:
    cwd = description.here()
    with common.opened() as ctx:
        done = operate.submit(ctx.pool, ctx.settings, [model.parse_spec(given)], cwd)[0]
    return serve.answer(f"{done.id} is {done.status}", {"id": done.id, "status": done.status})


def _tasks(status: str | None, queue: str, worker: str, limit: int) -> CallToolResult:
    with common.opened() as ctx:
        found = listing.tasks(ctx.connection, status, queue, worker, limit)
    return _data({"tasks": [_shown(each) for each in found]})


def _task(task_id: str) -> CallToolResult:
    with common.opened() as ctx:
        return _data(_shown(view.task(ctx.connection, task_id)))


def _result(task_id: str) -> CallToolResult:
    with common.opened() as ctx:
        found = view.task(ctx.connection, task_id)
    names = ("id", "status", "result", "error", "artifacts")
    return _data({name: getattr(found, name) for name in names})


def _workers() -> CallToolResult:
    with common.opened() as ctx:
        found = view.workers(ctx.connection, departed=False)
    return _data({"workers": [{name: getattr(each, name) for name in Worker.model_fields} for each in found]})


def _cancel(task_id: str, reason: str) -> CallToolResult:
    with common.opened() as ctx:
        (row,) = operate.cancel(ctx, [task_id], reason)
    return serve.answer(f"{row.id} is {row.status}, it was {row.was}", vars(row))


def _tell(target: str, text: str, wake: bool) -> CallToolResult:
    with common.opened() as ctx:
        sent = operate.tell(ctx, target, text, wake)
    return serve.answer(f"message {sent.message} to {sent.worker}", vars(sent))


def _shown(each: view.TaskView) -> dict[str, Any]:
    """A task without what is asked for otherwise."""
    return {
        name: value for name, value in vars(each).items() if name not in ("result", "artifacts", "evidence")
    }


def _data(value: dict[str, Any]) -> CallToolResult:
    """Data whose text is the same, without control characters."""
    plain = json.loads(json.dumps(value, default=str))
    return serve.answer(common.clean(json.dumps(plain, indent=1, ensure_ascii=False)), plain)
