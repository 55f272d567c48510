"""All of it works inside a project that has folders coordinator/, hooks/, pool/ and workers/ of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import view
from tests.redis.test_hooks import claim_in
from tests.session import Session


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A project whose packages of those names cannot be imported without being noticed."""
    for name in ("coordinator", "hooks", "pool", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the project')\n")
    return tmp_path


def test_hooks_helpers_and_commands(
    crowded: Path, session: Callable[..., Session], conn: redis.Redis
) -> None:
    def coord(*argv: str) -> str:
        done = subprocess.run(["coord", *argv], cwd=crowded, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert os.getcwd() == str(crowded)
    coord("submit", "do it", "--id", "t")
    one = session("w1")
    one.start()
    claim = claim_in(one.hook("Stop"))
    assert one.bash(f"coord-worker complete {claim} --result done").returncode == 0
    one.hook("PostToolUse", tool_name="Bash")
    assert coord("result", "t") == "done\n"
    assert "t" in coord("tasks")
    one.kill()
    assert view.task(conn, "t").status == "finished"
    coord("hooks", "install", "--worker")
    assert '"installed": true' in coord("hooks", "status", "--json")
    coord("hooks", "uninstall")
