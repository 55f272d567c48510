"""Days, compressed, in about a minute (`make endurance` takes longer): tests/client/endurance.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.endurance import GROWTH, PLAIN, Endurance

TASKS, WORKERS = 200, 3


@pytest.mark.timeout(420)
def test_tasks_are_committed_once_whatever_breaks_and_nothing_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COORD_REDIS_URL", "COORD_HOME"):
        monkeypatch.setenv(name, "")  # (the run sets them)
    outcome = Endurance(tmp_path, TASKS, WORKERS, limit=300).run()
    print(outcome.report())
    assert (outcome.states, outcome.commits) == ({"finished": TASKS}, {1: TASKS})
    assert outcome.runs[0] == 0
    assert outcome.sessions >= WORKERS + PLAIN + 3  # some were recycled
    assert outcome.count("supervisor") >= 1 and outcome.count("keeper") >= 2
    assert max(outcome.grown("supervisor"), outcome.grown("keeper")) * 2**20 < GROWTH
    assert set(outcome.codes) == {0} and not outcome.left
