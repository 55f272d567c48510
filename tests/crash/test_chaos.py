"""Chaos: tasks, eight workers, SIGKILL and SIGSTOP (session and keeper, longer than the lease) at random,
one Redis restart: all finished, each result committed once, every late commit refused, and no mass reap
after the restart. `make chaos` runs two thousand tasks; CHAOS_TASKS and CHAOS_SEED do it here."""

from __future__ import annotations

import os
from pathlib import Path

from tests.crash.chaos import WORK, Chaos

TASKS = int(os.environ.get("CHAOS_TASKS", "400"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))


def test_chaos(tmp_path: Path) -> None:
    # Few tasks take longer, so that enough happens to them meanwhile.
    work = max(WORK, 120 / TASKS)
    report = Chaos(tmp_path, TASKS, workers=8, seed=SEED, limit=60 + TASKS * 0.1, work=work).run()
    print(f"\nseed {SEED}\n{report}")
    assert report.problems == []
    assert report.counts["finished"] == report.counts["results committed"] == TASKS
    assert report.counts["late commits refused"], "somebody was late"
    assert report.counts["  of these lost"] == 0
