"""The Claude Code plugin with the real client: valid, installed from here, alone and beside hooks."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import view
from tests.client import models, story
from tests.client.api import Api
from tests.client.client import Home
from tests.redis.coord import Coord
from tests.session import ROOT, eventually
from tools import plugin

Submit = Callable[..., str]


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A PATH whose python3 is a bare one, with nothing of coord's on it."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    return f"{folder}:/usr/bin:/bin"


def test_it_is_up_to_date_and_the_client_finds_nothing_wrong_with_it(home: Home) -> None:
    assert plugin.outdated() == [], "python -m tools.plugin"
    for what in (ROOT / "plugin", ROOT):
        done = home.run(home.program, "plugin", "validate", "--strict", str(what))
        assert "Validation passed" in done.stdout


def test_installed_from_this_repository_it_is_all_that_a_worker_needs(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, bare: str, tmp_path: Path
) -> None:
    """No coord on its PATH: tasks before and after a wait, a message and a cancelled task amid tool calls."""
    api.script(models.worker())
    home.run(home.program, "plugin", "marketplace", "add", str(ROOT))
    home.run(home.program, "plugin", "install", "coord", "--config", "worker=true")
    cap = {"CLAUDE_CODE_STOP_HOOK_BLOCK_CAP": "0"}
    first = submit("run: command -v coord-worker")
    session = home.open("Work for the pool.", COORD_WORKER_ID="w1", PATH=bare, **cap)
    story.finished(conn, first)
    assert any("/bin/coord-worker" in each for request in api.seen() for each in request.results())
    story.until(conn, "w1", "waiting")
    waited, asked = time.monotonic(), api.count()
    go = tmp_path / "go"
    while time.monotonic() - waited < 5:  # (its Stop hook's timeout is read: see below)
        assert story.state(conn, "w1") == "waiting" and api.count() == asked
        time.sleep(0.2)
    second = submit(f"run: until [ -e {go} ]; do sleep 0.1; done; rm {go}")
    eventually(lambda: story.status(conn, second) == "started" and api.count() > asked)
    eventually(lambda: home.processes("until [ -e"), 30, "its tool runs")
    operator = Coord(tmp_path)
    message = operator.json("tell", second, "Mind the other branch")["message"]
    eventually(lambda: list(Path(os.environ["COORD_HOME"]).glob("sessions/*/words")), 30)
    go.touch()
    api.wait(lambda request: "> Mind the other branch" in request.conversation())
    story.finished(conn, second)
    assert story.events(conn, "told") == 1 and message
    third = submit(f"run: until [ -e {go} ]; do sleep 0.1; done; rm {go}")
    eventually(lambda: home.processes("until [ -e"), 30, "its tool runs")
    operator("cancel", third, "--reason", "not needed after all")
    eventually(lambda: list(Path(os.environ["COORD_HOME"]).glob("sessions/*/lost")), 30)
    go.touch()
    api.wait(
        lambda request: f"Task {third} is not yours any more (not needed after all)" in request.conversation()
    )
    story.until(conn, "w1", "waiting")
    operator("drain", "w1")
    session.frames.result()
    assert story.state(conn, "w1") == "stopped"
    session.end_input()
    assert session.end() == 0
    assert story.complaints(home) == ""


def test_beside_installed_hooks_there_is_one_worker(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, tmp_path: Path
) -> None:
    """Hooks that the plugin cannot see (`--settings`): the client runs both, for each event, at once."""
    api.script(models.worker())
    settings = home.run("coord", "hooks", "install", "--worker", "--print").stdout
    tasks = [submit("run: echo hello") for _ in range(3)]
    both = ["--plugin-dir", str(ROOT / "plugin"), "--settings", settings]
    session = home.open(
        "Work for the pool.", *both, COORD_WORKER="1", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s"
    )
    story.finished(conn, *tasks)
    session.frames.result()
    counts = {kind: story.events(conn, kind) for kind in ("registered", "claimed", "finished", "reminded")}
    assert counts == {"registered": 1, "claimed": 3, "finished": 3, "reminded": 0}
    assert story.state(conn, "w1") == "stopped" and view.worker(conn, "w1").tasks == 3
    # A hand-over, two commands and an end of the turn for each; the first turn besides.
    assert api.count() == 3 * 3 + 1
    (folder,) = Path(os.environ["COORD_HOME"]).glob("sessions/*")
    assert (folder / "tools").stat().st_size == 6, "each tool call is counted once"
    started = [frame["hook_name"] for frame in session.frames.of("system", "hook_started")]
    assert started.count("SessionStart:startup") == 2, "both were run"
    session.end_input()
    assert session.end() == 0
    assert story.complaints(home) == ""


def test_the_timeout_in_its_hooks_json_is_the_client_s(
    api: Api, home: Home, conn: redis.Redis, tmp_path: Path
) -> None:
    """With 2 s instead of 86400 the wait is cut off after 2 s: the stop proceeds."""
    api.script(models.worker())
    short = tmp_path / "plugin"
    shutil.copytree(ROOT / "plugin", short)
    path = short / "hooks" / "hooks.json"
    value = json.loads(path.read_text())
    (handler,) = value["hooks"]["Stop"][0]["hooks"]
    assert handler["timeout"] == 86400
    handler["timeout"] = 2
    path.write_text(json.dumps(value))
    session = home.open(
        "Work for the pool.", "--plugin-dir", str(short), COORD_WORKER="1", COORD_WORKER_ID="w1",
        COORD_IDLE_LIMIT="10m",
    )  # fmt: skip
    session.frames.result()
    assert story.state(conn, "w1") in ("waiting", "interrupted")
    assert session.frames.of("result")[0]["duration_ms"] >= 2000
    assert api.count() == 1
