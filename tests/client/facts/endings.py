"""How a session ends, and what becomes of the hook that waits in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from tests.client import replies
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, alive, comes, newest, wait
from tests.client.facts.stops import BLOCK, LET


def _waiting(lab: Lab) -> None:
    """Install a Stop hook that waits until it is ended, and a hook for the session's end."""
    never = {"until": str(lab.folder / "never"), **BLOCK}
    lab.install({"Stop": lab.hook("stop", never, LET, timeout=3600), "SessionEnd": lab.hook("end")})


@observes(
    Fact(
        "sigterm_in_stop",
        "SIGTERM to the session while its Stop hook waits: the hook gets SIGTERM",
        "hooks/waiting.py; a supervisor that drains",
    ),
    Fact(
        "end_at_sigterm",
        "SIGTERM to the session: whether SessionEnd runs (the keeper reports the end in any case)",
    ),
)
def sigterm_in_stop(lab: Lab) -> Mapping[str, Seen]:
    """SIGTERM to the session's process while its Stop hook waits."""
    _waiting(lab)
    session = lab.home.headless("Go.")
    lab.called("stop")
    session.kill(signal.SIGTERM)
    code = lab.ended(session)
    reasons = [each["payload"]["reason"] for each in lab.calls("end")]
    return {
        "sigterm_in_stop": {"hook": lab.signalled("stop")},
        "end_at_sigterm": {"reasons": reasons, "exit": code},
    }


@observes(
    Fact(
        "sigkill_in_stop",
        "SIGKILL to the session while its Stop hook waits: the hook lives on",
        "hooks/waiting.py watches the session's process",
    ),
)
def sigkill_in_stop(lab: Lab) -> Mapping[str, Seen]:
    """SIGKILL to the session's process while its Stop hook waits."""
    _waiting(lab)
    session = lab.home.headless("Go.")
    call = lab.called("stop")
    session.kill()
    lab.ended(session)
    lives = not comes(lambda: not alive(call["pid"]), 1.0)
    seen = {
        "hook_lives": lives,
        "signals": len(lab.noted("stop", "signal")),
        "session_end": len(lab.calls("end")),
        "knows_pid": call["env"].get("CLAUDE_PID") == str(session.pid),
        "in_another_process_group": lives and os.getpgid(call["pid"]) != session.pid,
    }
    return {"sigkill_in_stop": seen}


@observes(
    Fact(
        "interrupt_in_stop",
        "An interrupt (stream-json) while the Stop hook waits ends the hook by SIGTERM, and the turn",
        "a supervisor that has a word for a waiting session",
    ),
    Fact(
        "message_in_stop",
        "A message sent while the Stop hook waits is a turn of its own after it",
        "a supervisor that has a word for a waiting session",
    ),
    Fact(
        "eof_in_stop",
        "The end of input while the Stop hook waits: the hook is waited for, then the session ends",
        "a supervisor that closes a session's input",
    ),
)
def interrupt_in_stop(lab: Lab) -> Mapping[str, Seen]:
    """A stream-json session whose hook waits: a message, then an interrupt; then the end of input."""
    first, second = lab.folder / "first", lab.folder / "second"
    actions = ({"until": str(first), **BLOCK}, {"until": str(second), **LET})
    lab.install({"Stop": lab.hook("stop", *actions, timeout=3600)})
    session = lab.home.open("One.")
    lab.called("stop")
    session.send("Two.")
    early = comes(lambda: lab.api.count() > 1, 0.5)
    session.write({"type": "control_request", "request_id": "r1", "request": {"subtype": "interrupt"}})
    hook = lab.signalled("stop")
    result = session.frames.result()
    lab.called("stop", 2)
    asked = lab.api.seen()
    session.end_input()
    waited = not comes(lambda: session.process.poll() is not None, 1.5)
    second.touch()
    code = lab.ended(session)
    return {
        "interrupt_in_stop": {
            "hook": hook,
            "subtype": result["subtype"],
            "is_error": result["is_error"],
            "reason": result.get("terminal_reason"),
        },
        "message_in_stop": {
            "before_the_end": early,
            "requests": len(asked),
            "arrived": "Two." in newest(asked[-1]),
        },
        "eof_in_stop": {"waited_for": waited, "exit": code, "results": len(session.frames.of("result"))},
    }


@observes(
    Fact(
        "sigterm_in_tool",
        "SIGTERM while Bash works: the command is ended, no Stop",
        "a supervisor whose drain limit is over",
    ),
)
def sigterm_in_tool(lab: Lab) -> Mapping[str, Seen]:
    """SIGTERM to the session's process while a Bash call runs."""
    lab.answers(replies.bash("echo $$ > new && mv new pid && sleep 50; true"), replies.text("Done."))
    lab.install({"Stop": lab.hook("stop"), "SessionEnd": lab.hook("end")})
    session = lab.home.headless("Go.")
    file = lab.project / "pid"
    wait(file.exists, "the Bash call")
    pid = int(file.read_text(encoding="utf-8"))
    session.kill(signal.SIGTERM)
    code = lab.ended(session)
    seen = {
        "stops": len(lab.calls("stop")),
        "exit": code,
        "command_ended": comes(lambda: not alive(pid), 5.0),
    }
    return {"sigterm_in_tool": seen}
