"""`coord mcp`, driven by the official client over stdio, against a real Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from mcp import ClientSession, StdioServerParameters, stdio_client

from pool import __version__, profile, view
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import COORD, Coord
from tests.redis.test_hooks import claim_in
from tests.session import ROOT, Session, eventually

Submit = Callable[..., str]
Start = Callable[..., Session]
#: What a test does with a client.
Story = Callable[["Client"], Awaitable[None]]

WORKER = {"claim", "complete", "fail", "release", "progress", "context"}
OPERATOR = {"submit", "tasks", "task", "result", "workers", "cancel", "tell"}
READS = {"context", "tasks", "task", "result", "workers"}
DESTROYS = {"fail", "cancel"}


class Client:
    """The official client, connected to a server."""

    def __init__(self, session: ClientSession, hello: Any) -> None:
        self.session = session
        self.hello = hello

    async def raw(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's answer as it is on the wire."""
        reply = await self.session.call_tool(tool, arguments)
        found: dict[str, Any] = reply.model_dump(mode="json", by_alias=True, exclude_none=True)
        return found

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured part of a tool's answer."""
        reply = await self.raw(tool, **arguments)
        assert not reply.get("isError"), reply
        found: dict[str, Any] = reply["structuredContent"]
        return found

    async def text(self, tool: str, **arguments: Any) -> str:
        reply = await self.raw(tool, **arguments)
        assert not reply.get("isError"), reply
        return str(reply["content"][0]["text"])

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The error of a tool: one line, no traceback."""
        reply = await self.raw(tool, **arguments)
        assert reply.get("isError") is True, reply
        (part,) = reply["content"]
        text = str(part["text"])
        assert "\n" not in text and "Traceback" not in text, text
        return text


def drive(story: Story, *argv: str, **env: str) -> None:
    """Start `coord mcp ARGV` as a client does, and let a story be told with it."""

    async def main() -> None:
        given = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        server = StdioServerParameters(command=COORD[0], args=[*COORD[1:], "mcp", *argv], env=given)
        with anyio.fail_after(60):
            async with stdio_client(server) as streams, ClientSession(*streams) as session:
                await story(Client(session, await session.initialize()))

    anyio.run(main)


@pytest.fixture
def quiet(settings: Settings, conn: redis.Redis) -> Settings:
    return settings


# -- what there is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "names"), [("worker", WORKER), ("operator", OPERATOR)])
def test_tools_have_names_schemas_and_hints(role: str, names: set[str], quiet: Settings) -> None:
    async def story(client: Client) -> None:
        hello = client.hello.model_dump(by_alias=True)
        assert hello["serverInfo"]["name"] == "coord" and hello["serverInfo"]["version"] == __version__
        assert "pool" in hello["instructions"]
        listed = await client.session.list_tools()
        tools = {tool.name: tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools}
        assert set(tools) == names
        for name, tool in tools.items():
            hints = tool["annotations"]
            assert hints["readOnlyHint"] is (name in READS), name
            assert hints["destructiveHint"] is (name in DESTROYS), name
            assert hints["openWorldHint"] is False
            assert tool["title"] and tool["description"], name
            assert tool["inputSchema"]["additionalProperties"] is False, name
            assert "'bogus'" in await client.refused(name, bogus=1)
            assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"

    drive(story, "--role", role)


def test_a_mistyped_check_makes_no_unchecked_task(quiet: Settings, conn: redis.Redis) -> None:
    async def story(client: Client) -> None:
        said = await client.refused("submit", prompt="x", chekc="make test")
        assert "unknown argument 'chekc'" in said and " check," in said
        assert (await client.call("tasks")) == {"tasks": []}
        assert "budget" in await client.refused("submit", prompt="x", budget=0)
        await client.call(
            "submit", prompt="x", id="t", check="true", finish="message", worktree=True, read=["docs/a.md"],
            retries=1, backoff=["10s"], run_in="1h", model="opus", effort="low", max_turns=9, budget=2.5,
        )  # fmt: skip

    drive(story)
    asked = profile.Profile(model="opus", effort="low", max_turns=9, budget=2.5)
    assert conn.hget("rq:job:t", "pool_needs") == f"check profile:{asked.name}".encode()
    assert conn.hget("rq:job:t", "status") == b"scheduled"


# -- an operator -------------------------------------------------------------------------------------


def test_an_operator_s_story(
    quiet: Settings, pool: Pool, register: Callable[..., Caller], tmp_path: Path
) -> None:
    async def story(client: Client) -> None:
        made = await client.call(
            "submit", prompt="Build it", title="Build \x1b[31mred", id="t", priority="high"
        )
        assert made == {"id": "t", "status": "queued"}
        later = await client.call("submit", prompt="Test it", id="u", after=["t"], retries=1)
        assert later["status"] == "deferred"
        assert [each["id"] for each in (await client.call("tasks"))["tasks"]] == ["u", "t"]
        assert (await client.call("tasks", status="queued"))["tasks"][0]["priority"] == "high"
        assert "\x1b" not in await client.text("tasks")
        assert (await client.call("workers")) == {"workers": []}
        me = register("w1")
        handed = pool.claim(me).handed
        assert handed is not None
        assert (await client.call("task", id="t"))["worker"] == "w1"
        assert (await client.call("workers"))["workers"][0]["task"] == "t"
        assert (await client.call("result", id="t"))["result"] is None
        sent = await client.call("tell", target="t", text="Use the other branch")
        assert sent["worker"] == "w1" and (await client.call("workers"))["workers"][0]["messages"] == 1
        pool.complete(me, handed.claim, '{"built": true}')
        found = await client.call("result", id="t")
        assert (found["status"], found["result"]) == ("finished", {"built": True})
        gone = await client.call("cancel", id="u", reason="not needed")
        assert (
            gone == {"id": "u", "status": "canceled", "was": "queued"} | {"worker": None}
            or gone["worker"] is None
        )

    drive(story)


def test_an_operator_s_mistakes_are_told_in_one_line(quiet: Settings, submit: Submit, pool: Pool) -> None:
    submit(id="t")
    pool.cancel("t", "over")

    async def story(client: Client) -> None:
        for tool, given, words in (
            ("submit", {"prompt": "  "}, "prompt"),
            ("submit", {}, "submit: prompt: Field required"),
            ("submit", {"prompt": "x", "timeout": "soon"}, "'soon' is not a duration"),
            ("submit", {"prompt": "x", "id": "t"}, "t"),
            ("submit", {"prompt": "x", "after": ["none"]}, "none"),
            ("tasks", {"limit": 0}, "tasks: limit: Input should be greater than or equal to 1"),
            ("tasks", {"status": "sleeping"}, "tasks: status: Input should be"),
            ("task", {"id": "none"}, "there is no task 'none'"),
            ("result", {"id": "none"}, "there is no task 'none'"),
            ("cancel", {"id": "t"}, "t"),
            ("tell", {"target": "nobody", "text": "x"}, "'nobody' is neither a live worker nor a task"),
            ("dance", {}, "Unknown tool: dance"),
        ):
            assert words in await client.refused(tool, **given), tool
        assert len((await client.call("tasks"))["tasks"]) == 1, "nothing was submitted"

    drive(story)


def test_redis_away_is_one_line(quiet: Settings) -> None:
    async def story(client: Client) -> None:
        assert (await client.refused("workers")).startswith("Redis at 127.0.0.1:1 cannot be reached")

    drive(story, COORD_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")


# -- a worker ----------------------------------------------------------------------------------------


def test_a_session_does_a_task_by_tools(session: Start, submit: Submit, conn: redis.Redis) -> None:
    """The server finds its worker by the client's process."""
    one = session("w1")
    one.start()
    submit("Do it well", id="t")
    claim = claim_in(one.hook("Stop"))
    report = one.folder / "report.md"
    report.write_text("all well")

    async def story(client: Client) -> None:
        again = await client.call("claim")
        assert (again["claim"], again["prompt"]) == (claim, "Do it well")
        assert (await client.call("progress", text="half of it"))["task"] == "t"
        assert view.task(conn, "t").progress == "half of it"
        assert (await client.call("progress", text="--json"))["worker"] == "w1", "a text is no option"
        assert "# Task t" in await client.text("context")
        assert (await client.call("context", claim=claim))["results"] == {}
        done = await client.call("complete", claim=claim, result="-", artifacts=[str(report)])
        assert done == {"id": "t", "status": "finished", "already": False}
        again = await client.call("complete", claim=claim, result="-")
        assert again["already"] is True
        assert (await client.call("claim"))["reason"] == "no task is waiting"

    drive(story, "--role", "worker", CLAUDE_PID=str(one.pid))
    found = view.task(conn, "t")
    assert (found.result, found.artifacts) == ("-", ["report.md"])


def test_failures_and_what_is_handed_back(
    session: Start, submit: Submit, conn: redis.Redis, pool: Pool
) -> None:
    one = session("w1")
    one.start()
    for name in ("a", "b"):
        submit(id=name)

    async def story(client: Client) -> None:
        first = (await client.call("claim"))["claim"]
        failed = await client.call("fail", reason="--no way", claim=first, retry=False)
        assert failed["status"] == "failed"
        second = (await client.call("claim"))["claim"]
        assert (await client.call("release", reason="another should", delay="10m"))["status"] == "scheduled"
        assert "not yours any more" in await client.refused("complete", result="late", claim=second)
        assert "'soon' is not a duration" in await client.refused(
            "release", reason="x", claim=second, delay="soon"
        )
        assert "is not a task" in await client.refused("fail", reason="x", claim="--worker=w2")
        assert "holds no task" in await client.refused("complete", result="x")
        assert "1.0" not in await client.refused("fail", reason="", claim=second)

    drive(story, "--role", "worker", CLAUDE_PID=str(one.pid))
    assert view.task(conn, "a").error == "--no way"


def test_a_check_that_fails_comes_back_as_the_tool_s_error(
    session: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one = session("w1", COORD_CHECKS="1")
    one.start()
    submit(id="t", check="test -e good || { echo it is not good; exit 1; }", cwd=str(tmp_path))

    async def story(client: Client) -> None:
        claim = (await client.call("claim"))["claim"]
        reply = await client.raw("complete", claim=claim, result="done")
        assert reply["isError"] and "it is not good" in reply["content"][0]["text"]
        (tmp_path / "good").touch()
        assert (await client.call("complete", claim=claim, result="done"))["status"] == "finished"

    drive(story, "--role", "worker", CLAUDE_PID=str(one.pid), COORD_CHECKS="1")
    assert view.task(conn, "t").result == "done"


def test_while_redis_is_away_the_result_is_kept(session: Start, submit: Submit, conn: redis.Redis) -> None:
    one = session("w1")
    one.start()
    submit(id="t")
    claim = claim_in(one.hook("Stop"))

    async def story(client: Client) -> None:
        text = await client.refused("complete", claim=claim, result="kept")
        assert "The result is kept in" in text and "the keeper sends it" in text

    drive(story, "--role", "worker", CLAUDE_PID=str(one.pid), COORD_REDIS_URL="redis://127.0.0.1:1/0")
    eventually(
        lambda: view.task(conn, "t").result == "kept", what="the keeper, which reaches Redis, sends it"
    )


def test_any_client_may_work_under_a_name(quiet: Settings, submit: Submit, conn: redis.Redis) -> None:
    submit(id="t")

    async def story(client: Client) -> None:
        assert (await client.call("claim"))["id"] == "t"
        assert (await client.call("complete", result="by name"))["status"] == "finished"

    drive(story, "--role", "worker", "--worker", "desk")
    assert view.task(conn, "t").worker in ("desk", None) and view.task(conn, "t").result == "by name"


def test_without_a_name_or_a_session_it_asks_which_worker(quiet: Settings) -> None:
    async def story(client: Client) -> None:
        assert "which worker?" in await client.refused("claim")

    drive(story, "--role", "worker")


# -- the process -------------------------------------------------------------------------------------


def hello() -> str:
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}) + "\n"


def test_standard_output_carries_only_the_protocol_and_it_ends_with_its_client(quiet: Settings) -> None:
    done = subprocess.run(
        [*COORD, "mcp"], input=hello() + "no JSON at all\n", capture_output=True, text=True, timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["id"] == 1 and all(line["jsonrpc"] == "2.0" for line in lines)
    assert "Traceback" not in done.stderr


def test_a_signal_ends_it(quiet: Settings) -> None:
    with subprocess.Popen(
        [*COORD, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(hello())
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["id"] == 1
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) in (0, -signal.SIGTERM)


def test_without_the_package_one_line_says_what_to_install(coord: Coord) -> None:
    code = "import sys; sys.modules['mcp'] = None; from coordinator import cli; cli.main(['mcp'])"
    done = coord.process("-c", code, program=[sys.executable], PYTHONPATH=str(ROOT))
    assert (
        done.code == 2 and done.line() == "coord: the package mcp is not installed: pip install 'coord[mcp]'"
    )


def test_wrong_usage(coord: Coord) -> None:
    assert coord("mcp", "--worker", "w1", code=2).line() == "coord: --worker goes with --role worker"
    assert "is not a worker id" in coord("mcp", "--role", "worker", "--worker", "a b", code=2).line()
