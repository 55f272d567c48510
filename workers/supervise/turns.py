"""What follows when a turn of a hooked session has ended, and its Stop hook did not let it go.

The Stop hook ends most turns itself: it waits, hands over the next task, or lets the session stop. A turn
that an API error or a limit has ended knows no Stop hook; the session then sits at its input, and it is its
supervisor that says how it goes on.
"""

from __future__ import annotations

from typing import NamedTuple

from pool import apierror
from workers.supervise.session import Frame

#: A hook that follows the turn's end may take so long (seconds) to tell Redis.
SETTLES = 3.0

#: So many times in a row a session is told to go on, when its turns end without reason.
NUDGES = 3

GO_ON = (
    "You were interrupted. Go on where you were: finish your task if you hold one (`coord-worker context` "
    "shows it), report it, and end your turn."
)

#: Results of a turn that ended for a limit of the session: it is no use to go on.
LIMITS = {
    "error_max_turns": "its limit of turns is reached",
    "error_max_budget_usd": "its budget is spent",
}


class Next(NamedTuple):
    """What to do: ``wait``, ``go-on``, ``fail`` (its task), ``give-back`` (its task), ``end``, or what its
    hook should have said of its account: ``park``, ``pause`` (this worker alone), ``stop``.
    """

    what: str
    #: For people; of a park or an error, why.
    why: str = ""
    #: Of a park: when it ends (seconds since 1970), if that is known.
    until: float | None = None
    #: The fault is the session's start (login, account, its model): another one would fare no better.
    hopeless: bool = False


class Turns:
    """Follows a session's turns by its frames."""

    def __init__(self, profiled: bool) -> None:
        """``profiled``: it was started as a task had asked."""
        self._profiled = profiled
        self._errors = apierror.Frames()
        self._verdict: apierror.Verdict | None = None
        self._limit = ""
        self._nudges = 0
        self._parked = False
        #: Whether the last turn has ended; whether the model has ever answered.
        self.over, self.answered = False, False

    def see(self, frame: Frame) -> bool:
        """Take a frame in; whether it ends a turn, or shows that no turn can succeed."""
        kind = frame.get("type")
        verdict = self._errors.feed(frame)
        if kind == "assistant" and not frame.get("error"):
            self.answered, self._nudges = True, self._nudges if not _works(frame) else 0
        if kind != "result":
            if verdict is not None and not self.over:
                self.over, self._verdict = True, verdict
                return True
            self.over = self.over and kind not in ("assistant", "user")
            return False
        self.over, self._verdict = True, verdict
        self._limit = LIMITS.get(str(frame.get("subtype")), "")
        return True

    def blame(self) -> tuple[str, bool] | None:
        """Of an error that will end the session: why, and whether any other would fare as badly."""
        if self._verdict is None or self._verdict.action not in ("stop", "give-back"):
            return None
        # (An invalid request is the conversation's: the next session has another.)
        return self._verdict.reason, self._verdict.error != "invalid_request"

    @property
    def unknown_model(self) -> bool:
        """Whether the last turn ended because there is no such model."""
        return self._verdict is not None and self._verdict.error == "model_not_found"

    def said(self) -> None:
        """The session was told something: a turn begins."""
        self.over = False

    def parked(self) -> None:
        """The pool was told that it waits; when that is over it goes on."""
        self._parked, self._nudges = True, 0

    @property
    def retrying(self) -> str:
        """The client retries a request: what, for people; '' when it does not."""
        return self._errors.retrying

    def next(self, state: str, holds: bool) -> Next:
        """What to do now that the turn is over. ``state``: the worker's; ``holds``: whether it has a task."""
        if state == "parked":
            self._parked = True
            return Next("wait")
        if self._parked:
            self._parked, self._verdict = False, None
            return Next("go-on")
        if self._limit:
            return Next("fail" if holds else "end", self._limit)
        verdict = self._verdict
        if verdict is not None and verdict.action in ("park", "pause"):
            # Its hook has parked it, and somebody has let it go on already; or the hook has failed.
            self._nudges += 1
            if self._nudges <= 1:
                return Next("go-on")
            return Next(verdict.action, verdict.reason, verdict.resets_at)
        if verdict is not None and verdict.action == "stop":
            return Next("stop", verdict.reason, hopeless=True)
        if verdict is not None and verdict.action == "give-back":
            asked_for = verdict.error == "model_not_found" and self._profiled
            what = "fail" if holds and asked_for else "give-back" if holds else "end"
            return Next(what, verdict.reason, hopeless=verdict.error != "invalid_request")
        self._nudges += 1
        if self._nudges <= NUDGES:
            return Next("go-on")
        why = "its turns end, and its Stop hook does not hold it"
        return Next("give-back" if holds else "end", why)


def unasked(frame: Frame) -> bool:
    """Whether the frame says that a hook has kept the prompt from the model."""
    outcome = frame.get("prompt_submit_outcome")
    return isinstance(outcome, dict) and outcome.get("kind") == "blocked_by_hook"


def _works(frame: Frame) -> bool:
    """Whether the model called a tool."""
    message = frame.get("message")
    blocks = message.get("content") if isinstance(message, dict) else None
    listed = blocks if isinstance(blocks, list) else []
    return any(isinstance(block, dict) and block.get("type") == "tool_use" for block in listed)
