"""Sessions in windows of tmux: ours are opened and closed, others' are left alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool import process
from pool.errors import UsageError
from tests.session import eventually
from workers.supervise import tmux

#: A program that says who it is and what it knows, and echoes what is typed.
PROGRAM = [
    sys.executable, "-c",
    "import os, sys; print(os.environ['COORD_SESSION'], os.environ.get('SECRET'), os.environ.get('LEAKED'),"
    " os.environ['TERM'], flush=True)\nfor line in sys.stdin: print('heard', line, flush=True)",
]  # fmt: skip


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tmux server of the test's own. (A socket's path is short.)"""
    folder = tempfile.mkdtemp(prefix="coord-tmux-")
    monkeypatch.setenv("TMUX_TMPDIR", folder)
    binary = shutil.which("tmux")
    assert binary is not None, "tmux is missing: sessions in a terminal need it (apt install tmux)"
    yield "test"
    subprocess.run([binary, "-L", "test", "kill-server"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_window_is_opened_read_typed_into_and_closed(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "of the supervisor")
    ours = tmux.Tmux(label, "workers", "w1")
    environ = {"SECRET": "hush", "PATH": "/usr/bin:/bin"}
    window = ours.open("w1", PROGRAM, str(tmp_path), environ)
    key = process.key(window.pid)
    seen = eventually(lambda: ours.screen(window).replace("\n", "").strip())
    assert f"{key} hush None" in seen  # the environment that was given, and no other
    assert "hush" not in Path(f"/proc/{window.pid}/cmdline").read_text()
    ours.type(window, "good morning")
    eventually(lambda: "heard good morning" in ours.screen(window))
    assert Path(ours.terminal(window)).exists()
    second = ours.open("w2", PROGRAM, str(tmp_path), environ)
    ours.close(window)
    eventually(lambda: not process.same(key))
    assert process.start_time(second.pid)
    ours.close(second)
    eventually(lambda: not process.start_time(second.pid))
    ours.close(second)  # it is gone already


def test_another_s_window_in_the_same_session_is_not_closed(label: str, tmp_path: Path) -> None:
    theirs = tmux.Tmux(label, "workers", "w2")
    window = theirs.open("w2", PROGRAM, str(tmp_path), {})
    tmux.Tmux(label, "workers", "w1").close(window)
    assert process.start_time(window.pid)
    theirs.close(window)
    eventually(lambda: not process.start_time(window.pid))


def test_without_tmux_or_with_a_name_that_is_none_one_line_says_so(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="not a name for tmux"):
        tmux.Tmux(label, "a:b", "w1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs tmux, which is not on PATH"):
        tmux.Tmux(label, "workers", "w1")


def test_the_file_with_the_environment_is_gone_when_the_program_runs(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = tmux.Tmux(label, "workers", "w1")
    window = ours.open("w1", PROGRAM, str(tmp_path), {"SECRET": json.dumps("x")})
    eventually(lambda: "None" in ours.screen(window))
    assert not list(tmp_path.glob("coord-environ-*"))
    ours.close(window)
    eventually(lambda: not process.start_time(window.pid))
