"""The keeper: a tiny process beside a session that renews its lease while the session's process lives.

It is started by SessionStart and again by any hook or helper that finds it missing; a lock lets one
live. When the session's process dies it reports that at once, sends the commits that Redis has not
taken yet, and ends (design section 7). Standard library only: it costs about 9 MB.
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import select

from pool import compiled, jsonlite, local, process, scripts, wire
from pool.claim import Caller, Claim
from pool.enroll import enroll
from pool.errors import CoordError, RedisAway, StaleClaim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Commits of a dead session are tried for so long (seconds), then they stay on disk.
LAST_WORDS = 600.0


class Keeper:
    """Beats for one session until its process dies or its registration ends."""

    def __init__(self, settings: compiled.Compiled, session: local.Session, caller: Caller) -> None:
        self.settings = settings
        self.session = session
        self.caller = caller
        self.watch = process.Watch(session.pid, session.key)
        self.pool = scripts.Pool(wire.Connection(settings.url), settings.values, settings.templates)
        self.beat = float(settings["beat"])

    def run(self) -> None:
        """Live as long as the session does."""
        pause = 0.0
        while True:
            if self._died_within(pause):
                self._report_death()
                return
            try:
                flush_outbox(self.session, self.pool)
                if not self._beat():
                    return
                pause = self.beat
            except RedisAway:
                pause = min(self.beat, 1.0)  # the lease runs on: try again soon

    def _died_within(self, seconds: float) -> bool:
        if self.watch.fd < 0:  # no pidfd, no kqueue: look once a second
            end = time.monotonic() + seconds
            while self.watch.alive():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(left, 1.0))
            return True
        if seconds > 0:
            select.select([self.watch.fd], [], [], seconds)
        return not self.watch.alive()

    def _beat(self) -> bool:
        """One heartbeat; whether there is anything left to keep."""
        answer = self.pool.beat(self.caller)
        if answer.verdict == "lost" and answer.claim is not None:
            self.session.tell(
                f"Task {answer.claim.task_id} is not yours any more ({answer.why}). Drop it, do not commit "
                "its work, and end your turn: you will be given another."
            )
        if answer.verdict != "gone":
            return True
        self.session.load()
        if self.session.caller.epoch != self.caller.epoch:
            self.caller = self.session.caller  # registered anew by a hook: go on for that one
            return bool(self.caller.worker)
        if answer.state == "stopped" or self.session.data.get("stopped"):
            return False
        # Given up on while it lived: what it held is not its any more, and it must know. The session
        # comes back as a new owner, so that nobody takes a live one for dead.
        self.session.tell(
            "This worker was given up on for a while (its machine was frozen or cut off). The task it held "
            "is not yours any more: drop it, do not commit its work, and end your turn."
        )
        session_id = str(self.session.data.get("session_id", ""))
        session = enroll(self.settings, self.pool, self.session.pid, session_id, os.getcwd())
        if session is None:
            return True  # it died just now: the watch will say so
        self.caller = session.caller
        return True

    def _report_death(self) -> None:
        """The session's process is gone: its task is claimable as soon as Redis knows."""
        end = time.monotonic() + LAST_WORDS
        while time.monotonic() < end:
            try:
                flush_outbox(self.session, self.pool)
                self.session.load()
                for caller in {self.caller.epoch: self.caller, self.session.caller.epoch: self.session.caller}.values():
                    if caller.worker and caller.epoch:
                        self.pool.deregister(caller, died=True, why="its process is gone")
                break
            except RedisAway:
                time.sleep(0.2)
        if not local.commits(os.path.join(self.session.folder, "outbox")):
            _remove(self.session.folder)


def flush_outbox(session: local.Session, pool: scripts.Pool) -> None:
    """Send the commits of a session that Redis has not taken yet.

    Raises:
        RedisAway: Redis does not take them now either.
    """
    flush_folder(os.path.join(session.folder, "outbox"), pool)


def flush_folder(folder: str, pool: scripts.Pool) -> None:
    """Send the commits kept in a folder; a refused one is set aside as `.refused`.

    Raises:
        RedisAway: Redis does not take them now either.
    """
    for path in local.commits(folder):
        try:
            with open(path, encoding="utf-8") as file:
                commit: dict[str, Any] = jsonlite.loads(file.read())
            send_commit(pool, commit)
        except FileNotFoundError:
            continue  # another process sent it
        except (StaleClaim, ValueError, KeyError, TypeError):
            os.replace(path, path + ".refused")  # too late, or damaged: kept for people to look at
            continue
        os.unlink(path)


def send_commit(pool: scripts.Pool, commit: dict[str, Any]) -> str:
    """Send one commit that was kept on disk; ``done`` or ``already``.

    Raises:
        StaleClaim: It came too late.
        RedisAway: Redis does not take it now.
    """
    import binascii

    artifacts = [(str(name), binascii.a2b_base64(blob)) for name, blob in commit.get("artifacts", [])]
    return pool.complete(
        Caller(str(commit["worker"]), str(commit["epoch"])),
        Claim.parse(str(commit["claim"])),
        str(commit["result"]),
        artifacts,
    )


def _remove(folder: str) -> None:
    """The session's folder has served its purpose."""
    for top, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(top, name))
        for name in folders:
            os.rmdir(os.path.join(top, name))
    os.rmdir(folder)


def main(argv: list[str]) -> int:
    """``keeper COMPILED SESSION WORKER EPOCH``: keep a session until it dies."""
    compiled_path, key, worker, epoch = argv
    try:
        settings = compiled.load(compiled_path)
        session = local.Session(settings.home, key)
        session.load()
        try:
            if session.lock_keeper() < 0:
                return 0  # another keeper lives
        except OSError:
            pass  # no disk, no lock: SessionStart has started but this one
        Keeper(settings, session, Caller(worker, epoch)).run()
    except (CoordError, OSError) as error:
        local.log(os.path.dirname(compiled_path), f"keeper of {worker}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
