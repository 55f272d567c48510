"""Several turns of one process, handlers over http, settings and plugins given on the command line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.client import replies
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, comes, newest
from tests.client.facts.stops import LET


@observes(
    Fact(
        "two_messages",
        "Two messages to one process: two turns, a result each; it idles between; end of input ends it",
        "the supervisor holds sessions open",
    ),
    Fact(
        "running_totals",
        "Whether a result's cost and tokens are the turn's or the session's",
        "tokens and cost of a task",
    ),
    Fact(
        "stop_per_turn", "Each turn of a stream-json session has its Stop", "the Stop hook in a held session"
    ),
)
def two_messages(lab: Lab) -> Mapping[str, Seen]:
    """A stream-json session that gets two messages, the second when it idles."""
    lab.install({each: lab.hook(each) for each in ("UserPromptSubmit", "Stop", "SessionStart", "SessionEnd")})
    session = lab.home.open("One.")
    first = session.frames.result(1)
    idle = not comes(lambda: session.process.poll() is not None or lab.api.count("") > 1, 1.0)
    session.send("Two.")
    second = session.frames.result(2)
    session.end_input()
    code = lab.ended(session)
    return {
        "two_messages": {
            "idles": idle,
            "results": len(session.frames.of("result")),
            "exit": code,
            "requests": lab.api.count(),
            "one_session": first["session_id"] == second["session_id"],
            "inits": len(session.frames.of("system", "init")),
        },
        "running_totals": {
            "input_tokens": [each["usage"]["input_tokens"] for each in (first, second)],
            "cost_grows": round(second["total_cost_usd"] / first["total_cost_usd"], 1),
            "num_turns": [each["num_turns"] for each in (first, second)],
            "model_usage": [
                sum(model["inputTokens"] for model in each["modelUsage"].values()) for each in (first, second)
            ],
        },
        "stop_per_turn": {"hooks": [each["event"] for each in lab.calls()]},
    }


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    events: list[tuple[str, int]]

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        event, before = payload["hook_event_name"], len([each for each, _ in self.events if each == "Stop"])
        self.events.append((event, self.client_address[1]))
        said: dict[str, Any] = {}
        if event == "Stop" and not before:
            threading.Event().wait(1.0)  # it answers late
            said = {"decision": "block", "reason": "By http."}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _receiver() -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """A server for http handlers: its URL, and the events with the port each came from."""
    events: list[tuple[str, int]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Receiver", (_Receiver,), {"events": events}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", events
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@observes(
    Fact(
        "http_hooks",
        "Handlers of type http get the same JSON, and a late block counts; SessionStart has none",
        "handlers are commands",
    ),
)
def http_hooks(lab: Lab) -> Mapping[str, Seen]:
    """Every event handled over http; Stop's answer comes late, with a block."""
    names = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd")
    lab.answers(replies.bash("true"), replies.text("Done."))
    with _receiver() as (url, events):
        lab.install({each: {"type": "http", "url": url} for each in names})
        session = lab.run()
    seen = {
        "events": [event for event, _ in events],
        "exit": session.process.returncode,
        "handed_over": "By http." in newest(lab.api.seen()[-1]),
        "keeps_connections": len({port for _, port in events}) < len(events),
    }
    return {"http_hooks": seen}


def plugin(folder: Path, hooks: Mapping[str, Any]) -> Path:
    """A plugin with those hooks."""
    (folder / ".claude-plugin").mkdir(parents=True)
    about = {
        "name": "observed",
        "version": "1.0.0",
        "description": "A plugin to be looked at.",
        "author": {"name": "coord"},
    }
    (folder / ".claude-plugin" / "plugin.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "hooks").mkdir()
    (folder / "hooks" / "hooks.json").write_text(json.dumps({"hooks": hooks}), encoding="utf-8")
    return folder


@observes(
    Fact(
        "settings_option",
        "Hooks of --settings run beside the user's; the same handler in both runs once",
        "workers/launcher.py gives a session its hooks",
    ),
    Fact(
        "plugin_hooks",
        "A plugin's hooks run, also where a settings file has the same handler",
        "plugin and installed hooks at once do no harm",
    ),
    Fact("plugin_variables", "The environment of a plugin's hooks", "plugin/"),
)
def sources(lab: Lab) -> Mapping[str, Seen]:
    """Stop handlers of the user's settings, of --settings and of a plugin; one of them the same in all."""
    same, own, theirs = (lab.hook(name) for name in ("same", "option", "plugin"))
    lab.install({"Stop": same})
    option = lab.folder / "option.json"
    option.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [same, own]}]}}), encoding="utf-8")
    given = plugin(lab.folder / "plugin", {"Stop": [{"hooks": [same, theirs]}]})
    lab.run("--settings", str(option))
    once = len(lab.calls("same"))
    session = lab.run("--settings", str(option), "--plugin-dir", str(given))
    env = lab.calls("plugin")[0]["env"] if lab.calls("plugin") else {}
    known = {str(given): "PLUGIN", str(lab.project): "PROJECT"}
    named = {
        name: known.get(value, "...")
        for name, value in env.items()
        if name.startswith(("CLAUDE_PLUGIN", "CLAUDE_PROJ"))
    }
    return {
        "settings_option": {"same": once, "its_own": len(lab.calls("option")) > 0},
        "plugin_hooks": {
            "same": len(lab.calls("same")) - once,
            "its_own": len(lab.calls("plugin")),
            "exit": session.process.returncode,
        },
        "plugin_variables": named,
    }


@observes(
    Fact(
        "plugin_validate",
        "`claude plugin validate --strict` tells a good plugin from a bad one",
        "plugin/ is validated so",
    ),
)
def plugin_validate(lab: Lab) -> Mapping[str, Seen]:
    """A plugin that is well, one with an unknown field, one with an unknown event."""
    good = plugin(lab.folder / "good", {"Stop": [{"hooks": [lab.hook("stop", LET)]}]})
    field = plugin(lab.folder / "field", {})
    about = json.loads((field / ".claude-plugin" / "plugin.json").read_text(encoding="utf-8"))
    (field / ".claude-plugin" / "plugin.json").write_text(
        json.dumps({**about, "unheard": 1}), encoding="utf-8"
    )
    event = plugin(lab.folder / "event", {"Unheard": [{"hooks": [lab.hook("stop", LET)]}]})

    def code(folder: Path, *options: str) -> int:
        argv = (lab.home.program, "plugin", "validate", *options, str(folder))
        return lab.home.run(*argv, check=False).returncode

    seen = {
        "good": code(good, "--strict"),
        "unknown_field": code(field),
        "unknown_field_strict": code(field, "--strict"),
        "unknown_event_strict": code(event, "--strict"),
    }
    return {"plugin_validate": seen}


@observes(
    Fact(
        "denied",
        "What is not allowed is denied in `claude -p`, without a question",
        "permissions of a worker",
    ),
    Fact("allowed_tools", "--allowedTools allows, --disallowedTools takes away", "a task's tools"),
    Fact(
        "bypass_as_root",
        "bypassPermissions as root needs IS_SANDBOX=1",
        "a worker with permission_mode bypassPermissions",
    ),
)
def permissions(lab: Lab) -> Mapping[str, Seen]:
    """A command that nothing allows: as it is, with --allowedTools, without Bash, with bypass."""
    lab.home.allow()
    command = replies.bash("touch made && id")

    def attempt(*options: str, **env: str) -> list[object]:
        lab.answers(command, replies.text("Done."))
        session = lab.run(*options, **env)
        made = lab.project / "made"
        there = made.exists()
        made.unlink(missing_ok=True)
        results = session.frames.of("result")
        denials = [len(each["permission_denials"]) for each in results]
        return ["made" if there else "not made", *denials, session.process.returncode]

    default = attempt()
    allowed = attempt("--allowedTools", "Bash(touch *),Bash(id)")
    disallowed = attempt("--disallowedTools", "Bash")
    root = attempt("--permission-mode", "bypassPermissions")
    sandbox = attempt("--permission-mode", "bypassPermissions", IS_SANDBOX="1")
    return {
        "denied": {"made, denials, exit": default},
        "allowed_tools": {"allowed": allowed, "disallowed": disallowed},
        "bypass_as_root": {"plain": root, "IS_SANDBOX": sandbox} if os.geteuid() == 0 else None,
    }
