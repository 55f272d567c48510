"""What the frames of a stream-json session say about its turn. No I/O."""

from __future__ import annotations

from pool import apierror
from workers.supervise import turns
from workers.supervise.session import Frame


def begins(frame: Frame) -> bool:
    """Whether it is the first frame of a turn."""
    return frame.get("type") == "system" and frame.get("subtype") == "init"


class Turn:
    """Follows a session from frame to frame: whether a turn runs, and what the last one came to."""

    def __init__(self) -> None:
        self.running = False
        #: Tool calls of the session itself (not of its sub-agents), so far.
        self.tools = 0
        #: Background tasks that run.
        self.background = 0
        #: The last turn's result frame, and the text that the session ended it with.
        self.result: Frame = {}
        self.message = ""
        #: The API error that ended it, if one did.
        self.error: apierror.Verdict | None = None
        self._errors = apierror.Frames()
        self._states = False

    def begin(self) -> None:
        """Something was said to the session: a turn begins."""
        self.running, self.error, self.result = True, None, {}

    def see(self, frame: Frame) -> bool:
        """Take a frame in; whether it ends a turn, with nothing further owed."""
        kind, subtype = frame.get("type"), frame.get("subtype")
        error = self._errors.feed(frame)
        if kind == "assistant" and not frame.get("parent_tool_use_id"):
            self._assistant(frame)
        elif kind == "result":
            self.result, self.error = frame, error
            self.message = str(frame.get("result") or self.message)
            if not self._states:  # an older client says nothing about its state
                return self._end()
        elif error is not None:  # the client tries again, in vain
            self.error = error
            return self._end()
        elif begins(frame):
            self.running = True
        elif kind == "system" and subtype == "session_state_changed":
            self._states = True
            if frame.get("state") == "idle":
                return self._end()
            self.running = True
        elif kind == "system" and subtype == "background_tasks_changed":
            tasks = frame.get("tasks")
            listed = tasks if isinstance(tasks, list) else []
            self.background = sum(isinstance(each, dict) and not each.get("ambient") for each in listed)
        return False

    def _assistant(self, frame: Frame) -> None:
        message = frame.get("message")
        blocks = message.get("content") if isinstance(message, dict) else None
        texts = []
        for block in blocks if isinstance(blocks, list) else []:
            if isinstance(block, dict) and block.get("type") == "tool_use":
                self.tools += 1
            elif isinstance(block, dict) and block.get("type") == "text":
                texts.append(str(block.get("text", "")))
        if texts:
            self.message = "\n".join(texts)

    def _end(self) -> bool:
        was, self.running = self.running, False
        return was

    @property
    def limit(self) -> str:
        """Which limit of the session ended the turn; '' if none did."""
        return turns.LIMITS.get(str(self.result.get("subtype")), "")
