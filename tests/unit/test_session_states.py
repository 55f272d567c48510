"""docs/monitor.md shows what the transition function does: table and diagram are compared with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pool.sessions import State
from tools import session_states
from tools.session_states import HEARD, ORDINARY, WORKER, play, transitions

PAGE = session_states.PAGE.read_text(encoding="utf-8")


def test_the_table_is_what_the_function_does() -> None:
    assert session_states.page(PAGE) == PAGE, "run python -m tools.session_states --write"


def edges() -> Iterator[tuple[str, str, str]]:
    diagram = PAGE.partition("stateDiagram-v2")[2].partition("```")[0]
    for before, after, label in re.findall(r"(\w+) --> (\w+): (.+)", diagram):
        yield before.replace("_", "-"), after.replace("_", "-"), label


def test_each_arrow_of_the_diagram_is_a_transition() -> None:
    found = list(edges())
    assert len(found) > 15
    for before, after, label in found:
        fitting = [heard for words, heard in HEARD.items() if label in words]
        assert any(
            State(before) in transitions(ways, heard).get(State(after), [])
            for heard in fitting
            for ways in (ORDINARY, WORKER)
        ), (before, after, label)


def test_every_state_is_explained_and_reached() -> None:
    named = set(re.findall(r"^\| ([a-z-]+) \|", PAGE, re.MULTILINE)) - {"state", "heard"}
    assert named >= {str(each) for each in State} and set(ORDINARY) | set(WORKER) == {
        str(each) for each in State
    }


@pytest.mark.parametrize("ways", [ORDINARY, WORKER], ids=["ordinary", "worker"])
def test_each_way_leads_where_it_says(ways: dict[str, tuple[session_states.Step, ...]]) -> None:
    for name, steps in ways.items():
        session = play(steps)
        assert session.state == name and session.evidence and session.evidence_at >= session.since > 0
