"""Terminal mode: an interactive session with the hooks, in a window of tmux."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.client import models, replies
from tests.client.api import Api
from tests.client.client import Home
from tests.client.terminal import Terminal
from tests.client.test_stream import COORD, PATIENCE, attempts, becomes, happened
from tests.session import eventually

Submit = Callable[..., str]


class Panes:
    """The tmux server on which a supervisor opens windows: it is looked at and typed into by a person."""

    def __init__(self, folder: str) -> None:
        binary = shutil.which("tmux")
        assert binary is not None, "tmux is missing: sessions in a terminal need it (apt install tmux)"
        self.folder = folder
        self._argv = ["env", f"TMUX_TMPDIR={folder}", binary, "-L", "coord"]

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._argv, *words], capture_output=True, text=True, check=False)
        return done.stdout

    def screen(self) -> str:
        return self.run("capture-pane", "-p", "-S", "-200", "-t", "team:w1")

    def wait(self, pattern: str) -> str:
        seen = ""

        def look() -> bool:
            nonlocal seen
            seen = self.screen()
            return bool(re.search(pattern, seen))

        eventually(look, PATIENCE, pattern)
        return seen

    def key(self, *names: str) -> None:
        self.run("send-keys", "-t", "team:w1", *names)


@pytest.fixture
def panes() -> Iterator[Panes]:
    folder = tempfile.mkdtemp(prefix="coord-tmux-")  # (a socket's path is short)
    made = Panes(folder)
    yield made
    made.run("kill-server")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def supervise(home: Home, panes: Panes) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []

    def start(**env: str) -> subprocess.Popen[bytes]:
        made.append(home.start(
            *COORD, "worker", "run", "--mode", "terminal", "--tmux", "team", "--name", "w1",
            "--project", str(home.project), "--permission-mode", "default",
            COORD_CLAUDE=home.program, TMUX_TMPDIR=panes.folder, **env,
        ))  # fmt: skip
        return made[-1]

    yield start
    for each in made:
        if each.poll() is None:
            each.kill()
        each.wait()


def field(conn: redis.Redis, name: str) -> str:
    found: Any = conn.hget("pool:worker:w1", name)
    return found.decode() if found else ""


@pytest.mark.settings(idle_limit="6s")
def test_three_tasks_in_a_window_of_tmux_esc_frees_the_prompt_and_the_idle_clock_ends_it(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, panes: Panes,
    supervise: Callable[..., subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    api.script(models.worker(), key=home.key)
    first, second = submit("run: echo 1 > one.txt"), submit("run: echo 2 > two.txt")
    supervisor = supervise()
    becomes(conn, second, "finished")
    third = submit("run: echo 3 > three.txt")
    becomes(conn, third, "finished")
    seen = panes.wait("waiting for tasks")
    assert f"{third} is done." in seen and "trust" not in seen
    eventually(lambda: field(conn, "state") == "waiting", PATIENCE)
    # Esc ends the waiting hook, and the prompt is a person's.
    waits = time.monotonic()
    panes.key("Escape")
    eventually(lambda: field(conn, "state") == "interrupted", PATIENCE)
    assert api.count(since=waits) == 0
    panes.key("-l", "are you there?")
    time.sleep(0.3)  # text and Enter at once are a paste
    panes.key("Enter")
    api.wait(lambda request: "are you there?" in request.new())
    panes.wait("There is no task|is done")
    eventually(lambda: field(conn, "state") == "waiting", PATIENCE)
    waits = time.monotonic()
    eventually(lambda: field(conn, "state") == "stopped", PATIENCE)
    assert api.count(since=waits) == 0
    assert [attempts(conn, each) for each in (first, second, third)] == [1, 1, 1]
    assert field(conn, "mode") == "terminal" and len(happened(conn, "registered")) == 1
    for name in ("one", "two", "three"):
        assert (home.project / f"{name}.txt").exists()
    # A person was there a moment ago: it is left alone. The supervisor's end is another matter.
    assert home.processes(home.program)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(PATIENCE) == 0
    eventually(lambda: not home.processes(home.program), PATIENCE)


@pytest.mark.settings(idle_limit="2s")
def test_a_session_that_was_let_go_is_ended_and_started_again_for_the_next_task(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, panes: Panes,
    supervise: Callable[..., subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    api.script(models.worker(), key=home.key)
    task = submit("run: true")
    supervisor = supervise()
    becomes(conn, task, "finished")
    eventually(lambda: field(conn, "state") == "stopped", PATIENCE)
    eventually(lambda: not home.processes(home.program), PATIENCE)
    eventually(lambda: not panes.run("list-windows", "-a"), PATIENCE)
    task = submit("run: true")
    becomes(conn, task, "finished")
    assert len(happened(conn, "registered")) == 2
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(PATIENCE) == 0
    assert not panes.run("list-windows", "-a")


@pytest.mark.settings(quota_wait="3s", quota_jitter="0s", beat="0.5s")
def test_a_session_that_a_quota_has_stopped_is_told_to_go_on(
    api: Api, home: Home, conn: redis.Redis, submit: Submit, panes: Panes,
    supervise: Callable[..., subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    refused = replies.error(429, "rate_limit_error")
    api.script(models.in_order(refused, refused, then=models.worker()), key=home.key)
    task = submit("run: echo done > done.txt")
    supervisor = supervise(CLAUDE_CODE_MAX_RETRIES="1")
    eventually(lambda: field(conn, "state") == "parked", PATIENCE)
    becomes(conn, task, "finished")
    assert attempts(conn, task) == 1 and "Go on where you were" in panes.wait("Go on")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(PATIENCE) == 0


@pytest.mark.settings(idle_limit="6s")
def test_in_the_supervisor_s_own_terminal_which_it_gives_back_as_it_was(
    api: Api, home: Home, conn: redis.Redis, submit: Submit
) -> None:
    api.script(models.worker(), key=home.key)
    worker = shlex.join([*COORD, "worker", "run", "--mode", "terminal", "--name", "w1"])
    line = f"{worker} --permission-mode default; echo code $?; stty -a | grep -ow -e -*icanon; sleep 100"
    terminal = Terminal(["sh", "-c", line], home.project, home.environ(COORD_CLAUDE=home.program))
    home.terminals.append(terminal)
    task = submit("run: true")
    becomes(conn, task, "finished")
    terminal.wait("waiting for tasks")
    # Esc frees the prompt from the waiting hook; a person's prompt, and the next task.
    terminal.key("Escape")
    eventually(lambda: field(conn, "state") == "interrupted", PATIENCE)
    terminal.type("are you there?")
    api.wait(lambda request: "are you there?" in request.new())
    task = submit("run: true")
    becomes(conn, task, "finished")
    # Let go, it is ended when nobody types; the supervisor waits in the terminal.
    eventually(lambda: field(conn, "state") == "stopped", PATIENCE)
    assert len(happened(conn, "registered")) == 1
    terminal.type("/exit")
    seen = terminal.wait("icanon")
    assert "you have left the session" in seen and "code 0" in seen and "-icanon" not in seen
    eventually(lambda: not home.processes(home.program), PATIENCE)
