"""Claude Code comes with the `claude` extra: one binary, no Node."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import claude_agent_sdk


def test_the_wheel_carries_a_binary_that_runs_by_itself(tmp_path: Path) -> None:
    claude = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
    assert os.access(claude, os.X_OK)
    # (An empty PATH: nothing but the binary is there.)
    done = subprocess.run(
        [claude, "--version"], capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": "", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
    )  # fmt: skip
    assert re.match(r"\d+\.\d+\.\d+ \(Claude Code\)", done.stdout), done.stdout
