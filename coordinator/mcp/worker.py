"""The tools of a worker's session: what `coord-worker` does, by the same code."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

from mcp.types import CallToolResult
from pydantic import BaseModel, ConfigDict, Field

from coordinator.mcp import serve
from pool import compiled, errors
from workers import helper
from workers.options import Options

INSTRUCTIONS = (
    "The pool's tools for this session, which is one of its workers. They do what coord-worker does. "
    "For each task: read it whole (context), do it, then call complete or fail with its claim, and end "
    "your turn. Do not look for tasks yourself: ending the turn is how you get the next one."
)

_CLAIM = Field(description="The claim as it was handed over, TASK.TOKEN; empty: the task that you hold.")
Claim = Annotated[str, _CLAIM]


class Handed(BaseModel):
    """A task that was handed over, or that there is none."""

    model_config = ConfigDict(extra="allow")
    id: str | None = Field(None, description="The task's id; null: there is none.")
    claim: str | None = Field(None, description="Name it when you report: TASK.TOKEN.")
    prompt: str | None = None
    title: str | None = None
    reason: str | None = Field(None, description="Why there is none.")


class Whole(BaseModel):
    """A task in full."""

    model_config = ConfigDict(extra="allow")
    id: str
    prompt: str
    results: dict[str, Any] = Field(description="The results of the tasks that it builds on.")


class Reported(BaseModel):
    """What became of a task."""

    model_config = ConfigDict(extra="allow")
    id: str
    status: str = Field(description="finished, checking, failed, queued, scheduled, already ...")


class Beat(BaseModel):
    """How the worker stands."""

    model_config = ConfigDict(extra="allow")
    worker: str
    state: str
    task: str | None


class Call(helper.Helper):
    """One call of the helper, whose answer is kept instead of printed."""

    said: tuple[str, dict[str, Any]] = ("", {})

    def _print(self, text: str, data: dict[str, Any]) -> None:
        self.said = (text, data)

    def _refuse(self, text: str, data: dict[str, Any], code: int) -> int:
        raise errors.CoordError(text)


def tools(server: serve.Server, worker: str = "") -> None:
    """Give a server the tools of a worker (``worker``: of that one, where there is no session)."""
    named = [f"--worker={worker}"] if worker else []

    def run(command: str, *words: str) -> CallToolResult:
        options = Options(command, [*named, *words], helper.OPTIONS[command] | helper.COMMON)
        settings = compiled.load(os.environ.get("COORD_COMPILED", ""))
        made = Call(settings, command, options)
        made.run()
        text, data = made.said
        return serve.answer(text, data if command != "claim" or data.get("id") else {**data, "id": None})

    @server.tool(name="claim", **serve.changes("Take the next task", again=True))
    async def claim() -> Annotated[CallToolResult, Handed]:
        """Take the next task, or get the one that you hold again. With hooks it comes by itself."""
        return await serve.call(run, "claim")

    @server.tool(name="complete", **serve.changes("Complete a task", again=True))
    async def complete(
        result: Annotated[str, Field(description="What you did, in a sentence or two.")],
        claim: Claim = "",
        artifacts: Annotated[
            list[str], Field(description="Absolute paths of files to keep with the result.")
        ] = [],  # noqa: B006 - it becomes the schema's default
    ) -> Annotated[CallToolResult, Reported]:
        """Report that a task is done. One with a check is complete when that passes."""
        files = [f"--artifact={path}" for path in artifacts]
        return await serve.call(
            run, "complete", f"--result-json={json.dumps(result)}", *files, *_words(claim)
        )

    @server.tool(name="fail", **serve.changes("Report a failure", destroys=True, again=True))
    async def fail(
        reason: Annotated[str, Field(description="Why it cannot be done.")],
        claim: Claim = "",
        retry: Annotated[bool, Field(description="Whether it may be tried again, if it has retries.")] = True,
    ) -> Annotated[CallToolResult, Reported]:
        """Report that a task cannot be done."""
        options = [f"--reason={reason}", *([] if retry else ["--no-retry"])]
        return await serve.call(run, "fail", *options, *_words(claim))

    @server.tool(name="release", **serve.changes("Hand a task back"))
    async def release(
        reason: Annotated[str, Field(description="Why another should do it.")],
        claim: Claim = "",
        delay: Annotated[str, Field(description="Not before so long has passed: 90s, 10m, 2h.")] = "",
    ) -> Annotated[CallToolResult, Reported]:
        """Hand a task back, so that another worker does it."""
        options = [f"--reason={reason}", *([f"--delay={delay}"] if delay else [])]
        return await serve.call(run, "release", *options, *_words(claim))

    @server.tool(name="progress", **serve.changes("Say what you are at", again=True))
    async def progress(
        text: Annotated[str, Field(description="What is being done, in a line.")],
    ) -> Annotated[CallToolResult, Beat]:
        """Say what is being done, and learn whether the task is still yours."""
        return await serve.call(run, "progress", "--", text)

    @server.tool(name="context", **serve.reads("Read a task whole"))
    async def context(claim: Claim = "") -> Annotated[CallToolResult, Whole]:
        """The whole task again, with the results that it builds on."""
        return await serve.call(run, "context", *_words(claim))


def _words(claim: str) -> list[str]:
    """The claim as the command line's last word, never as an option."""
    return ["--", claim] if claim else []
