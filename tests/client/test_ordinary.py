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

#: Runs of each kind. (How fast they start is measured, not tested: `python -m tests.client.startup`.)
RUNS = 2


@pytest.fixture
def places(settings: Settings, api: Api, tmp_path: Path) -> Iterator[dict[str, Home]]:
    made = startup.homes(tmp_path, api)
    made.pop("the plugin").close()  # it costs more: the client also starts its MCP server
    yield made
    for home in made.values():
        home.close()


def test_an_ordinary_session_never_waits(
    api: Api, places: dict[str, Home], conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """The pool has work all the while."""
    api.script(lambda request: replies.text("Word."))
    task = submit("Do it.")
    times = {kind: startup.Times() for kind in places}
    startup.measure(places, RUNS, times)
    # Each had its one turn, and the pool never heard of it.
    assert api.count() == sum(len(each.start) for each in times.values())
    assert story.status(conn, task) == "queued" and not list(conn.scan_iter("pool:worker:*"))
    assert not any(home.processes() or story.complaints(home) for home in places.values())
