"""The real docker-compose.yml, built and run under a name and a port of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from pool import events, view
from tests.conftest import ROOT
from tests.server import free_port

T = TypeVar("T")

#: So long may a thing take on a busy machine (seconds).
PATIENCE = 120.0

#: Shortened, so that a test takes seconds: leases above all.
SHORT = {
    "COORD_PLAYED": "1", "COORD_LEASE": "6s", "COORD_BEAT": "1s", "COORD_RECHECK": "1s",
    "COORD_PROVISIONAL": "5s", "COORD_IDLE_LIMIT": "5m", "COORD_SWEEP": "5s", "COORD_DRAIN_LIMIT": "15s",
    "POOL_WORKER_GRACE": "30s", "POOL_WORKERS": "3", "POOL_WORKER_MEMORY": "1g",
}  # fmt: skip


def until(what: Callable[[], T | None], about: str, seconds: float = PATIENCE) -> T:
    """Wait until something is there (what it says), or fail."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {about}")


def run(*argv: str, check: bool = True, **options: Any) -> str:
    """A command's output; its errors are shown when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    output: str = done.stdout
    return output


class Stack:
    """One `compose up`, by one generation of compose."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.command = [*command, "-p", name]
        self.network = f"{name}_default"
        self.port = free_port()
        self.environ = {
            key: value for key, value in os.environ.items() if not key.startswith(("POOL_", "ANTHROPIC"))
        }
        self.monitor_port = free_port()
        self.environ |= {**SHORT, "POOL_PORT": str(self.port), "POOL_MONITOR_PORT": str(self.monitor_port)}
        #: The workers' own volumes: compose leaves those of a scaled-down worker behind.
        self.volumes: set[str] = set()

    # -- compose -------------------------------------------------------------------------------------

    def compose(self, *argv: str, check: bool = True) -> str:
        return run(*self.command, *argv, check=check, cwd=ROOT, env=self.environ)

    def ids(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("docker", "inspect", container))[0]
        return found

    def health(self, service: str) -> list[str]:
        """`healthy`, or what else docker says of each container."""
        states = [self.inspect(each)["State"] for each in self.ids(service)]
        return [state.get("Health", {}).get("Status", "") if state["Running"] else "down" for state in states]

    def all_healthy(self, service: str, count: int) -> None:
        def there() -> bool:
            return self.health(service) == ["healthy"] * count

        try:
            until(there, f"{count} {service} healthy")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.health(service)}\n{self.compose('logs')[-8000:]}") from None

    def kill(self, container: str) -> None:
        """SIGKILL from the host, as for want of memory: `docker kill` would count as stopped by hand."""
        os.kill(int(self.inspect(container)["State"]["Pid"]), signal.SIGKILL)

    def note_volumes(self) -> None:
        for each in self.ids("worker"):
            self.volumes |= {mount["Name"] for mount in self.inspect(each)["Mounts"] if mount.get("Name")}

    def down(self) -> None:
        """Leave nothing behind."""
        self.note_volumes()
        self.compose("down", "-v", "-t", "3", "--remove-orphans", check=False)
        run("docker", "volume", "rm", *sorted(self.volumes), check=False)

    # -- the monitor -----------------------------------------------------------------------------------

    def monitor(self, path: str, token: str = "", **options: Any) -> tuple[int, str]:
        """What the monitor answers on the host, under the address that people type; 0 while it does not."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=10)
        try:
            connection.request("GET", path, headers={**headers, **options})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    # -- coord ---------------------------------------------------------------------------------------

    def exec(self, service: str, *argv: str) -> str:
        return self.compose("exec", "-T", service, *argv)

    def url(self, file: str = "host.url") -> str:
        return self.exec("coordinator", "cat", f"/run/login/{file}").strip()

    def coord(self, *argv: str, url: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """`coord` on the host."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COORD_")}
        environ["COORD_REDIS_URL"] = url or self.url()
        done = subprocess.run(
            [sys.executable, "-P", "-m", "coordinator.cli", *argv],
            capture_output=True, text=True, check=False, env=environ,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=5)

    def submit(self, *commands: str) -> list[str]:
        """A task for each command."""
        url = self.url()
        return [self.coord("submit", f"run: {command}", url=url).stdout.strip() for command in commands]

    def batch(self, count: int, command: str) -> list[str]:
        """Many tasks, all of them acknowledged."""
        lines = "".join(json.dumps({"prompt": f"run: {command}; echo {n}"}) + "\n" for n in range(count))
        done = subprocess.run(
            [*self.command, "exec", "-T", "coordinator", "coord", "submit", "--from", "-", "--json"],
            input=lines, capture_output=True, text=True, check=True, cwd=ROOT, env=self.environ,
        )  # fmt: skip
        return [row["id"] for row in json.loads(done.stdout)]

    def statuses(self, ids: Sequence[str]) -> list[str]:
        """The tasks' states; [] while Redis is away."""
        try:
            with self.client() as client:
                return [each.status for each in view.tasks(client, ids)]
        except (redis.RedisError, AssertionError):
            return []

    def all_done(self, ids: Sequence[str]) -> None:
        """Every task is finished, with exactly one result."""
        try:
            until(lambda: self.statuses(ids) == ["finished"] * len(ids), "all tasks finished")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.statuses(ids)}\n{self.compose('logs')[-8000:]}") from None
        finished = [row["task"] for row in self.events() if row["type"] == "finished"]
        assert {each: finished.count(each) for each in ids} == dict.fromkeys(ids, 1)

    def events(self) -> list[dict[str, Any]]:
        """Newest first."""
        with self.client() as client:
            return events.latest(client, 100_000)
