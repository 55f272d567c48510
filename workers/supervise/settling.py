"""What follows when a session's turn is over and it holds a task: what the Stop hook does in hook mode."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from pool import brief, compiled, local, outbox, scripts, settle
from pool.claim import HandOver
from pool.errors import ChecksOff, StaleClaim
from workers.supervise.frames import Turn


class Next(NamedTuple):
    """What to do.

    ``tell`` the session something, let it ``wait`` (for background tasks), or ``look`` again for what it
    holds, which may be nothing any more.
    """

    kind: str
    text: str = ""


LOOK = Next("look")


class Settling:
    """One session's turns and its task's end."""

    def __init__(
        self, settings: compiled.Compiled, pool: scripts.Pool, cwd: str,
        pause: Callable[[int, float], object],
    ) -> None:  # fmt: skip
        """``pause`` waits for a descriptor (-1: none), seconds at most; it may raise, and a check runs on."""
        self.values, self.pool, self.cwd, self.pause = settings.values, pool, cwd, pause

    def after(self, member: local.Session, handed: HandOver, turn: Turn) -> Next:
        """The turn is over, and it may hold the task still.

        Raises:
            RedisAway: Redis did not answer; nothing is lost, and it can be asked again.
        """
        desk = self._desk(member)
        try:
            if desk.pending(handed.claim):  # its check takes longer than the helper could wait
                return self._said(desk.go_on())
            kept = self._kept(desk)
            if kept is not None:
                return kept
            by_message = handed.fields.get("finish") == "message"
            message = turn.message.strip() if by_message else ""
            reply = self.pool.remind(member.caller, str(turn.tools), turn.background > 0, bool(message))
            if reply[0] == "settle":
                return self._said(desk.settle(handed.claim, *settle.of_message(self.values, message)))
        except StaleClaim:
            return LOOK  # taken away: what is there now is another matter
        except (ChecksOff, OSError) as error:
            return Next("tell", f"Task {handed.claim.task_id} cannot be completed here: {error}")
        if reply[0] == "remind":
            return Next("tell", brief.reminder(reply[1:5], self.values["reminders"], by_message))
        return Next("wait") if reply[0] == "let" else LOOK

    def _desk(self, member: local.Session) -> settle.Desk:
        return settle.Desk(
            self.pool, self.values, member.caller, os.path.join(member.folder, "check"),
            os.path.join(member.folder, "outbox"), session=member.key, cwd=self.cwd, pause=self.pause,
        )  # fmt: skip

    def _kept(self, desk: settle.Desk) -> Next | None:
        """Commit what an outage has kept on disk, before anything is said; None if there is nothing."""
        found = None
        for path in local.commits(desk.outbox):
            commit = outbox.read(path)
            if commit is None:
                continue
            found = LOOK
            try:
                if commit.passed:
                    outbox.send(self.pool, commit)
                else:
                    settled = desk.settle(commit.claim, commit.result, commit.artifacts)
                    if settled.verdict == "again":
                        local.forget(path)
                        return self._said(settled)
            except StaleClaim:
                os.replace(path, path + ".refused")
            else:
                local.forget(path)
        return found

    @staticmethod
    def _said(settled: settle.Settled) -> Next:
        return Next("tell", settled.text) if settled.verdict == "again" else LOOK
