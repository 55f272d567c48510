"""Installed hooks and the single-file copy, run as the client runs them: the command of the settings file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from hooks import install, template
from pool import process, view
from pool.settings import Settings
from tests.redis.test_hooks import claim_in
from tests.server import Server
from tests.session import Hook, Session, eventually

Submit = Callable[..., str]

#: A project may have folders and modules of any name; none of them may be taken for coord's.
NAMESAKES = ("pool", "hooks", "workers", "coordinator", "json", "select")


def project_at(folder: Path) -> Path:
    """A project whose own modules are called as coord's are."""
    for name in NAMESAKES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('the project was imported')\n")
    return folder


class Installed(Session):
    """A session in a project with installed hooks."""

    def __init__(self, settings: Settings, folder: Path, home: Path, name: str, **env: str) -> None:
        super().__init__(settings, folder, name, False, None, **env)
        self.coord_home = home
        self.project = folder

    @property
    def home(self) -> Path:
        return self.coord_home / "sessions" / self.key

    def start_hook(self, event: str, raw: str | None = None, **payload: Any) -> Hook:
        value = json.loads((self.project / ".claude" / "settings.json").read_text())
        (group,) = value["hooks"][event]
        body = {"session_id": self.session_id, "hook_event_name": event, "cwd": str(self.folder), **payload}
        env = dict(self.env)
        if event == "SessionStart":
            env["CLAUDE_ENV_FILE"] = str(self.env_file)
        hook = Hook(["sh", "-c", group["hooks"][0]["command"]], json.dumps(body), env, self.folder)
        self.hooks.append(hook)
        return hook

    def keeper_words(self) -> list[str]:
        """The keeper's command line; [] when there is none."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if self.key in words and process.start_time(int(entry.name)):
                    return [entry.name, *words]
        return []

    def keeper(self) -> int:
        return int((self.keeper_words() or ["0"])[0])


Start = Callable[..., Installed]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH whose python3 is a bare one: no coord, no Redis client, nothing but the standard library."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    found = subprocess.run(
        [folder / "python3", "-I", "-S", "-c", "import pool"], capture_output=True, text=True, check=False
    )
    assert "No module named 'pool'" in found.stderr
    return f"{folder}:/usr/bin:/bin"


@pytest.fixture(params=["installed", "copy"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(
    kind: str, path: str, settings: Settings, conn: redis.Redis, server: Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:  # fmt: skip
    """Start sessions in a project where the hooks are installed; every session of it is a worker."""
    project = project_at(tmp_path / "it's a project")
    monkeypatch.chdir(project)
    install.install("project", settings, worker=True, copy=kind == "copy")
    made: list[Installed] = []

    def run(name: str = "w1", folder: Path = project, **env: str) -> Installed:
        # The copy's home is the project's own; nothing says where it is.
        home = folder / ".coord" if kind == "copy" else Path(settings.home)
        given = {"PATH": path, "COORD_REDIS_URL": server.url, "COORD_RECHECK": "1s", **env}
        session = Installed(settings, folder, home, name, **given)
        made.append(session)
        return session

    yield run
    for each in reversed(made):
        each.close()


def test_a_task_from_the_waiting_queue_to_its_result(start: Start, submit: Submit, conn: redis.Redis) -> None:
    one = start()
    assert "worker w1" in one.start()["hookSpecificOutput"]["additionalContext"]
    assert one.bash("command -v coord-worker").stdout.strip() == str(one.coord_home / "bin" / "coord-worker")
    assert one.hook("UserPromptSubmit", prompt="go") == {}
    assert one.hook("PostToolUse", tool_name="Bash") == {}
    submit("Say hello\nand mean it", id="hello", title="Greet")
    answer = one.hook("Stop")
    assert (answer["decision"], answer["reason"]) == ("block", "Task hello: Greet")
    assert "and mean it" in answer["hookSpecificOutput"]["additionalContext"]
    done = one.bash(f"coord-worker complete {claim_in(answer)} --result 'said it'")
    assert (done.returncode, done.stderr) == (0, ""), done
    found = view.task(conn, "hello")
    assert (found.status, found.result, found.worker) == ("finished", "said it", "w1")
    assert one.bash("coord-worker nonsense").returncode == 2
    assert (one.coord_home / ".gitignore").read_text() == "*\n"
    assert one.hook("SessionEnd", reason="other") == {}
    assert eventually(lambda: view.worker(conn, "w1").state == "stopped")


def test_a_waiting_session_is_woken(start: Start, submit: Submit, conn: redis.Redis) -> None:
    one = start()
    one.start()
    waiting = one.start_hook("Stop")
    eventually(lambda: view.worker(conn, "w1").state == "waiting")
    submit(id="late")
    assert waiting.end()["reason"].startswith("Task late")


def test_a_killed_sessions_task_is_given_back_by_its_keeper(
    start: Start, kind: str, submit: Submit, conn: redis.Redis
) -> None:
    one = start()
    one.start()
    words = eventually(one.keeper_words)  # forked by the hook, it shows its name after its exec
    assert words[2:4] == ["-I", "-S"]
    assert (words[4:6] == [str(one.folder / template.COPY), "--keeper"]) == (kind == "copy"), words
    submit(id="dear")
    one.hook("Stop")
    one.kill()
    eventually(lambda: view.task(conn, "dear").status == "queued")
    eventually(lambda: not one.keeper() and not one.home.exists())


def test_a_missing_keeper_is_started_by_the_helper(start: Start) -> None:
    one = start()
    one.start()
    keeper = eventually(one.keeper)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: not one.keeper())
    assert one.bash("coord-worker heartbeat").returncode == 0
    assert eventually(one.keeper)


def test_a_quota_parks_the_worker(start: Start, conn: redis.Redis) -> None:
    one = start(CLAUDE_CODE_ENTRYPOINT="cli")
    one.start()
    assert one.hook("StopFailure", error="rate_limit") == {}
    assert view.worker(conn, "w1").state == "parked"


def test_a_session_may_opt_out(start: Start, conn: redis.Redis) -> None:
    one = start(COORD_WORKER="0")
    for event in ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "StopFailure", "SessionEnd"):
        assert one.hook(event) == {}
    assert view.workers(conn) == [] and one.env_file.read_text() == ""


def test_a_relative_home_is_the_same_one_wherever_the_session_goes(
    start: Start, submit: Submit, conn: redis.Redis
) -> None:
    one = start(COORD_HOME="state")
    one.start()
    home = Path(one.bash('dirname "$COORD_COMPILED"').stdout.strip())
    assert home.is_absolute() and (home / "sessions" / one.key).is_dir()
    one.folder = one.project / "below"  # `cd below`
    one.folder.mkdir()
    submit(id="t")
    answer = one.hook("Stop")
    assert one.bash(f"coord-worker complete {claim_in(answer)}").returncode == 0
    assert view.task(conn, "t").status == "finished" and list(one.folder.iterdir()) == []


# -- the copy alone ----------------------------------------------------------------------------------

only_copy = pytest.mark.parametrize("kind", ["copy"], indirect=True)


@only_copy
def test_a_cloned_project_works_wherever_it_lies(
    start: Start, submit: Submit, conn: redis.Redis, tmp_path: Path
) -> None:
    clone = tmp_path / "somewhere else"
    shutil.copytree(Path.cwd(), clone)
    one = start(folder=clone)
    one.start()
    submit(id="t")
    answer = one.hook("Stop")
    assert one.bash(f"coord-worker complete {claim_in(answer)}").returncode == 0
    assert view.task(conn, "t").status == "finished"
    assert (clone / ".coord" / "sessions").is_dir() and not (Path.cwd() / ".coord").exists()


@only_copy
def test_redis_is_the_one_noted_in_home(
    start: Start, server: Server, conn: redis.Redis, tmp_path: Path
) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / "redis.json").write_text(json.dumps({"url": server.url}))
    one = start()
    del one.env["COORD_REDIS_URL"]
    one.env["COORD_HOME"] = str(home)
    one.coord_home = home
    one.start()
    assert view.worker(conn, "w1").state == "starting"
    assert one.bash("coord-worker status --json", COORD_HOME="").returncode == 0
    assert not (one.folder / ".coord").exists()


@only_copy
def test_another_installations_variable_does_not_lead_the_copy_astray(start: Start, tmp_path: Path) -> None:
    one = start(COORD_COMPILED=str(tmp_path / "home" / "compiled.json"))
    one.start()
    assert one.home.is_dir()


@only_copy
def test_the_code_is_compiled_once_and_a_damaged_memory_of_it_does_no_harm(
    start: Start, submit: Submit
) -> None:
    one = start()
    one.start()
    one.hook("PostToolUse")
    eventually(lambda: "--keeper" in one.keeper_words())
    one.hook("PostToolUse")  # the keeper, which starts beside the hook, may have written it as well
    cache = one.coord_home / "copy.cache"
    good, at = cache.read_bytes(), cache.stat().st_mtime_ns
    one.hook("PostToolUse")
    assert cache.stat().st_mtime_ns == at and cache.stat().st_mode & 0o077 == 0
    for damaged in (b"", b"nonsense", good[: len(good) // 2], good.replace(b"pool.local", b"pool.lucal")):
        cache.write_bytes(damaged)
        assert one.hook("PostToolUse") == {}
        submit()
        answer = one.hook("Stop")
        assert answer["decision"] == "block"
        assert one.bash(f"coord-worker complete {claim_in(answer)}").returncode == 0
    cache.write_bytes(b"")
    one.hook("PostToolUse")
    assert cache.read_bytes() == good


@only_copy
def test_an_ordinary_session_of_a_project_without_a_pool_finds_nothing_left_there(start: Start) -> None:
    one = start(COORD_WORKER="0")
    before = sorted(one.folder.rglob("*"))
    for event in ("SessionStart", "PostToolUse", "Stop"):
        assert one.hook(event) == {}
    assert sorted(one.folder.rglob("*")) == before


@only_copy
@pytest.mark.parametrize("gone", ["file", "interpreter"])
def test_a_copy_that_cannot_run_leaves_without_a_word(start: Start, gone: str, tmp_path: Path) -> None:
    one = start()
    if gone == "file":
        (one.folder / template.COPY).unlink()
    else:
        (tmp_path / "bin" / "python3").unlink()
        shutil.copy("/bin/sh", tmp_path / "bin" / "sh")
        one.env["PATH"] = str(tmp_path / "bin")
    assert one.hook("Stop") == {}
