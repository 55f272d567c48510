"""The real service on the test's Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from pool.settings import Settings
from tests.monitor.running import Running
from tests.server import Server


@pytest.fixture
def start(settings: Settings, conn: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start monitors (``start()``, ``start(COORD_MONITOR_SESSION_TIMEOUT="1s")``); each is ended."""
    made: list[Running] = []

    def run(*argv: str, port: int = 0, **env: str) -> Running:
        made.append(Running(tmp_path, *argv, port=port, **env))
        return made[-1].start()

    yield run
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def shared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One monitor for all tests of a file that change nothing."""
    folder = tmp_path_factory.mktemp("monitor")
    running = Running(folder, COORD_REDIS_URL=server.url, COORD_HOME=str(folder / "home"))
    yield running.start()
    running.close()


@pytest.fixture
def monitor(start: Callable[..., Running]) -> Running:
    """One monitor that runs."""
    return start()
