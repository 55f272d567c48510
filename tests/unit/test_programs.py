"""Programs that tests need: one line names what is missing, and `make test` looks before it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools import programs

ROOT = Path(__file__).resolve().parent.parent.parent


def test_what_is_missing_is_named_with_its_package_in_one_line(tmp_path: Path) -> None:
    for name in programs.NEEDED:
        if name not in ("chromium", "tmux"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "tools.programs"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "apt-get install --no-install-recommends chromium tmux" in done.stderr
    assert "curl" not in done.stderr


def test_nothing_is_said_where_all_is_there(tmp_path: Path) -> None:
    for name in (*programs.NEEDED, *programs.OPTIONAL):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for argv in ([], ["--packages"]):
        done = subprocess.run(
            [sys.executable, "-m", "tools.programs", *argv],
            cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_the_tests_begin_by_looking_and_the_gate_installs_what_is_missing() -> None:
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = make.split("\ntest:", 1)[1].split("\n\n", 1)[0]
    assert target.index("tools.programs") < target.index("pytest")
    assert "tools.programs --packages" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
