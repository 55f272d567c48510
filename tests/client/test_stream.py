"""Stream mode: the supervisor holds the session by the Agent SDK and feeds it its tasks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from pool import events, process, scripts
from tests.client import models, replies
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.server import Server
from tests.session import eventually

Submit = Callable[..., str]
Start = Callable[..., "Run"]
COORD = (sys.executable, "-P", "-m", "coordinator.cli")
PATIENCE = 60.0
#: A command that tells that it runs, and runs until it is allowed to end.
LONG = "run: touch began; while [ -e began ]; do sleep 0.1; done"


class Run:
    """`coord worker run --mode stream` in a project."""

    def __init__(self, home: Home, conn: redis.Redis, **env: str) -> None:
        self.home, self.conn = home, conn
        self.process = home.start(
            *COORD, "worker", "run", "--mode", "stream", "--name", "w1", "--project", str(home.project),
            COORD_CLAUDE=home.program, **env,
        )  # fmt: skip

    def claude(self) -> int:
        """The pid of its session, which is at work."""
        eventually((self.home.project / "began").exists, PATIENCE)
        return int(self.worker("pid"))

    def worker(self, field: str) -> str:
        found: Any = self.conn.hget("pool:worker:w1", field)
        return found.decode() if found else ""

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def said(self) -> str:
        return "".join(path.read_text() for path in self.home.folder.glob("*.log"))


@pytest.fixture
def run(home: Home, conn: redis.Redis) -> Iterator[Start]:
    made: list[Run] = []

    def start(**env: str) -> Run:
        made.append(Run(home, conn, **env))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def status(conn: redis.Redis, task: str) -> str:
    found: Any = conn.hget(f"rq:job:{task}", "status")
    return found.decode() if found else ""


def becomes(conn: redis.Redis, task: str, wanted: str, seconds: float = PATIENCE) -> None:
    eventually(lambda: status(conn, task) == wanted, seconds, f"{task} {wanted}")


def attempts(conn: redis.Redis, task: str) -> int:
    found: Any = conn.hget(f"rq:job:{task}", "pool_attempts")
    return int(found)


def happened(conn: redis.Redis, kind: str) -> list[dict[str, Any]]:
    return [each for each in events.latest(conn, 1000) if each["type"] == kind]


@pytest.mark.settings(idle_limit="4s")
def test_three_tasks_then_a_wait_that_costs_nothing_and_the_end_by_the_idle_clock(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    # Hooks that are installed for the project are there for other sessions.
    home.run(*COORD, "hooks", "install", "--worker")
    api.script(models.worker(), key=home.key)
    first, second = submit("run: echo 1 > one.txt"), submit("run: echo 2 > two.txt")
    supervisor = run()
    becomes(conn, second, "finished")
    third = submit("run: echo 3 > three.txt")
    becomes(conn, third, "finished")
    eventually(lambda: supervisor.worker("state") == "waiting", PATIENCE)
    waits = time.monotonic()
    eventually(lambda: supervisor.worker("state") == "stopped", PATIENCE)
    eventually(lambda: not home.processes("--session-id"), PATIENCE)
    assert api.count("", since=waits) == 0
    # A request for the task, one after each of its two commands; one session for all three.
    assert api.count(key=home.key) == 9
    assert len({each.session for each in api.seen()}) == 1
    for name in ("one", "two", "three"):
        assert (home.project / f"{name}.txt").exists()
    assert supervisor.worker("mode") == "stream" and supervisor.worker("evidence").startswith("idle")
    assert [attempts(conn, each) for each in (first, second, third)] == [1, 1, 1]
    assert len(happened(conn, "registered")) == 1
    day: Any = conn.hgetall(next(conn.scan_iter("pool:cost:day:*")))
    assert (day[b"account=default:requests"], day[b"worker=w1:requests"]) == (b"9", b"9")
    assert int(day[b"account=default:nano"]) > 0 and not any(b"idle" in name for name in day)
    assert supervisor.end() == 0, supervisor.said
    assert "Traceback" not in supervisor.said


def test_a_killed_session_s_task_is_claimable_at_once_and_nothing_is_left(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    api.script(models.worker(), key=home.key)
    task = submit(LONG)
    supervisor = run()
    claude = supervisor.claude()
    conn.sadd("pool:paused", "tasks")  # so that its next session does not take it at once
    os.kill(claude, signal.SIGKILL)
    began = time.monotonic()
    becomes(conn, task, "queued")
    assert time.monotonic() - began < 2.0
    eventually(lambda: not home.processes("while [ -e began"), PATIENCE)
    (home.project / "began").unlink()
    conn.srem("pool:paused", "tasks")
    assert supervisor.end() == 0, supervisor.said


def test_a_killed_supervisor_takes_its_session_along(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    api.script(models.worker(), key=home.key)
    task = submit(LONG)
    supervisor = run()
    claude = process.key(supervisor.claude())
    supervisor.process.kill()
    becomes(conn, task, "queued")
    eventually(lambda: not process.same(claude), PATIENCE)


def test_a_cancelled_task_is_interrupted_and_the_session_goes_on(
    api: Api, home: Home, conn: redis.Redis, pool: scripts.Pool, submit: Submit, run: Start
) -> None:
    api.script(models.worker(), key=home.key)
    task = submit(LONG)
    supervisor = run()
    claude = supervisor.claude()
    after = submit("run: echo after > after.txt")
    pool.cancel(task, "not wanted any more")
    becomes(conn, after, "finished")
    assert status(conn, task) == "canceled"
    assert int(supervisor.worker("pid")) == claude
    assert not home.processes("while [ -e began")
    told = api.wait(lambda request: after in request.new())
    assert f"Task {task} is not yours any more" in told.new()
    assert supervisor.end() == 0, supervisor.said


def test_an_operator_s_message_goes_into_the_running_turn(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    api.script(models.worker(), key=home.key)
    task = submit(LONG)
    supervisor = run()
    supervisor.claude()
    home.run(*COORD, "tell", "w1", "Use the other branch", "--wait", "--timeout", "60s")
    (home.project / "began").unlink()
    becomes(conn, task, "finished")
    assert any("> Use the other branch" in each.conversation() for each in api.seen())
    assert len(happened(conn, "told")) == 1 and attempts(conn, task) == 1
    assert supervisor.end() == 0, supervisor.said


def test_a_message_that_waits_behind_a_cancelled_turn_holds_up_neither_the_next_task_nor_the_end(
    api: Api, home: Home, conn: redis.Redis, pool: scripts.Pool, submit: Submit, run: Start
) -> None:
    gate, worker, easy = threading.Event(), models.worker(), set[str]()

    def script(request: Request) -> replies.Reply:
        given = models.task(request)
        if given is not None and given.id in easy:
            return worker(request)
        return replies.text("At last.").with_(gate=gate)

    api.script(script, key=home.key)
    task = submit("think")
    supervisor = run()
    api.wait(lambda request: task in request.new())
    claude = supervisor.worker("pid")
    home.run(*COORD, "tell", "w1", "Use the other branch", "--wait", "--timeout", "60s")
    after = submit("run: echo after > after.txt")
    easy.add(after)
    pool.cancel(task, "not wanted any more")
    becomes(conn, after, "finished")
    assert attempts(conn, after) == 1 and not happened(conn, "reminded")
    assert supervisor.worker("pid") == claude
    # The same with nothing to come after it: the session waits, then ends when it is told to.
    last = submit("think again")
    api.wait(lambda request: last in request.new())
    home.run(*COORD, "tell", "w1", "Use a third branch", "--wait", "--timeout", "60s")
    pool.cancel(last, "not wanted either")
    eventually(lambda: supervisor.worker("state") == "waiting", PATIENCE)
    assert supervisor.worker("pid") == claude
    assert supervisor.end() == 0, supervisor.said
    gate.set()


@pytest.mark.settings(quota_wait="2s")
def test_a_quota_parks_the_session_which_goes_on_with_its_task_in_the_same_attempt(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    refused = replies.error(429, "rate_limit_error")
    api.script(models.in_order(refused, refused, then=models.worker()), key=home.key)
    task = submit("run: echo done > done.txt")
    supervisor = run(CLAUDE_CODE_MAX_RETRIES="1")
    eventually(lambda: supervisor.worker("state") == "parked", PATIENCE)
    assert status(conn, task) == "started"
    becomes(conn, task, "finished")
    assert attempts(conn, task) == 1 and len(happened(conn, "claimed")) == 1
    assert any("Go on where you were" in each.conversation() for each in api.seen())
    assert supervisor.end() == 0, supervisor.said


def test_it_sits_out_an_outage_of_redis_and_is_fed_on(
    api: Api, home: Home, own_server: Server, run: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.script(models.worker(), key=home.key)
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    home.run(*COORD, "submit", "run: true", "--id", "one")
    supervisor = run()
    home.run(*COORD, "wait", "one", "--timeout", "60s")
    own_server.kill()
    eventually(lambda: "cannot be reached" in supervisor.said, PATIENCE)
    own_server.start()
    home.run(*COORD, "submit", "run: true", "--id", "two")
    home.run(*COORD, "wait", "two", "--timeout", "60s")
    assert len({each.session for each in api.seen()}) == 1
    assert supervisor.end() == 0, supervisor.said


def test_a_session_that_ends_its_turns_without_reporting_is_reminded_then_its_task_fails(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    api.script(models.claims_to_be_done, key=home.key)
    task = submit("pretend")
    supervisor = run()
    becomes(conn, task, "failed")
    assert len(happened(conn, "reminded")) == 3 and api.count(key=home.key) == 4
    assert supervisor.end() == 0, supervisor.said


def test_a_task_can_be_settled_by_the_session_s_last_message(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, run: Start
) -> None:
    api.script(models.in_order(replies.bash("echo so > so.txt"), replies.text("It is so.")), key=home.key)
    task = submit("do it", finish="message")
    supervisor = run()
    becomes(conn, task, "finished")
    assert api.count(key=home.key) == 2 and (home.project / "so.txt").exists()
    assert supervisor.end() == 0, supervisor.said
