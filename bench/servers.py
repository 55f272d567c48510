"""redis-servers of a measurement's own: free ports of loopback, folders that go with them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from pool import connect, script_text, scripts
from pool import settings as settings_module
from pool.settings import Settings
from tests.server import Server

ROOT = Path(__file__).resolve().parent.parent

#: The ways to keep an append-only file, by the name used in tables.
AOF: dict[str, tuple[str, ...]] = {
    "no": (),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "always": ("--appendonly", "yes", "--appendfsync", "always"),
}


@contextmanager
def server(aof: str = "no") -> Iterator[Server]:
    """An empty redis-server."""
    folder = Path(tempfile.mkdtemp(prefix="coord-bench-"))
    try:
        with Server(folder / "redis", extra=AOF[aof]) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cpu_seconds(conn: redis.Redis) -> float:
    """Processor time that the server has used."""
    info: Any = conn.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


class Ready:
    """coord on a server: settings, a client, the transitions; the server knows the scripts."""

    def __init__(self, running: Server, home: Path, **settings: Any) -> None:
        self.server = running
        self.settings: Settings = settings_module.load(redis_url=running.url, home=str(home), **settings)
        self.conn = redis.Redis.from_url(running.url)
        self.pool: scripts.Pool = connect.pool(self.settings, self.conn)
        for name in script_text.names():
            self.conn.script_load(self.pool.texts.text(name))

    def calls(self) -> dict[str, tuple[int, float]]:
        """Command -> calls and microseconds a call, since the last ``forget``."""
        info: Any = self.conn.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): (int(each["calls"]), float(each["usec_per_call"]))
            for name, each in info.items()
        }

    def forget(self) -> None:
        """Begin to count commands anew."""
        self.conn.config_resetstat()

    def script_time(self) -> float:
        """Microseconds of server time per EVALSHA since the last ``forget``."""
        return self.calls()["evalsha"][1]

    def memory(self) -> int:
        """Bytes that the data take."""
        info: Any = self.conn.info("memory")
        return int(info["used_memory"])


@contextmanager
def ready(aof: str = "no", **settings: Any) -> Iterator[Ready]:
    """coord on an empty server, with a HOME of its own."""
    home = Path(tempfile.mkdtemp(prefix="coord-bench-home-"))
    try:
        with server(aof) as running:
            made = Ready(running, home, **settings)
            try:
                yield made
            finally:
                made.conn.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
