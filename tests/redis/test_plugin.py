"""The Claude Code plugin's hooks and helper, alone and beside installed ones, on a real Redis."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from hooks import install
from pool import events, view
from pool.scripts import Pool
from pool.settings import Settings
from tests.plugged import Plugged
from tests.redis.test_hooks import claim_in
from tests.server import Server
from tests.session import eventually

Submit = Callable[..., str]
Start = Callable[..., Plugged]


@pytest.fixture
def start(
    settings: Settings, conn: redis.Redis, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start sessions that have the plugin: ``start(COORD_WORKER="1")``."""
    project = tmp_path / "a project"
    project.mkdir()
    monkeypatch.chdir(project)
    made: list[Plugged] = []

    def run(name: str = "w1", **env: str) -> Plugged:
        given = {"COORD_REDIS_URL": server.url, "COORD_HOME": settings.home, "COORD_RECHECK": "1s", **env}
        made.append(Plugged(settings, project, name, **{k: v for k, v in given.items() if v}))
        return made[-1]

    yield run
    for each in made:
        each.close()


def seen(conn: redis.Redis, kind: str) -> int:
    return sum(row["type"] == kind for row in events.latest(conn, 1000))


# -- alone -------------------------------------------------------------------------------------------


def test_an_ordinary_session_notices_nothing(start: Start, conn: redis.Redis, tmp_path: Path) -> None:
    one = start()
    for event in ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SessionEnd"):
        assert one.hook(event) == {}
    assert not one.home.exists() and not one.env_file.read_text()
    assert conn.dbsize() == 0
    assert start("w2", CLAUDE_PLUGIN_OPTION_WORKER="true", COORD_WORKER="0").hook("SessionStart") == {}


@pytest.mark.parametrize("choice", [{"COORD_WORKER": "1"}, {"CLAUDE_PLUGIN_OPTION_WORKER": "true"}])
def test_a_worker_by_choice_does_a_task_with_nothing_but_the_plugin(
    choice: dict[str, str], start: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = start(**choice)
    assert "You are worker w1" in one.start()["hookSpecificOutput"]["additionalContext"]
    submit(id="t")
    claim = claim_in(one.hook("Stop"))
    assert one.hook("PostToolUse", tool_name="Bash") == {}
    done = one.bash(f"coord-worker complete {claim} --result fine")
    assert (done.returncode, done.stderr) == (0, "")
    assert view.task(conn, "t").result == "fine"
    keeper = eventually(one.keeper)
    one.hook("SessionEnd", reason="other")
    assert view.worker(conn, "w1").state == "stopped"
    one.kill()
    eventually(lambda: keeper not in one.keepers(), what="its keeper ends with it")


def test_its_helper_is_on_the_path_before_any_session_started(start: Start) -> None:
    one = start(COORD_WORKER="1")
    done = subprocess.run(
        ["sh", "-c", "command -v coord-worker && coord-worker status"], env=one.env, cwd=one.folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == str(one.plugin / "bin" / "coord-worker")
    assert "w1 is not registered" in done.stdout and (done.returncode, done.stderr) == (0, "")


def test_options_are_settings_below_coord_toml(start: Start, conn: redis.Redis, server: Server) -> None:
    options = {"CLAUDE_PLUGIN_OPTION_QUEUES": "one,two", "CLAUDE_PLUGIN_OPTION_REDIS_URL": server.url}
    one = start(COORD_WORKER="1", COORD_REDIS_URL="", **options)
    one.start()
    assert view.worker(conn, "w1").queues == ["one", "two"]
    assert view.worker(conn, "w1").idle_limit == 600
    # Bash knows no option: the helper finds what is in force all the same.
    assert one.bash("coord-worker heartbeat").returncode == 0
    (one.folder / "coord.toml").write_text(
        f'queues = ["three"]\nidle_limit = "5m"\nredis_url = "{server.url}"\n'
    )
    wrong = {**options, "CLAUDE_PLUGIN_OPTION_REDIS_URL": "redis://127.0.0.1:1/0"}
    other = start("w2", COORD_WORKER="1", COORD_REDIS_URL="", **wrong)
    other.start()
    assert view.worker(conn, "w2").queues == ["three"]
    assert view.worker(conn, "w2").idle_limit == 300
    kept = Path(one.settings.home) / "plugin.json"
    assert kept.stat().st_mode & 0o777 == 0o600, "a URL may hold a password"


def test_a_coord_toml_that_is_wrong_is_told_in_the_log_and_by_the_helper(
    start: Start, submit: Submit
) -> None:
    (Path.cwd() / "coord.toml").write_text("queus = 1\n")
    one = start(COORD_WORKER="1")
    assert one.start() == {} and one.hook("Stop") == {}
    log = (Path(one.settings.home) / "hooks.log").read_text()
    assert "queus is not a setting" in log
    done = subprocess.run(
        ["sh", "-c", "coord-worker status"],
        env=one.env,
        cwd=one.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "queus" in done.stderr


def test_without_a_home_named_it_is_the_project_s(start: Start, server: Server) -> None:
    (Path.cwd() / ".coord").mkdir()
    one = start(COORD_WORKER="1", COORD_HOME="")
    one.start()
    assert (one.folder / ".coord" / "sessions" / one.key / "session.json").exists()
    assert one.keepers()
    outside = one.folder / "elsewhere"  # a session that has changed its directory is in the same project
    outside.mkdir()
    one.folder, before = outside, one.folder
    assert one.hook("PostToolUse", tool_name="Bash") == {}
    assert not (outside / ".coord").exists()
    one.folder = before


# -- beside installed hooks --------------------------------------------------------------------------


def test_both_at_once_are_one_worker(start: Start, submit: Submit, conn: redis.Redis, pool: Pool) -> None:
    """Neither stands in a settings file that the other could see (`claude --settings`): both run."""
    one = start(COORD_WORKER="1")
    said = one.both("SessionStart", source="startup")
    assert len(said) == 1 and "You are worker w1" in said[0]["hookSpecificOutput"]["additionalContext"]
    assert seen(conn, "registered") == 1
    for number in range(5):
        task = submit(id=f"t{number}")
        handed = one.both("Stop")
        assert len(handed) == 1, handed
        claim = claim_in(handed[0])
        assert claim.startswith(task)
        assert one.both("PostToolUse", tool_name="Bash") == []
        assert one.bash(f"coord-worker complete {claim}").returncode == 0
    assert seen(conn, "claimed") == seen(conn, "finished") == 5 and seen(conn, "reminded") == 0
    assert (one.home / "tools").stat().st_size == 5, "a tool call is counted once"
    assert len(eventually(one.keepers)) == 1
    submit(id="u")
    claim_in(one.both("Stop")[0])
    pool.cancel("u", "not needed")
    eventually(lambda: (one.home / "lost").exists(), what="the keeper leaves a word")
    words = one.both("PostToolUse", tool_name="Bash")
    assert len(words) == 1 and "not yours any more" in str(words)
    assert one.both("SessionEnd", reason="other") == []
    assert view.worker(conn, "w1").state == "stopped" and seen(conn, "stopped") == 1


def test_both_wait_and_one_is_handed_the_task(start: Start, submit: Submit, conn: redis.Redis) -> None:
    one = start(COORD_WORKER="1")
    one.both("SessionStart")
    waiting = [one.plugin_hook("Stop"), one.installed_hook("Stop")]
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    submit(id="t")
    assert len([answer for answer in (hook.end() for hook in waiting) if answer]) == 1
    assert seen(conn, "claimed") == 1


def test_when_the_one_that_acted_is_gone_the_other_takes_over(
    start: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = start(COORD_WORKER="1")
    one.hook("SessionStart")  # the plugin alone
    assert one.installed_hook("PostToolUse").end() == {}
    assert not (one.home / "tools").exists()
    past = os.stat(one.home / "acts").st_mtime - 60  # the plugin was disabled a minute ago
    os.utime(one.home / "acts", (past, past))
    submit(id="t")
    assert claim_in(one.installed_hook("Stop").end())
    assert one.plugin_hook("PostToolUse").end() == {} and not (one.home / "tools").exists()


@pytest.mark.parametrize("worker", [True, False])
def test_hooks_in_a_settings_file_go_first(
    worker: bool, start: Start, settings: Settings, submit: Submit, conn: redis.Redis
) -> None:
    """They may know another Redis. Those that make no session a worker leave it to the plugin."""
    (Path.cwd() / ".claude").mkdir()
    install.install("project", settings, worker=worker)
    one = start(CLAUDE_PLUGIN_OPTION_WORKER="true")
    assert bool(one.plugin_hook("SessionStart").end()) is not worker
    assert one.home.exists() is not worker
    file = Path.cwd() / ".claude" / "settings.json"
    file.write_text(file.read_text().replace("/hooks/stop.py", "/gone/hooks/stop.py"))
    assert one.plugin_hook("SessionStart").end(), "what is not there any more acts no more"


def test_a_supervisor_s_session_is_the_supervisor_s(start: Start) -> None:
    one = start(COORD_WORKER="1", COORD_SUPERVISED="supervisor")
    assert one.hook("SessionStart") == {} and not one.home.exists()
