"""RQ's keyspace and ours after one story are the same but for a listed few fields, on every supported RQ.

The story, the differences and what RQ must show of our tasks and workers: story.py, differences.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.contract import venvs
from tests.contract.differences import Listed, unlisted
from tests.contract.keyspace import Difference
from tests.server import Server


def _tell(python: Path, server: Server, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the story with an interpreter, on a database of its own."""
    config = folder / "coord.toml"
    config.touch()
    own = {"PYTHONPATH": str(ROOT), "COORD_HOME": str(folder), "COORD_CONFIG": str(config)}
    return subprocess.run(
        [str(python), "-m", "tests.contract.story", "--redis-url", server.url.removesuffix("/0") + "/9"],
        cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_keyspaces_are_the_same_on_the_installed_rq(server: Server, tmp_path: Path) -> None:
    told = _tell(Path(sys.executable), server, tmp_path)

    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("rq", ["rq==2.8.*", "rq==2.10.*", venvs.supported()])
def test_the_keyspaces_are_the_same_on_every_supported_rq(
    rq: str, server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python = venvs.interpreter(request.config.cache.mkdir("rq"), rq)

    told = _tell(python, server, tmp_path)

    assert told.returncode == 0, told.stdout + told.stderr
    if "==" in rq:
        assert told.stdout.startswith(f"RQ {rq.removeprefix('rq==').removesuffix('*')}"), told.stdout


def test_an_unlisted_difference_fails_and_so_does_an_entry_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = (
        Listed("rq:job:* pool_kind", "only ours", "ours"),
        Listed("rq:execution:* worker_name", "only ours", "new in 2.11", before=(2, 11)),
    )
    monkeypatch.setattr("tests.contract.differences.LISTED", listed)
    kind = Difference("rq:job:good pool_kind", "only ours", "'task'")
    name = Difference("rq:execution:good:EXECUTION worker_name", "only ours", "'w'")

    assert unlisted([kind], "2.12.0") == []
    assert unlisted([kind, name], "2.10.3") == []
    assert unlisted([kind, name], "2.11.0") == ["rq:execution:good:EXECUTION worker_name (only ours): 'w'"]
    assert unlisted([], "2.12.0") == [
        "rq:job:* pool_kind (only ours) is listed, but there is no such difference"
    ]
    other = Difference("rq:job:good pool_kind", "differs", "x")
    assert unlisted([kind, other], "2.12.0") == ["rq:job:good pool_kind (differs): x"]
