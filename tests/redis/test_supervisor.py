"""`coord worker run`: sessions when there is work, none without; drained, killed, failing, not logged in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import events, process
from pool.settings import Settings
from tests.server import Server

Submit = Callable[..., str]
COORD = [sys.executable, "-P", "-m", "coordinator.cli"]
#: So long may a thing take on a busy machine (seconds).
PATIENCE = 60.0


def until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Supervisor:
    """A `coord worker run` as a process."""

    def __init__(self, folder: Path, name: str, *options: str, **env: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        project = folder / "project"
        project.mkdir(exist_ok=True)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC")}
        self.environ |= env
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*COORD, "worker", "run", "--name", name, "--project", str(project), *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environ,
            )  # fmt: skip

    def health(self) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*COORD, "worker", "health", "--name", self.name, "--json"],
            capture_output=True, text=True, env=self.environ, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout else {"reason": done.stderr}

    def state(self, wanted: str, healthy: bool = True) -> dict[str, Any]:
        """Wait until it says so."""

        def there() -> dict[str, Any] | None:
            code, said = self.health()
            return said if said.get("state") == wanted and (code == 0) == healthy else None

        said: dict[str, Any] = until(there)
        return said

    def session(self) -> int:
        return int(self.state("running")["reason"].split()[-1])

    def end(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def supervise(settings: Settings, conn: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def run(name: str = "w1", played: bool = True, **env: str) -> Supervisor:
        made.append(Supervisor(tmp_path, name, COORD_PLAYED=str(int(played)), **env))
        return made[-1]

    yield run
    for each in made:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            each.process.send_signal(signal.SIGTERM)
            each.process.wait(PATIENCE)


def status(conn: redis.Redis, task: str) -> str:
    found: Any = conn.hget(f"rq:job:{task}", "status")
    return found.decode() if found else ""


def ended(conn: redis.Redis, task: str) -> bool:
    return status(conn, task) == "finished"


def kinds(conn: redis.Redis) -> list[str]:
    return [row["type"] for row in events.latest(conn, 1000)]


@pytest.mark.settings(idle_limit="1s", recheck="1s")
def test_sessions_come_with_tasks_and_go_without(
    supervise: Callable[..., Supervisor], submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    one, two = supervise("w1"), supervise("w2")
    for each in (one, two):
        each.state("waiting")
    assert "registered" not in kinds(conn), "no session while there is no task"
    for _ in range(2):
        task = submit("run: echo done")
        until(partial(ended, conn, task))
        until(lambda: conn.zcard("pool:workers") == 0)
        one.state("waiting")
        two.state("waiting")
    assert kinds(conn).count("registered") == 2, "one session for each task, of one of the two"
    assert not (tmp_path / "project" / ".claude").exists(), "the project's files stay as they are"
    assert one.end() == two.end() == 0
    assert one.health()[0] == 1


@pytest.mark.settings(recheck="1s")
def test_sigterm_lets_a_session_finish_its_task(
    supervise: Callable[..., Supervisor], submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = submit(f"run: until [ -e '{gate}' ]; do sleep 0.1; done; echo over")
    second = submit("run: echo never here")
    one = supervise()
    until(lambda: status(conn, first) == "started")
    one.process.send_signal(signal.SIGTERM)
    until(lambda: conn.hget("pool:worker:w1", "draining"))
    assert one.state("draining")["healthy"]
    gate.touch()
    assert one.process.wait(PATIENCE) == 0
    assert (status(conn, first), status(conn, second)) == ("finished", "queued")


@pytest.mark.settings(recheck="1s")
def test_a_second_sigterm_leaves_no_process(
    supervise: Callable[..., Supervisor], submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    task = submit(f"run: setsid sleep 1000 & echo $! > '{pids}'; sleep 1000")
    one = supervise()
    until(lambda: pids.exists() and pids.read_text().strip())
    stray = process.key(int(pids.read_text()))
    assert stray
    one.process.send_signal(signal.SIGTERM)
    until(lambda: "may finish its task" in one.said)
    assert one.end() == 0
    assert not process.same(stray), "not even what had left its process group"
    until(lambda: status(conn, task) == "queued")


@pytest.mark.settings(recheck="1s")
def test_a_killed_supervisor_takes_its_session_along(
    supervise: Callable[..., Supervisor], submit: Submit, conn: redis.Redis
) -> None:
    task = submit("run: sleep 1000")
    one = supervise()
    until(lambda: status(conn, task) == "started")
    session = process.key(one.session())
    assert session
    one.process.kill()
    one.process.wait()
    assert one.health()[1]["state"] == "gone"
    until(lambda: not process.same(session))
    until(lambda: status(conn, task) == "queued")


def test_without_a_login_it_says_so_once_and_goes_on_when_there_is_one(
    supervise: Callable[..., Supervisor], submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    program = tmp_path / "client"
    seen = tmp_path / "seen"
    program.write_text(f'#!/bin/sh\necho "$ANTHROPIC_API_KEY" "$@" >> \'{seen}\'\nexit 3\n')
    program.chmod(0o755)
    submit()
    one = supervise(played=False, COORD_CLAUDE=str(program), ANTHROPIC_API_KEY_FILE=str(key))
    said = one.state("no-credentials", healthy=False)
    assert "ANTHROPIC_API_KEY" in said["reason"] and "CLAUDE_CODE_OAUTH_TOKEN" in said["reason"]
    assert "summoned" not in kinds(conn), "nothing is started"
    key.write_text("sk-not-to-be-shown\n")
    until(lambda: seen.exists() and seen.read_text().count("\n") >= 3)
    assert seen.read_text().splitlines()[0].startswith("sk-not-to-be-shown -p --input-format stream-json")
    one.state("broken", healthy=False)
    assert one.said.count("no credentials") == 1
    assert "the session ended with 3" in one.said
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or b"sk-not-to-be-shown" not in file.read_bytes()
    assert "sk-not-to-be-shown" not in one.said


@pytest.mark.settings(recheck="1s")
def test_it_sits_out_an_outage(
    supervise: Callable[..., Supervisor], own_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "login.url"
    file.write_text(own_server.url)
    one = supervise(COORD_REDIS_URL="", COORD_REDIS_URL_FILE=str(file))
    one.state("waiting")
    own_server.kill()
    assert "cannot be reached" in one.state("waiting", healthy=False)["reason"]
    own_server.start()
    one.state("waiting")
    assert one.said.count("cannot be reached") == 1 and "Redis is back" in one.said


def test_bad_usage_is_one_line(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    one = supervise()
    one.state("waiting")
    assert "w1: a session is started when a task waits (hook mode, queues " in one.said
    again = supervise()
    assert again.process.wait(PATIENCE) == 2
    assert again.said == "coord: a supervisor w1 runs already: give this one a --name\n"
    lost = supervise("w2", played=False, COORD_CLAUDE="/nowhere/claude")
    assert lost.process.wait(PATIENCE) == 2
    assert "no program '/nowhere/claude'" in lost.said and lost.said.count("\n") == 1
    for words, why in (
        (["--mode", "terminal"], "needs a terminal: start it in one, or use --tmux"),
        (["--mode", "terminal", "-n", "2"], "one terminal shows one session"),
        (["--tmux", "a:b"], "'a:b' is not a name for tmux"),
        (["--tmux", "a", "--mode", "hook"], "leave out --mode hook"),
        (["-n", "2", "--max", "0"], "--max: between 1 and the number of --workers"),
        (["--budget", "0"], "--budget: it must be more than 0"),
        (["--model", ""], "--model is empty"),
    ):
        done = subprocess.run(
            [*COORD, "worker", "run", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2 and why in done.stderr and done.stderr.count("\n") == 1, done
    without = tmp_path / "without"
    without.mkdir()
    (without / "claude_agent_sdk.py").write_text("raise ImportError('it is not installed')")
    done = subprocess.run(
        [*COORD, "worker", "run", "--mode", "stream"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(without)},
    )  # fmt: skip
    assert done.returncode == 2 and "pip install 'coord[claude]'" in done.stderr, done
    assert done.stderr.count("\n") == 1
    missing = subprocess.run(
        [*COORD, "worker", "health", "--name", "nobody"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2 and "no supervisor has run here" in missing.stderr


def test_its_sessions_may_call_the_helper_and_nobody_elses_settings_change(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    one = supervise(CLAUDE_CONFIG_DIR=str(own))
    one.state("waiting")
    assert list(own.iterdir()) == []
    text = (tmp_path / "home" / "supervisors" / "w1" / "claude" / "settings.json").read_text()
    assert "Bash(coord-worker:*)" in json.loads(text)["permissions"]["allow"]
