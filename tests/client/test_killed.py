"""SIGKILL of the client: its task goes to somebody else within 2 s, and nothing of it lives on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

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
    before = set(home.processes()) - {supervisor.pid}
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


def test_while_it_waits_in_its_hook(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    api.script(models.worker())
    story.install(home, "--worker")
    session = home.headless("Work for the pool.", COORD_WORKER_ID="w1")
    story.until(conn, "w1", "waiting")
    (hook,) = home.processes("-I -S " + str(os.path.join(ROOT, "hooks", "stop.py")))
    session.kill()
    task = submit("run: echo done >> done.txt")
    story.until(conn, "w1", "dead", seconds=2.0)
    eventually(lambda: not process.start_time(hook), 5, "the end of the orphaned hook")
    eventually(lambda: not home.processes(), what="the end of all that it started")
    # The hook was rung for it, or saw it at its last look: it has not taken it.
    assert story.status(conn, task) == "queued" and story.events(conn, "claimed") == 0
    home.headless("Work for the pool.", COORD_WORKER_ID="w2")
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "done\n"
    assert story.complaints(home) == ""
