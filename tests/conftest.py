"""A real redis-server for the tests: started on a free port, ended by process id."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import connect, model, script_text, scripts
from pool import settings as settings_module
from pool.claim import Caller
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.server import Server
from tests.session import Session

ROOT = Path(__file__).resolve().parent.parent
ON_REQUEST = (ROOT / "tests" / "compose", ROOT / "tests" / "client")

# (COLUMNS is set by pytest-xdist in its workers; a command would lay out its table for that width.)
for _name in [name for name in os.environ if name.startswith(("COORD_", "CLAUDE", "WORKER_ID", "COLUMNS"))]:
    del os.environ[_name]

# A shell starts what it runs in the background deaf to SIGINT, and so would be all that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs docker or Claude Code runs when asked for by name (`make test-compose`, `test-client`)."""
    if collection_path not in ON_REQUEST:
        return None
    asked = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One redis-server for all tests that do not end it. A missing one fails; it never skips."""
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A redis-server of the test's own (with AOF), to be killed and started again."""
    with Server(tmp_path / "redis", appendonly=True) as running:
        yield running


@pytest.fixture
def settings(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Settings on an empty database, with a HOME of the test's own; ``@pytest.mark.settings(lease="1s")``."""
    marker = request.node.get_closest_marker("settings")
    for name, value in (marker.kwargs if marker else {}).items():
        monkeypatch.setenv(f"COORD_{name.upper()}", str(value))
    monkeypatch.setenv("COORD_REDIS_URL", server.url)
    monkeypatch.setenv("COORD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return settings_module.load()


@pytest.fixture
def conn(server: Server, settings: Settings) -> Iterator[redis.Redis]:
    """A client of the empty database."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def pool(settings: Settings, conn: redis.Redis) -> scripts.Pool:
    """The transitions over the empty database; the server knows the scripts, so each is one round trip."""
    made = connect.pool(settings, conn)
    for name in script_text.names():
        conn.script_load(made.texts.text(name))
    return made


@pytest.fixture
def submit(pool: scripts.Pool, settings: Settings) -> Callable[..., str]:
    """Submit a task by its fields; its id."""

    def run(prompt: str = "do it", **fields: Any) -> str:
        spec = model.parse_spec({"prompt": prompt, **fields})
        task_id, record = model.record(spec, settings, time.time())
        reply = pool.submit([record])
        assert reply[0] == "ok", reply
        return task_id

    return run


@pytest.fixture
def register(pool: scripts.Pool) -> Callable[..., Caller]:
    """Register a worker that has no process; its caller."""

    def run(
        worker: str = "w1", queues: tuple[str, ...] = ("tasks",), idle: float = 600.0, process: str = "",
        offers: str = "",
    ) -> Caller:  # fmt: skip
        verdict, caller = pool.register(
            worker, process, "session", "host", 1, list(queues), idle, 0, "/", ("2.12", "3.11", "0.1"), offers
        )
        assert verdict in ("new", "attached", "rebound"), verdict
        return caller

    return run


@pytest.fixture
def session(settings: Settings, conn: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Start sessions (``session("w1", COORD_IDLE_LIMIT="2s")``); all are ended with the test."""
    made: list[Session] = []

    def run(name: str = "", worker: bool = True, inside: Session | None = None, **env: str) -> Session:
        shared = {name: value for name, value in os.environ.items() if name.startswith("COORD_")}
        made.append(Session(settings, tmp_path, name, worker, inside, **(shared | env)))
        return made[-1]

    yield run
    for each in reversed(made):
        each.close()


@pytest.fixture
def coord(
    settings: Settings, conn: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Coord]:
    """Run `coord` and `coord-worker` on the empty database."""
    monkeypatch.delenv("COLUMNS", raising=False)
    made = Coord(tmp_path)
    yield made
    made.close()
