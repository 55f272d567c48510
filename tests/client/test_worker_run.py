"""`coord worker run` with the real client, in hook mode: tasks through the Stop hook, waiting for nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import redis

from tests.client import models, story
from tests.client.api import Api
from tests.client.client import Home
from tests.session import eventually


def test_three_tasks_are_done_and_waiting_costs_no_request(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    api.script(models.worker())
    supervisor = home.start(
        "coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program, COORD_IDLE_LIMIT="5s"
    )
    tasks = [submit(f"run: echo {n} >> done.txt") for n in range(3)]
    story.finished(conn, *tasks)
    assert (home.project / "done.txt").read_text() == "0\n1\n2\n"  # each once, in order
    story.until(conn, "w1", "waiting")
    began = time.monotonic()
    story.until(conn, "w1", "stopped")
    eventually(lambda: not home.processes(home.program), 20, "the end of the session")
    assert api.count(kind="", since=began) == 0
    # One session did them all: a prompt, then for each task two calls of Bash and its end.
    assert len({each.session for each in api.seen()}) == 1
    assert [story.job(conn, each, "pool_attempts") for each in tasks] == ["1"] * 3
    assert story.events(conn, "claimed") == 3 and story.events(conn, "reminded") == 0
    # The supervisor starts another one as soon as there is a task again.
    assert supervisor.poll() is None
    again = submit("run: echo again >> done.txt")
    story.finished(conn, again)
    assert len({each.session for each in api.seen()}) == 2
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0
    eventually(lambda: not home.processes(), what="the end of all that it started")
    assert not (home.folder / ".claude" / "settings.json").exists()  # the person's own is left alone
    assert story.complaints(home) == ""
