"""A healthy installation, and what the doctor itself must not do: hang, change anything, leave anything."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool import process
from tests.redis.coord import COORD
from tests.redis.doctor.well import CHECKS, Well
from tests.server import Server
from tests.session import eventually


def test_nothing_is_wrong(well: Well) -> None:
    found = well.finds_nothing()
    assert {each["check"] for each in found} == CHECKS, "each check said something"
    text = well.coord("doctor", "--slow", "60s").out
    assert all(any(check in line for line in text.splitlines()) for check in CHECKS)
    assert text.splitlines()[-1].endswith(" ok")
    assert well.coord("doctor", "--slow", "60s", "-q", "--only", "coordinator").out == "1 ok\n"


def test_for_people(well: Well) -> None:
    well.conn.config_set("appendfsync", "everysec")
    with well.coord.terminal("doctor", "--only", "redis", columns=72) as terminal:
        assert terminal.end() == 1
        shown = terminal.plain
    assert max(len(line.rstrip()) for line in shown.splitlines()[1:]) <= 72
    assert "-> redis-cli" in shown and "1 warning(s)" in shown
    remedy = " ".join(shown.partition("-> ")[2].split())
    assert remedy.startswith("redis-cli -p") and "config set appendfsync always" in remedy, (
        "nothing is cut off"
    )


def test_a_part(well: Well) -> None:
    assert {each["check"].partition(".")[0] for each in well.findings("--only", "rq,client", code=0)} == {
        "rq", "client",
    }  # fmt: skip
    well.conn.config_set("appendonly", "no")
    well.findings("--skip", "redis", "--no-fire", code=0)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--only", "hook"), "'hook' is no group of checks: redis, coordinator, accounts, hooks"),
        (("--skip", "redis,nothing"), "'nothing' is no group of checks"),
        (("--only", "rq", "--skip", "rq"), "nothing is left to look at"),
        (("--slow", "quick"), "--slow"),
        (("--as", "boss"), "--as"),
        (("--fail-on", "ok"), "--fail-on"),
        (("now",), "unexpected extra argument"),
    ],
)
def test_usage(well: Well, argv: tuple[str, ...], words: str) -> None:
    assert words in well.coord.refused("doctor", *argv)


def test_a_url_that_is_none(well: Well) -> None:
    well.env(COORD_REDIS_URL="http://127.0.0.1")
    assert "redis_url must start with" in well.coord.refused("doctor")


def test_a_url_in_a_file(well: Well) -> None:
    well.monkeypatch.delenv("COORD_REDIS_URL")
    file = well.folder.parent / "url"
    well.env(COORD_REDIS_URL_FILE=str(file))
    assert str(file) in well.finds(
        "redis.reach", "hooks.installed", argv=("--no-fire",), remedy="write the URL into"
    )
    file.write_text(well.server.url)
    well.coord("hooks", "install", "--worker")
    well.finds_nothing()


def test_in_a_folder_below(well: Well) -> None:
    well.monkeypatch.delenv("COORD_HOME")
    (well.folder / ".coord").mkdir()
    well.coord("hooks", "install", "--worker")
    below = well.folder / "below"
    below.mkdir()
    well.monkeypatch.chdir(below)
    found = {each["check"]: each for each in well.finds_nothing("--only", "hooks")}
    assert found["hooks.installed"]["remedy"] == f"cd {well.folder} && coord doctor"


def test_settings_that_are_none(well: Well) -> None:
    well.env(COORD_LEASE="soon")
    assert "COORD_LEASE" in well.coord.refused("doctor")


# -- it changes nothing ----------------------------------------------------------------------------------


def disk(*folders: Path) -> dict[str, Any]:
    """Every file with its content and when it was changed."""
    found: dict[str, Any] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            stat = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = (stat.st_mode, stat.st_mtime_ns, content)
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_changes_nothing(well: Well, temporary: Path) -> None:
    well.coord("submit", "a task", "--id", "a")
    before = well.everything(), disk(well.home, well.user, well.folder)
    assert before[0] and before[1]
    well.findings(code=1)  # the task is served by nobody
    after = well.everything(), disk(well.home, well.user, well.folder)
    assert after == before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way_it_leaves_nothing(well: Well, temporary: Path, how: signal.Signals) -> None:
    """Killed while a hook hangs, with a worker registered: all of it goes."""
    wired = json.loads(well.settings_file.read_text())
    handler = wired["hooks"]["UserPromptSubmit"][0]["hooks"][0]
    started = well.folder / "started"
    handler["command"] = (
        f"echo $$ > {started}.part; mv {started}.part {started}; sleep 600 # {handler['command']}"
    )
    well.settings_file.write_text(json.dumps(wired))
    before = well.everything()
    child = subprocess.Popen(
        [*COORD, "doctor", "--only", "hooks"], cwd=well.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(started.exists, 30, "the hook runs")
    hung = process.key(int(started.read_text()))
    assert any(number == 15 and key.startswith(b"pool:worker:doctor-") for number, key in well.everything())
    assert list(temporary.iterdir())
    child.send_signal(how)
    child.wait(timeout=30)
    eventually(lambda: list(temporary.iterdir()) == [], 30, "the temporary folder is gone")
    assert well.everything() == before
    assert not process.same(hung)
    assert not [
        pid for pid in os.listdir("/proc") if pid.isdigit() and str(temporary).encode() in _words(pid)
    ]


def test_killed_at_any_moment_it_leaves_nothing(well: Well, temporary: Path) -> None:
    before = well.everything()
    began = time.monotonic()
    well.coord.process("doctor", "--only", "hooks", "--slow", "60s")
    whole = time.monotonic() - began
    for part in range(1, 16):
        child = subprocess.Popen(
            [*COORD, "doctor", "--only", "hooks"], cwd=well.folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        # Not a matter of precision: wherever it is by then, it is killed there.
        time.sleep(whole * part / 15)
        child.kill()
        _, said = child.communicate(timeout=60)  # its guardian has the same standard error, and has ended
        assert said == ""
        eventually(lambda: list(temporary.iterdir()) == [], 30, "the temporary folder is gone")
        assert well.everything() == before


def _words(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_both_killed_the_next_doctor_cleans_up(well: Well, temporary: Path) -> None:
    """Should even the guardian be killed, the next doctor wipes what is left, once its time is over."""
    well.ask("SELECT", 15)
    well.conn.hset(
        "pool:doctor", mapping={"name": "doctor-abc", "process": "p", "began": 1000, "until": 1120}
    )
    well.conn.zadd("pool:workers", {"doctor-abc": 1})
    well.conn.hset("pool:worker:doctor-abc", "ticket", 2)
    well.conn.rpush("pool:bell:doctor-abc:1", "tasks")
    well.conn.sadd("rq:queues", "rq:queue:doctor-abc")
    well.conn.hset("rq:job:doctor-abc", "pool_token", "1-a")
    well.conn.hset("rq:execution:doctor-abc:1-a", "id", "1-a")
    well.conn.set("pool:epoch", 1)
    well.ask("SELECT", 0)
    well.finds_nothing("--only", "hooks")
    assert not [number for number, _ in well.everything() if number]


def test_databases_of_others_are_not_touched(well: Well) -> None:
    """Somebody's keys are no hindrance; a pool or an RQ is."""
    pools: list[Callable[[], Any]] = [
        lambda: well.conn.zadd("pool:workers", {"w1": 1}),
        lambda: well.conn.sadd("rq:queues", "rq:queue:tasks"),
        lambda: well.conn.set("pool:epoch", 1),
        lambda: well.conn.hset("pool:doctor", mapping={"name": "doctor-x", "until": 9_999_999_999}),
    ]
    for number in range(15, 0, -1):
        well.ask("SELECT", number)
        well.conn.set("somebody", "else")
        if number != 2:
            pools[number % len(pools)]()
    well.ask("SELECT", 0)
    before = well.everything()
    well.finds_nothing("--only", "hooks")
    assert well.everything() == before
    well.ask("SELECT", 2)
    pools[0]()
    before = well.everything()
    found = {each["check"]: each for each in well.findings("--only", "hooks", code=0)}
    assert found["hooks.fire"]["level"] == "unknown" and "no other database" in found["hooks.fire"]["seen"]
    assert well.everything() == before


def test_a_pool_that_begins_there_meanwhile_stays(well: Well) -> None:
    """Somebody begins to use the very database while hooks are fired."""
    wired = json.loads(well.settings_file.read_text())
    handler = wired["hooks"]["PostToolUse"][0]["hooks"][0]
    cli = f"redis-cli -p {well.server.port} -n 15"
    handler["command"] = (
        f"{cli} zadd pool:tasks 1 theirs; {cli} sadd rq:queues rq:queue:theirs; exit 0; "
        + (handler["command"])
    )
    well.settings_file.write_text(json.dumps(wired))
    before = well.everything()
    well.findings("--only", "hooks", code=1)
    left = {key: value for key, value in well.everything().items() if key not in before}
    assert {key for _, key in left} == {
        b"pool:tasks",
        b"rq:queues",
        b"pool:epoch",
        b"pool:fence",
        b"pool:events",
        b"pool:totals",
    }
    assert left[(15, b"pool:tasks")][0] == [(b"theirs", 1.0)]
    assert left[(15, b"rq:queues")][0] == {b"rq:queue:theirs"}


def test_no_database_of_its_own(well: Well, tmp_path: Path) -> None:
    with Server(tmp_path / "one", appendonly=True, extra=("--databases", "1")) as other:
        well.env(COORD_REDIS_URL=other.url)
        well.coord("hooks", "install", "--worker")
        found = {each["check"]: each for each in well.findings("--only", "hooks", code=0)}
    assert "no other database" in found["hooks.fire"]["seen"]


def test_two_doctors_at_once(well: Well) -> None:
    children = [
        subprocess.Popen(
            [*COORD, "doctor", "--only", "hooks", "--slow", "60s", "--json"], cwd=well.folder,
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for child in children:
        out, _ = child.communicate(timeout=120)
        assert child.returncode == 0, out
    assert not [number for number, _ in well.everything() if number]


def test_inside_a_worker_it_is_a_worker_of_its_own(well: Well) -> None:
    """Run in a session's Bash, the doctor's hooks take themselves for nobody's but the doctor's."""
    well.env(COORD_SESSION="x", COORD_WORKER_ID="w1", CLAUDE_PID=str(os.getpid()), CLAUDECODE="1")
    before = well.everything()
    well.finds_nothing("--only", "hooks")
    assert well.everything() == before
