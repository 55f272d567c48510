"""The command lines, for the tests against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from pool.settings import Settings
from tests.redis.coord import Coord


@pytest.fixture
def coord(
    settings: Settings, conn: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Coord]:
    """Run `coord` and `coord-worker` on the empty database."""
    monkeypatch.delenv("COLUMNS", raising=False)
    made = Coord(tmp_path)
    yield made
    made.close()
