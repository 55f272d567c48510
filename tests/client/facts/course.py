"""The course of an ordinary session: its hooks, what they and Bash see, what it leaves behind."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.client import replies
from tests.client.api import Request
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, kind, newest, whole

EVENTS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd")
#: What coord's hooks and helpers look at.
VARIABLES = (
    "CLAUDE_PID",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PROJECT_DIR",
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_ENV_FILE",
)
READ = {
    "hook_event_name", "session_id", "cwd", "transcript_path", "source", "reason", "background_tasks",
    "last_assistant_message", "stop_hook_active", "tool_name", "prompt",
}  # fmt: skip
TOKENS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def context(event: str, text: str) -> dict[str, object]:
    """An action that says that to the model."""
    return {"stdout": {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}}


def lines(path: Path) -> list[dict[str, Any]]:
    """A transcript's lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@observes(
    Fact(
        "course",
        "The hooks of a session, in order; SessionEnd runs when `claude -p` ends",
        "hooks/: each of them",
    ),
    Fact("payload", "What hooks are told, of what coord reads", "hooks/runtime.py"),
    Fact("payload_fields", "All that hooks are told"),
    Fact(
        "variables",
        "The environment of hooks and of Bash",
        "a worker is known by its process: hooks/launcher.py",
    ),
    Fact(
        "env_file",
        "CLAUDE_ENV_FILE reaches Bash, not the later hooks",
        "coord-worker in Bash; hooks go by process",
    ),
    Fact(
        "start_context",
        "SessionStart's additionalContext is in the first request",
        "a worker is told what it is",
    ),
    Fact(
        "prompt_context",
        "UserPromptSubmit's additionalContext is in the request",
        "hooks/user_prompt_submit.py",
    ),
    Fact("tool_context", "PostToolUse's additionalContext is in the next request", "hooks/post_tool_use.py"),
    Fact(
        "transcript", "Where the transcript is, and what its lines say of tokens", "tokens and cost of a task"
    ),
    Fact("frames", "The frames of a turn in stream-json", "a supervisor reads them"),
    Fact("result", "What the result frame says, of what coord reads", "a supervisor reads it"),
    Fact("result_fields", "All fields of the result frame"),
    Fact(
        "folder",
        "CLAUDE_CONFIG_DIR holds all that a session leaves",
        "a supervised worker has a folder of its own",
    ),
    Fact("no_network", "A session needs nothing but its API", "tests/client"),
)
def course(lab: Lab) -> Mapping[str, Seen]:
    """A prompt, two Bash calls, an end; with a CLAUDE_CONFIG_DIR and a session id that were given."""
    config, given = lab.folder / "config", "11111111-2222-4333-8444-555555555555"
    handlers = {each: lab.hook(each) for each in EVENTS} | {
        "SessionStart": lab.hook(
            "SessionStart", {"export": "export FACT=1", **context("SessionStart", "FROM-START")}
        ),
        "UserPromptSubmit": lab.hook("UserPromptSubmit", context("UserPromptSubmit", "FROM-PROMPT")),
        "PostToolUse": lab.hook("PostToolUse", context("PostToolUse", "FROM-TOOL")),
    }
    lab.install(handlers, config / "settings.json")
    before = {each.name for each in lab.home.folder.iterdir()}
    lab.answers(replies.bash("env > seen-by-bash"), replies.bash("true"), replies.text("The end."))
    session = lab.run("--session-id", given, CLAUDE_CONFIG_DIR=str(config))
    left = {each.name for each in lab.home.folder.iterdir()} - before
    exit_code = session.process.returncode

    bash = (lab.project / "seen-by-bash").read_text(encoding="utf-8").splitlines()
    shell = dict(line.split("=", 1) for line in bash if "=" in line)
    calls = {each: lab.calls(each)[0] for each in EVENTS}
    known = {str(session.pid): "PID", given: "SESSION", str(lab.project): "PROJECT"}

    def variables(env: Mapping[str, str]) -> dict[str, str]:
        shown = {name: known.get(env[name], env[name]) for name in VARIABLES if name in env}
        return shown | ({"CLAUDE_ENV_FILE": "FILE"} if "CLAUDE_ENV_FILE" in shown else {})

    asked = lab.api.seen()
    path = Path(calls["Stop"]["payload"]["transcript_path"])
    slug = re.sub(r"[^a-zA-Z0-9]", "-", str(lab.project))
    models = [line for line in lines(path) if line["type"] == "assistant"]
    result = session.frames.result()
    cut_off = [name for _, name in socket.if_nameindex()] == ["lo"]
    return {
        "course": {
            "hooks": [each["event"] for each in lab.calls()],
            "exit": exit_code,
            "start": calls["SessionStart"]["payload"]["source"],
            "end": calls["SessionEnd"]["payload"]["reason"],
        },
        "payload": {name: sorted(READ & set(call["payload"])) for name, call in calls.items()},
        "payload_fields": {name: sorted(set(call["payload"]) - READ) for name, call in calls.items()},
        "variables": {
            "start": variables(calls["SessionStart"]["env"]),
            "stop": variables(calls["Stop"]["env"]),
            "bash": variables(shell),
        },
        "env_file": {
            "Bash": "FACT" in shell,
            **{name: "FACT" in call["env"] for name, call in calls.items()},
        },
        "start_context": {"times": whole(asked[0]).count("FROM-START")},
        "prompt_context": {"times": newest(asked[0]).count("FROM-PROMPT")},
        "tool_context": {"times": newest(asked[1]).count("FROM-TOOL")},
        "transcript": {
            "path": str(path.relative_to(config)).replace(slug, "SLUG").replace(given, "SESSION"),
            "messages": len({line["message"]["id"] for line in models}),
            "lines": len(models),
            "has": sorted(
                {"message", "sessionId", "timestamp", "uuid", "isSidechain", "cwd"} & set(models[0])
            ),
            "usage": {name: models[0]["message"]["usage"].get(name) for name in TOKENS},
            "ends_with": models[-1]["message"]["stop_reason"],
        },
        "frames": {"kinds": [each for each, _ in groupby(kind(frame) for frame in session.frames.all)]},
        "result": {
            "subtype": result["subtype"],
            "is_error": result["is_error"],
            "session_id": result["session_id"] == given,
            "models": len(result["modelUsage"]),
            "turns": result["num_turns"],
            "reason": result.get("terminal_reason"),
            "usage": {name: result["usage"].get(name) for name in TOKENS},
            "cost_known": result["total_cost_usd"] > 0,
        },
        "result_fields": sorted(set(result) - {"at"}),
        "folder": {"left_in_home": sorted(left), "state_file": (config / ".claude.json").exists()},
        "no_network": {"exit": exit_code} if cut_off else None,
    }


@observes(
    Fact(
        "subagent", "A sub-agent's hooks carry agent_id; its end is no Stop", "a sub-agent is not the worker"
    ),
    Fact(
        "subagent_transcript",
        "A sub-agent has a transcript of its own, with its tokens",
        "tokens and cost of a task",
    ),
)
def subagent(lab: Lab) -> Mapping[str, Seen]:
    """A turn in which the model starts a sub-agent, which calls Bash."""

    def script(number: int, request: Request) -> replies.Reply:
        spoken = sum(each["role"] == "assistant" for each in request.messages)
        if request.kind == "sub":
            return replies.text("It is so.") if spoken else replies.bash("true")
        return replies.text("Done.") if spoken else replies.agent("Look.")

    lab.script(script)
    lab.install(
        {
            each: lab.hook(each)
            for each in ("PreToolUse", "PostToolUse", "Stop", "SubagentStart", "SubagentStop")
        }
    )
    session = lab.run()
    hooks = [f"{each['event']}{' *' if 'agent_id' in each['payload'] else ''}" for each in lab.calls()]
    projects = lab.config / "projects"
    name = session.frames.result()["session_id"]
    files = [each for each in projects.rglob("*.jsonl") if each.stem != name]
    shapes = [
        re.sub(r"agent-\w+", "agent-ID", str(each.relative_to(projects)).replace(name, "SESSION"))
        for each in files
    ]
    told = [each["payload"].get("agent_transcript_path") for each in lab.calls("SubagentStop")]
    inner = [line for each in files for line in lines(each) if line["type"] == "assistant"]
    return {
        "subagent": {"hooks, those inside with *": hooks},
        "subagent_transcript": {
            "files": [each.partition("/")[2] for each in shapes],
            "told": told == [str(each) for each in files],
            "messages": len({each["message"]["id"] for each in inner}),
            "usage": all("output_tokens" in each["message"]["usage"] for each in inner),
            "sidechain": all(each["isSidechain"] for each in inner),
        },
    }


@observes(
    Fact(
        "nested",
        "A `claude -p` inside Bash is a session of its own, with the outer one's variables",
        "a nested session is nobody: hooks go by process",
    ),
)
def nested(lab: Lab) -> Mapping[str, Seen]:
    """A session whose Bash call runs ``claude -p``."""
    program = lab.home.program

    def script(number: int, request: Request) -> replies.Reply:
        if "Inner." in json.dumps(request.messages[:1]) or len(request.messages) > 2:
            return replies.text("Done.")
        return replies.bash(f"{program} -p Inner. </dev/null")

    lab.script(script)
    start = lab.hook("start", {"export": "export FACT=outer"}, {})
    lab.install({"SessionStart": start, "Stop": lab.hook("stop")})
    session = lab.run()
    inner, outer = lab.calls("stop")
    seen = {
        "outer_pid": outer["env"].get("CLAUDE_PID") == str(session.pid),
        "another_pid": inner["env"].get("CLAUDE_PID") not in (None, str(session.pid)),
        "another_session": inner["payload"]["session_id"] != outer["payload"]["session_id"],
        "variable_in_inner_hook": inner["env"].get("FACT"),
        "variable_in_outer_hook": outer["env"].get("FACT"),
        "exit": session.process.returncode,
    }
    return {"nested": seen}


@observes(
    Fact(
        "resume",
        "--resume keeps the session's id, --fork-session gives a new one",
        "a supervisor resumes and forks",
    ),
)
def resume(lab: Lab) -> Mapping[str, Seen]:
    """A session, resumed, then forked."""
    lab.install({"SessionStart": lab.hook("start"), "SessionEnd": lab.hook("end")})

    def session(prompt: str, *options: str) -> str:
        return str(lab.run(*options, prompt=prompt).frames.result()["session_id"])

    first = session("The first prompt.")
    resumed = session("The second prompt.", "--resume", first)
    remembers = "The first prompt." in whole(lab.api.seen()[-1])
    forked = session("The third prompt.", "--resume", first, "--fork-session")
    seen = {
        "kept": resumed == first,
        "remembers": remembers,
        "forked_anew": forked != first,
        "sources": [each["payload"]["source"] for each in lab.calls("start")],
        "ends": [each["payload"]["reason"] for each in lab.calls("end")],
    }
    return {"resume": seen}
