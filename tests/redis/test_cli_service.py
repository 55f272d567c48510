"""coord trigger, events, dead-letters, settings, up and down; help and start-up."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue

from coordinator import cli, embedded
from pool import process, view
from pool import settings as settings_module
from pool.claim import Caller
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.server import free_port
from tests.session import eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]


# -- triggers ------------------------------------------------------------------------------------------


def test_a_trigger_is_kept_until_a_coordinator_reads_it(coord: Coord, conn: Any) -> None:
    done = coord("trigger", "Build and test suite")
    assert "no coordinator runs: the trigger is kept" in done.err
    ((key, fields),) = conn.xrange("claude-triggers")
    assert fields == {b"task": b"Build and test suite"}
    assert done.out.strip() == f"trigger-{key.decode()}", "the id of the task to be"
    conn.set("pool:leader", "somebody")
    again = coord.process("trigger", "-", "--json", stdin=b'{"prompt": "x", "priority": "high"}')
    assert again.err == "" and again.json["id"].startswith("trigger-")


def test_a_published_trigger_needs_a_listener(coord: Coord, conn: Any) -> None:
    assert "nobody listens" in coord.refused("trigger", "--publish", "hello", code=5)
    with conn.pubsub() as listener:
        listener.subscribe("claude-trigger")
        listener.get_message(timeout=5)
        assert coord("trigger", "--publish", "hello").out == "published to 1 listener(s)\n"
        message = listener.get_message(timeout=5)
        assert message is not None and message["data"] == b"hello"


def test_a_bad_trigger_is_refused_before_it_is_sent(coord: Coord, conn: Any) -> None:
    assert "not valid JSON" in coord.refused("trigger", "{oops")
    assert "it may not set 'check'" in coord.refused("trigger", '{"prompt": "x", "check": "rm -rf /"}')
    assert "prompt: it is empty" in coord.refused("trigger", " ")
    assert conn.exists("claude-triggers") == 0


# -- events, dead letters ------------------------------------------------------------------------------


def test_events(coord: Coord, submit: Submit, pool: Pool, register: Register) -> None:
    submit(id="a")
    submit(id="b")
    me = register("w")
    handed = pool.claim(me).handed
    assert handed is not None
    pool.complete(me, handed.claim, "null")
    found = coord.json("events")
    assert [(each["type"], each["task"]) for each in found] == [
        ("submitted", "a"), ("submitted", "b"), ("registered", ""), ("claimed", "a"), ("finished", "a")
    ]  # fmt: skip
    assert [each["type"] for each in coord.json("events", "--task", "b")] == ["submitted"]
    assert [each["type"] for each in coord.json("events", "-w", "w", "-n", "2")] == ["claimed", "finished"]
    assert coord.json("events", "-n", "0") == []
    lines = coord("events", "-t", "a").out.splitlines()
    assert len(lines) == 3 and re.match(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  finished  +a  w  tasks  ", lines[-1]
    )


def test_events_as_they_happen(coord: Coord, submit: Submit) -> None:
    submit(id="old")
    every, one = coord.start("events", "-f", "-n", "1"), coord.start("events", "-f", "--json", "-t", "new")
    assert every.stdout is not None and one.stdout is not None
    assert "submitted     old" in every.stdout.readline()
    submit(id="other")
    assert "submitted     other" in every.stdout.readline()
    submit(id="new")  # (whether the other one follows already or not: it is shown once)
    assert json.loads(one.stdout.readline())["task"] == "new"
    assert "submitted     new" in every.stdout.readline()
    for child in (every, one):
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
        assert (child.returncode, out, err.strip()) == (130, "", "")


def test_dead_letters(coord: Coord, conn: Any, pool: Pool, register: Register) -> None:
    assert coord("dead-letters").out == "no dead letters\n"
    Queue("tasks", connection=conn).enqueue("os.system", "true", job_id="pickle")
    pool.claim(register())
    (found,) = coord.json("dead-letters")
    assert (found["kind"], found["task"], found["queue"]) == ("job", "pickle", "tasks")
    assert found["reason"] == "its payload is a pickle; coord reads JSON only"
    with coord.terminal("dead-letters", columns=80) as shown:
        shown.end()
    assert "its payload is a pickle" in shown.plain


# -- settings ------------------------------------------------------------------------------------------


def test_settings(coord: Coord, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "coord.toml").write_text('idle_limit = "20m"\nqueues = ["a", "b"]\nresult_limit = "2MiB"\n')
    monkeypatch.setenv("COORD_IDLE_LIMIT", "30m")
    monkeypatch.setenv("COORD_REDIS_URL", "redis://me:SECRET@127.0.0.1:1/3?password=SECRET")
    found = coord.json("settings")
    assert found["idle_limit"] == 1800.0, "the environment has the last word"
    assert (found["queues"], found["result_limit"]) == (["a", "b"], 2 * 1024 * 1024)
    assert found["redis_url"] == "redis://me:***@127.0.0.1:1/3"
    done = coord("settings")
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert set(rows) == {"setting", *Settings.model_fields}
    assert "30m" in rows["idle_limit"] and "a worker without work for so long may stop" in rows["idle_limit"]
    assert "coord.toml" in done.err and "SECRET" not in done.out + done.err


# -- up, down ------------------------------------------------------------------------------------------


def test_up_and_down(coord: Coord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COORD_REDIS_URL")
    monkeypatch.delenv("COORD_HOME")
    monkeypatch.setenv("COORD_MONITOR_ENABLED", "0")
    project = tmp_path / "project"
    (project / "below").mkdir(parents=True)
    monkeypatch.chdir(project)
    coord.folder = project
    port = free_port()
    done = coord.process("up", "--detach", "--port", port)
    assert done.code == 0, done
    try:
        assert f"redis://127.0.0.1:{port}/0, data in {project}/.coord/redis" in done.err
        assert f'redis-cli -p {port} publish claude-trigger "Build and test suite"' in done.err
        running = embedded.running(project / ".coord")
        assert running is not None and running.port == port
        coord.folder = project / "below"
        submitted = coord.process("submit", "x")
        assert submitted.code == 0, submitted
        again = coord.process("up", "-d")
        assert "the coordinator runs already" in again.err and f":{port}/" in again.err
        with redis.Redis.from_url(running.url) as client:
            assert client.config_get("append*")["appendfsync"] == "always"
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.exists("pool:leader"), "what is published now is heard"
            assert len(view.latest_ids(client, 0, -1)) == 1
    finally:
        done = coord.process("down")
    assert done.out == "coordinator ended\nRedis ended\n", done
    assert not process.same(running.key)
    assert coord.process("down").out == "no embedded Redis runs here\n"


def test_what_was_submitted_is_there_again_after_down_and_up_and_ctrl_c_ends_both(
    coord: Coord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COORD_REDIS_URL")
    monkeypatch.setenv("COORD_MONITOR_ENABLED", "0")
    home = tmp_path / "home"
    home.mkdir()
    server = embedded.start(home, free_port())
    task_id = coord("submit", "x").out.strip()
    assert embedded.stop(home)
    child = coord.start("up")
    found = eventually(lambda: embedded.running(home), 20)
    with redis.Redis.from_url(found.url) as client:
        eventually(lambda: client.exists("pool:leader"))
        assert view.task(client, task_id).status == "queued"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 0 and err.rstrip().endswith("Redis ended"), err
    assert not process.same(found.key) and not process.same(server.key)


def test_up_refuses_what_it_cannot_do(coord: Coord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "names a Redis: run `coord serve`" in coord.refused("up")
    monkeypatch.delenv("COORD_REDIS_URL")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port} is taken" in coord.refused("up", "--port", port)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "file"))
    assert "File exists" in coord.refused("up")
    assert coord.refused("up", "--port", "70000").startswith("coord: Invalid value for '--port'")


# -- help ----------------------------------------------------------------------------------------------


def test_help_is_quick_and_complete(coord: Coord) -> None:
    code = (
        "import sys; sys.argv = ['coord', '--help']; from coordinator import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'redis', 'rq', 'rich', 'pydantic', 'pydantic_settings'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert shown == set(cli.COMMANDS)
    assert "Exit codes: 0 done" in done.stdout


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_its_help(coord: Coord, command: str) -> None:
    text = coord(command, "--help").out
    assert text.startswith(f"Usage: coord {command}") and "Show this message and exit." in text


def test_no_command_at_all(coord: Coord) -> None:
    done = coord(code=2)
    assert done.out.startswith("Usage: coord") and done.err == ""
    assert coord("--version").out.startswith("coord, version ")
    assert coord.refused("nothing") == "coord: No such command 'nothing': `coord --help` shows how"


def test_settings_show_no_token(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_MONITOR_OPERATOR_TOKEN", "operator-0123456789")
    monkeypatch.setenv("COORD_MONITOR_VIEWER_TOKEN_FILE", "/run/secrets/viewer")
    for done in (coord("settings"), coord("settings", "--json")):
        assert "operator-0123456789" not in done.out and "[redacted]" in done.out
        assert "/run/secrets/viewer" in done.out
    assert "operator-0123456789" not in json.dumps(settings_module.compile_values(settings_module.load()))
