"""UserPromptSubmit: a prompt begins a turn. A stopped worker is one again; a cut-off task is re-delivered."""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hooks import runtime
from pool import brief, usage

#: What a look for a task finds when there is none for this worker now.
NOTHING = ("wait", "stop", "parked")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.claim import HandOver
    from pool.local import Session


def by_person(prompt: str) -> bool:
    """Whether a person typed it: automatic turns (a background task's report) begin with a tag."""
    return not by_itself(prompt) and not supervised()


def by_itself(prompt: str) -> bool:
    """Whether the client has begun the turn."""
    return prompt.lstrip().startswith(("<task-notification", "<system-reminder", "<background"))


def supervised() -> bool:
    """Whether a supervisor holds the session's input: no person can type there."""
    return bool(os.environ.get("COORD_SUPERVISED")) and os.environ.get("COORD_MODE") == "hook"


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
    hook.book(session)
    verdict, handed, state = hook.pool.prompt(session.caller, by_person(hook.text("prompt")))
    if verdict == "gone":
        session = hook.enroll()
        hook.log(f"the worker was {state or 'forgotten'}; it registers anew")
    elif handed is not None:
        deliver(hook, session, handed)
    else:
        begin(hook, session)


def begin(hook: runtime.Hook, session: Session) -> None:
    """A turn for which nothing is cut off: a supervisor's word gets a task, or is kept from the model."""
    look = None
    if supervised() and not by_itself(hook.text("prompt")):
        look = hook.pool.claim(session.caller, "new")
        if look.handed is not None and look.handed.provisional:
            return deliver(hook, session, look.handed)  # handed over now, it costs no turn to ask for it
    found = hook.messages(session)
    if found is not None:
        if runtime.say(runtime.context("UserPromptSubmit", found.text)):
            hook.told(session, found)
    elif look is not None and hook.text("prompt") == brief.BEGIN and look.verdict in NOTHING:
        # Somebody else took the task, or there was none: the model is not asked for what it cannot do.
        if look.verdict != "stop":
            hook.pool.note(session.caller, "waiting", "at its input, for the next task")
        runtime.say({"decision": "block", "reason": "no task waits: the model is not asked"})


def deliver(hook: runtime.Hook, session: Session, handed: HandOver) -> None:
    """Hand a task over, and say so once it has been read."""
    fields = hook.fields(session, handed)
    if fields is None:
        return
    session.told()  # a word about an earlier task would only confuse
    session.hand(handed.claim.task_id, usage.moment(time.time()))
    if runtime.say(runtime.context("UserPromptSubmit", brief.fitted(handed, fields))):
        hook.confirm(session.caller, handed.claim)


if __name__ == "__main__":
    runtime.run(handle)
