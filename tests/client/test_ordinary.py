"""Hooks that are installed for a person's every session: those that are no workers do not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from pool.settings import Settings
from tests.client import replies, startup, story
from tests.client.api import Api
from tests.client.client import Home

#: A session may start so much later (seconds).
SLOWER = 0.050
#: Runs of each kind in one round, and rounds at most.
RUNS, ROUNDS = 4, 5


@pytest.fixture
def places(settings: Settings, api: Api, tmp_path: Path) -> Iterator[dict[str, Home]]:
    made = startup.homes(tmp_path, api)
    made.pop("the plugin").close()  # it costs more: the client also starts its MCP server
    yield made
    for home in made.values():
        home.close()


def test_an_ordinary_session_never_waits_and_starts_as_fast(
    api: Api, places: dict[str, Home], conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """The pool has work all the while. (The fastest runs are compared: load disturbs them least.)"""
    api.script(lambda request: replies.text("Word."))
    task = submit("Do it.")
    times = {kind: startup.Times() for kind in places}
    slower = {}
    for _ in range(ROUNDS):
        startup.measure(places, RUNS, times)
        fastest = {kind: min(each.start) for kind, each in times.items()}
        slower = {kind: each - fastest["no hooks"] for kind, each in fastest.items()}
        if max(slower.values()) <= SLOWER:
            break
    else:
        pytest.fail(f"slower than 50 ms: {slower}")
    # Each had its one turn, and the pool never heard of it.
    assert api.count() == sum(len(each.start) for each in times.values())
    assert story.status(conn, task) == "queued" and not list(conn.scan_iter("pool:worker:*"))
    assert not any(home.processes() or story.complaints(home) for home in places.values())
