"""An upgrade of every script's version under load, workers of both versions side by side: all finished, each
result committed once, nothing refused that was not taken back. `make upgrade` runs a thousand tasks."""

from __future__ import annotations

from pathlib import Path

from pool import script_text
from tests.crash.chaos import WORK
from tests.crash.upgrade import NEXT, RETIRED, SHUT_OUT, STEPPED_BACK, Upgrade, make_next

TASKS = 300


def test_the_next_version_is_another_script_each_time(tmp_path: Path) -> None:
    """(So that the drill tells something.)"""
    make_next(tmp_path)
    changed = (tmp_path / "pool" / "script_text.py").read_text(encoding="utf-8")
    assert f"VERSION = {NEXT}\n" in changed
    base = script_text._read("lib/base.lua")
    assert "VERSION" in base
    for name in script_text.names():
        assert "base" in script_text._read(f"{name}.lua").partition("\n")[0], f"{name} asks for no version"


def test_upgrade(tmp_path: Path) -> None:
    report = Upgrade(tmp_path, TASKS, workers=8, seed=11, limit=90, work=max(WORK, 120 / TASKS)).run()
    print(f"\n{report}")
    assert report.problems == []
    assert report.counts["finished"] == report.counts["results committed"] == TASKS
    assert report.counts[STEPPED_BACK]
    assert report.counts[RETIRED]
    assert report.counts[SHUT_OUT] == 3
