"""A supervisor and the real client: logins, quotas, sessions that are resumed, limits that are reached."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

from pool import brief
from pool.scripts import Pool
from tests.client import models, replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.client.replies import Reply, Usage
from tests.session import eventually

Submit = Callable[..., str]


def said(home: Home) -> str:
    """What the supervisor has printed."""
    return "".join(path.read_text() for path in sorted(home.folder.glob("coord-*.log")))


def test_a_login_that_is_refused_is_told_in_a_line_and_costs_the_task_nothing(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(lambda request: replies.error(401, "authentication_error", "invalid x-api-key"))
    # (The client would try ten times, for minutes.)
    supervisor = home.start("coord", "worker", "run", "--name", "w1", COORD_CLAUDE=home.program)
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


def test_a_session_that_is_told_to_begin_for_nothing_makes_no_request(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(models.worker())
    story.install(home, "--worker")
    supervised = {"COORD_WORKER_ID": "w1", "COORD_SUPERVISED": "s", "COORD_MODE": "hook"}
    session = home.open(brief.BEGIN, **supervised)
    session.frames.result()
    assert api.count() == 0 and story.field(conn, "w1", "state") == "waiting"
    task = submit("run: echo done > done.txt")
    session.send(brief.BEGIN)
    story.finished(conn, task)
    assert (home.project / "done.txt").read_text() == "done\n"


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


def run(home: Home, *options: str, idle: str = "5m") -> subprocess.Popen[bytes]:
    """A supervisor of w1 that has been told so much."""
    command = ("coord", "worker", "run", "--name", "w1", *options)
    return home.start(*command, COORD_CLAUDE=home.program, COORD_IDLE_LIMIT=idle)


def ended(supervisor: subprocess.Popen[bytes], home: Home) -> None:
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0, said(home)


def test_a_session_is_resumed_and_forked(api: Api, home: Home, conn: redis.Redis, submit: Submit) -> None:
    api.script(models.worker(joined=True))
    found: list[tuple[str, str]] = []
    options: tuple[str, ...] = ()
    for number in range(3):
        began = time.monotonic()
        supervisor = run(home, *options)
        task = submit(f"run: echo {number} >> done.txt", id=f"task-{number}")
        story.finished(conn, task)
        last = api.seen("main", since=began)[-1]
        found.append((last.session, last.conversation()))
        options = ("--resume", found[0][0]) if number == 0 else ("--resume", found[0][0], "--fork")
        ended(supervisor, home)
    assert (home.project / "done.txt").read_text() == "0\n1\n2\n"
    (first, _), (resumed, second), (fork, third) = found
    assert resumed == first and "task-0 is done" in second, "the same session, which knows what it did"
    assert fork != first and "task-0 is done" in third and "task-2" in third
    # One that does not exist is told in a line, and the task goes to a new session.
    supervisor = run(home, "--resume", "00000000-0000-4000-8000-000000000000")
    story.finished(conn, submit("run: echo 3 >> done.txt"))
    told = [line for line in said(home).splitlines() if "00000000-0000-4000-8000-000000000000" in line]
    assert len(told) == 1 and "the next one not before" in told[0], said(home)
    ended(supervisor, home)


def test_a_shared_configuration_stays_as_it_is_and_a_limit_of_a_task_fails_it_once(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(models.worker(usage=Usage(input=100_000)))
    own = home.folder / ".claude"
    own.mkdir(exist_ok=True)
    # (The client itself moves its consent to bypassing permissions there, if it is not there yet.)
    (own / "settings.json").write_text('{"env": {"MINE": "1"}, "skipDangerousModePermissionPrompt": true}\n')
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    supervisor = run(home, "--config", "shared")
    task = submit("run: echo $MINE > done.txt")
    story.finished(conn, task)
    turns = submit("run: true", id="turns", max_turns=1, retries=3)
    spent = submit("run: true", id="spent", budget=0.01, retries=3)
    eventually(lambda: {story.status(conn, each) for each in (turns, spent)} == {"failed"}, 60, said(home))
    assert (home.project / "done.txt").read_text() == "1\n", "the user's settings hold"
    for each, words in ((turns, "its limit of turns is reached"), (spent, "budget")):
        error = story.job(conn, each, "pool_error")
        assert words in error and "\n" not in error, error
        assert story.job(conn, each, "pool_attempts") == "1"
    assert story.events(conn, "registered") == 3, "a session for each, and no other"
    assert story.events(conn, "tripped") == 0
    ended(supervisor, home)
    # What the client itself keeps there (transcripts, its caches) is its own; coord has written nothing.
    assert {path: path.read_bytes() for path in before} == before
    fresh = {path.relative_to(own).parts[0] for path in own.rglob("*") if path.is_file()} - {"settings.json"}
    assert not any("coord" in name or "hook" in name for name in fresh), fresh
    assert story.complaints(home) == ""


def test_a_session_that_is_kept_ready_costs_no_request_before_its_first_task(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(models.worker(joined=True))
    supervisor = run(home, "--min", "1", idle="4s")
    # One session has waited for all of its idle clock, and the next is there.
    eventually(lambda: story.events(conn, "registered") == 2, 60, "the second session")
    story.until(conn, "w1", "waiting")
    assert api.count() == 0 and story.events(conn, "prompted") == 0
    task = submit("run: echo done > done.txt")
    story.finished(conn, task)
    story.until(conn, "w1", "waiting")
    seen = api.seen("main")
    assert len({each.session for each in seen}) == 1 and task in seen[0].conversation()
    assert story.job(conn, task, "pool_attempts") == "1"
    ended(supervisor, home)
    assert story.complaints(home) == "" and "the next one not before" not in said(home)
