"""SessionStart: make the session a worker, start its keeper, tell it what it is."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import launcher, runtime
from pool import brief, local


def handle(hook: runtime.Hook) -> None:
    """Register (or rebind, after /clear, resume, compaction or fork) and hand the session its tools."""
    known = local.of_process(hook.settings, hook.pid)
    if known is None and (not hook.chosen or local.nested(hook.settings, hook.pid, dict(os.environ))):
        return
    session = hook.enroll()
    if session is None or not session.acts():
        return
    launcher.export(hook, session)
    text = brief.WELCOME.format(worker=session.caller.worker)
    if session.data.get("verdict") == "rebound":
        beat = hook.pool.beat(session.caller)
        if beat.verdict == "ok" and beat.claim is not None:
            text += (
                f"\n\nYou hold task {beat.claim.task_id}: run `coord-worker context {beat.claim}` to read it "
                "again, then finish it."
            )
    runtime.say(runtime.context("SessionStart", text))


if __name__ == "__main__":
    runtime.run(handle)
