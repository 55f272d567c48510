"""A schedule of one tick a second while its leaders are killed and frozen: one task for each tick.
(`python -m tests.crash.cron --seconds 120` is the long version.)"""

from __future__ import annotations

from pathlib import Path

from tests.crash.cron import Drill


def test_each_tick_is_one_task_whatever_becomes_of_leaders(tmp_path: Path) -> None:
    report = Drill(tmp_path, seconds=20, coordinators=3, seed=3).run()
    print(f"\n{report}")
    assert report.fine, str(report)
    assert report.expected >= 20
    assert report.killed and report.frozen and report.amid and report.leaders > report.killed
