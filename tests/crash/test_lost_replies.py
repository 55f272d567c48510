"""A reply that is lost on its way, of a command that lives on: redis-py sends it again, unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.crash.bench import Bench, ended
from tests.crash.commands import DONE, TOLD, message_check_and_drained, stopped
from tests.server import Server


@pytest.fixture
def bench(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(server, tmp_path_factory.mktemp("bench"))
    made.reset()
    yield made
    made.close()


def lose(bench: Bench, name: str, which: int = 1, at: str = "after") -> None:
    """Drop the line before Redis has run a script for the n-th time, or then and before the reply arrives."""
    bench.proxy.count()
    bench.proxy.intercept = (
        lambda number, when: when == at and bench.trips()[number - 1] == name
        and bench.trips()[:number].count(name) == which
    )  # fmt: skip


def test_a_submit_whose_reply_is_lost_is_one_task_and_says_so(bench: Bench) -> None:
    lose(bench, "submit")
    code, out, err = ended(bench.coord("submit", "do it"))
    assert (code, bench.trips().count("submit")) == (0, 2), err
    assert list(bench.ledger().tasks) == [out.strip()]
    assert bench.ledger().problems() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hand_over_is_confirmed_though_the_line_breaks(bench: Bench, when: str) -> None:
    bench.enroll()
    bench.submit("t")
    bench.proxy.count()
    bench.proxy.intercept = lambda number, phase: (number, phase) == (2, when)
    code, out, _ = ended(bench.hook("Stop"))
    assert code == 0 and "coord-worker complete t." in out
    assert bench.trips() == ["claim", "confirm", "confirm"]
    assert bench.ledger().summary() == "t started (w1)"


def test_a_taken_id_is_refused_still(bench: Bench) -> None:
    bench.submit("t")
    code, _, err = ended(bench.coord("submit", "do it", "--id", "t"))
    assert code == 2 and "exists already" in err


@pytest.mark.parametrize(("name", "which"), [("stage", 1), ("stage", 2), ("submit", 1)])
def test_a_batch_of_which_a_reply_is_lost_is_there_once(bench: Bench, name: str, which: int) -> None:
    lines = [{"prompt": f"task {n}", "unique": "one" if n in (3, 700) else ""} for n in range(900)]
    (bench.folder / "batch.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    lose(bench, name, which)
    code, out, err = ended(bench.coord("submit", "--from", "batch.jsonl"))
    assert code == 0, err
    assert out.strip() == "submitted 899 tasks, 1 were there already"
    assert len(bench.ledger().tasks) == 899
    assert bench.ledger().problems() == []
    assert len(bench.drain()) == 899


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "which"),
    [("claim", 1), ("remind", 1), ("complete", 1), ("beat", 1), ("complete", 2), ("claim", 2)],
)
def test_a_stop_settles_what_is_held_though_the_line_breaks(
    bench: Bench, name: str, which: int, when: str
) -> None:
    """Its session says nothing more by itself: a hook that ends without a word leaves the task with it."""
    message_check_and_drained(bench)
    lose(bench, name, which, when)
    code, out, err = ended(TOLD(bench))
    assert (code, err) == (0, "")
    assert bench.trips().count(name) >= which, "the line did break"
    assert bench.ledger().statuses() == DONE
    assert bench.ledger().problems() == []
    assert stopped(bench) and "block" not in out
