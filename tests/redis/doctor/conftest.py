"""A healthy installation per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.doctor import well as module
from tests.redis.doctor.well import Well


@pytest.fixture
def well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Well]:
    """A healthy installation; a parameter of the fixture is more options of its server."""
    yield from module.start(tmp_path, monkeypatch, tuple(getattr(request, "param", ())))
