"""`make test-compose`: both generations of compose where the machine has both. A missing docker fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack

GENERATIONS = {"v2": ["docker", "compose"], "v1": ["docker-compose"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "generation" in metafunc.fixturenames:
        there = ["v2", *(["v1"] if shutil.which("docker-compose") else [])]
        metafunc.parametrize("generation", there, scope="module")


@pytest.fixture(scope="module")
def stack(generation: str) -> Iterator[Stack]:
    """Everything up, with three played workers; `down -v` at the end, whatever happened."""
    made = Stack(GENERATIONS[generation], f"coordtest{generation}{os.getpid()}")
    try:
        made.compose("up", "-d", "--build")
        made.all_healthy("worker", 3)
        made.all_healthy("monitor", 1)
        yield made
    finally:
        made.down()
