"""SessionEnd: the session says goodbye; what it holds is handed back."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime, stop_failure
from pool import apierror, local, transcript
from pool.errors import NotRegistered

#: The process goes on under another session id: nothing ends (design section 5).
GOES_ON = frozenset(("clear", "resume"))


def handle(hook: runtime.Hook) -> None:
    """End the registration, unless the process goes on or the end is a stale one."""
    if hook.text("reason") in GOES_ON or hook.payload.get("agent_id"):
        return
    session = local.of_process(hook.settings, hook.pid)
    if session is None or not session.acts():
        return
    said, known = hook.text("session_id"), session.data.get("session_id")
    if said and known and said != known:
        return  # the end of a session that this process has left
    hook.connection.timeout = 1.0  # the client gives SessionEnd 1.5 s
    if stop_failure.outcome_of_session() == "ends":
        _after_an_error(hook, session)
    hook.book(session)
    hook.pool.deregister(
        session.caller, died=False, why=f"its session ended ({hook.text('reason') or 'no reason'})"
    )
    session.save(stopped=True)


def _after_an_error(hook: runtime.Hook, session: local.Session) -> None:
    """Whether an API error has ended a plain `claude -p` is in its transcript: its task is not to blame."""
    error = transcript.last_error(hook.text("transcript_path"))
    if error:
        try:
            stop_failure.act(hook, session, apierror.Verdict(error), "ends")
        except NotRegistered:
            hook.log(f"SessionEnd: {session.caller.worker} is no worker any more ({error})")


if __name__ == "__main__":
    runtime.run(handle)
