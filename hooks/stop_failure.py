"""StopFailure: an API error ended the turn. A quota parks the worker or hands its task back, unharmed."""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime
from pool import brief

#: Errors that pass by themselves.
PASSING = frozenset(("rate_limit", "overloaded", "server_error"))


def handle(hook: runtime.Hook) -> None:
    """Park an interactive or supervised session; release the task of a plain `claude -p`, which exits."""
    session = hook.find()
    if session is None:
        return
    error = hook.text("error") or "unknown"
    wait = hook.settings["quota_wait"]
    stays = os.environ.get("CLAUDE_CODE_ENTRYPOINT", "") == "cli" or bool(os.environ.get("COORD_SUPERVISED"))
    if stays and error in PASSING:
        hook.pool.park(session.caller, time.time() + wait, f"API error: {error}")
        return
    beat = hook.pool.beat(session.caller)
    if stays:
        hook.pool.note(session.caller, "interrupted", f"API error: {error}")
    if beat.claim is not None and beat.verdict != "ok":
        session.tell(brief.taken_away(beat.claim.task_id, beat.why))  # it is told once: pass it on
    elif beat.claim is not None and not stays:
        delay = wait if error in PASSING else 0.0
        hook.pool.release(
            session.caller, beat.claim, f"API error: {error}", delay, counted=error not in PASSING
        )


if __name__ == "__main__":
    runtime.run(handle)
