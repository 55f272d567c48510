"""A redis-server that a test starts, kills and starts again. Real, on loopback, ended by process id."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import redis

#: Ports below those that the kernel gives to connections: no client takes one while its server is away.
_PORTS, _EACH = 12_000, 2_000


def free_port() -> int:
    """A port that nobody uses. Processes that test side by side (pytest -n) take theirs from ranges apart."""
    first = _PORTS + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8 * _EACH
    while True:
        port = first + secrets.randbelow(_EACH)  # (hypothesis makes `random` repeat itself)
        with socket.socket() as sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port


class Server:
    """One redis-server on a free port of loopback, with its data in a folder."""

    def __init__(self, folder: Path, appendonly: bool = False, extra: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.appendonly = appendonly
        self.extra = extra
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: There is no redis-server, or it does not answer. (The tests fail then.)
        """
        binary = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
        if binary is None:
            raise RuntimeError(
                "redis-server is missing: the tests need a real one (apt install redis-server)"
            )
        aof = (
            ("--appendonly", "yes", "--appendfsync", "always") if self.appendonly else ("--appendonly", "no")
        )
        self.process = subprocess.Popen(
            [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder),
             "--logfile", str(self.folder / "redis.log"), *aof, *self.extra],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while time.monotonic() < end:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                    time.sleep(0.01)
        raise RuntimeError(f"redis-server did not answer; see {self.folder / 'redis.log'}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
