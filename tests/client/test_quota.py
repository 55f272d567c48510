"""Quota and cost with the real client: retries are no death, errors park or stop, each token is booked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from pool import costs
from tests.client import models, replies, story
from tests.client.api import Api
from tests.client.client import Home
from tests.client.replies import Usage
from tests.session import eventually

Submit = Callable[..., str]


def start(home: Home, *options: str, **env: str) -> Any:
    """A supervisor of one worker, w1 (its account's name given in the environment)."""
    name = env.pop("NAME", "w1")
    return home.start("coord", "worker", "run", "--name", name, *options, COORD_CLAUDE=home.program, **env)


def account(conn: redis.Redis, field: str, name: str = "default") -> str:
    found = conn.hget(f"pool:account:{name}", field)
    return found.decode() if isinstance(found, bytes) else ""


@pytest.mark.settings(lease="2s", beat="0.5s")
def test_a_session_that_retries_for_longer_than_its_lease_is_neither_reaped_nor_counted(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    refused = replies.rate_limited(retry_after="1")
    api.script(models.in_order(*[refused] * 5, then=models.worker()))
    home.start("coord", "serve")
    start(home)
    task = submit("run: echo done > done.txt")
    story.finished(conn, task)
    assert len(api.seen()) >= 6, "the client retried by itself"
    assert story.job(conn, task, "pool_attempts") == "1"
    assert story.events(conn, "lost") == story.events(conn, "parked") == 0
    assert story.complaints(home) == ""


@pytest.mark.settings(quota_jitter="1s")
def test_a_quota_parks_all_of_the_account_until_its_reset_and_all_go_on(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    reset = int(time.time()) + 12
    refused = replies.rate_limited().with_(headers=replies.unified(reset=reset))
    api.script(models.in_order(refused, refused, then=models.worker()))
    home.start("coord", "serve")
    start(home, CLAUDE_CODE_MAX_RETRIES="1")
    # Another of the same account, which only waits; and one of another account.
    for name, of in (("idle", "default"), ("other", "other")):
        home.run("coord-worker", "claim", "--worker", name, check=False, COORD_ACCOUNT=of, COORD_QUEUES="q")
    task = submit("run: echo done > done.txt")
    story.until(conn, "w1", "parked")
    assert story.status(conn, task) == "started"
    assert float(account(conn, "until")) == pytest.approx(reset, abs=2), "as the client was told"
    story.until(conn, "idle", "parked")
    assert story.state(conn, "other") == "starting"
    assert "account default is parked" in home.run("coord", "workers").stderr
    assert time.time() < reset, "all this was before the reset"
    story.finished(conn, task)
    assert time.time() > reset - 1
    assert story.job(conn, task, "pool_attempts") == "1" and story.events(conn, "claimed") == 1
    eventually(lambda: story.state(conn, "idle") == "starting", 20, "the other went on")
    assert account(conn, "state") == ""
    assert story.complaints(home) == ""


@pytest.mark.settings(quota_wait="1h")
def test_a_plain_session_gives_its_task_back_without_an_attempt(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    def script(request: Any) -> replies.Reply:
        return replies.rate_limited() if models.task(request) else replies.text("I wait.")

    api.script(script)
    story.install(home, "--worker")
    task = submit("run: echo done > done.txt")
    session = home.headless("Work for the pool.", COORD_WORKER_ID="w1", CLAUDE_CODE_MAX_RETRIES="1")
    session.end()
    assert story.status(conn, task) == "scheduled"
    assert story.job(conn, task, "pool_attempts") == "0" and story.job(conn, task, "pool_losses") == ""
    due = conn.zscore("rq:scheduled:tasks", task)
    assert due is not None and 3000 < float(due) - time.time() < 4000, "not before the reset"
    assert account(conn, "state") == "parked"


def test_a_login_that_is_refused_stops_the_account_with_one_line(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(lambda request: replies.error(401, "authentication_error", "invalid x-api-key"))
    start(home, CLAUDE_CODE_MAX_RETRIES="0")
    task = submit("run: echo done > done.txt")
    eventually(lambda: account(conn, "state") == "stopped", 30, "a stopped account")
    eventually(lambda: story.status(conn, task) == "queued", 10, "the task is back")
    assert story.job(conn, task, "pool_attempts") in ("0", "")
    line = "account default is stopped: API error: authentication_failed; renew its login; then"
    assert line in home.run("coord", "workers").stderr
    eventually(lambda: not home.processes(home.program), 30, "the session ended")
    asked = len(api.seen())
    time.sleep(3)  # no further session is started for an account that is stopped
    assert len(api.seen()) == asked
    api.script(models.worker())
    home.run("coord", "accounts", "resume", "default")
    story.finished(conn, task)
    assert story.job(conn, task, "pool_attempts") == "1"


def test_what_sessions_cost_is_what_the_api_said_and_waiting_cost_nothing(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(models.worker(usage=Usage(input=10, output=5, cache_read=3000, cache_write=200)))
    start(home, COORD_IDLE_LIMIT="4s")
    tasks = [submit(f"run: echo {n} >> done.txt") for n in range(3)]
    story.finished(conn, *tasks)
    story.until(conn, "w1", "stopped")
    eventually(lambda: not home.processes(home.program), 20, "the end of the session")
    made = len(api.seen())

    def booked() -> bool:
        return costs.read(conn, "kind", 1).total.requests >= made

    eventually(booked, 20, "all that the API has answered is booked")
    report = costs.read(conn, "kind", 1)
    assert report.total.requests == made
    assert (report.idle.requests, report.idle.tokens) == (0, 0)
    found = costs.of_tasks(conn, tasks)
    model = api.seen()[0].body["model"]
    for cost in found:
        assert cost is not None
        assert cost.requests == 3, "two calls of Bash and the end"
        assert (cost.input, cost.output, cost.cache_read, cost.cache_write) == (30, 15, 9000, 600)
        assert cost.unpriced == 0 and cost.usd > 0, model
    assert sum(cost.requests for cost in found if cost) == made
