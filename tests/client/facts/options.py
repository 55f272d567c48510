"""Options with which a worker's session is started, and an MCP server given to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.client import replies
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, newest

SERVER = Path(__file__).with_name("server.py")


@observes(
    Fact("model_and_effort", "--model and --effort are in the request", "a task's profile: pool/profile.py"),
    Fact(
        "tool_rules",
        "--disallowed-tools takes a tool out of the request",
        "a task's profile: pool/profile.py",
    ),
)
def profile(lab: Lab) -> Mapping[str, Seen]:
    """A session with a model, an effort and rules for tools."""
    lab.run(
        "--model=claude-scripted-9",
        "--effort=high",
        "--disallowed-tools=WebFetch",
        "--allowed-tools=Bash(id)",
    )
    request = lab.api.seen()[0]
    config = request.body.get("output_config") or {}
    return {
        "model_and_effort": {"model": request.body["model"], "effort": config.get("effort")},
        "tool_rules": {name: name in request.tools for name in ("Bash", "Read", "WebFetch")},
    }


@observes(
    Fact(
        "turns_of_a_session",
        "--max-turns counts anew for each message",
        "a session with a limit is for one task",
    ),
    Fact(
        "budget_of_a_session",
        "--max-budget-usd is the whole session's",
        "a session with a limit is for one task",
    ),
)
def limits(lab: Lab) -> Mapping[str, Seen]:
    """Sessions with a limit that get three messages, each of which is answered in one turn."""

    def outcomes(*options: str) -> list[str]:
        session = lab.home.open("", *options)
        found: list[str] = []
        for number in range(1, 4):
            session.send("Go on.")
            found.append(session.frames.result(number)["subtype"])
        session.end_input()
        lab.ended(session)
        return found

    price: float = lab.run().frames.result()["total_cost_usd"]
    return {
        "turns_of_a_session": {"max_turns_2": outcomes("--max-turns=2")},
        "budget_of_a_session": {"one_and_a_half_messages": outcomes(f"--max-budget-usd={price * 1.5:g}")},
    }


@observes(
    Fact(
        "mcp_tools",
        "An MCP server's tools are called mcp__SERVER__TOOL, and are asked for like others",
        "coord's MCP server",
    ),
    Fact("tool_search", "Whether the model must look for an MCP server's tools before it can call them"),
    Fact(
        "mcp_environment",
        "What the environment of an MCP server says of the session",
        "the MCP server finds its worker",
    ),
)
def mcp(lab: Lab) -> Mapping[str, Seen]:
    """A session with a stdio server of one tool, which the model calls."""
    server: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVER)]}
    config = lab.folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"observed": server}}), encoding="utf-8")
    lab.answers(replies.tool("mcp__observed__look", word="x"), replies.text("Done."))
    given = ("--mcp-config", str(config))
    allowed = lab.run(*given, "--allowed-tools=mcp__observed__look")
    asked = lab.api.seen()
    said = json.loads(next(line for line in newest(asked[1]).splitlines() if line.startswith("{")))
    lab.answers(replies.tool("mcp__observed__look", word="x"), replies.text("Done."))
    denied = lab.run(*given).frames.result()
    init = allowed.frames.of("system", "init")[0]
    env = said["environment"]
    return {
        "mcp_tools": {
            "server": [each["status"] for each in init["mcp_servers"] if each["name"] == "observed"],
            "argument": said["word"],
            "denials_without_a_rule": len(denied["permission_denials"]),
        },
        "tool_search": {
            "tool_in_requests": ["mcp__observed__look" in each.tools for each in asked],
            "ToolSearch": "ToolSearch" in asked[0].tools,
        },
        "mcp_environment": {
            "parent_is_the_session": said["parent"] == allowed.pid,
            "CLAUDE_PID": env.get("CLAUDE_PID") == str(allowed.pid),
            "names": sorted({"CLAUDE_CODE_SESSION_ID", "CLAUDE_PROJECT_DIR", "CLAUDECODE"} & set(env)),
        },
    }
