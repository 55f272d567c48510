"""A supervisor and the real client: a login that is refused, a quota that comes back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import redis

from pool.scripts import Pool
from tests.client import models, replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.client.replies import Reply
from tests.session import eventually

Submit = Callable[..., str]


def said(home: Home) -> str:
    """What the supervisor has printed."""
    return "".join(path.read_text() for path in sorted(home.folder.glob("coord-*.log")))


def test_a_login_that_is_refused_is_told_in_a_line_and_costs_the_task_nothing(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(lambda request: replies.error(401, "authentication_error", "invalid x-api-key"))
    supervisor = home.start(
        "coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program, CLAUDE_CODE_MAX_RETRIES="1"
    )
    task = submit("run: echo never")
    eventually(lambda: "the next one not before" in said(home), 60, "the end of the session")
    told = [line for line in said(home).splitlines() if "authentication_failed" in line]
    assert len(told) == 1, said(home)
    assert story.job(conn, task, "status") == "queued"
    assert story.job(conn, task, "pool_losses") in ("", "0") and story.job(conn, task, "pool_attempts") == "0"
    assert story.events(conn, "registered") == 1, "it is not tried again and again"
    assert supervisor.poll() is None
    shown = home.run("coord", "workers").stdout
    assert "broken" in shown and "authentication_failed" in shown
    health = home.run("coord", "worker", "health", "--name", "w1", check=False)
    assert health.returncode == 1 and "authentication_failed" in health.stdout
    kept = b"".join(path.read_bytes() for path in Path(os.environ["COORD_HOME"]).rglob("session.jsonl"))
    assert b"authentication_failed" in kept and home.key.encode() not in kept
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0
    eventually(lambda: not home.processes(), what="the end of all that it started")


def test_a_parked_session_goes_on_when_its_quota_is_back_and_no_keeper_runs_beside_it(
    api: Api, home: Home, conn: redis.Redis, pool: Pool, submit: Submit
) -> None:
    working = models.worker()
    out_of_quota = True

    def script(request: Request) -> Reply:
        return replies.rate_limited() if out_of_quota else working(request)

    api.script(script)
    home.start(
        "coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program, CLAUDE_CODE_MAX_RETRIES="1",
        COORD_QUOTA_JITTER="0", COORD_QUOTA_WAIT="1h", COORD_IDLE_LIMIT="5m",
    )  # fmt: skip
    task = submit("run: echo done > done.txt")
    story.until(conn, "w1", "parked")
    began = time.monotonic()
    assert not home.processes("keeper.py"), "its supervisor is its keeper"
    out_of_quota = False
    pool.account("resume", "default", reason="its quota is back")
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "done\n"
    assert story.job(conn, task, "pool_attempts") == "1" and story.events(conn, "registered") == 1
    assert len({each.session for each in api.seen(since=began)}) == 1, "the same session"
    shown = home.run("coord", "logs", "w1").stdout
    assert "the API answers 429 (rate_limit)" in shown and "> Bash: " in shown


def test_the_supervisor_parks_the_account_when_the_hook_that_should_have_is_not_there(
    api: Api, home: Home, conn: redis.Redis, pool: Pool, submit: Submit
) -> None:
    working, out_of_quota = models.worker(), True

    def script(request: Request) -> Reply:
        return replies.rate_limited() if out_of_quota else working(request)

    api.script(script)
    home.start(
        "coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program, CLAUDE_CODE_MAX_RETRIES="0",
        COORD_QUOTA_JITTER="0", COORD_QUOTA_WAIT="1h", COORD_IDLE_LIMIT="5m",
    )  # fmt: skip
    hooks = Path(os.environ["COORD_HOME"], "supervisors", "w1", "claude", "settings.json")
    eventually(hooks.exists, what="the hooks to be installed")
    kept = json.loads(hooks.read_text())
    del kept["hooks"]["StopFailure"]
    hooks.write_text(json.dumps(kept))
    task = submit("run: echo done > done.txt")
    story.until(conn, "w1", "parked")
    (account,) = json.loads(home.run("coord", "accounts", "--json").stdout)
    assert (account["name"], account["state"]) == ("default", "parked") and "rate_limit" in account["reason"]
    out_of_quota = False
    pool.account("resume", "default", reason="its quota is back")
    story.finished(conn, task)
    assert story.job(conn, task, "pool_attempts") == "1" and story.events(conn, "registered") == 1
