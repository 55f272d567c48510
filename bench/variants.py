"""The programs of part a: bare Python, our hooks and helpers, and the same thing done in other ways."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.peers import catalogue, install

ROOT = Path(__file__).resolve().parent.parent
OTHERS = Path(__file__).resolve().parent / "others"

#: RQ's virtualenv.
RQ = "rq"

#: What the bash variant runs.
TOOLS = ("bash", "jq", "redis-cli")


@dataclass(frozen=True)
class Variant:
    """One program. ``task``: it must take one that waits. ``worker``: it runs in a worker's session."""

    name: str
    title: str
    argv: tuple[str, ...]
    worker: bool = True
    task: bool = False
    #: Which of its output proves that it did its work.
    says: str = ""


def variants(compiled: Path, rq_python: Path | None) -> tuple[list[Variant], list[str]]:
    """All programs, and a word about each that is missing."""
    bare = (sys.executable, "-I", "-S")
    hook = (*bare, str(ROOT / "hooks" / "stop.py"), "--compiled", str(compiled))
    helper = (*bare, str(ROOT / "workers" / "helper.py"))
    found = [
        Variant("bare", "bare Python (-I -S -c pass)", (*bare, "-c", "pass"), worker=False),
        Variant("hook-nobody", "Stop hook, a session that is no worker", hook, worker=False),
        Variant("hook", "Stop hook, a worker is handed a task", hook, task=True, says='"decision"'),
        Variant("claim", "helper: coord-worker claim", (*helper, "claim"), task=True, says="coord-worker"),
        Variant("heartbeat", "helper: coord-worker heartbeat", (*helper, "heartbeat"), says="OK"),
    ]  # fmt: skip
    notes = []
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        notes.append(
            f"bash + jq + redis-cli is left out: {', '.join(missing)} missing (apt install jq redis-tools)"
        )
    else:
        argv = ("bash", str(OTHERS / "hook.sh"))
        found.append(
            Variant("bash", "the same hook in bash + jq + redis-cli", argv, task=True, says='"decision"')
        )
    argv = (sys.executable, str(OTHERS / "hook_redis.py"))
    found.append(Variant("redis-py", "the same hook on redis-py", argv, task=True, says='"decision"'))
    if rq_python is None:
        notes.append("the hook on RQ is left out: RQ is no peer of this run")
    else:
        argv = (str(rq_python), str(OTHERS / "hook_rq.py"))
        found.append(Variant("rq", "the same hook importing RQ", argv, task=True, says='"decision"'))
    return found, notes


def rq_python() -> Path:
    """An interpreter that has RQ and redis-py and nothing else: the peer's.

    Raises:
        install.InstallError: RQ's virtualenv could not be made.
    """
    install.ensure(RQ, catalogue.environments({catalogue.RQ_SIMPLE})[RQ])
    return install.python(RQ)


def payload(session_id: str, cwd: Path) -> str:
    """What the client sends to a Stop hook."""
    return json.dumps(
        {"session_id": session_id, "hook_event_name": "Stop", "cwd": str(cwd), "stop_hook_active": False,
         "transcript_path": "/tmp/transcript.jsonl", "permission_mode": "default",
         "last_assistant_message": "Done. " * 40, "background_tasks": [], "session_crons": []}
    )  # fmt: skip
