"""SIGKILL of the client: its task goes to somebody else within 2 s, and nothing of it lives on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import redis

from pool import process
from tests.client import models, replies, story
from tests.client.api import Api
from tests.client.client import Home
from tests.session import ROOT, eventually


def test_while_it_works(api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]) -> None:
    """Supervised, amid a call of Bash: the next session does the task, and the call is ended, too."""
    long = replies.bash("touch began; sleep 300")
    api.script(models.in_order(replies.text("Ready."), long, then=models.worker()))
    supervisor = home.start(
        "coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program, COORD_IDLE_LIMIT="2s"
    )
    task = submit("run: echo done >> done.txt")
    eventually(lambda: (home.project / "began").exists(), 30, "its call of Bash")
    own = (" worker run ", "/workers/supervise/")
    before = {pid for pid, line in home.processes().items() if not any(each in line for each in own)}
    assert home.processes("sleep 300")
    os.kill(int(story.field(conn, "w1", "pid")), signal.SIGKILL)
    eventually(lambda: story.status(conn, task) != "started", 2.0, "the task is claimable")
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "done\n"
    assert (story.job(conn, task, "pool_attempts"), story.job(conn, task, "pool_losses")) == ("2", "1")
    eventually(lambda: not before & set(home.processes()), 20, "the end of all of the killed session")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0
    eventually(lambda: not home.processes(), what="the end of all that it started")


@pytest.mark.parametrize("when", ["after its death", "while it dies"])
def test_while_it_waits_in_its_hook(
    when: str, api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """The orphaned hook is rung for the next task, or sees it at its last look."""
    api.script(models.worker())
    story.install(home, "--worker")
    session = home.headless("Work for the pool.", COORD_WORKER_ID="w1")
    story.until(conn, "w1", "waiting")
    (hook,) = home.processes("-I -S " + str(ROOT / "hooks" / "stop.py"))
    session.kill()
    if when == "after its death":
        session.end()
    task = submit("run: echo done >> done.txt")
    story.until(conn, "w1", "dead", seconds=2.0)
    eventually(lambda: not process.start_time(hook), 5, "the end of the orphaned hook")
    eventually(lambda: not home.processes(), what="the end of all that it started")
    assert story.status(conn, task) == "queued"
    # (A dying process lives for some milliseconds: it may still be handed a task, which is back at once.)
    assert when == "while it dies" or story.events(conn, "claimed") == 0
    home.headless("Work for the pool.", COORD_WORKER_ID="w2")
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "done\n"
    assert story.complaints(home) == ""
