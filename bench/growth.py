"""Part d: what grows with the backlog and with the number of workers, and what each takes of memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench import servers, stats
from bench.run import Run
from bench.work import Records, fill, register, work_off
from coordinator.service import Service
from pool.claim import Caller

#: A command of coord's that takes longer (seconds) is cut off.
_PATIENCE = 120.0


def measure(run: Run) -> dict[str, Any]:
    """Everything of part d."""
    return {
        "backlog": backlog(run),
        "workers": workers(run),
        "memory": memory(run),
    }


# -- the backlog -----------------------------------------------------------------------------------------


class Backlog:
    """A server with so many queued tasks, and one worker."""

    def __init__(self, coord: servers.Ready, size: int) -> None:
        self.coord = coord
        self.size = size
        self.records = Records(coord.settings)
        before, began = coord.memory(), time.monotonic()
        fill(coord.pool, self.records, 0, size)
        self.filled = time.monotonic() - began
        self.bytes = coord.memory() - before
        self.next = size
        self.caller: Caller = register(coord.pool, "w1")
        self.times: dict[str, list[float]] = {}

    def once(self, batch: int) -> None:
        """Claim and complete ``batch`` tasks, then submit as many: the backlog is what it was."""
        first, self.next = self.next, self.next + batch
        records = [self.records.make(number) for number in range(first, self.next)]
        for name, act in (
            ("pair", lambda: work_off(self.coord.pool, self.caller, batch)),
            ("submit", lambda: [self.coord.pool.submit([record]) for record in records]),
        ):
            self.coord.forget()
            began = time.perf_counter()
            act()
            took = (time.perf_counter() - began) / batch * 1e6
            calls, usec = self.coord.calls()["evalsha"]
            self.times.setdefault(f"{name}_wall", []).append(took)
            self.times.setdefault(f"{name}_server", []).append(calls * usec / batch)


def backlog(run: Run) -> list[dict[str, Any]]:
    """Microseconds of a claim with its completion, and of a submit, by the backlog; the sizes take turns."""
    with ExitStack() as stack:
        made = [
            Backlog(stack.enter_context(servers.ready()), size)
            for size in run.steps("filling backlogs", run.sizes.backlogs)
        ]
        for number in run.steps("backlogs", list(range(run.sizes.backlog_rounds + 1))):
            turn = number % len(made)
            for each in made[turn:] + made[:turn]:
                each.once(run.sizes.backlog_batch)
                if number == 0:
                    each.times.clear()  # a warm-up
        return [
            {
                "tasks": each.size, "fill_s": round(each.filled, 3),
                "bytes_per_task": each.bytes // each.size,
                **{name: stats.summary(values) for name, values in each.times.items()},
            }
            for each in made
        ]  # fmt: skip


# -- the workers -----------------------------------------------------------------------------------------

#: What is run, as a person runs it: a table on a terminal of 160 columns, plain lines into a pipe, JSON.
COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "workers_table": (["workers"], {"COLUMNS": "160"}),
    "workers_lines": (["workers"], {}),
    "workers_json": (["workers", "--json"], {}),
    "tasks_table": (["tasks"], {"COLUMNS": "160"}),
}


def workers(run: Run) -> list[dict[str, Any]]:
    """Commands (seconds), a claim with its completion (microseconds) and a tick (milliseconds) by workers."""
    with ExitStack() as stack:
        made = []
        for size in run.steps("registering workers", run.sizes.workers):
            made.append(Crowd(stack.enter_context(servers.ready()), size))
        for number in run.steps("workers", list(range(run.sizes.command_rounds + 1))):
            for each in made:
                each.once(run.sizes.backlog_batch)
                if number == 0:
                    each.times.clear()
        return [
            {
                "workers": each.size, "bytes_per_worker": each.bytes // each.size,
                **{name: stats.summary(values) for name, values in each.times.items()},
            }
            for each in made
        ]  # fmt: skip


class Crowd:
    """A server with so many simulated workers, most of them waiting, some with a task; a coordinator."""

    #: Of so many workers one holds a task.
    BUSY = 10

    def __init__(self, coord: servers.Ready, size: int) -> None:
        self.coord = coord
        self.size = size
        self.records = Records(coord.settings, "Fix the flaky test in tests/test_cache.py")
        before = coord.memory()
        callers = [register(coord.pool, f"worker-{number:05}") for number in range(size)]
        for number, caller in enumerate(callers[1:], 1):
            if number % self.BUSY == 0:
                coord.pool.submit([self.records.make(number)])
                coord.pool.claim(caller)
            else:
                coord.pool.claim(caller, "new", 1e6)
        self.bytes = coord.memory() - before
        self.caller = callers[0]
        self.next = size
        self.times: dict[str, list[float]] = {}
        self.service = Service(coord.settings, lambda line: None)
        self.service.begin()

    def once(self, batch: int) -> None:
        """Each command, ``batch`` claims, and a tick."""
        # (The workers' leases run on; the guard believes none expired before a whole lease has passed.)
        self.coord.conn.zunionstore("pool:workers", {"pool:workers": 1.0})
        for name, (words, environment) in COMMANDS.items():
            self._note(name, 1.0, partial(self._run, words, environment))
        fill(self.coord.pool, self.records, self.next, batch)
        self.next += batch
        self._note("pair_us", 1e6 / batch, lambda: work_off(self.coord.pool, self.caller, batch))
        self._note("tick_ms", 1e3, self.service.tick)

    def _note(self, name: str, scale: float, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        self.times.setdefault(name, []).append((time.perf_counter() - began) * scale)

    def _run(self, words: list[str], environment: dict[str, str]) -> None:
        env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "COORD_REDIS_URL": self.coord.server.url, "COORD_HOME": self.coord.settings.home, **environment,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "coordinator.cli", *words], env=env, cwd=servers.ROOT,
            capture_output=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode or not done.stdout:
            raise RuntimeError(f"coord {' '.join(words)}: {done.returncode} {done.stderr[-300:]!r}")


# -- memory ----------------------------------------------------------------------------------------------

#: Tasks by whose difference the memory of one is found.
_TASKS = 10_000


def memory(run: Run) -> dict[str, float]:
    """Bytes of Redis' memory: a queued task, a finished one, an event of the capped stream."""
    found: dict[str, float] = {}
    with servers.ready(event_limit=10 * _TASKS) as coord:
        caller = register(coord.pool, "w1")
        for _ in run.steps("memory", [1]):
            empty = coord.memory()
            fill(coord.pool, Records(coord.settings), 0, _TASKS)
            queued, events = coord.memory(), _events(coord)
            work_off(coord.pool, caller, _TASKS)
            finished, more = coord.memory(), _events(coord)
        found["queued"] = (queued - empty - events) / _TASKS
        found["finished"] = (finished - empty - more) / _TASKS
        length = int(coord.conn.xlen("pool:events"))
        found["event"] = more / length
    found["payload"] = float(len(Records(coord.settings).make(0)))
    return {name: round(value, 1) for name, value in found.items()}


def _events(coord: servers.Ready) -> int:
    size: Any = coord.conn.memory_usage("pool:events", samples=0)
    return int(size or 0)
