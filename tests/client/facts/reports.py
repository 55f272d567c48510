"""Hooks that report to somebody else: http handlers, and commands in the background."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from tests.client import replies
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, comes, kind, whole
from tests.receiver import Receiver

#: Every event of the client.
EVENTS = (
    "SessionStart", "Setup", "UserPromptSubmit", "UserPromptExpansion", "PreToolUse", "PermissionRequest",
    "PermissionDenied", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Notification",
    "MessageDisplay", "SubagentStart", "SubagentStop", "TaskCreated", "TaskCompleted", "Stop", "StopFailure",
    "TeammateIdle", "InstructionsLoaded", "ConfigChange", "CwdChanged", "DirectoryAdded", "FileChanged",
    "PreCompact", "PostCompact", "PreModelSwitch", "PostModelSwitch", "Elicitation", "ElicitationResult",
    "SessionEnd",
)  # fmt: skip
HEADERS = {
    "X-Pid": "$CLAUDE_PID", "X-Session": "$CLAUDE_CODE_SESSION_ID", "X-Word": "${FACT_WORD}",
    "X-Token": "$COORD_MONITOR_HOOK_TOKEN", "X-Not-Allowed": "$FACT_OTHER",
}  # fmt: skip
ALLOWED = ["CLAUDE_PID", "CLAUDE_CODE_SESSION_ID", "FACT_WORD", "COORD_MONITOR_HOOK_TOKEN"]


def http(url: str, **more: Any) -> dict[str, dict[str, Any]]:
    """An http handler for every event."""
    return {event: {"type": "http", "url": f"{url}/{event}", **more} for event in EVENTS}


def complaints(lab: Lab, session: Any) -> list[str]:
    """What the session's output says that it does not say without hooks."""
    usual = {
        "system:init",
        "assistant",
        "user",
        "result:success",
        "system:hook_started",
        "system:hook_response",
    }
    said = []
    for frame in session.frames.all:
        if kind(frame) not in usual:
            words = str(frame.get("text") or frame.get("content") or kind(frame))
            said.append(words.partition(" [")[0].partition(" ·")[0])
    return sorted(set(said))


@observes(
    Fact(
        "http_events",
        "The events that an http handler is told of, beside a command",
        "hooks/monitor_template.py",
    ),
    Fact("http_body", "An http handler is sent what a command reads", "hooks/monitor_template.py"),
    Fact(
        "http_headers",
        "Of a header's variables it sends those of the session's environment that are allowed",
        "the token of `coord hooks install --monitor --http`",
    ),
    Fact("http_connections", "One connection is used for all"),
)
def http_hooks(lab: Lab) -> Mapping[str, Seen]:
    """Commands that run, that fail, that are asked for; a sub-agent; an API error."""
    receiver = Receiver(answer=b'{"status":"ok","agent_id":"s-1","state":"working"}')
    groups = http(receiver.url, headers=HEADERS, allowedEnvVars=ALLOWED)
    hooks = {event: [{"hooks": [groups[event], lab.hook(event)]}] for event in EVENTS}
    path = lab.install({})
    path.write_text(json.dumps({"hooks": hooks}), encoding="utf-8")
    lab.home.allow("Bash(true)", "Bash(false)", "Bash(cd:*)")
    (lab.project / "below").mkdir()
    (lab.project / "CLAUDE.md").write_text("Words.\n")
    given = iter((
        replies.bash("true"), replies.bash("false"), replies.bash("cd below"), replies.bash("touch made"),
        replies.agent("Look."), replies.text("Looked."), replies.text("Done."),
    ))  # fmt: skip
    lab.script(lambda number, request: next(given, replies.error(400, "invalid_request_error")))
    env = {"FACT_WORD": "word", "FACT_OTHER": "other", "COORD_MONITOR_HOOK_TOKEN": "token"}
    lab.run(**env)
    lab.run(prompt="/compact", **env)
    lab.run(**env)
    commands = {str(each["event"]) for each in lab.calls()}
    posts = list(receiver.got)
    receiver.close()
    # A StopFailure command may be ended with the session before it has noted anything (`failure_at_exit`).
    sent = {str(each.body["hook_event_name"]) for each in posts} - {"StopFailure"}
    commands -= {"StopFailure"}
    fields = {
        event: sorted({name for each in posts if each.body["hook_event_name"] == event for name in each.body})
        for event in sent & commands
    }
    other = {
        event: sorted({name for each in lab.calls(event) for name in each["payload"]})
        for event in sent & commands
    }
    headers = posts[0].headers
    known = {"session_id", "prompt_id", "cwd", "transcript_path"}
    return {
        "http_events": {"both": sorted(sent & commands), "command_only": sorted(commands - sent),
                        "http_only": sorted(sent - commands)},
        "http_body": {"same": fields == other,
                      "has": sorted(known & set(fields["Stop"])),
                      "process": [name for name in fields["Stop"] if "pid" in name]},
        "http_headers": {name: headers.get(name.lower(), "not there") for name in HEADERS},
        "http_connections": {"keep-alive": headers.get("connection") == "keep-alive"},
    }  # fmt: skip


@observes(
    Fact(
        "http_fails",
        "Nobody there, an error, another answer, a redirect: the session goes on, and tells its user",
        "hooks that report are commands: docs/adr/0013-commands-report-to-the-monitor.md",
    ),
    Fact("http_not_told", "The model is told nothing of it"),
    Fact("http_redirect", "A redirect is not followed"),
)
def http_answers(lab: Lab) -> Mapping[str, Seen]:
    """Sessions of one tool call each, and handlers that answer all sorts."""
    seen, told, followed = {}, [], False
    answers = {
        "404": (404, b"no"), "500": (500, b"{}"), "no_json": (200, b"<html>"), "empty": (200, b""),
        "other_json": (200, b'{"status":"ok"}'), "redirect": (307, b""),
    }  # fmt: skip
    for name in ("nobody", *answers):
        receiver = Receiver(*answers.get(name, (200, b"")))
        url = receiver.url if name in answers else _nobody()
        lab.install(http(url))
        lab.answers(replies.bash("true"), replies.text("Done."))
        session = lab.run()
        words = complaints(lab, session)
        seen[name] = {
            "exit": session.process.returncode,
            "says": [each.replace(url, "URL") for each in words],
        }
        told += [each for each in lab.api.seen() if url in whole(each) or "hook error" in whole(each)]
        followed = followed or any(each.path == "/elsewhere" for each in receiver.got)
        receiver.close()
    return {
        "http_fails": seen, "http_not_told": {"requests": len(told)}, "http_redirect": {"followed": followed}
    }  # fmt: skip


def _nobody() -> str:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


@observes(
    Fact(
        "http_silent",
        "A handler that does not answer is waited for at each event, until its timeout; "
        "`async` changes nothing",
        "hooks that report are commands: docs/adr/0013-commands-report-to-the-monitor.md",
    )
)
def http_silent(lab: Lab) -> Mapping[str, Seen]:
    """Sessions of one tool call, and a server that accepts and never answers."""
    seen = {}
    for name, more in (("plain", {}), ("async", {"async": True})):
        receiver = Receiver(silent=True)
        lab.install(http(receiver.url, timeout=0.5, **more))
        lab.answers(replies.bash("true"), replies.text("Done."))
        session = lab.run()
        posts = len(receiver.got)
        # All but SessionEnd's, which comes after the result.
        waited = session.frames.result()["duration_ms"] >= 500 * (posts - 1)
        seen[name] = {"every_one_waited_for": waited, "says": complaints(lab, session)}
        receiver.close()
    return {"http_silent": seen}


@observes(
    Fact(
        "async_not_waited_for",
        "A command in the background does not hold up the start, a tool, or the end of a turn",
        "hooks/monitor_template.py",
    ),
    Fact(
        "async_at_exit",
        "`claude -p` ends those that still run with SIGTERM when it exits, and takes longer then",
        "hooks/monitor_hook.py ends before it has sent; Stop's is waited for",
    ),
    Fact(
        "async_session_end",
        "SessionEnd's in the background is neither waited for nor ended",
    ),
    Fact("async_events", "The events for which commands run in the background"),
)
def background(lab: Lab) -> Mapping[str, Seen]:
    """Commands that hang, one after the other; then all that end at once."""

    def hangs(event: str) -> tuple[float, float, list[str]]:
        """Seconds to the first request after it, to the session's end after its result; signals to it."""
        lab.install({event: lab.hook(f"hang-{event}", {"sleep": 30}, **{"async": True})})
        lab.answers(replies.bash("true"), replies.text("Done.").with_(delay=0.5))
        began = time.monotonic()
        session = lab.run()
        ended = time.monotonic()
        requests = lab.api.seen(since=began)
        last = requests[-1].at if event != "SessionStart" else requests[0].at
        comes(lambda: lab.noted(f"hang-{event}", "signal"), 0.5)
        signals = [str(each["signal"]) for each in lab.noted(f"hang-{event}", "signal")]
        return last - began, ended - float(session.frames.result()["at"]), signals

    start, tool, end = hangs("SessionStart"), hangs("PostToolUse"), hangs("SessionEnd")
    lab.install({event: lab.hook(event, **{"async": True}) for event in EVENTS})
    given = iter((replies.bash("sleep 0.3"), replies.text("Done.").with_(delay=1.0)))
    lab.script(lambda number, request: next(given, replies.text("Done.")))
    lab.run()
    comes(lambda: lab.calls("SessionEnd"), 5)
    heard = sorted({str(each["event"]) for each in lab.calls() if not each["name"].startswith("hang")})
    return {
        "async_not_waited_for": {"start": start[0] < 20, "tool": tool[0] < 20},
        "async_at_exit": {"SessionStart": start[2], "PostToolUse": tool[2], "later": tool[1] > 1.0},
        "async_session_end": {"signals": end[2], "waited_for": end[1] > 20},
        "async_events": {"heard": [each for each in heard if each != "Stop"]},
    }
