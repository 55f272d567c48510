"""A bench for the crash matrix: a real Redis behind a proxy, a session without a keeper, and its recovery."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis

from pool import connect, local, model, script_text
from pool import settings as settings_module
from pool.claim import Caller, Claim
from tests.crash.ledger import Ledger
from tests.proxy import Proxy
from tests.server import Server
from tests.session import ROOT, Session

Process = subprocess.Popen[str]

#: A process that has not ended by itself after so long (seconds) hangs.
PATIENCE = 20.0


class Bench:
    """One worker's session and the pool around it; ``reset`` before each kill."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        self.proxy = Proxy(server.port)
        self.settings = settings_module.load(
            redis_url=server.url,
            home=str(folder / "home"),
            task_timeout=3600,
            leader_ttl=0.5,
            tick=0.2,
            checks=True,
        )
        self.conn = redis.Redis.from_url(server.url)
        self.pool = connect.pool(self.settings, self.conn)
        self.names = {}
        for name in script_text.names():
            text = self.pool.texts.text(name)
            self.names[str(self.conn.script_load(text))] = name  # the steady state: Redis knows the scripts
        self.session: Session | None = None
        self.caller = Caller("w1")
        self.claim = Claim("t")
        #: Notes of what goes on while a command runs: its process, whether the world has done its part, and
        #: after how many round trips (0: only the command's end counts).
        self.process: Process
        self.done = False
        self.reached = 0
        self._locks: list[int] = []

    def close(self) -> None:
        """End everything."""
        self.clear()
        self.proxy.close()
        self.conn.close()

    def clear(self) -> None:
        """End the session of the last kill."""
        if self.session is not None:
            self.session.close()
        for fd in self._locks:
            os.close(fd)
        self.session, self._locks, self.done, self.reached = None, [], False, 0
        shutil.rmtree(Path(self.settings.home) / "sessions", ignore_errors=True)

    def reset(self) -> None:
        """An empty database and a new session, registered nowhere."""
        self.clear()
        self.conn.flushall()
        self.proxy.count()
        self.session = Session(self.settings, self.folder, "w1", COORD_REDIS_URL=self.proxy.url)

    # -- preparing (straight to Redis, past the proxy) -----------------------------------------------------

    @property
    def one(self) -> Session:
        """The session."""
        assert self.session is not None
        return self.session

    def hold_keeper(self) -> None:
        """Hold the lock of the session's keeper, so that none is started: its beats would count as well."""
        folder = self.one.home
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._locks.append(fd)

    def enroll(self, idle: float = 600.0, keeper: bool = False) -> None:
        """Make the session a worker, as its SessionStart did."""
        _, self.caller = self.pool.register(
            "w1",
            self.one.key,
            self.one.session_id,
            "host",
            self.one.pid,
            ["tasks"],
            idle,
            0,
            "/",
            ("2", "3", "0"),
            "check",
        )
        self.disk().save(
            worker="w1", epoch=self.caller.epoch, session_id=self.one.session_id, stopped=False, verdict="new"
        )
        if not keeper:
            self.hold_keeper()

    def disk(self) -> local.Session:
        """What the session has on disk."""
        session = local.Session(self.settings.home, self.one.key)
        session.load()
        return session

    def submit(self, task_id: str = "t", **fields: Any) -> None:
        """A task."""
        spec = model.parse_spec({"prompt": "do it", "id": task_id, **fields})
        reply = self.pool.submit([model.record(spec, self.settings, time.time())[1]])
        assert reply[0] == "ok", reply

    def take(self, ticket: str = "") -> None:
        """The worker claims: as its helper, or (``new``) as a Stop hook that was cut off."""
        handed = self.pool.claim(self.caller, ticket, 1.0 if ticket else 0.0).handed
        assert handed is not None
        self.claim = handed.claim

    def expire(self, key: str) -> None:
        """The time of all that is in a sorted set has come."""
        members: Any = self.conn.zrange(key, 0, -1)
        if members:
            self.conn.zadd(key, dict.fromkeys(members, 0))

    def give_up(self) -> None:
        """Every lease has run out, and the reaper believes it."""
        self.expire("pool:leases")
        self.expire("pool:workers")
        while self.pool.reap("", True):
            pass

    def promote(self) -> list[str]:
        """The time of every scheduled task has come."""
        for key in self.conn.scan_iter("rq:scheduled:*"):
            self.expire(key.decode())
        self.conn.delete("pool:leader")
        assert self.pool.lead("recovery", 60.0)[0]
        return self.pool.promote("recovery")

    def drain(self) -> list[str]:
        """A fresh worker does all that can be claimed; the tasks as they were handed out."""
        versions = ("2", "3", "0")
        _, me = self.pool.register("fresh", "", "", "host", 1, ["tasks"], 600.0, 0, "/", versions, "check")
        handed: list[str] = []
        while True:
            look = self.pool.claim(me)
            if look.handed is None:
                if not self.promote():
                    return handed
                continue
            handed.append(look.handed.claim.task_id)
            self.pool.complete(me, look.handed.claim, "null", passed=True)

    # -- running a command as a process of its own ---------------------------------------------------------

    def hook(self, event: str, **payload: Any) -> Process:
        """One of the session's hooks."""
        return self.one.start_hook(event, **payload).process

    def helper(self, *words: str, **env: str) -> Process:
        """``coord-worker`` in the session's Bash."""
        argv = [sys.executable, "-I", "-S", str(ROOT / "workers" / "helper.py"), *words]
        return self._run(argv, {**self.one.env, "COORD_COMPILED": str(self.one.compiled), **env})

    def keeper(self) -> Process:
        """The session's keeper."""
        argv = [sys.executable, "-I", "-S", str(ROOT / "workers" / "keeper.py"), str(self.one.compiled)]
        return self._run([*argv, self.one.key, "w1", self.caller.epoch], self.one.env)

    def coord(self, *words: str) -> Process:
        """The operator's command line."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COORD_REDIS_URL": self.proxy.url,
               "COORD_HOME": self.settings.home, "COORD_TASK_TIMEOUT": "3600", "COORD_TICK": "200ms",
               "COORD_LEADER_TTL": "500ms"}  # fmt: skip
        return self._run([sys.executable, "-m", "coordinator.cli", *words], {**env, "PYTHONPATH": str(ROOT)})

    def _run(self, argv: list[str], env: dict[str, str]) -> Process:
        return subprocess.Popen(
            argv, env=env, cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def trips(self) -> list[str]:
        """The round trips since the last count, each by its script's or command's name."""
        return [self._name(data) for data in list(self.proxy.sent)]

    def _name(self, data: bytes) -> str:
        words = [word.decode("ascii", "replace") for word in data.split(b"\r\n")[2:7:2]]
        return self.names.get(words[1], words[1]) if words[0] == "EVALSHA" else words[0]

    def ledger(self) -> Ledger:
        """The pool as it stands."""
        return Ledger(self.conn)


def ended(process: Process, seconds: float = PATIENCE) -> tuple[int, str, str]:
    """The exit code and output of a process; one that hangs is killed and told of."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} hangs: {out}{err}") from None
    return process.returncode, out, err
