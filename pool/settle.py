"""How a task is settled by its worker: its check is run if it has one, then its result is committed.

One way for all who can say that a task is done: ``coord-worker complete``, the Stop hook and a supervisor.
What was handed in lies in the desk's folder (``offer.json``) while the check runs, so that another process
can go on with it. Standard library only.
"""

from __future__ import annotations

import binascii
import os
import select
import time

from pool import check, jsonlite, local, outbox, process, units, worktree
from pool.claim import Claim
from pool.errors import ChecksOff, RedisAway, StaleClaim, Unchecked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pool.claim import Caller
    from pool.scripts import Pool

    Artifacts = Sequence[tuple[str, bytes]]

#: Characters of a check's output that a session is told: the last ones.
TOLD = 6000
#: A check's process that is killed is started anew so often.
_STARTS = 3


class Settled:
    """What became of it, and the words for the session.

    ``verdict``: ``done``; ``already`` (it was, before); ``again`` (its check failed: go on); ``failed`` (that
    was once too often); ``running`` (the check is not done yet: ``Desk.go_on`` waits on).
    """

    __slots__ = ("claim", "text", "verdict")

    def __init__(self, verdict: str, claim: Claim, text: str) -> None:
        self.verdict = verdict
        self.claim = claim
        self.text = text


def of_message(values: Mapping[str, Any], text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """A last message as a task's result (JSON text); one that is too long is kept as an artifact, and cut."""
    result = jsonlite.dumps(text)
    limit = values["result_limit"]
    if len(result.encode()) <= limit:
        return result, []
    data = text.encode()[: values["artifact_limit"]]
    kept = [("message.md", data)] if values["artifact_count"] else []
    note = f"\n[... cut: the message has {len(text)} characters" + (", see message.md]" if kept else "]")
    head = text[: max(0, limit // 6 - len(note))]  # a character takes 6 bytes of JSON at most
    return jsonlite.dumps(head + note), kept


class Desk:
    """A worker's place to settle what it holds. ``folder`` is its own, and so is ``outbox``."""

    def __init__(
        self, pool: Pool, values: Mapping[str, Any], caller: Caller, folder: str, outbox_folder: str,
        session: str = "", cwd: str = "", pause: Callable[[int, float], object] | None = None,
    ) -> None:  # fmt: skip
        """``session``: the process key with which a check ends; ``cwd``: where a task without one is done.

        ``pause(fd, seconds)`` waits for a descriptor (-1: none); it may raise, and the check runs on.
        """
        self.pool = pool
        self.values = values
        self.caller = caller
        self.folder = folder
        self.outbox = outbox_folder
        self.session = session
        self.cwd = cwd
        self.pause = pause or _pause
        self.run = check.Run(folder)
        #: The file in which its session's client notes all that is said, where that is known.
        self.transcript = ""
        #: Where a commit was kept while Redis was away.
        self.kept = ""

    # -- handing in --------------------------------------------------------------------------------------

    def settle(
        self, claim: Claim, result: str, artifacts: Artifacts = (), patience: float = float("inf"),
    ) -> Settled:  # fmt: skip
        """Settle a task with this result (JSON text), waiting at most so long (s) for its check.

        Raises:
            StaleClaim: The claim is not the caller's any more.
            ChecksOff: It has a check, and this worker may run none.
            RedisAway: Redis did not answer. Where the check has passed the commit is in the outbox by then.
            OSError: The disk cannot be written, and without it no check can be run.
        """
        before = self._offer()
        if before and _same(before, claim) and before.get("result") == result:
            return self.go_on(patience)
        evidence = self._evidence(claim)
        try:
            verdict = self.pool.complete(self.caller, claim, result, artifacts, evidence)
        except Unchecked as first:
            if not self.values["checks"]:
                raise ChecksOff from None
            self._hand_in(Claim(claim.task_id, first.token), first, result, artifacts, evidence)
            return self.go_on(patience)
        self._clear()
        return self._done(verdict, claim)

    def pending(self, claim: Claim) -> bool:
        """Whether a result of this very claim waits for its check."""
        return _same(self._offer(), claim)

    def go_on(self, patience: float = float("inf")) -> Settled:
        """Go on with what was handed in: as settle()."""
        offer = self._offer()
        claim = Claim.parse(str(offer.get("claim", "")))
        try:
            outcome = self._wait(offer, claim, patience)
            if outcome is None:
                return Settled("running", claim, f"The check of task {claim.task_id} is still running")
            settled = self._commit(offer, claim, outcome)
        except StaleClaim:
            self._clear()
            raise
        self._clear()
        return settled

    def _hand_in(
        self, claim: Claim, first: Unchecked, result: str, artifacts: Artifacts, evidence: dict[str, str]
    ) -> None:
        from pool import payload

        fields = payload.decode(first.data)
        files = [[name, binascii.b2a_base64(data, newline=False).decode()] for name, data in artifacts]
        offer: dict[str, Any] = {
            "claim": str(claim), "result": result, "evidence": evidence, "attempt": first.attempts,
            "check": str(fields.get("check") or ""), "finish": str(fields.get("finish") or ""),
            "artifacts": files,
        }  # fmt: skip
        cwd = self._place(claim) or str(fields.get("cwd") or "") or self.cwd
        self.run.begin(
            offer["check"], cwd, self.values["check_timeout"], self.values["check_output"], self.session
        )
        check.write(os.path.join(self.folder, "offer.json"), jsonlite.dumps(offer))

    # -- the check ---------------------------------------------------------------------------------------

    def _wait(self, offer: dict[str, Any], claim: Claim, patience: float) -> check.Outcome | None:
        """The outcome; None when it has not come in time."""
        end = time.monotonic() + patience
        beat_at, starts = 0.0, 0
        watch: process.Watch | None = None
        try:
            while True:
                outcome = self.run.outcome()
                if outcome is not None:
                    return outcome
                now = time.monotonic()
                if now >= beat_at:  # before the first start as well: the claim may be lost already
                    self._beat(claim, f"its check runs: {offer['check']}" if not beat_at else "")
                    beat_at = now + self.values["beat"]
                if now >= end or (self.session and not process.same(self.session)):
                    return None
                if watch is None or not watch.alive():
                    # Nobody runs it that is known here: look who does, or start it.
                    if watch is not None:
                        watch.close()
                    pid = self.run.runner()
                    if not pid and not self.run.running():
                        if self.run.outcome() is not None:
                            continue
                        if starts == _STARTS:
                            return check.Outcome({"why": "it was killed again and again"})
                        pid = self.run.start()
                        starts += bool(pid)
                    watch = process.Watch(pid) if pid else None
                left = min(end, beat_at) - now
                known = watch is not None and watch.fd >= 0
                self.pause(watch.fd if watch and known else -1, min(left, 1.0 if known else 0.05))
        finally:
            if watch is not None:
                watch.close()

    def _beat(self, claim: Claim, progress: str) -> None:
        try:
            answer = self.pool.beat(self.caller, claim, progress[:1000])
        except RedisAway:
            return  # the lease runs on; it is the commit that counts
        if answer.verdict != "ok":
            self._clear()
            raise StaleClaim(
                f"task {claim.task_id} is not yours any more ({answer.why or 'its worker was given up on'}): "
                "drop it, do not commit its work, and go on"
            )

    def _commit(self, offer: dict[str, Any], claim: Claim, outcome: check.Outcome) -> Settled:
        """The transition that the outcome makes."""
        evidence = {**offer.get("evidence", {}), "check": self._report(offer, outcome)}
        if not outcome.passed:
            return self._refused(offer, claim, outcome, evidence)
        artifacts = [(str(name), binascii.a2b_base64(blob)) for name, blob in offer.get("artifacts", [])]
        try:
            verdict = self.pool.complete(
                self.caller, claim, offer["result"], artifacts, evidence, passed=True
            )
        except RedisAway:
            self.kept = outbox.keep(
                self.outbox, self.caller, claim, offer["result"], artifacts, evidence, passed=True
            )
            self._clear()
            raise
        return self._done(verdict, claim)

    def _report(self, offer: dict[str, Any], outcome: check.Outcome) -> str:
        return jsonlite.dumps(
            {
                "command": offer["check"], "passed": outcome.passed, "code": outcome.code, "why": outcome.why,
                "seconds": outcome.seconds, "output": outcome.output, "cut": outcome.cut,
                "attempt": offer["attempt"], "worker": self.caller.worker,
            }
        )  # fmt: skip

    def _refused(
        self, offer: dict[str, Any], claim: Claim, outcome: check.Outcome, evidence: dict[str, str]
    ) -> Settled:
        tail = outcome.output.rstrip()[-TOLD:]
        what = f"{outcome.said}, after {units.span(outcome.seconds)}"
        error = f"its check failed ({what}): {offer['check']}\n{tail}"
        verdict, count = self.pool.checked(
            self.caller, claim, str(self.run.job().get("id", "")), error, evidence
        )
        counted = f"; failed check {count} of {self.values['check_limit']}" if count else ""
        said = f"The check of task {claim.task_id} failed ({what}{counted}): `{offer['check']}`"
        fence = "```"
        while fence in tail:
            fence += "`"
        shown = f"\nThe end of its output:\n{fence}\n{tail}\n{fence}" if tail else "\nIt printed nothing."
        if verdict == "again":
            how = (
                "end your turn: your last message is the result"
                if offer["finish"] == "message"
                else f'run `coord-worker complete {claim} --result "..."` again'
            )
            return Settled("again", claim, f"{said}{shown}\nMend it, then {how}.")
        became = "will be tried again" if verdict in ("queued", "scheduled") else "has failed"
        return Settled("failed", claim, f"{said}{shown}\nThe task {became}. End your turn.")

    def _done(self, verdict: str, claim: Claim) -> Settled:
        worktree.ended(self.values, claim)
        said = "was completed already" if verdict == "already" else "is completed"
        return Settled(verdict, claim, f"Task {claim.task_id} {said}. End your turn now.")

    # -- parts ---------------------------------------------------------------------------------------------

    def _evidence(self, claim: Claim) -> dict[str, str]:
        """What was changed in its worktree, and who did it where a log of that is kept."""
        found = worktree.evidence(self.values, claim)
        supervisor = os.environ.get("COORD_SUPERVISED", "")
        if supervisor or self.transcript:
            run = {"host": os.uname().nodename, "supervisor": supervisor, "transcript": self.transcript}
            found["run"] = jsonlite.dumps({name: value for name, value in run.items() if value})
        return found

    def _place(self, claim: Claim) -> str:
        note = worktree.of(self.values, claim)
        return str(note["directory"]) if note else ""

    def _offer(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self.folder, "offer.json"), encoding="utf-8") as file:
                value = jsonlite.loads(file.read())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _clear(self) -> None:
        """Forget what was handed in, and end its check."""
        if os.path.isdir(self.folder):
            self.run.remove()
            local.forget(os.path.join(self.folder, "offer.json"))


def _same(offer: dict[str, Any], claim: Claim) -> bool:
    known = str(offer.get("claim", ""))
    return bool(known) and (
        known == str(claim) or (not claim.token and known.partition(".")[0] == claim.task_id)
    )


def _pause(fd: int, seconds: float) -> None:
    select.select([fd] if fd >= 0 else [], [], [], max(seconds, 0.0))
