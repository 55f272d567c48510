"""What a Stop hook may say, and how long it may take."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.client import replies
from tests.client.api import Request
from tests.client.client import Headless
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, newest

BLOCK = {"stdout": {"decision": "block", "reason": "Go on."}}
LET: dict[str, object] = {"stdout": ""}
_CAP = "CLAUDE_CODE_STOP_HOOK_BLOCK_CAP"


def _capped(session: Headless) -> bool:
    return any(
        frame.get("key") == "stop-hook-block-cap" for frame in session.frames.of("system", "notification")
    )


@observes(
    Fact(
        "block_cap",
        "Blocks in a row are overridden at a cap of 8, if no tool is called in between",
        "hooks/stop.py blocks only to hand something over",
    ),
    Fact("cap_told", "What stream-json says of the cap"),
)
def block_cap(lab: Lab) -> Mapping[str, Seen]:
    """A Stop hook that always blocks, and a model that calls no tool."""
    lab.install({"Stop": lab.hook("stop", BLOCK)})
    session = lab.run()
    told = [str(each.get("content", "")) for each in session.frames.of("system", "informational")]
    result = session.frames.result()
    return {
        "block_cap": {
            "stops": len(lab.calls("stop")),
            "exit": session.process.returncode,
            "subtype": result["subtype"],
        },
        "cap_told": {
            "result": result.get("result"),
            "notification": _capped(session),
            "words": next((re.split(r"[^\w ]", each)[0] for each in told if "hook" in each.lower()), ""),
        },
    }


@observes(
    Fact(
        "tool_resets_cap",
        "A tool call between blocks starts the count anew",
        "any number of tasks in one session",
    ),
)
def tool_resets_cap(lab: Lab) -> Mapping[str, Seen]:
    """Ten rounds of tool, stop, block; then blocks without a tool."""
    rounds = 10

    def script(number: int, request: Request) -> replies.Reply:
        return replies.bash("true") if number % 2 == 0 and number < 2 * rounds else replies.text("Done.")

    lab.script(script)
    lab.install({"Stop": lab.hook("stop", BLOCK)})
    session = lab.run()
    seen = {"rounds": rounds, "stops": len(lab.calls("stop")), "exit": session.process.returncode}
    return {"tool_resets_cap": seen}


@observes(
    Fact(
        "cap_moved",
        f"{_CAP} moves the cap, from a settings file's env as well",
        "coord hooks install --worker",
    ),
)
def cap_moved(lab: Lab) -> Mapping[str, Seen]:
    """30 from the environment, 12 from a settings file."""
    lab.install({"Stop": lab.hook("environment", BLOCK)})
    lab.run(**{_CAP: "30"})
    lab.install({"Stop": lab.hook("settings", BLOCK)}, env={_CAP: "12"})
    lab.run()
    stops = {name: len(lab.calls(name)) for name in ("environment", "settings")}
    return {"cap_moved": {"stops_at_30": stops["environment"], "stops_at_12_in_settings": stops["settings"]}}


@observes(Fact("cap_off", f"{_CAP}=0 takes the cap away", "a worker's session is started with 0"))
def cap_off(lab: Lab) -> Mapping[str, Seen]:
    """A Stop hook that blocks 39 times and then lets go."""
    lab.install({"Stop": lab.hook("stop", *[BLOCK] * 39, LET)})
    session = lab.run(**{_CAP: "0"})
    return {
        "cap_off": {
            "stops": len(lab.calls("stop")),
            "capped": _capped(session),
            "exit": session.process.returncode,
        }
    }


@observes(
    Fact(
        "long_wait",
        "A Stop hook may take as long as its timeout says; the model is asked nothing meanwhile",
        "an idle worker waits in its Stop hook at no cost",
    ),
    Fact("state_in_wait", "A session counts as running while its Stop hook waits"),
    Fact("progress_in_wait", "stream-json has a tool_progress every 30 s of a Stop hook (in a wait of 65 s)"),
)
def long_wait(lab: Lab) -> Mapping[str, Seen]:
    """A hook with a timeout of 3600 s that waits ``patience`` seconds and then hands something over."""
    lab.install({"Stop": lab.hook("stop", {"sleep": lab.patience, **BLOCK}, LET, timeout=3600)})
    session = lab.run(CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS="1")
    began = lab.calls("stop")[0]["at"]
    end = next(each["at"] for each in lab.noted("stop", "end"))
    states = [
        each["state"] for each in session.frames.of("system", "session_state_changed") if each["at"] < end
    ]
    beats = sum(began < each["at"] < end for each in session.frames.of("tool_progress"))
    return {
        "long_wait": {
            "waited": end - began >= lab.patience,
            "stops": len(lab.calls("stop")),
            "requests_meanwhile": sum(began < each.at < end for each in lab.api.seen("")),
            "handed_over": "Go on." in newest(lab.api.seen()[-1]),
            "exit": session.process.returncode,
        },
        "state_in_wait": {"last": states[-1:], "idle": "idle" in states},
        "progress_in_wait": {"each_30_s": abs(beats - int(lab.patience / 30)) <= 1 and beats > 0}
        if lab.patience > 60
        else None,
    }


@observes(
    Fact(
        "hook_timeout",
        "A hook past its timeout is ended, what it said is discarded, and the session stops",
        "hooks/stop.py ends itself before its timeout",
    ),
)
def hook_timeout(lab: Lab) -> Mapping[str, Seen]:
    """A hook with a timeout of 1 s that has said "block" and does not end."""
    lab.install({"Stop": lab.hook("stop", {**BLOCK, "late": 50}, timeout=1)})
    session = lab.run()
    seen = {
        "stops": len(lab.calls("stop")),
        "exit": session.process.returncode,
        "hook": lab.signalled("stop"),
        "subtype": session.frames.result()["subtype"],
    }
    return {"hook_timeout": seen}


@observes(
    Fact("approve", 'decision "approve" is accepted and means nothing', "hooks in the form of older guides"),
    Fact("let_go", "A systemMessage without a decision lets the session stop", "hooks/stop.py lets go by it"),
)
def approve(lab: Lab) -> Mapping[str, Seen]:
    """A Stop hook that says "approve"; one that only says something."""
    lab.install({"Stop": lab.hook("approve", {"stdout": {"decision": "approve"}})})
    approved = lab.run()
    lab.install({"Stop": lab.hook("let", {"stdout": {"systemMessage": "coord: stops"}})})
    let = lab.run()
    return {
        "approve": {"stops": len(lab.calls("approve")), "exit": approved.process.returncode},
        "let_go": {
            "stops": len(lab.calls("let")),
            "exit": let.process.returncode,
            "shown": any("coord: stops" in str(frame) for frame in let.frames.all),
        },
    }


@observes(Fact("max_turns", "--max-turns counts a Stop hook's continuations", "the limit of turns of a task"))
def max_turns(lab: Lab) -> Mapping[str, Seen]:
    """--max-turns 3 with a Stop hook that blocks."""
    lab.install({"Stop": lab.hook("stop", BLOCK)})
    session = lab.run("--max-turns", "3")
    result = session.frames.result()
    seen = {
        "stops": len(lab.calls("stop")),
        "exit": session.process.returncode,
        "subtype": result["subtype"],
        "reason": result.get("terminal_reason"),
    }
    return {"max_turns": seen}


def _counts(request: Request, *words: str) -> dict[str, int]:
    return {word: newest(request).count(word) for word in words}


@observes(
    Fact(
        "block_reason",
        "How a block's reason is sent to the model, and how often",
    ),
    Fact("block_exit_2", "Exit 2: what stands on stderr is sent once"),
    Fact(
        "block_context",
        "additionalContext is sent once, and continues the turn by itself",
        "hooks/stop.py: block()",
    ),
    Fact("block_both", "A reason and additionalContext both arrive", "hooks/stop.py: block()"),
    Fact(
        "context_limit",
        "More than 10,000 characters of additionalContext become a preview and a file",
        "pool/brief.py keeps within 10,000 characters",
    ),
    Fact("reason_limit", "A reason of 120,000 characters is not cut"),
)
def block(lab: Lab) -> Mapping[str, Seen]:
    """One Stop hook that goes through the ways of saying something."""

    def context(text: str) -> dict[str, object]:
        return {"hookSpecificOutput": {"hookEventName": "Stop", "additionalContext": text}}

    said: list[dict[str, object]] = [
        {"stdout": {"decision": "block", "reason": "REASON-1"}},
        {"exit": 2, "stderr": "STDERR-2"},
        {"stdout": context("CONTEXT-3")},
        {"stdout": {"decision": "block", "reason": "REASON-4", **context("CONTEXT-4")}},
        {"stdout": context("BEGIN-5" + "E" * (10_000 - 7 - 5) + "END-5")},
        {"stdout": context("BEGIN-6" + "x" * 12_000 + "END-6")},
        {"stdout": {"decision": "block", "reason": "BEGIN-7" + "y" * 120_000 + "END-7"}},
    ]
    lab.install({"Stop": lab.hook("stop", *said, LET)})
    session = lab.run()
    asked = lab.api.seen()[1:]  # the first is the prompt's
    if len(asked) != len(said):
        names = (
            "block_reason",
            "block_exit_2",
            "block_context",
            "block_both",
            "context_limit",
            "reason_limit",
        )
        return {name: {"requests": len(asked)} for name in names}
    cut = newest(asked[5])
    return {
        "block_reason": _counts(
            asked[0], "REASON-1", "Stop hook feedback:\nREASON-1", "Stop hook blocking error from command"
        ),
        "block_exit_2": _counts(asked[1], "STDERR-2"),
        "block_context": _counts(asked[2], "CONTEXT-3", "Stop hook additional context: CONTEXT-3"),
        "block_both": {
            "reason": "REASON-4" in newest(asked[3]),
            "context": newest(asked[3]).count("CONTEXT-4"),
        },
        "context_limit": {
            "10000": _counts(asked[4], "BEGIN-5", "END-5"),
            "12013": _counts(asked[5], "BEGIN-6", "END-6"),
            "names_a_file": bool(re.search(r"saved to\W+/\S+", cut)),
            "shorter_than_4000": len(cut) < 4_000,
        },
        "reason_limit": {**_counts(asked[6], "BEGIN-7", "END-7"), "exit": session.process.returncode},
    }
