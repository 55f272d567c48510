"""UserPromptSubmit: a prompt begins a turn. A stopped worker is one again; a cut-off task is re-delivered."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime
from pool import brief


def by_person(prompt: str) -> bool:
    """Whether a person typed it: automatic turns (a background task's report) begin with a tag."""
    return not prompt.lstrip().startswith(("<task-notification", "<system-reminder", "<background"))


def handle(hook: runtime.Hook) -> None:
    """End any older hook's wait, and hand over again what was cut off."""
    session = hook.find()
    if session is None:
        return
    if session.data.get("stopped"):
        session = hook.enroll()
        if session is None:
            return
    session.ensure_keeper(hook.settings.path)
    verdict, handed, state = hook.pool.prompt(session.caller, by_person(hook.text("prompt")))
    if verdict == "gone":
        session = hook.enroll()
        hook.log(f"the worker was {state or 'forgotten'}; it registers anew")
    elif handed is not None:
        session.told()  # a word about an earlier task would only confuse
        said = runtime.say(runtime.context("UserPromptSubmit", brief.fitted(handed, handed.fields)))
        if said:
            hook.confirm(session.caller, handed.claim)
    else:
        found = hook.messages(session)
        if found is not None and runtime.say(runtime.context("UserPromptSubmit", found.text)):
            hook.told(session, found)


if __name__ == "__main__":
    runtime.run(handle)
