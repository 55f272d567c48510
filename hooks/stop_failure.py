"""StopFailure: an API error ended the turn. What it means for the worker, its task and its account.

By the error's name alone (pool/apierror.py); when the quota resets is in the transcript. The client takes
no answer from this hook: an interactive session stays at its prompt, a supervised one at its standard
input, a plain `claude -p` exits.
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime
from pool import apierror, brief, transcript
from pool.errors import NotRegistered, StaleClaim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.local import Session

#: The transcript's last lines may come a moment after the hook (seconds).
LAG = 1.0


def handle(hook: runtime.Hook) -> None:
    """Park or stop the account, let the worker wait, or hand its task back."""
    session = hook.find()
    if session is None:
        return
    verdict = apierror.Verdict(hook.text("error"))
    how = outcome_of_session()
    try:
        act(hook, session, verdict, how)
    except NotRegistered:
        hook.log(f"StopFailure: {session.caller.worker} is no worker any more ({verdict.error})")
    beat = hook.pool.beat(session.caller)
    if beat.claim is not None and beat.verdict != "ok":
        session.tell(brief.taken_away(beat.claim.task_id, beat.why))  # it is told once: pass it on
    hook.book(session)


def outcome_of_session() -> str:
    """What becomes of the session: account.lua's words."""
    if os.environ.get("COORD_SUPERVISED"):
        return "stays"
    return "stalls" if os.environ.get("CLAUDE_CODE_ENTRYPOINT", "") == "cli" else "ends"


def act(hook: runtime.Hook, session: Session, verdict: apierror.Verdict, how: str) -> None:
    """What the error means for the worker, its task and its account.

    Raises:
        NotRegistered: It is no worker any more.
    """
    caller, what = session.caller, verdict.action
    if what == "park":
        lag = LAG if how != "ends" else 0.0
        until = _reset(hook.text("transcript_path"), lag) or f"+{hook.settings['quota_wait']:g}"
        hook.pool.account("park", "", until, verdict.reason, caller.worker, caller, how)
    elif what == "stop":
        hook.pool.account("stop", "", "", verdict.reason, caller.worker, caller, how)
        session.save(stopped=True)
    elif what == "pause":
        reply = hook.pool.account("pause", "", "", verdict.reason, caller.worker, caller, how)
        if verdict.error == "unknown" and int(reply[4]) > hook.settings["reminders"]:
            _give_back(hook, session, verdict.reason)  # it does not seem to pass
    elif how == "stalls":
        hook.pool.note(caller, "interrupted", verdict.reason)  # a person is there: the task is theirs
    elif what == "go-on" and how == "stays":
        hook.pool.remind(caller, session.tools(), False)  # its supervisor sends it on; not for ever
        hook.pool.note(caller, "interrupted", verdict.reason)
    else:
        if verdict.error == "model_not_found" and how == "stays" and os.environ.get("COORD_PROFILE"):
            _fail(hook, session, f"{verdict.reason}: the task asks for it")  # any session would fare so
        else:
            _give_back(hook, session, verdict.reason)
        if how == "stays":  # a fresh session is better: its supervisor starts one
            hook.pool.deregister(caller, died=False, why=verdict.reason)
            session.save(stopped=True)


def _give_back(hook: runtime.Hook, session: Session, reason: str) -> None:
    claim = hook.pool.beat(session.caller).claim
    if claim is not None:
        try:
            hook.pool.release(session.caller, claim, reason)
        except StaleClaim as error:
            hook.log(f"StopFailure: {error}")


def _fail(hook: runtime.Hook, session: Session, reason: str) -> None:
    claim = hook.pool.beat(session.caller).claim
    if claim is not None:
        try:
            hook.pool.fail(session.caller, claim, reason, retry=False)
        except StaleClaim as error:
            hook.log(f"StopFailure: {error}")


def _reset(path: str, lag: float) -> float | None:
    """When the quota resets, as the transcript says it; None where it does not."""
    end = time.monotonic() + lag
    while path:
        found = transcript.reset(path, time.time())
        if found is not None or time.monotonic() >= end:
            return found
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    runtime.run(handle)
