"""Chaos: workers and keepers killed and frozen at random, one Redis restart, and nothing lost or doubled.

    python -m tests.crash.chaos --tasks 2000 --workers 8 [--seed N]

A real redis-server (AOF, fsync always), two real coordinators, real keepers. The sessions are light
processes (chaos_worker.py); a share of their cycles runs the real Stop hook and the real helper.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from pool import process
from pool import settings as settings_module
from tests.crash import chaos_check
from tests.server import Server
from tests.session import ROOT

LEASE = 3.0
SETTINGS = {
    "LEASE": f"{LEASE}s", "BEAT": "500ms", "RECHECK": "500ms", "PROVISIONAL": "1s", "TICK": "200ms",
    "LEADER_TTL": "1s", "SWEEP": "5s", "EVENT_LIMIT": "1000000",
    # By default a task whose workers died three times is poison. Here workers die on purpose, a hundred
    # of them, and some tasks are unlucky: what is tested is that none is lost.
    "LOSS_LIMIT": "50",
}  # fmt: skip
#: Seconds that a task takes on average, and the share of cycles that use the real hook and helper.
WORK, REAL = 0.12, 0.06


@dataclass
class Installation:
    """A copy of coord that processes run from, and their environment."""

    root: Path
    env: dict[str, str]
    compiled: Path = Path()


@dataclass
class Worker:
    """A session's process, and what was done to it."""

    name: str
    process: subprocess.Popen[bytes]
    key: str
    of: Installation
    #: When it is thawed again (on our clock); 0 while it runs.
    thaw: float = 0.0
    frozen: tuple[int, ...] = ()
    #: The task that it held then: it is thawed early when another works on that.
    task: str = ""


class Chaos:
    """One run."""

    def __init__(
        self, folder: Path, tasks: int, workers: int, seed: int, limit: float, work: float = WORK
    ) -> None:
        self.folder, self.tasks, self.seed, self.limit, self.work = folder, tasks, seed, limit, work
        self.random = random.Random(seed)
        self.server = Server(folder / "redis", appendonly=True)
        #: Where new processes are started from.
        self.current = self.installation(ROOT, "home")
        self.conn = redis.Redis.from_url(self.server.url, socket_timeout=10)
        self.size = workers
        self.workers: list[Worker] = []
        self.coordinators: list[subprocess.Popen[bytes]] = []
        self.installations = [self.current]
        self.done: Counter[str] = Counter()
        #: Workers whose session was killed or frozen: only these may lose a task.
        self.struck: set[str] = set()
        #: Claims of workers that nothing was done to, held while Redis was away.
        self.held_over: dict[str, str] = {}
        self.began = time.monotonic()

    # -- the run -------------------------------------------------------------------------------------------

    def run(self) -> chaos_check.Report:
        """Do it all, and say what came of it. Every process is ended, whatever happens."""
        try:
            self.start()
            self.until_all_finished()
            self.wind_up()
            return self.report()
        finally:
            self.end()

    def installation(self, root: Path, home: str) -> Installation:
        """coord as it lies in ``root``, with files of its own in ``home``."""
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env |= {f"COORD_{name}": value for name, value in SETTINGS.items()}
        env |= {"COORD_HOME": str(self.folder / home), "COORD_REDIS_URL": self.server.url}
        return Installation(root, env | {"PYTHONPATH": str(root)})

    def compile(self, of: Installation) -> None:
        """Compile its settings, as `coord hooks install` does."""
        given = {name.lower(): value for name, value in SETTINGS.items()}
        settings = settings_module.load(home=of.env["COORD_HOME"], redis_url=self.server.url, **given)
        of.compiled = settings_module.compile_settings(settings)

    def start(self) -> None:
        self.server.start()
        self.compile(self.current)
        for _ in range(2):
            self.start_coordinator()
        self.submit()
        for _ in range(self.size):
            self.start_worker()

    def submit(self) -> None:
        """All tasks in one batch; some wait for another, some are more urgent."""
        lines = []
        for number in range(self.tasks):
            line: dict[str, object] = {"prompt": f"chaos {number}", "id": f"t{number}", "retries": 1000}
            if number and self.random.random() < 0.1:
                line["after"] = [f"t{self.random.randrange(number)}"]
            line["priority"] = self.random.choice(["high", "normal", "normal", "low"])
            lines.append(json.dumps(line))
        (self.folder / "tasks.jsonl").write_text("\n".join(lines), encoding="utf-8")
        self.coord("submit", "--from", "tasks.jsonl").wait(60)  # returns when all of them are there
        assert self.conn.zcard("pool:tasks") == self.tasks, "the batch was not submitted"

    def coord(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "coord.log").open("ab") as log:
            argv = [sys.executable, "-m", "coordinator.cli", *words]
            return subprocess.Popen(argv, env=self.current.env, cwd=self.folder, stdout=log, stderr=log)

    def start_coordinator(self) -> None:
        self.coordinators.append(self.coord("serve"))

    def start_worker(self) -> None:
        """A worker under a new name."""
        self.done["workers started"] += 1
        name = f"w{self.done['workers started']}"
        of = self.current
        argv = [sys.executable, "-I", "-S", str(of.root / "tests" / "crash" / "chaos_worker.py")]
        argv += [str(of.compiled), str(self.folder / f"journal-{name}"), f"{self.seed}-{name}"]
        argv += [str(self.work), str(REAL)]
        with (self.folder / "workers.log").open("ab") as log:
            started = subprocess.Popen(
                argv, env={**of.env, "COORD_WORKER_ID": name}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.workers.append(Worker(name, started, process.key(started.pid), of))

    def finished(self) -> int:
        return sum(int(self.conn.zcard(f"rq:finished:tasks{suffix}")) for suffix in (":high", "", ":low"))

    def until_all_finished(self) -> None:
        """Strike now and then until every task is finished."""
        strike_at = time.monotonic() + 1.0
        while (finished := self.finished()) < self.tasks:
            now = time.monotonic()
            if now - self.began > self.limit:
                raise AssertionError(f"not finished within {self.limit:.0f} s\n{chaos_check.stand(self)}")
            self.look_after()
            self.step(finished)
            if not self.done["Redis restarts"] and finished >= 0.4 * self.tasks:
                if not any(worker.thaw for worker in self.workers):
                    self.restart_redis()
                    # What healthy workers lose in this time would be the restart's fault.
                    strike_at = time.monotonic() + LEASE + 1.0
            elif now >= strike_at:
                self.strike()
                strike_at = now + self.random.uniform(0.2, 0.9)
            time.sleep(0.05)

    def step(self, finished: int) -> None:
        """What else goes on, by how many tasks are finished."""

    def look_after(self) -> None:
        """Thaw whose time has come, and replace the dead."""
        for worker in list(self.workers):
            if worker.thaw and (time.monotonic() >= worker.thaw or self.is_taken(worker)):
                self.thaw(worker)
            code = worker.process.poll()
            if code is None:
                continue
            if code != -signal.SIGKILL:
                raise AssertionError(f"{worker.name} ended by itself ({code})\n{chaos_check.stand(self)}")
            self.workers.remove(worker)
            self.start_worker()

    def report(self) -> chaos_check.Report:
        """What came of it."""
        return chaos_check.examine(self)

    # -- strikes -------------------------------------------------------------------------------------------

    def strike(self) -> None:
        """Do something bad to somebody."""
        whom = [worker for worker in self.workers if not worker.thaw]
        if len(whom) <= self.size // 2:
            return  # somebody must do the work
        worker = self.random.choice(whom)
        what = self.random.random()
        if what < 0.30:
            self.kill(worker)
        elif what < 0.50:
            self.kill(worker, with_keeper=True)
        elif what < 0.85:
            self.freeze(worker)
        elif what < 0.95:
            self.kill_keeper(worker)
        else:
            self.kill_coordinator()

    def kill(self, worker: Worker, with_keeper: bool = False) -> None:
        """SIGKILL the session, or its keeper and then it."""
        self.struck.add(worker.name)
        if with_keeper:
            self.kill_keeper(worker)
        self.done["killed with its keeper" if with_keeper else "killed"] += 1
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()

    def kill_keeper(self, worker: Worker) -> None:
        """SIGKILL the keeper alone: the session's next hook or helper starts another."""
        self.done["keepers killed"] += 1
        for pid in self.keepers(worker.key):
            os.kill(pid, signal.SIGKILL)

    def freeze(self, worker: Worker) -> None:
        """SIGSTOP session and keeper for longer than the lease; at times its hook or helper too."""
        self.struck.add(worker.name)
        self.done["frozen"] += 1
        pids = [worker.process.pid, *self.keepers(worker.key)]
        if self.random.random() < 0.5:
            pids += children(worker.process.pid)
        for pid in pids:
            signalled(pid, signal.SIGSTOP)
        worker.frozen = tuple(pids)
        worker.thaw = time.monotonic() + LEASE + self.random.uniform(1.5, 3.0)
        worker.task = text(self.conn.hget(f"pool:worker:{worker.name}", "claim"))
        self.done["frozen with a task"] += bool(worker.task)

    def thaw(self, worker: Worker) -> None:
        for pid in worker.frozen:
            signalled(pid, signal.SIGCONT)
        worker.thaw, worker.frozen, worker.task = 0.0, (), ""

    def is_taken(self, worker: Worker) -> bool:
        """Whether another works on its task just now: the worst moment to come back."""
        if not worker.task:
            return False
        found: Any = self.conn.hmget(f"rq:job:{worker.task}", ["status", "pool_worker"])
        taken = text(found[0]) == "started" and text(found[1]) != worker.name
        self.done["thawed while another had its task"] += taken
        return taken

    def kill_coordinator(self) -> None:
        """SIGKILL one of the coordinators, and start another."""
        self.done["coordinators killed"] += 1
        victim = self.coordinators.pop(self.random.randrange(len(self.coordinators)))
        victim.kill()
        victim.wait()
        self.start_coordinator()

    def restart_redis(self) -> None:
        """SIGKILL Redis and start it on the same data, when every lease has run out; two die meanwhile."""
        calm = self.random.sample(self.workers, len(self.workers))
        self.server.kill()
        self.done["Redis restarts"] += 1
        began = time.monotonic()
        self.kill(calm[0])
        self.kill(calm[1], with_keeper=True)
        while time.monotonic() < began + LEASE + 0.5:
            time.sleep(0.05)
        self.server.start()
        for worker in calm[2:]:
            found: Any = self.conn.hmget(f"pool:worker:{worker.name}", ["claim", "token"])
            # One that was not confirmed when Redis went goes back, whatever happens.
            if all(found) and not self.conn.hexists(f"rq:job:{found[0].decode()}", "pool_provisional"):
                self.held_over[b".".join(found).decode()] = worker.name

    # -- the end -------------------------------------------------------------------------------------------

    def wind_up(self) -> None:
        """Thaw the frozen, let all finish what they hold in their hands, and wait until all is quiet."""
        for worker in self.workers:
            if worker.thaw:
                self.thaw(worker)
        quiet = time.monotonic() + 1.5  # in which those commit what they have lost, and are refused
        while time.monotonic() < quiet:
            time.sleep(0.05)
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            code = worker.process.wait(30)
            if code and not (code == -signal.SIGKILL and worker.name in self.struck):
                raise AssertionError(f"{worker.name} ended with {code}\n{chaos_check.stand(self)}")
        self.until(lambda: not self.left_running(), "every keeper ends with its session")
        self.until(lambda: not self.conn.zcard("pool:workers"), "every dead worker is noticed")
        for each in self.coordinators:
            each.send_signal(signal.SIGTERM)
        for each in self.coordinators:
            assert each.wait(15) == 0, f"a coordinator did not end well\n{chaos_check.stand(self)}"
        self.coordinators.clear()
        self.took = time.monotonic() - self.began

    def until(self, so: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 20
        while not so():
            assert time.monotonic() < end, f"not within 20 s: {what}\n{chaos_check.stand(self)}"
            time.sleep(0.05)

    def keepers(self, key: str) -> list[int]:
        return [pid for pid, words in running() if key in words and words[-5].endswith("keeper.py")]

    def left_running(self) -> list[int]:
        """Workers, keepers, hooks and helpers of this run that live."""
        compiled = {str(of.compiled) for of in self.installations}
        return [pid for pid, words in running() if compiled & set(words)]

    def end(self) -> None:
        """End what still runs, each by its pid."""
        for process_ in [*(worker.process for worker in self.workers), *self.coordinators]:
            if process_.poll() is None:
                process_.kill()
                process_.wait()
        for pid in self.left_running():
            signalled(pid, signal.SIGKILL)
        self.conn.close()
        self.server.kill()


def running() -> list[tuple[int, list[str]]]:
    """Every live process with its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
            except OSError:
                continue
            if len(words) > 4 and process.start_time(int(entry.name)):
                found.append((int(entry.name), words))
    return found


def children(pid: int) -> list[int]:
    """The hooks and helpers that a session runs just now (a keeper has a session of its own)."""
    return [each for each, _ in running() if process.parent(each) == pid and os.getpgid(each) == pid]


def text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else ""


def signalled(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def command_line(kind: type[Chaos], name: str, tasks: int) -> int:
    """Run it and print the counts; exit code 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--tasks", type=int, default=tasks)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--limit", type=float, default=0.0, help="seconds; default: by the number of tasks")
    parser.add_argument("--keep", action="store_true", help="keep Redis' data, journals and logs")
    given = parser.parse_args()
    print(f"{given.tasks} tasks, {given.workers} workers, seed {given.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix=f"coord-{kind.__name__.lower()}-"))
    limit = given.limit or 60 + given.tasks * 0.1
    keep = True
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that nothing is left running
    try:
        report = kind(folder, given.tasks, given.workers, given.seed, limit).run()
        keep = given.keep or bool(report.problems)
        print(report)
    finally:
        if keep:
            print(f"data, journals and logs: {folder}")
        else:
            shutil.rmtree(folder)
    return bool(report.problems)


if __name__ == "__main__":
    sys.exit(command_line(Chaos, "python -m tests.crash.chaos", tasks=2000))
