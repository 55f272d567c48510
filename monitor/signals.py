"""What is heard of a session, in one form, wherever it comes from: hooks, the pool's events, a look around.

A `Signal` keeps no prompt, no tool's input and no tool's output; only where a person is asked for something,
one line of it, clipped and without secrets.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pool import clock, redact
from pool import process as processes

#: Every lifecycle event of the client, as it writes them.
EVENTS = (
    "SessionStart", "Setup", "UserPromptSubmit", "UserPromptExpansion", "PreToolUse", "PermissionRequest",
    "PermissionDenied", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Notification",
    "MessageDisplay", "SubagentStart", "SubagentStop", "TaskCreated", "TaskCompleted", "Stop",
    "StopFailure", "TeammateIdle", "InstructionsLoaded", "ConfigChange", "CwdChanged", "DirectoryAdded",
    "FileChanged", "WorktreeCreate", "WorktreeRemove", "PreCompact", "PostCompact", "PreModelSwitch",
    "PostModelSwitch", "Elicitation", "ElicitationResult", "SessionEnd",
)  # fmt: skip
_BY_LETTERS = {name.lower(): name for name in EVENTS}

#: The pool's events that say something about a worker's session; the others are about tasks and operators.
POOL_EVENTS = frozenset((
    "registered", "rebound", "claimed", "confirmed", "finished", "failed", "retrying", "released", "returned",
    "lost", "timeout", "canceled", "requeued", "parked", "unparked", "stopped", "dead", "draining",
    "undrained", "state", "left", "prompted", "reminded", "progress",
))  # fmt: skip
#: Of these, the ones that are understood better with the worker's own hash (`from_pool`).
WITH_WORKER = frozenset(("registered", "rebound", "parked", "unparked"))
#: A tool whose use is itself a question to a person.
QUESTIONS = frozenset(("AskUserQuestion", "ExitPlanMode"))

#: Characters of a line for people, of an id or a name, and of a path.
LINE, NAME, PATH = 200, 200, 1024
#: The sender's own moment is believed if it is at most so long ago (seconds).
BELIEVED = 60.0
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
_EVENT = re.compile(r"[A-Za-z]{1,60}")


@dataclass(frozen=True)
class Signal:
    """One thing heard. Moments are seconds since 1970; '' and 0 mean that it does not say."""

    #: A hook event as the client writes it ("Stop"); "pool:" and a type of the pool's events; "seen:gone",
    #: "seen:busy", "seen:idle", "seen:waiting", "seen:stuck", "seen:silent", "seen:lost",
    #: "seen:alive", "seen:replaced", "seen:worker" from a look around.
    kind: str
    at: float
    #: Our own name of the session, where that is known already.
    id: str = ""
    #: The client's id of the session, and of the sub-agent that it is about.
    session: str = ""
    agent: str = ""
    #: `pool.process.key` of the client's process, those of the processes above it (nearest first), its pid.
    process: str = ""
    ancestors: tuple[str, ...] = ()
    #: Our name of the session in whose shell it was started (`matching.related`).
    parent: str = ""
    pid: int = 0
    host: str = ""
    cwd: str = ""
    transcript: str = ""
    tool: str = ""
    tool_use_id: str = ""
    notification_type: str = ""
    #: One line for a person: what is asked, or what a notification says.
    message: str = ""
    source: str = ""
    reason: str = ""
    title: str = ""
    model: str = ""
    permission_mode: str = ""
    prompt_id: str = ""
    #: How many background tasks run on (of a Stop).
    background: int = 0
    stop_hook_active: bool = False
    #: A tool was cut short by a person.
    interrupt: bool = False
    #: Of the pool: the worker, its task, a line about it, until when it is parked, the event's id.
    worker: str = ""
    task: str = ""
    detail: str = ""
    until: float = 0.0
    entry: str = ""
    #: Since when a session's file says what it says.
    since: float = 0.0


def line(value: object, limit: int = LINE) -> str:
    """A text from outside on one line: no control characters, no secrets, clipped."""
    if not isinstance(value, str):
        return ""
    text = "".join(c if c.isprintable() else " " for c in redact.cut(value, 4 * limit))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def from_hook(
    payload: object, at: float, *, process: str = "", pid: int = 0, host: str = "",
    ancestors: tuple[str, ...] = (),
) -> Signal:  # fmt: skip
    """The signal in a hook's own JSON; `at` is when it came in.

    The process, where the sender knows it, is in the JSON itself, too: ``"coord": {"process", "pid", "host",
    "ancestors", "at"}``; that `at` (when the hook began) counts if it is by this machine's clock. What is of
    the wrong kind is as if it were not there.

    Raises:
        ValueError: It is no hook's JSON; one line says what is wrong.
    """
    fields = _object(payload)
    kind = fields.get("hook_event_name")
    if not isinstance(kind, str) or not _EVENT.fullmatch(kind):
        raise ValueError("hook_event_name is missing or is no event's name: send the hook's JSON as it came")
    sender = fields.get("coord")
    sender = sender if isinstance(sender, dict) else {}
    above = sender.get("ancestors")
    above = above[:64] if isinstance(above, list) else []
    tool = _name(fields.get("tool_name"))
    running = fields.get("background_tasks")
    process = process or _name(sender.get("process"))
    return Signal(
        kind=kind,
        at=_moment(sender.get("at"), at) if process.startswith(_boot() + "-") else at,
        session=session_id(fields.get("session_id")),
        agent=_name(fields.get("agent_id")),
        process=process,
        ancestors=ancestors or tuple(_name(each) for each in above if _name(each)),
        pid=pid or _pid(sender.get("pid")),
        host=_host(host or sender.get("host")),
        cwd=path(fields.get("new_cwd")) or path(fields.get("cwd")),
        transcript=path(fields.get("transcript_path")),
        tool=tool,
        tool_use_id=_name(fields.get("tool_use_id")),
        notification_type=_name(fields.get("notification_type")),
        message=_asked(kind, tool, fields),
        source=_name(fields.get("source") or fields.get("trigger")),
        reason=line(fields.get("reason") or fields.get("error")) if kind in _WITH_REASON else "",
        title=line(fields.get("session_title")),
        model=_name(fields.get("to_model") or fields.get("model")),
        permission_mode=_name(fields.get("permission_mode")),
        prompt_id=_name(fields.get("prompt_id")),
        background=len(running) if isinstance(running, list) else 0,
        stop_hook_active=fields.get("stop_hook_active") is True,
        interrupt=fields.get("is_interrupt") is True,
    )


#: Where `reason` or `error` is a word of the client's; elsewhere it is what a tool printed.
_WITH_REASON = frozenset(("SessionEnd", "StopFailure"))


def from_short(payload: object, at: float, *, host: str = "") -> Signal:
    """The signal in the short form ``{"session_id", "event", "cwd", "timestamp"}``; `at` is when it came in.

    The event is written as the client does, or in small letters with dashes ("session-start"). A timestamp
    (seconds since 1970, or ISO 8601) is believed unless it is older than a minute, or still to come.

    Raises:
        ValueError: It is not of that form; one line says what is wrong.
    """
    fields = _object(payload)
    kind = event_name(fields.get("event"))
    stamp = fields.get("timestamp")
    if isinstance(stamp, str):
        try:
            stamp = float(stamp) if not stamp.endswith("Z") else clock.parse_iso(stamp)
        except ValueError:
            raise ValueError("timestamp is neither seconds since 1970 nor 2026-01-31T12:00:00Z") from None
    if stamp is not None and (isinstance(stamp, bool) or not isinstance(stamp, int | float)):
        raise ValueError("timestamp is neither seconds since 1970 nor 2026-01-31T12:00:00Z")
    moment = _moment(stamp, at)
    return Signal(
        kind=kind,
        at=moment,
        session=session_id(fields.get("session_id")),
        host=host,
        cwd=path(fields.get("cwd")),
    )


def event_name(text: object) -> str:
    """The client's name of an event, written in any of the usual ways.

    Raises:
        ValueError: There is no such event.
    """
    letters = text.replace("-", "").replace("_", "").lower() if isinstance(text, str) else ""
    if letters not in _BY_LETTERS:
        raise ValueError(f"event {line(text, 60)!r} is not known: write Stop, session-start or the like")
    return _BY_LETTERS[letters]


def route(event: str) -> str:
    """An event's name as a path has it: ``session-start``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", event).lower()


def from_pool(
    row: Mapping[str, Any], worker: Mapping[str, str] | None = None, title: str = ""
) -> Signal | None:
    """The signal in an entry of `pool:events` (`pool.events.row`); None where it is no worker's.

    `worker` is the worker's hash, as it is now, where it was read (`WITH_WORKER`); `title` the task's.
    """
    kind, name = str(row.get("type", "")), str(row.get("worker", ""))
    if kind not in POOL_EVENTS or not name:
        return None
    entry, detail = str(row.get("id", "")), line(row.get("detail"))
    milliseconds = entry.partition("-")[0]
    known = worker or {}
    return Signal(
        kind="pool:" + kind,
        at=int(milliseconds) / 1000 if milliseconds.isdigit() else 0.0,
        session=detail if kind == "rebound" else known.get("session", ""),
        process=known.get("process", ""),
        pid=_pid(known.get("pid")),
        host=_host(known.get("host")),
        cwd=known.get("cwd", ""),
        worker=name,
        task=str(row.get("task", "")),
        title=line(title),
        detail=detail,
        reason=known.get("state", "") if kind == "unparked" else "",
        message=line(known.get("evidence")) if kind == "unparked" else "",
        until=_number(known.get("park_until")) if kind == "parked" else 0.0,
        entry=entry,
    )


def from_worker(worker: str, raw: Mapping[str, str], at: float) -> Signal:
    """The signal in a worker's hash, read at that moment: what the pool itself knows of its session."""
    return Signal(
        kind="seen:worker",
        at=at,
        session=raw.get("session", ""),
        process=raw.get("process", ""),
        pid=_pid(raw.get("pid")),
        host=_host(raw.get("host")),
        cwd=raw.get("cwd", ""),
        source="draining" if raw.get("draining") else "",
        reason=raw.get("state", ""),
        message=line(raw.get("evidence")),
        worker=worker,
        task=raw.get("claim", ""),
        until=_number(raw.get("park_until")),
    )


def _asked(kind: str, tool: str, fields: Mapping[str, Any]) -> str:
    """What a person is asked, in a line; '' where nobody is."""
    if kind in ("Notification", "Elicitation"):
        return line(fields.get("message"))
    if kind == "PermissionRequest" or (kind == "PreToolUse" and tool in QUESTIONS):
        given = fields.get("tool_input")
        return line(f"{tool}: {_gist(given)}" if isinstance(given, dict) and _gist(given) else tool)
    return ""


#: The input that says what a tool is to do, the most telling first.
_TELLING = ("command", "file_path", "question", "url", "path", "query", "pattern", "description", "plan")


def _gist(given: Mapping[str, Any]) -> str:
    """What a tool is to do, in a few words of its input."""
    questions = given.get("questions")
    if isinstance(questions, list) and questions and isinstance(questions[0], dict):
        return str(questions[0].get("question", ""))
    for name in _TELLING:
        if isinstance(given.get(name), str):
            return str(given[name])
    return ""


def _object(payload: object) -> Mapping[str, Any]:
    if not isinstance(payload, dict):
        raise ValueError("the body is no JSON object: send a hook's JSON as it came, or the short form")
    return payload


def session_id(given: object) -> str:
    """The client's id of a session, as it came from outside.

    Raises:
        ValueError: It is none; one line says so.
    """
    if not isinstance(given, str) or not _SESSION.fullmatch(given):
        raise ValueError("session_id is missing or is none: letters, digits, '-', '_', '.' and ':'")
    return given


@functools.cache
def here() -> str:
    """This machine's name, as hooks give theirs."""
    return os.uname().nodename.split(".")[0]


def _name(value: object) -> str:
    """A name or an id: one word of printable characters."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() and not c.isspace() else "_" for c in value[:NAME])


def path(value: object) -> str:
    """A file's path from outside: printable, clipped."""
    return "".join(c if c.isprintable() else "?" for c in value[:PATH]) if isinstance(value, str) else ""


def _host(value: object) -> str:
    return _name(value).split(".")[0]


def _pid(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def _moment(value: object, at: float) -> float:
    """When the sender says that it was, if that may be."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and at - BELIEVED <= value <= at
    return float(value) if known else at  # type: ignore[arg-type]


@functools.cache
def _boot() -> str:
    return processes.boot_id()


def _number(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str) else 0.0
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
