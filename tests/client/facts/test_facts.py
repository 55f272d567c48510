"""Each fact of Claude Code on which coord stands, on the newest version and on one months older."""

from __future__ import annotations

import pytest

from tests.client import client, releases
from tests.client.facts.fact import EXPERIMENTS, Experiment
from tests.client.facts.known import Known, version
from tests.client.facts.lab import Unobserved


@pytest.fixture(params=["newest", "older"])
def claude(request: pytest.FixtureRequest) -> str:
    return client.program() if request.param == "newest" else str(releases.fetch(releases.OLDER))


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_the_facts_are_as_known(claude: str, experiment: Experiment) -> None:
    known, cli = Known(), version(claude)
    # Of a version that nobody has looked at yet, what coord does not rely on may differ.
    strict = known.compared(cli) == cli
    changed = None
    for _ in range(2):  # a busy machine may disturb what is told by times: once more, then it counts
        try:
            rows = known.rows(cli, experiment, experiment.run(claude))
        except Unobserved:
            continue
        changed = [row for row in rows if (row.changed if strict else row.breaks)]
        if not changed:
            break
    assert changed is not None, "nothing could be observed, twice"
    assert {row.fact.name: row.seen for row in changed} == {row.fact.name: row.expected for row in changed}
