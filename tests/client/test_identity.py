"""Who is who: sessions inside sessions, sub-agents, a session that is resumed."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable

import redis

from tests.client import models, replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.session import eventually


def workers(conn: redis.Redis) -> set[str]:
    """Every worker that there ever was."""
    keys: list[bytes] = list(conn.scan_iter("pool:worker:*"))
    return {key.decode().removeprefix("pool:worker:") for key in keys}


def test_a_session_started_by_a_workers_bash_is_nobody(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    (home.project / "question").write_text("Say a word.")
    nested = f'{shlex.quote(home.program)} -p "$(cat question)" && touch nested-ended'
    api.script(models.by_words([("Say a word.", replies.text("Word."))], otherwise=models.worker()))
    story.install(home, "--worker")
    first, second = submit(f"run: {nested}"), submit("run: echo two >> done.txt")
    session = home.headless("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s")
    assert session.end() == 0
    story.finished(conn, first, second)
    assert (home.project / "nested-ended").exists() and (home.project / "done.txt").read_text() == "two\n"
    # It had its one turn, was handed nothing and did not wait.
    (inner,) = [each for each in api.seen() if each.session != session.frames.result()["session_id"]]
    assert "Say a word." in inner.new() and "coord-worker" not in inner.conversation()
    assert workers(conn) == {"w1"} and story.field(conn, "w1", "epoch") == "1"
    assert story.complaints(home) == ""


def test_a_sub_agent_keeps_nothing_waiting_and_is_handed_nothing(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """It is done when it says so; its worker goes on with the task, and gets the next one itself."""
    delegated: list[str] = []

    def script(request: Request) -> replies.Reply:
        if request.kind == "sub":
            done = request.results()
            return replies.text("Looked.") if done else replies.bash("echo looked >> done.txt")
        given = models.task(request)
        if given is not None and not delegated:
            delegated.append(given.id)
            return replies.agent("Look around.")
        if given is not None and delegated == [given.id]:
            delegated.append("reported")
            return replies.bash(f"coord-worker complete {given.claim} --result seen")
        return models.worker()(request)

    api.script(script)
    story.install(home, "--worker")
    first, second = submit("Let somebody look."), submit("run: echo two >> done.txt")
    session = home.headless("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s")
    assert session.end() == 0
    story.finished(conn, first, second)
    assert (home.project / "done.txt").read_text() == "looked\ntwo\n"
    subs = api.seen("sub")
    assert subs and not any("coord-worker complete" in each.conversation() for each in subs)
    assert workers(conn) == {"w1"} and story.events(conn, "reminded") == 0
    assert story.job(conn, first, "pool_attempts") == "1" and story.complaints(home) == ""


def test_a_resumed_session_is_a_new_owner(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """What its conversation knows of an old claim is worth nothing; it gets a task of its own."""
    answers: list[str] = []
    kept: list[str] = []
    never = threading.Event()

    def script(request: Request) -> replies.Reply:
        given = models.task(request)
        if "Go on." in request.new() and kept:
            return replies.bash(f"coord-worker complete {kept[0]} --result late; echo code $?")
        if any("code" in each for each in request.results()):
            answers.append(request.results()[-1])
            return replies.text("It is not mine any more.")
        if given is not None and not kept:
            kept.append(given.claim)
            return replies.text("").with_(gate=never)
        return models.worker()(request)

    api.script(script)
    story.install(home, "--worker")
    task = submit("run: echo once >> done.txt", retries=0)
    first = home.headless("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s")
    eventually(lambda: kept, 30, "the hand-over")
    first.kill(signal.SIGTERM)
    first.end()
    session_id = api.seen()[0].session
    eventually(lambda: story.status(conn, task) != "started", what="the task has gone back")
    again = home.headless("Go on.", "--resume", session_id, COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="4s")
    assert again.end() == 0
    assert again.frames.result()["session_id"] == session_id
    assert answers and "code 4" in answers[0]
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "once\n"
    assert story.field(conn, "w1", "epoch") == "2" and workers(conn) == {"w1"}
