"""Schedules under fire: a tick each second, the leading coordinator killed and frozen in turn.

    python -m tests.crash.cron --seconds 120 [--coordinators 3] [--seed N]

A real redis-server (AOF, fsync always) and real `coord serve` processes with the settings that everybody
has, each behind a proxy, so that it can be struck amid a tick: when it has sent `fire`, before Redis runs it
or after. A killed one is replaced; a frozen one is left so for longer than its lock, until another leads, and
then thawed, in the belief that it leads still (what it had sent arrives only then). Each tick must have
become one task, and no more.
"""

from __future__ import annotations

import argparse
import calendar
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pool import clock, connect, keys, schedule, scripts
from pool import settings as settings_module
from tests.crash.ledger import Ledger
from tests.proxy import Proxy
from tests.server import Server
from tests.session import ROOT, eventually

NAME = "each-second"
#: A frozen leader stays so for this and up to twice as much (seconds): its lock runs out after 2.
FROZEN = 3.0
#: Seconds in which a leader works before something is done to it, at least and at most.
WORKS = (0.7, 2.5)


@dataclass
class Report:
    """What came of a run."""

    seconds: float
    expected: int
    made: int
    missing: list[str]
    doubled: list[str]
    killed: int
    frozen: int
    #: How many of these in the middle of a tick.
    amid: int
    leaders: int
    #: Seconds from a tick to its task, at most.
    latest: float
    problems: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        return not (self.missing or self.doubled or self.problems) and self.made == self.expected

    def __str__(self) -> str:
        rows = [
            ("ticks expected", self.expected), ("tasks made", self.made), ("missing", len(self.missing)),
            ("doubled", len(self.doubled)), ("leaders killed", self.killed),
            ("leaders frozen", self.frozen), ("  of these amid a tick", self.amid),
            ("changes of leader", self.leaders),
            ("latest task after its tick", f"{self.latest:.1f} s"),
        ]  # fmt: skip
        lines = [f"{name:28}{value}" for name, value in rows]
        lines += [f"WRONG: {what}" for what in [*self.missing[:10], *self.doubled[:10], *self.problems]]
        return "\n".join([f"{self.seconds:.0f} s of ticks, one each second", *lines])


@dataclass
class Coordinator:
    """One of them, and the proxy through which it reaches Redis."""

    process: subprocess.Popen[bytes]
    proxy: Proxy


class Drill:
    """One run."""

    def __init__(self, folder: Path, seconds: float, coordinators: int = 3, seed: int = 1) -> None:
        self.folder, self.seconds, self.size = folder, seconds, coordinators
        self.random = random.Random(seed)
        self.server = Server(folder / "redis", appendonly=True)
        self.env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env |= {"COORD_HOME": str(folder / "home"), "COORD_REDIS_URL": self.server.url}
        self.env["PYTHONPATH"] = str(ROOT)
        self.running: dict[int, Coordinator] = {}
        self.done: Counter[str] = Counter()

    def run(self) -> Report:
        """Do it all, and say what came of it. Every process is ended, whatever happens."""
        with self.server:
            settings = settings_module.load(home=self.env["COORD_HOME"], redis_url=self.server.url)
            with connect.client(settings) as self.conn:
                try:
                    return self._drill(connect.pool(settings, self.conn))
                finally:
                    self._end()

    def _drill(self, pool: scripts.Pool) -> Report:
        self.fire = str(self.conn.script_load(pool.texts.text("fire"))).encode()
        for _ in range(self.size):
            self._start()
        eventually(self._leader, 20)
        added = subprocess.run(
            self._argv("schedule", "add", NAME, "--cron", "* * * * * *", "tick", "--json"),
            env=self.env, cwd=self.folder, check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        first = int(datetime.fromisoformat(json.loads(added.stdout)["next"]).timestamp())
        end = clock.mono() + self.seconds
        strikes: Iterator[Callable[[], None]] = itertools.cycle(
            [self._kill, self._freeze, partial(self._kill, "before"), partial(self._freeze, "before"),
             partial(self._kill, "after"), partial(self._freeze, "after")]
        )  # fmt: skip
        while clock.mono() < end:
            time.sleep(self.random.uniform(*WORKS))
            next(strikes)()
        last = int(self._now())
        eventually(lambda: self._due() > last, 30, "the ticks are made")
        assert pool.hold(NAME) == "paused"
        return self._report(first, last)

    # -- what is done to coordinators ----------------------------------------------------------------------

    def _kill(self, amid: str = "") -> None:
        """End the leader, at once or when it fires next, and start another coordinator."""
        victim = eventually(self._leader, 20)
        self._strike(victim, signal.SIGKILL, amid, threading.Event())
        victim.process.wait()
        victim.proxy.close()
        del self.running[victim.process.pid]
        self.done["killed"] += 1
        self._start()
        self._await_another(victim)

    def _freeze(self, amid: str = "") -> None:
        """Stop the leader, at once or when it fires next, until another leads; let it go on then."""
        victim, thaw, began = eventually(self._leader, 20), threading.Event(), clock.mono()
        self._strike(victim, signal.SIGSTOP, amid, thaw)
        self.done["frozen"] += 1
        self._await_another(victim)
        time.sleep(max(0.0, began + self.random.uniform(FROZEN, 2 * FROZEN) - clock.mono()))
        thaw.set()
        victim.process.send_signal(signal.SIGCONT)

    def _strike(self, victim: Coordinator, number: int, amid: str, thaw: threading.Event) -> None:
        """Send it a signal, now or when it fires next (before or after Redis runs that), and return then."""
        if not amid:
            victim.process.send_signal(number)
            return
        struck = threading.Event()

        def intercept(trip: int, when: str) -> bool:
            if when != amid or struck.is_set() or self.fire not in victim.proxy.sent[trip - 1]:
                return False
            victim.process.send_signal(number)
            struck.set()
            if number == signal.SIGSTOP:
                thaw.wait(60)  # what it has sent, or Redis has said, is on its way as long
            return number == signal.SIGKILL

        victim.proxy.intercept = intercept
        if struck.wait(5):
            self.done["amid"] += 1
        else:
            victim.process.send_signal(number)  # it leads no more: strike it all the same

    def _await_another(self, victim: Coordinator) -> None:
        def another() -> bool:
            leader = self._leader()
            return leader is not None and leader is not victim

        eventually(another, 20, "another leads")

    def _leader(self) -> Coordinator | None:
        """The coordinator that leads; None while none does."""
        found: Any = self.conn.get("pool:leader")
        return self.running.get(int(found.decode().split("-")[-2])) if found else None

    # -- processes -----------------------------------------------------------------------------------------

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "coordinator.cli", *words]

    def _start(self) -> None:
        proxy = Proxy(self.server.port)
        with (self.folder / "coord.log").open("ab") as log:
            child = subprocess.Popen(
                self._argv("serve"), env={**self.env, "COORD_REDIS_URL": proxy.url}, cwd=self.folder,
                stdout=log, stderr=log,
            )  # fmt: skip
        self.running[child.pid] = Coordinator(child, proxy)

    def _end(self) -> None:
        for each in self.running.values():
            each.process.send_signal(signal.SIGCONT)
            each.process.terminate()
        for each in self.running.values():
            try:
                each.process.wait(10)
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
            each.proxy.close()

    # -- what came of it -----------------------------------------------------------------------------------

    def _now(self) -> float:
        now: Any = self.conn.time()
        return float(now[0]) + float(now[1]) / 1e6

    def _due(self) -> float:
        return float(self.conn.zscore(schedule.INDEX, NAME) or 0)

    def _ids(self) -> list[str]:
        found: Any = self.conn.zrange("pool:tasks", 0, -1)
        return [raw.decode() for raw in found]

    def _report(self, first: int, last: int) -> Report:
        ids = self._ids()
        last = max([last, *(tick for tick in map(_tick, ids) if tick)])
        expected = {schedule.task_id(NAME, tick) for tick in range(first, last + 1)}
        events: Any = self.conn.xrange("pool:events")
        said = Counter((fields[b"type"].decode(), fields[b"task"].decode()) for _, fields in events)
        listed: Any = self.conn.lrange(keys.key("queue", "tasks"), 0, -1)
        times = Counter(raw.decode() for raw in listed)
        doubled = [name for name in sorted({*ids, *times})
                   if name not in expected or times[name] != 1 or said["submitted", name] != 1
                   or said["cron-fired", name] != 1]  # fmt: skip
        late = [self._score(name) - tick for name in ids if (tick := _tick(name))]
        problems = Ledger(self.conn).problems()
        problems += [f"{kind}: {task}" for kind, task in said if kind in ("cron-skipped", "cron-missed")]
        if "Traceback" in (self.folder / "coord.log").read_text(encoding="utf-8"):
            problems.append("a coordinator's log has a traceback")
        leaders = sum(n for (kind, _), n in said.items() if kind == "leader")
        return Report(
            self.seconds, len(expected), len(ids), sorted(expected - set(ids)), doubled,
            self.done["killed"], self.done["frozen"], self.done["amid"], leaders,
            max(late, default=0.0), problems,
        )  # fmt: skip

    def _score(self, name: str) -> float:
        return float(self.conn.zscore("pool:tasks", name) or 0)


def _tick(task_id: str) -> int | None:
    """The tick that a task's id names."""
    stamp = task_id.removeprefix(f"{NAME}-")
    return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) if stamp != task_id else None


def main(argv: list[str]) -> int:
    """Run it and print the report; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.cron", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--coordinators", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="coord-cron-") as folder:
        report = Drill(Path(folder), given.seconds, given.coordinators, given.seed).run()
        print(f"seed {given.seed}: {report}", flush=True)
    return 0 if report.fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
