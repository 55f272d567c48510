"""An interactive session, in tmux."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, alive, comes, newest
from tests.client.facts.stops import LET

STATUS = "observing: it waits"


@observes(
    Fact(
        "no_dialogs",
        "With a prepared .claude.json an interactive session starts without a question",
        "terminal mode; tests/client",
    ),
    Fact(
        "status_message",
        "The handler's statusMessage stands on the screen while the hook waits",
        "coord: waiting for tasks",
    ),
    Fact("block_on_screen", "How a block looks"),
    Fact("queued", "What is typed while the hook waits is queued, and said so"),
    Fact(
        "escape",
        "Esc ends the waiting hook by SIGTERM; a queued prompt starts its turn, which has its own Stop",
        "README: Esc frees the prompt",
    ),
    Fact(
        "stays",
        "After an allowed stop the process stays at its prompt, and the next prompt is a turn",
        "a worker that stopped",
    ),
    Fact(
        "interactive_hooks",
        "Interactive sessions tell what they are by CLAUDE_CODE_ENTRYPOINT",
        "hooks/stop_failure.py",
    ),
    Fact("clear", "/clear: the same process, another session id", "a worker is rebound"),
    Fact("exit", "/exit ends the session with SessionEnd", "hooks/session_end.py"),
)
def terminal(lab: Lab) -> Mapping[str, Seen]:
    """A wait, a block, a wait with a typed prompt and Esc, an allowed stop, a prompt, /clear, /exit."""
    first = lab.folder / "first"
    block = {"until": str(first), "stdout": {"decision": "block", "reason": "TASK-ONE"}}
    stop = lab.hook(
        "stop", block, {"until": str(lab.folder / "never")}, LET, statusMessage=STATUS, timeout=3600
    )
    lab.install({"Stop": stop, "SessionStart": lab.hook("start"), "SessionEnd": lab.hook("end")})
    screen = lab.home.terminal("Go.")
    pid = int(lab.called("start")["env"].get("CLAUDE_PID", 0))
    lab.called("stop")
    waiting = screen.wait(re.escape(STATUS))
    first.touch()
    lab.called("stop", 2)
    blocked = screen.wait("TASK-ONE")
    screen.wait(re.escape(STATUS))
    screen.type("Typed words.")
    queued = screen.wait("(?i)queued")
    before = lab.api.count()
    screen.key("Escape")
    hook = lab.signalled("stop")
    lab.api.wait(lambda request: request.number >= before and "Typed words." in newest(request))
    third = lab.called("stop", 3)
    stays = not comes(lambda: not alive(pid) or len(lab.calls("stop")) > 3, 1.0)
    screen.type("Another prompt.")
    lab.called("stop", 4)
    screen.type("/clear")
    cleared = lab.called("start", 2)
    ended = lab.called("end")
    screen.type("/exit")
    last = lab.called("end", 2)
    return {
        "no_dialogs": {"first_prompt": "Go." in newest(lab.api.seen()[0])},
        "status_message": {"shown": STATUS in waiting},
        "block_on_screen": {
            "says": _line(blocked, "TASK-ONE"),
            "problem": "Stop hook reported a problem" in blocked,
        },
        "queued": {"says": _line(queued, "queued")},
        "escape": {"hook": hook, "stop_hook_active": third["payload"]["stop_hook_active"]},
        "stays": {"alive": stays},
        "interactive_hooks": {"entrypoint": third["env"].get("CLAUDE_CODE_ENTRYPOINT")},
        "clear": {
            "end": ended["payload"]["reason"],
            "start": cleared["payload"]["source"],
            "same_process": cleared["env"].get("CLAUDE_PID") == str(pid),
            "another_session": cleared["payload"]["session_id"] != third["payload"]["session_id"],
        },
        "exit": {"reason": last["payload"]["reason"], "ended": comes(lambda: not alive(pid), 10.0)},
    }


def _line(screen: str, words: str) -> str:
    """The line of the screen with these words, without what frames it."""
    line = next(each for each in screen.splitlines() if words.lower() in each.lower())
    return " ".join(re.sub(r"[^\w\s:,.+-]", "", line).split())
