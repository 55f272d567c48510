"""The users of docker/redis/users.acl on a real Redis: each can do its part, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from coordinator.doctor import rights
from pool import connect, script_text
from pool.settings import Settings
from tests.conftest import ROOT
from tests.monitor.running import Running
from tests.redis.test_supervisor import Supervisor, until
from tests.server import Server

TEMPLATE = ROOT / "docker" / "redis" / "users.acl"
COORD = [sys.executable, "-P", "-m", "coordinator.cli"]

#: The scripts that hooks, helpers, keepers and supervisors run.
WORKER_SCRIPTS = (
    "account", "beat", "charge", "claim", "complete", "confirm", "deregister", "fail", "judge", "leave",
    "note", "park", "prompt", "register", "release", "remind", "summon", "supervise", "told", "tune",
    "unpark",
)  # fmt: skip
#: What a worker sends besides: it logs in, runs scripts, waits on its doorbell and on events, reads its
#: parents' results.
WORKER_SENDS = {"auth", "ping", "select", "eval", "evalsha", "blpop", "hmget", "xread", "xrevrange"}


#: The scripts that the monitor runs: what it sees, and what operators do on its page.
MONITOR_SCRIPTS = (
    "attend", "audit", "cancel", "deliver", "delivered", "forget", "notice", "observe", "pause", "requeue",
    "submit", "tell", "tune",
)  # fmt: skip
#: What the monitor does not send of what those who look may.
NOT_THE_MONITOR = {"hello", "info", "subscribe", "unsubscribe", "xinfo|groups", "xinfo|stream"}


def rules() -> dict[str, list[str]]:
    """The rules of each user."""
    lines = TEMPLATE.read_text().splitlines()
    return {line.split()[1]: line.split()[2:] for line in lines if line.startswith("user ")}


def granted(user: str) -> set[str]:
    return {rule[1:] for rule in rules()[user] if rule.startswith("+")}


def called(script: str) -> set[str]:
    """The commands in a script's text, and in that of the parts it includes."""
    path = Path(script_text.FOLDER) / f"{script}.lua"
    parts = path.read_text().splitlines()[0].removeprefix("-- include:").split()
    texts = [path, *(Path(script_text.FOLDER) / "lib" / f"{part}.lua" for part in parts)]
    found: set[str] = set()
    for text in texts:
        for first in re.findall(r"\bcall\(([^,)]*)", text.read_text()):
            names = re.findall(r"'([A-Z]+)'", first)
            assert names or first.strip() in ("", "...") or "--" in first, (text, first)
            found |= {name.lower() for name in names}
    return found


def test_a_worker_may_send_what_workers_send_and_no_more() -> None:
    wanted = WORKER_SENDS.union(*(called(name) for name in WORKER_SCRIPTS))
    assert granted("worker") == wanted, "mend docker/redis/users.acl"


def test_the_monitor_may_look_and_send_what_it_runs_and_no_more() -> None:
    looks = granted("viewer") - NOT_THE_MONITOR
    wanted = (looks | {"eval", "evalsha"}).union(*(called(name) for name in MONITOR_SCRIPTS))
    assert granted("monitor") == wanted, "mend docker/redis/users.acl"
    assert not [rule for rule in rules()["monitor"] if "trigger" in rule]


def test_the_coordinator_may_run_every_script_and_nothing_dangerous() -> None:
    wanted = WORKER_SENDS.union(*(called(name) for name in script_text.names()))
    assert wanted <= granted("coordinator"), "mend docker/redis/users.acl"
    for user in ("default", "coordinator", "worker", "monitor", "viewer"):
        assert rules()[user].index("-@all") < rules()[user].index("+auth")
        assert not granted(user) & {"acl", "config", "config|set", "debug", "flushall", "flushdb", "keys",
                                    "monitor", "module", "replicaof", "shutdown", "slaveof"}  # fmt: skip
    assert granted("viewer") <= granted("coordinator")


def test_the_monitor_may_read_its_metrics() -> None:
    census = (Path(script_text.FOLDER).parent.parent / "monitor" / "census.lua").read_text()
    assert {name.lower() for name in re.findall(r"\bcall\('([A-Z]+)'", census)} <= granted("monitor")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A Redis with those users; the password of each is its name and `-secret`."""
    text = "\n".join(line for line in TEMPLATE.read_text().splitlines() if line.startswith("user "))
    for user in ("coordinator", "worker", "monitor", "viewer"):
        text = text.replace(f"@{user.upper()}@", hashlib.sha256(f"{user}-secret".encode()).hexdigest())
    (tmp_path / "users.acl").write_text(text + "\n")
    with Server(tmp_path / "guarded", extra=("--aclfile", str(tmp_path / "users.acl"))) as running:
        yield running


def url(server: Server, user: str) -> str:
    return f"redis://{user}:{user}-secret@127.0.0.1:{server.port}/0"


def _login(server: Server, user: str) -> dict[str, Any]:
    return {"port": server.port, "username": user, "password": f"{user}-secret"}


def coord(server: Server, user: str, *argv: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "COORD_REDIS_URL": url(server, user)}
    return subprocess.run([*COORD, *argv], capture_output=True, text=True, env=environ, check=False)


def cli(server: Server, *argv: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-p", str(server.port), *argv], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("part", ["coordinator", "worker", "monitor", "viewer"])
def test_the_doctor_finds_nothing_missing(guarded: Server, part: str) -> None:
    done = coord(guarded, part, "doctor", "--as", part, "--only", "redis", "--json")
    found = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["redis.rights"]["level"] == "ok", found["redis.rights"]
    assert found["redis.access"]["level"] == "ok", found["redis.access"]


def test_a_stranger_can_hand_in_a_task_and_do_nothing_else(guarded: Server) -> None:
    assert cli(guarded, "ping") == "PONG"
    assert cli(guarded, "publish", "claude-trigger", "Build and test suite") == "0"
    assert re.fullmatch(r"\d+-\d+", cli(guarded, "xadd", "claude-triggers", "*", "task", "Build"))
    tried = [*rights.VIEWER.items(), *rights.SCRIPTS.items(), *rights.TRIGGERS.items()]
    tried += [
        ("FLUSHALL", []),
        ("CONFIG", ["GET", "*"]),
        ("ACL", ["LIST"]),
        ("KEYS", ["*"]),
        ("INFO", []),
        ("SUBSCRIBE", ["claude-trigger"]),
        ("CLIENT", ["LIST"]),
        ("SHUTDOWN", []),
        ("SCRIPT", ["FLUSH"]),
    ]
    for name, args in tried:
        words = ["claude-triggers" if each == "KEY" else each for each in args]
        if name != "XADD":
            assert "NOPERM" in cli(guarded, name, *words), name
    for words in (["publish", "elsewhere", "x"], ["xadd", "pool:events", "*", "f", "v"],
                  ["xadd", "rq:job:x", "*", "f", "v"]):  # fmt: skip
        assert "NOPERM" in cli(guarded, *words)


def test_the_viewer_looks_and_cannot_write(guarded: Server) -> None:
    task = coord(guarded, "coordinator", "submit", "do it").stdout.strip()
    for argv in (["tasks"], ["task", task], ["workers", "--all"], ["queues"], ["events"], ["dead-letters"]):
        done = coord(guarded, "viewer", *argv)
        assert done.returncode == 0, (argv, done.stderr)
    for argv in (["submit", "x"], ["cancel", task], ["pause", "--all"], ["trigger", "x"], ["reap"],
                 ["trigger", "--publish", "x"]):  # fmt: skip
        done = coord(guarded, "viewer", *argv)
        assert done.returncode == 5 and done.stderr.count("\n") == 1, (argv, done.stderr)
        assert "secret" not in done.stderr


def test_a_worker_cannot_reach_the_triggers(guarded: Server) -> None:
    with redis.Redis.from_url(url(guarded, "worker")) as client:
        for words in (
            ["XADD", "claude-triggers", "*", "task", "x"], ["PUBLISH", "claude-trigger", "x"], ["FLUSHALL"],
            ["GET", "other"], ["EVAL", "return redis.call('GET', 'other')", "0"],
        ):  # fmt: skip
            with pytest.raises(redis.ResponseError):
                client.execute_command(*words)


def test_the_monitor_works_under_its_user(guarded: Server, settings: Settings, tmp_path: Path) -> None:
    with connect.client(settings, **_login(guarded, "worker")) as client:
        connect.pool(settings, client).register(
            "w1", "a-process", "session", "host", 1, ["tasks"], 600.0, 0, "/", ("2.12", "3.11", "0.1")
        )
    tasks = [coord(guarded, "coordinator", "submit", "do it").stdout.strip() for _ in range(2)]
    watching = Running(tmp_path, COORD_REDIS_URL=url(guarded, "monitor")).start()
    try:
        watching.hook("SessionStart", "a-session", source="startup")
        session = watching.get("/api/v1/sessions")["sessions"][0]
        ids = {"/tasks/": tasks[0], "/sessions/": session["id"]}
        pages = [path for path, has in watching.get("/openapi.json")["paths"].items() if "get" in has]
        for path in [
            *pages,
            "/",
            "/tasks",
            f"/tasks/{tasks[0]}",
            f"/sessions/{session['id']}",
            "/queues",
            "/costs",
        ]:
            wanted = re.sub(r"(/tasks/|/sessions/)\{\w+\}", lambda found: found[1] + ids[found[1]], path)
            if wanted != "/events":
                status, text, _ = watching.request("GET", wanted)
                assert status == 200 or (wanted.endswith("/result") and status == 404), (wanted, status, text)
        for _ in range(2):
            assert b"coord_redis_up 1.0" in watching.request("GET", "/metrics")[1]
        with connect.client(settings, **_login(guarded, "coordinator")) as client:
            while not client.hexists("pool:notify", "browser"):
                time.sleep(0.02)  # (the test's own timeout ends it: notifications are refused)
        token = (Path(os.environ["COORD_HOME"]) / "monitor.token").read_text().strip()
        for action, body in (
            ("submit", {"prompt": "do it"}), ("cancel", {"ids": [tasks[1]]}), ("retry", {"ids": [tasks[1]]}),
            ("cancel", {"ids": [tasks[0]]}), ("requeue", {"ids": [tasks[1]]}), ("pause", {"queue": "tasks"}),
            ("resume", {"queue": "tasks"}), ("drain", {"workers": ["w1"]}),
            ("tell", {"target": "w1", "text": "hush"}),
        ):  # fmt: skip
            headers = {"Authorization": f"Bearer {token}"}
            status, text, _ = watching.request("POST", f"/action/{action}", body, headers)
            assert status == (409 if action == "requeue" else 200), (action, status, text)
    finally:
        log = watching.log.read_text()
        watching.close()
    assert "NOPERM" not in log and "refuses" not in log and "secret" not in log, log


@pytest.mark.settings(idle_limit="1s", recheck="1s", played="1")
def test_the_whole_pool_works_under_these_users(guarded: Server, settings: object, tmp_path: Path) -> None:
    environ = {**os.environ, "COORD_REDIS_URL": url(guarded, "coordinator")}
    with (tmp_path / "serve.log").open("wb") as out:
        serve = subprocess.Popen([*COORD, "serve"], env=environ, stdout=out, stderr=out)
    worker = Supervisor(tmp_path, "w1", COORD_PLAYED="1", COORD_REDIS_URL=url(guarded, "worker"))
    try:
        parent = coord(guarded, "coordinator", "submit", "run: echo one").stdout.strip()
        child = coord(guarded, "coordinator", "submit", "run: exit 1", "--after", parent, "--retries", "1")
        ids = [parent, child.stdout.strip()]
        until(lambda: "leads" in (tmp_path / "serve.log").read_text())
        until(lambda: cli(guarded, "publish", "claude-trigger", "run: echo heard") == "1")
        cli(guarded, "xadd", "claude-triggers", "*", "task", "run: echo kept")
        assert coord(guarded, "coordinator", "wait", *ids, "--timeout", "60").returncode == 1

        def statuses() -> list[str]:
            rows = json.loads(coord(guarded, "viewer", "tasks", "--json").stdout)
            return sorted(row["status"] for row in rows)

        until(lambda: statuses() == ["failed", "finished", "finished", "finished"])
        worker.state("waiting")
        assert worker.end() == 0
    finally:
        serve.send_signal(signal.SIGTERM)
        serve.wait(30)
        if worker.process.poll() is None:
            worker.process.kill()
    logs = [tmp_path / "serve.log", worker.log, *(tmp_path / "home").rglob("*.log")]
    said = "".join(path.read_text() for path in logs)
    assert "refuses" not in said and "secret" not in said, said
