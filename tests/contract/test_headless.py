"""workers.headless: what a plain `rq worker` does with a task. The client is a script that stands for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pool import process
from tests.conftest import ROOT
from workers import headless

Client = Callable[[str], Path]

#: Says what it was asked, where, and as whom.
ECHO = (
    "import json, os, sys; "
    "print(json.dumps({'type': 'result', 'is_error': False, 'result': json.dumps("
    "[sys.argv[1:], sys.stdin.read(), os.getcwd(), os.environ.get('COORD_WORKER'), "
    "os.environ.get('COORD_WORKER_ID')])}))"
)


def _saying(code: int, **message: object) -> str:
    """A client that prints a result and exits."""
    text = json.dumps({"type": "result", **message})
    return f"import sys; print({text!r}); sys.exit({code})"


def _wait_for(path: Path) -> str:
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.01)
    return path.read_text()


def _wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 20
    while process.start_time(pid):  # '' for a zombie too: not every container reaps its orphans
        assert time.monotonic() < end, f"process {pid} lives on"
        time.sleep(0.01)


def test_it_gives_the_session_the_whole_task_in_its_directory(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(ECHO)
    monkeypatch.setenv("COORD_CHECKS", "1")
    monkeypatch.setenv("COORD_WORKER", "1")
    monkeypatch.setenv("COORD_WORKER_ID", "w1")
    where = tmp_path / "project"
    where.mkdir()

    said = headless.run(
        "sum it up", title="a sum", context=[{"path": "a.txt", "text": "1 2"}, {"path": "b.txt"}],
        cwd=str(where), timeout=60, check="true", parents=["other"], invented_later=1,
    )  # fmt: skip

    argv, given, cwd, chosen, name = json.loads(said)
    assert argv == ["-p", "--output-format", "json"]
    assert given.startswith("sum it up\n")
    assert "## Context: a.txt\n```\n1 2\n```" in given
    assert "Read b.txt first." in given
    assert "coord-worker" not in given  # it is no worker of the pool: it has nothing to report to
    assert (cwd, chosen, name) == (str(where), "0", None)


def test_a_task_with_a_check_is_done_when_that_passes(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(ECHO)
    with pytest.raises(RuntimeError, match="may run none"):
        headless.run("do it", check="true")
    with pytest.raises(RuntimeError, match="git worktree"):
        headless.run("do it", worktree=True)
    monkeypatch.setenv("COORD_CHECKS", "1")
    with pytest.raises(RuntimeError, match=r"its check failed \(exit code 3: not good\)"):
        headless.run("do it", cwd=str(tmp_path), check="echo not good; exit 3")
    (tmp_path / "good").touch()
    assert headless.run("do it", cwd=str(tmp_path), check="test -e good")


def test_options_may_follow_the_program_in_the_setting(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_CLAUDE", f"'{client(ECHO)}' --permission-mode acceptEdits")

    argv = json.loads(headless.run("do it"))[0]

    assert argv == ["--permission-mode", "acceptEdits", "-p", "--output-format", "json"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (_saying(1, is_error=True, result="out of\n credit"), "the session failed: out of credit"),
        (_saying(0, is_error=True, subtype="error_max_turns"), "the session failed: error_max_turns"),
        (
            "import sys; print('first\\nunknown option', file=sys.stderr); sys.exit(2)",
            "Claude Code exited with 2: unknown option",
        ),
        ("import sys; sys.exit(3)", "Claude Code exited with 3: it said nothing"),
        ("print('hello')", "Claude Code's answer is not understood: hello"),
        ("", "Claude Code's answer is not understood: it said nothing"),
    ],
)
def test_a_failure_is_one_line(client: Client, code: str, message: str) -> None:
    client(code)

    with pytest.raises(RuntimeError) as raised:
        headless.run("do it")

    assert str(raised.value) == message


def test_the_last_message_counts_when_the_client_prints_all(client: Client) -> None:
    messages = [{"type": "system"}, {"type": "result", "is_error": False, "result": "yes"}]
    client(f"print({json.dumps(messages)!r})")

    assert headless.run("do it") == "yes"


def test_a_missing_program_a_broken_one_and_a_missing_directory_are_named(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="there is no directory /nowhere/at/all on this machine"):
        headless.run("do it", cwd="/nowhere/at/all")

    program = client("")
    program.write_text("no program\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"Claude Code did not start: .*Exec format error"):
        headless.run("do it")

    monkeypatch.setenv("COORD_CLAUDE", "claude-elsewhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="no program 'claude-elsewhere': install Claude Code, or name it"):
        headless.run("do it")


def test_past_its_timeout_the_session_ends_with_what_it_started(client: Client, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    client(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(143))\n"
        "child = subprocess.Popen([sys.executable, '-IS', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)"
    )

    with pytest.raises(RuntimeError, match="the session ran past its timeout of 1s"):
        headless.run("do it", timeout=1)

    for pid in _wait_for(pids).split():
        _wait_until_gone(int(pid))


def test_the_session_ends_when_the_horse_is_killed(client: Client, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    client(f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    horse = subprocess.Popen(
        [sys.executable, "-c", "from workers import headless; headless.run('do it')"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    session = int(_wait_for(pid))
    _wait_for_child(horse.pid, 2)

    os.killpg(horse.pid, signal.SIGKILL)  # as RQ ends a horse
    horse.wait()

    _wait_until_gone(session)


def _wait_for_child(pid: int, count: int) -> None:
    """Until so many children, the session and the watcher, have left a process's group.

    (A watcher that was forked and has not left it yet is killed with the group.)
    """
    end = time.monotonic() + 20
    while True:
        shown = subprocess.run(
            ["ps", "-o", "pid=,pgid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
        )
        if sum(each == group for each, group in map(str.split, shown.stdout.splitlines())) >= count:
            return
        assert time.monotonic() < end, "the watcher did not start"
        time.sleep(0.01)
