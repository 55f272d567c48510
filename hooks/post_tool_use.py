"""PostToolUse: count the call (a reminder without one is in vain), and tell what was taken away.

It asks Redis nothing but for an operator's messages, and that only when there are some: the keeper leaves
its word in a file. For an ordinary session it does nothing.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime
from pool import local


def handle(hook: runtime.Hook) -> None:
    """Add to the tally; pass on the keeper's word; start a keeper that is missing."""
    session = local.of_process(hook.settings, hook.pid)
    if session is None or hook.payload.get("agent_id") or not session.acts():
        return
    session.count_tool()
    if session.data.get("stopped"):
        return
    session.ensure_keeper(hook.settings.path)
    word = session.told()
    hook.connection.timeout = 1.0  # a tool call should not wait long for a message
    found = hook.messages(session)
    if word or found is not None:
        text = "\n\n".join(part for part in (word, found.text if found is not None else "") if part)
        if runtime.say(runtime.context("PostToolUse", text)) and found is not None:
            hook.told(session, found)


if __name__ == "__main__":
    runtime.run(handle)
