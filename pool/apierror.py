"""What an API error of a Claude Code session means for its worker, its task and its account.

Only fields are read, never the text of a message: the ``error`` of a StopFailure hook, the frames of
stream-json, and the lines of a transcript. Pure functions on the standard library: hooks import them.
docs/sessions.md ("Quota") has the same table for people.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: What is done about an error.
#: ``park``: the account's quota is used up; all of its workers wait for the reset.
#: ``pause``: it passes by itself and is nobody's fault; this worker waits a little.
#: ``stop``: nobody can work with this account until a person has mended it.
#: ``give-back``: this session cannot do its task; another may (one release of the task's budget).
#: ``go-on``: the turn was cut short; the session goes on with its task.
ACTIONS = ("park", "pause", "stop", "give-back", "go-on")

_ACTION = {
    "rate_limit": "park",
    "overloaded": "pause",
    "server_error": "pause",
    "unknown": "pause",
    "authentication_failed": "stop",
    "oauth_org_not_allowed": "stop",
    "account_on_hold": "stop",
    "billing_error": "stop",
    "cloud_credential_error": "stop",
    "model_not_found": "give-back",
    "invalid_request": "give-back",
    "max_output_tokens": "go-on",
}

#: What to do about an account that is stopped, for the one line that says so.
_REMEDY = {
    "billing_error": "settle its bill",
    "account_on_hold": "see to the account",
    "oauth_org_not_allowed": "log in with an account that may",
    "cloud_credential_error": "renew the cloud credentials",
}


#: An error that stops the account does not pass by trying again: so many of the client's attempts are awaited
#: (it makes about 10, which takes minutes).
PATIENCE = 3


class Verdict:
    """``error`` by its name, what to do (one of ACTIONS), and the reset (seconds since 1970) if known."""

    __slots__ = ("action", "error", "resets_at")

    def __init__(self, error: str, resets_at: float | None = None) -> None:
        self.error = error if error in _ACTION else "unknown"
        self.action = _ACTION[self.error]
        self.resets_at = resets_at

    @property
    def reason(self) -> str:
        """For people: the error by its name, and what to do where a person must."""
        if self.action == "stop":
            return f"API error: {self.error}; {_REMEDY.get(self.error, 'renew its login')}"
        return f"API error: {self.error}"


def of_status(status: object) -> str:
    """The error's name for an HTTP status, where no better name is known."""
    if not isinstance(status, int) or isinstance(status, bool):
        return "unknown"
    known = {
        400: "invalid_request", 401: "authentication_failed", 402: "billing_error",
        403: "authentication_failed", 404: "model_not_found", 429: "rate_limit", 529: "overloaded",
    }  # fmt: skip
    return known.get(status, "server_error" if status >= 500 else "unknown")


def reset_in(record: dict[str, Any]) -> float | None:
    """When the quota resets (seconds since 1970), as a frame or a transcript's line says it; or None."""
    for path in (
        ("rate_limit_info",),  # a rate_limit_event
        ("quotaLimits",), ("apiErrorParams", "rate_limit_info"),  # the line of the turn's end
        ("error", "rateLimits"),  # the line of a retry
    ):  # fmt: skip
        value: Any = record
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, dict) and value.get("status", "rejected") == "rejected":
            at = value.get("resetsAt")
            if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 < at < 253_370_764_800:
                return float(at)
    return None


class Frames:
    """Follows a session's stream-json frames: is it retrying, and what did an error at a turn's end mean?"""

    __slots__ = ("_error", "_reset", "retrying")

    def __init__(self) -> None:
        self._error = ""
        self._reset: float | None = None
        #: The client retries a request by itself: ``rate_limit, attempt 3 of 10``; '' when it does not.
        self.retrying = ""

    def feed(self, frame: dict[str, Any]) -> Verdict | None:
        """Take a frame; a verdict when it ends a turn with an error, or when it is sure that one will."""
        kind, subtype = frame.get("type"), frame.get("subtype")
        if kind == "rate_limit_event":
            info = frame.get("rate_limit_info")
            rejected = isinstance(info, dict) and info.get("status") == "rejected"
            self._reset = reset_in(frame) if rejected else None
        elif kind == "system" and subtype == "api_retry":
            self._error = _name(frame.get("error")) or of_status(frame.get("error_status"))
            attempt = frame.get("attempt")
            self.retrying = f"{self._error}, attempt {attempt} of {frame.get('max_retries')}"
            if _ACTION.get(self._error) == "stop" and isinstance(attempt, int) and attempt >= PATIENCE:
                return Verdict(self._error)
        elif kind == "assistant" and frame.get("parent_tool_use_id") is None:
            self.retrying, self._error = "", _name(frame.get("error"))
            self._reset = reset_in(frame) or self._reset
        elif kind == "result":
            error, reset = self._error, self._reset
            self._error, self.retrying = "", ""
            if frame.get("is_error") and (error or frame.get("api_error_status") is not None):
                return Verdict(error or of_status(frame.get("api_error_status")), reset)
        return None


def of_frames(frames: Iterable[dict[str, Any]]) -> Verdict | None:
    """The verdict on the last turn among these frames; None when it did not end with an API error."""
    follower, last = Frames(), None
    for frame in frames:
        verdict = follower.feed(frame)
        if frame.get("type") == "result":
            last = verdict
    return last


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""
