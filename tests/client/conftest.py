"""Tests that run the real Claude Code against a scripted model. `make test-client`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.settings import Settings
from tests.client import isolation
from tests.client.api import Api
from tests.client.client import Home

#: '' or why the network is not cut off.
NETWORK = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NETWORK] = isolation.isolate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[NETWORK]:
        terminalreporter.write_line(f"The network was not cut off: {config.stash[NETWORK]}")


@pytest.fixture
def api() -> Iterator[Api]:
    """A Messages API whose model is a script."""
    with Api() as running:
        yield running


@pytest.fixture
def home(settings: Settings, api: Api, tmp_path: Path) -> Iterator[Home]:
    """A person's home and project on the test's pool; all that it starts is ended with the test."""
    made = Home(tmp_path, api)
    yield made
    made.close()
