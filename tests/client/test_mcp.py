"""`coord mcp` with the real client: a worker that does its tasks by tools instead of Bash."""

from __future__ import annotations

import json
from collections.abc import Callable

import redis

from pool import view
from tests.client import models, replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.client.replies import Reply
from tests.session import ROOT

Submit = Callable[..., str]


def by_tools(server: str) -> Callable[[Request], Reply]:
    """A model that calls the server's tools: progress, then complete."""

    def script(request: Request) -> Reply:
        given = models.task(request)
        if given is None:
            return replies.text("There is no task.")
        calls = [
            replies.tool(f"mcp__{server}__progress", text=f"at {given.id}"),
            replies.tool(f"mcp__{server}__complete", claim=given.claim, result=f"did {given.id}"),
        ]
        return calls[given.replied] if given.replied < len(calls) else replies.text("Done.")

    return script


def test_a_worker_does_its_tasks_by_tools(api: Api, home: Home, conn: redis.Redis, submit: Submit) -> None:
    """The server, a child of the client, finds the session's worker by its process."""
    api.script(by_tools("pool"))
    story.install(home, "--worker")
    home.allow("mcp__pool")
    servers = {"mcpServers": {"pool": {"command": "coord", "args": ["mcp", "--role", "worker"]}}}
    tasks = [submit(f"task {number}") for number in range(2)]
    session = home.open(
        "Work for the pool.", "--mcp-config", json.dumps(servers), COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s"
    )
    story.finished(conn, *tasks)
    session.frames.result()
    assert [view.task(conn, each).result for each in tasks] == [f"did {each}" for each in tasks]
    assert story.events(conn, "progress") == 2 and view.worker(conn, "w1").tasks == 2
    session.end_input()
    assert session.end() == 0
    assert not home.processes("mcp --role"), "the server ends with its client"


def test_the_plugin_s_server_is_the_worker_s(api: Api, home: Home, conn: redis.Redis, submit: Submit) -> None:
    """Where coord is on PATH, the plugin's own server has its tools; in an ordinary session it has none."""
    api.script(by_tools("plugin_coord_pool"))
    home.allow("mcp__plugin_coord_pool")
    task = submit("a task")
    session = home.open(
        "Work for the pool.", "--plugin-dir", str(ROOT / "plugin"), COORD_WORKER="1", COORD_WORKER_ID="w1",
        COORD_IDLE_LIMIT="2s",
    )  # fmt: skip
    story.finished(conn, task)
    session.frames.result()
    assert view.task(conn, task).result == f"did {task}"
    ordinary = home.headless("hello", "--plugin-dir", str(ROOT / "plugin"))
    assert ordinary.end() == 0
    (asked,) = [request for request in api.seen() if "hello" in request.new()]
    assert "mcp__plugin_coord_pool" not in json.dumps(asked.body)
