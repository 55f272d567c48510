"""Plain `rq worker`s and a client that is a script, for the tests in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pool.settings import Settings
from tests.contract.plain import PlainWorkers, client
from tests.server import Server


@pytest.fixture
def plain(server: Server, settings: Settings, tmp_path: Path) -> Iterator[PlainWorkers]:
    """Plain workers on the test's Redis; all are ended with the test."""
    workers = PlainWorkers(server.url, tmp_path)
    yield workers
    workers.stop()


@pytest.fixture(name="client")
def _client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Callable[[str], Path]:
    """Make a program that runs this Python code the client."""

    def make(code: str) -> Path:
        program = client(tmp_path, code)
        monkeypatch.setenv("COORD_CLAUDE", str(program))
        return program

    return make
