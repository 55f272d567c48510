"""Days, compressed: sessions of the real client do hundreds of tasks and are recycled all the while.

    python -m tests.client.endurance [--tasks 1000] [--workers 4]

In between the network to Redis is cut twice (once with lines dropped, once in silence), and Redis is killed
and started again. In the end every task is committed once, nothing runs any more, and no supervisor or keeper
has grown.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.client import isolation, models
from tests.client.api import Api
from tests.client.client import Home
from tests.proxy import Proxy
from tests.server import Server
from tests.session import eventually

#: Tasks after which a session is recycled.
PER_SESSION = 10
#: Sessions without a supervisor, which are never recycled.
PLAIN = 2
#: Seconds for which the network is cut.
CUT = 3.0
#: No supervisor or keeper may grow by so much (bytes).
GROWTH = 10 * 1024 * 1024


@dataclass
class Memory:
    """What a process held (resident bytes): at first, and when it was looked at last."""

    what: str
    first: int
    last: int
    samples: int = 1

    @property
    def growth(self) -> int:
        return self.last - self.first


@dataclass
class Outcome:
    """What became of it."""

    tasks: int
    seconds: float
    #: How many tasks were in which state, how often one was committed, and how often one was run.
    states: Counter[str] = field(default_factory=Counter)
    commits: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    sessions: int = 0
    requests: int = 0
    memory: list[Memory] = field(default_factory=list)
    #: Processes that were left when the supervisors had ended, and the supervisors' exit codes.
    left: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def count(self, what: str) -> int:
        """How many such processes were looked at more than once after their start."""
        return sum(each.what == what and each.samples > 2 for each in self.memory)

    def grown(self, what: str) -> float:
        """The largest growth of such a process, in MiB."""
        return max(each.growth for each in self.memory if each.what == what) / 2**20

    def report(self) -> str:
        grown = (
            f"{self.grown(what):.1f} MiB ({what}s: {self.count(what)})" for what in ("supervisor", "keeper")
        )
        return "\n".join((
            f"{self.tasks} tasks in {self.seconds:.0f} s, {self.sessions} sessions, {self.requests} requests",
            f"tasks by state {dict(self.states)}, by commits {dict(self.commits)}, by runs {dict(self.runs)}",
            f"largest growth: {', '.join(grown)}",
            f"exit codes {self.codes}, processes left: {self.left}",
        ))  # fmt: skip


class Endurance:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, tasks: int, workers: int, limit: float) -> None:
        self.tasks, self.workers, self.limit = tasks, workers, limit
        self.folder = folder
        self.server = Server(folder / "redis", appendonly=True)
        self.memory: dict[int, Memory] = {}
        self.ended = threading.Event()

    def run(self) -> Outcome:
        with self.server, Api() as api:
            proxy = Proxy(self.server.port)
            os.environ["COORD_REDIS_URL"], os.environ["COORD_HOME"] = proxy.url, str(self.folder / "home")
            # Supervised sessions, kept by their supervisor; and some with keepers of their own.
            homes = Home(self.folder / "supervised", api), Home(self.folder / "plain", api)
            gauge = threading.Thread(target=self._gauge, args=homes, daemon=True)
            try:
                return self._run(*homes, api, proxy, gauge)
            finally:
                self.ended.set()
                gauge.join(10)
                for home in homes:
                    home.close()
                proxy.close()

    def _run(self, home: Home, plain: Home, api: Api, proxy: Proxy, gauge: threading.Thread) -> Outcome:
        api.script(models.worker(joined=True))
        lines = [
            json.dumps({"id": f"t{n}", "prompt": f"Task {n}.\nrun: echo t{n} >> runs.txt"})
            for n in range(self.tasks)
        ]
        (home.project / "tasks.jsonl").write_text("\n".join(lines))
        home.run("coord", "submit", "--from", "tasks.jsonl")
        began = time.monotonic()
        coordinator = home.start("coord", "serve")
        settings = {
            "COORD_CLAUDE": home.program, "COORD_MAX_TASKS": str(PER_SESSION), "COORD_IDLE_LIMIT": "20s",
        }  # fmt: skip
        supervisor = home.start("coord", "worker", "run", "--name", "w", "-n", str(self.workers), **settings)
        plain.run("coord", "hooks", "install", "--scope", "user", "--worker")
        for number in range(PLAIN):
            plain.open("Work for the pool.", COORD_WORKER_ID=f"plain-{number}")
        gauge.start()
        with redis.Redis.from_url(self.server.url) as conn:
            self._until(conn, 0.2)
            self._cut(proxy, "refused")
            self._until(conn, 0.45)
            self.server.kill()
            self.server.start()
            self._until(conn, 0.7)
            self._cut(proxy, "silent")
            self._until(conn, 1.0)
            seconds = time.monotonic() - began
            for session in plain.sessions:
                session.kill(signal.SIGTERM)
            supervisor.send_signal(signal.SIGTERM)
            coordinator.send_signal(signal.SIGTERM)
            codes = [each.wait(60) for each in (supervisor, coordinator)]
            for session in plain.sessions:
                session.end(30)
            outcome = self._outcome(conn, (home, plain), seconds)
        outcome.requests, outcome.codes = api.count(), codes
        outcome.sessions = len({each.session for each in api.seen()})
        eventually(lambda: not home.processes("keeper.py") | plain.processes("keeper.py"), 20, "keepers end")
        outcome.left = sorted((home.processes() | plain.processes()).values())
        return outcome

    def _until(self, conn: redis.Redis, share: float) -> None:
        """Wait until so many tasks are finished."""
        wanted = round(self.tasks * share)
        eventually(lambda: finished(conn) >= wanted, self.limit, f"{wanted} tasks are finished")

    def _cut(self, proxy: Proxy, how: str) -> None:
        proxy.cut = how
        self.ended.wait(CUT)
        proxy.cut = ""

    def _outcome(self, conn: redis.Redis, homes: tuple[Home, ...], seconds: float) -> Outcome:
        outcome = Outcome(self.tasks, seconds, memory=list(self.memory.values()))
        rows: list[Any] = conn.xrange("pool:events") or []
        commits = Counter(row[b"task"].decode() for _, row in rows if row[b"type"] == b"finished")
        runs = Counter(" ".join((home.project / "runs.txt").read_text() for home in homes).split())
        for number in range(self.tasks):
            found: Any = conn.hget(f"rq:job:t{number}", "status")
            outcome.states[found.decode() if found else "gone"] += 1
            outcome.commits[commits[f"t{number}"]] += 1
            outcome.runs[runs[f"t{number}"]] += 1
        return outcome

    def _gauge(self, *homes: Home) -> None:
        """Sample supervisors and keepers once a second."""
        while not self.ended.wait(1.0):
            for pid, line in [each for home in homes for each in home.processes().items()]:
                what = "keeper" if "keeper.py" in line else "supervisor" if " worker run" in line else ""
                held = resident(pid) if what else 0
                if not held:
                    continue
                known = self.memory.get(pid)
                if known is None or known.samples == 1:
                    # The first sample may be of a process that has not read its modules yet.
                    self.memory[pid] = Memory(what, held, held, known.samples + 1 if known else 1)
                else:
                    known.last, known.samples = held, known.samples + 1


def finished(conn: redis.Redis) -> int:
    """How many tasks are finished; 0 while Redis starts."""
    try:
        count: Any = conn.zcard("rq:finished:tasks")
    except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
        return 0
    return int(count)


def resident(pid: int) -> int:
    """A process's resident memory in bytes (0: it has ended)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.client.endurance")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    isolation.isolate()
    with tempfile.TemporaryDirectory(prefix="coord-endurance-") as folder:
        outcome = Endurance(Path(folder), given.tasks, given.workers, limit=3600).run()
    print(outcome.report())


if __name__ == "__main__":
    main()
