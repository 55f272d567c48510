"""Other releases of Claude Code, fetched once each: the Agent SDK's wheels carry them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.client import isolation

#: A release of the Agent SDK of 2026-08-21: three months before the newest that was looked at.
OLDER = "0.2.144"


def fetch(release: str) -> Path:
    """The Claude Code of that release of claude-agent-sdk, kept in the virtual environment (330 MB).

    Raises:
        RuntimeError: pip has no such release, or it carries no program (what pip said).
    """
    base = Path(sys.prefix) / "claude"
    base.mkdir(exist_ok=True)
    folder = base / release
    program = folder / "claude_agent_sdk" / "_bundled" / "claude"
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(program, os.X_OK):
            shutil.rmtree(folder, ignore_errors=True)
            done = isolation.outside(lambda: _install(release, folder))
            if done.returncode or not os.access(program, os.X_OK):
                said = (done.stderr.strip().splitlines() or ["no program in it"])[-1]
                raise RuntimeError(f"claude-agent-sdk {release} cannot be had: {said}")
    return program


def _install(release: str, folder: Path) -> subprocess.CompletedProcess[str]:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    argv = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--target", str(partial), f"claude-agent-sdk=={release}",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if not done.returncode:
        partial.rename(folder)
    return done
