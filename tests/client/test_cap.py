"""Many tasks whose turns use no tool: the client's cap on blocks in a row is never met."""

from __future__ import annotations

from collections.abc import Callable

import redis

from tests.client import replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.client.frames import Frame


def capped(frames: list[Frame]) -> bool:
    """Whether the client has ended a turn by force."""
    return any(story.CAP_WORDS in str(frame) or "stop-hook-block-cap" in str(frame) for frame in frames)


def say(request: Request) -> replies.Reply:
    """The model: words, never a tool."""
    return replies.text(f"Said after {len(request.messages)} messages.")


def test_hooks_for_workers_lift_the_cap(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """Twelve tasks in a row, then twenty waits with a task after each."""
    api.script(say)
    story.install(home, "--worker")
    first = [submit(f"Say {n}.", finish="message") for n in range(12)]
    session = home.open("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="4s")
    story.finished(conn, *first)
    for number in range(20):
        story.until(conn, "w1", "waiting")
        story.finished(conn, submit(f"Say it again: {number}.", finish="message"))
    story.until(conn, "w1", "waiting")
    requests = api.count()
    result = session.frames.result()
    assert not capped(session.frames.all) and not result["is_error"]
    # A task costs one request (and the prompt one): neither a wait nor a reminder cost any.
    assert requests == api.count() == 12 + 20 + 1
    assert story.state(conn, "w1") == "stopped" and story.events(conn, "reminded") == 0


def test_a_session_with_a_cap_is_let_go_before_it_with_nothing_in_its_hands(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """Hooks that were installed for anybody leave the client's cap alone; a worker stops short of it."""
    api.script(say)
    story.install(home)
    tasks = [submit(f"Say {n}.", finish="message") for n in range(10)]
    session = home.open("Work for the pool.", COORD_WORKER="1", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s")
    session.frames.result(1)
    assert not capped(session.frames.all)
    assert [story.status(conn, each) for each in tasks] == ["finished"] * 8 + ["queued"] * 2
    assert (story.state(conn, "w1"), story.field(conn, "w1", "claim")) == ("stopped", "")
    said = [str(frame.get("content", "")) for frame in session.frames.of("system", "informational")]
    assert any("CLAUDE_CODE_STOP_HOOK_BLOCK_CAP=0" in each for each in said), said
    # Its next prompt makes it a worker again, and is a turn of its own: the count begins anew.
    session.send("go on")
    story.finished(conn, *tasks)
    session.frames.result(2)
    assert not capped(session.frames.all)


def test_a_tool_call_starts_the_count_anew(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    def script(request: Request) -> replies.Reply:
        # A tool call in the sixth task, once.
        return replies.bash("true") if "Say 5." in request.new() else say(request)

    api.script(script)
    story.install(home)
    tasks = [submit(f"Say {n}.", finish="message") for n in range(13)]
    session = home.headless(
        "Work for the pool.", COORD_WORKER="1", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s"
    )
    assert session.end() == 0
    assert [story.status(conn, each) for each in tasks] == ["finished"] * 13
    assert api.count() == 13 + 2 and not capped(session.frames.all)


def test_a_supervisor_lifts_it(api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]) -> None:
    api.script(say)
    tasks = [submit(f"Say {n}.", finish="message") for n in range(12)]
    home.start("coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program)
    story.finished(conn, *tasks)
    # One session did them all, at a request for each (and one more where the first word is no task).
    assert len({each.session for each in api.seen()}) == 1 and api.count() <= 12 + 1
