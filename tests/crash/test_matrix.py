"""Crash matrix: a helper or hook killed at every network round trip of every transition, before and after
the server ran it: nothing lost, nothing doubled. (`python -m tests.crash.matrix` prints it.)"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash import matrix
from tests.crash.bench import Bench
from tests.server import Server


@pytest.fixture(scope="module")
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(server, tmp_path_factory.mktemp("bench"))
    yield made
    made.close()


@pytest.mark.parametrize("name", [command.name for command in matrix.COMMANDS])
def test_killed_at_every_round_trip(bench: Bench, name: str) -> None:
    command = next(each for each in matrix.COMMANDS if each.name == name)
    row = matrix.examine(bench, command, everywhere=False)
    print("\n" + matrix.table([row]))
    assert row.problems == []
    assert len(row.kills) >= 1 + 2 * len(command.trips), "each of its transitions was killed before and after"


def test_every_transition_of_the_pool_is_in_the_matrix() -> None:
    from pool import script_text

    covered = {trip for command in matrix.COMMANDS for trip in command.trips}
    # What becomes of foreign jobs, what a supervisor asks and says: tested where they are. So is what the
    # monitor writes (tests/monitor): it changes no task and no worker.
    elsewhere = {"judge", "summon", "supervise", "undo"}
    elsewhere |= {"attend", "audit", "deliver", "delivered", "forget", "notice", "observe"}
    assert set(script_text.names()) - covered == elsewhere
