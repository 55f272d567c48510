"""A worker of the chaos test: a light process that plays the session, beside a real keeper.

It registers as SessionStart does, then claims, works for a moment and commits, over and over, as a Stop
hook or as a helper would; a share of its cycles goes through the real hook and helper processes. It
writes what it does to a journal, before it does it where that matters: it may be killed at any moment.
Standard library only, as all that runs in a session.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from types import FrameType

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from pool import compiled, local, scripts, wire  # noqa: E402 - run by path, as hooks are
from pool.claim import Claim  # noqa: E402
from pool.enroll import enroll  # noqa: E402
from pool.errors import EXIT_REDIS, EXIT_STALE, RedisAway, StaleClaim  # noqa: E402


class Worker:
    """One session, from its registration to SIGTERM (or to whatever comes before)."""

    def __init__(self, compiled_path: str, journal: str, seed: str, work: float, real: float) -> None:
        self.settings = compiled.load(compiled_path)
        self.pool = scripts.Pool(
            wire.Connection(self.settings.url), self.settings.values, self.settings.templates
        )
        self.random = random.Random(seed)
        self.work = work
        self.real = real
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.session: local.Session
        self.keepers: set[int] = set()
        self.hook: subprocess.Popen[str] | None = None
        self.ending = False

    def note(self, kind: str, claim: str = "") -> None:
        """A line in the journal; one write, so that it is there whole or not at all."""
        os.write(self.journal, f"{kind} {claim}\n".encode())

    def end(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: finish what was begun; a hook that waits waits no more."""
        self.ending = True
        if self.hook is not None and self.hook.poll() is None:
            self.hook.send_signal(signal.SIGTERM)

    # -- the session's life --------------------------------------------------------------------------------

    def run(self) -> None:
        """Claim, work and commit until asked to end, or until the run that started it is gone."""
        self.enroll()
        parent = os.getppid()
        while not self.ending and os.getppid() == parent:
            try:
                self.cycle()
            except RedisAway:
                time.sleep(0.1 * self.random.random())

    def enroll(self) -> None:
        """Become a worker (again), as SessionStart or a hook that finds itself given up on does."""
        while True:
            try:
                session = enroll(self.settings, self.pool, os.getpid(), f"chaos-{os.getpid()}", ROOT)
                break
            except RedisAway:
                time.sleep(0.1)
        assert session is not None
        self.session = session
        self.note("enrolled", session.caller.epoch)
        self.reap(session.data["keeper"])

    def reap(self, started: int) -> None:
        """Keepers are children of this process here; take note of one, and let ended ones go."""
        self.keepers |= {started} - {0}
        for pid in list(self.keepers):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.keepers.discard(pid)

    def cycle(self) -> None:
        """One task, by one of the ways in which a session meets one."""
        self.session.load()  # the keeper may have brought it back as a new owner
        self.reap(self.session.ensure_keeper(self.settings.path))
        way = self.random.random()
        if way < self.real:
            self.real_cycle()
            return
        by_hook = way < 0.5
        self.note("asks", "hook" if by_hook else "helper")
        caller = self.session.caller
        look = self.pool.claim(caller, "new" if by_hook else "", 0.3 if by_hook else 0.0)
        if look.verdict == "gone":
            self.enroll()
            return
        if look.handed is None:
            if by_hook and look.verdict == "wait":
                bell = f"pool:bell:{caller.worker}:{look.ticket}"
                self.pool.connection.execute_command("BLPOP", bell, "0.3")
            else:
                time.sleep(0.2 * self.random.random())
            return
        claim = look.handed.claim
        self.note("claimed" if look.handed.provisional else "took", str(claim))
        if look.handed.provisional:
            if self.random.random() < 0.05:  # a hook that is slow to print, at times too slow
                time.sleep(self.settings["provisional"] * 1.5 * self.random.random())
            self.pool.confirm(caller, claim)
        self.do_task()
        if self.random.random() < 0.5:
            self.session.load()
        self.commit(claim)

    def do_task(self) -> None:
        """Work: mostly a moment, now and then longer than the lease."""
        long = self.random.random() < 0.02
        left = 1.3 * self.settings["lease"] if long else self.random.expovariate(1 / self.work)
        while left > 0:
            time.sleep(min(left, 1.0))
            left -= 1.0
            if left > 0:  # a tool call, whose hook starts a missing keeper
                self.reap(self.session.ensure_keeper(self.settings.path))

    # -- committing ----------------------------------------------------------------------------------------

    def commit(self, claim: Claim) -> None:
        """Mostly complete the task; sometimes say that it failed, or hand it back."""
        way = self.random.random()
        told = Claim(claim.task_id) if way > 0.9 else claim  # a bare id is enough for its owner
        while True:
            self.note("try", str(claim))
            caller = self.session.caller
            try:
                if way < 0.02:
                    said = self.pool.fail(caller, claim, "chaos", retry=True)[0]
                elif way < 0.04:
                    said = self.pool.release(caller, claim, "chaos", 0.2, counted=False)[0]
                else:
                    said = self.pool.complete(caller, told, self.result(claim))
            except StaleClaim:
                self.note("refused", str(claim))
                return
            except RedisAway:
                self.note("away", str(claim))
                if way >= 0.04 and self.random.random() < 0.3:
                    self.report(claim)  # which keeps it on disk, for the keeper to send
                    return
                time.sleep(0.1)
                continue
            self.note(said, str(claim))
            return

    def result(self, claim: Claim) -> str:
        return json.dumps({"claim": str(claim), "worker": self.session.caller.worker})

    # -- the real processes --------------------------------------------------------------------------------

    def real_cycle(self) -> None:
        """The real Stop hook hands over, the real helper reports."""
        self.note("asks", "hook")
        payload = {"session_id": f"chaos-{os.getpid()}", "hook_event_name": "Stop", "cwd": ROOT}
        self.hook = self.process("hooks/stop.py", "--compiled", self.settings.path)
        if self.ending:
            self.hook.send_signal(signal.SIGTERM)
        out, err = self.hook.communicate(json.dumps(payload))
        if (self.hook.returncode or err) and not self.ending:
            self.note("broken", json.dumps([self.hook.returncode, err]))
        self.hook = None
        found = re.search(r"coord-worker complete ([\w-]+\.[\w-]+)", out)
        if found is None:
            return
        claim = Claim.parse(found[1])
        self.note("took" if "You still hold" in out else "claimed", str(claim))
        self.do_task()
        self.report(claim)

    def report(self, claim: Claim) -> None:
        """The real helper completes the task."""
        self.note("try", str(claim))
        done = self.process("workers/helper.py", "complete", str(claim), "--result-json", self.result(claim))
        _, err = done.communicate("")
        said = {0: "done", EXIT_STALE: "refused", EXIT_REDIS: "kept"}.get(done.returncode, "broken")
        self.note(said, str(claim) if said != "broken" else json.dumps([done.returncode, err]))

    def process(self, script: str, *words: str) -> subprocess.Popen[str]:
        """Run a hook or a helper as the client would."""
        env = {**os.environ, "CLAUDE_PID": str(os.getpid()), "COORD_COMPILED": self.settings.path}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", os.path.join(ROOT, script), *words], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def main(argv: list[str]) -> None:
    """``chaos_worker COMPILED JOURNAL SEED WORK REAL``: a worker until SIGTERM."""
    worker = Worker(argv[0], argv[1], argv[2], float(argv[3]), float(argv[4]))
    signal.signal(signal.SIGTERM, worker.end)
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1:])
