"""A hook that notes its call and does what it was told to: ``python -I -S hook.py FOLDER NAME``.

FOLDER/NAME.json is a list of actions, one for each call (the last one for ever): ``sleep`` (s), ``until``
(a file to wait for), ``stdout``, ``stderr``, ``exit``, ``export`` (a line for CLAUDE_ENV_FILE), ``late``
(s, after it has spoken). Calls, signals and ends are lines of FOLDER/calls.jsonl.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

FOLDER, NAME = sys.argv[1:3]


def note(**what: Any) -> None:
    """Append one line, in one write."""
    line = json.dumps({"name": NAME, "pid": os.getpid(), "at": time.monotonic(), **what}) + "\n"
    log = os.open(os.path.join(FOLDER, "calls.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, line.encode())
    os.close(log)


def calls_before() -> int:
    """How many calls of this name were noted already."""
    try:
        with open(os.path.join(FOLDER, "calls.jsonl"), encoding="utf-8") as lines:
            noted = [json.loads(line) for line in lines]
    except FileNotFoundError:
        return 0
    return sum(each["name"] == NAME and "payload" in each for each in noted)


def on_signal(number: int, frame: object) -> None:
    """Note the signal, and end."""
    note(signal=signal.Signals(number).name)
    os._exit(128 + number)


def main() -> None:
    """Note the call, do the action, note the end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    payload = json.loads(sys.stdin.read() or "{}")
    with open(os.path.join(FOLDER, NAME + ".json"), encoding="utf-8") as file:
        actions = json.load(file)
    action = actions[min(calls_before(), len(actions) - 1)]
    wanted = ("CLAUDE", "ANTHROPIC", "WORKER", "FACT")
    env = {name: value for name, value in os.environ.items() if name.startswith(wanted)}
    note(event=payload.get("hook_event_name", ""), payload=payload, env=env, parent=os.getppid())
    if action.get("export"):
        with open(os.environ["CLAUDE_ENV_FILE"], "a", encoding="utf-8") as file:
            file.write(action["export"] + "\n")
    time.sleep(action.get("sleep", 0))
    while action.get("until") and not os.path.exists(action["until"]):
        time.sleep(0.02)
    said = action.get("stdout", "")
    sys.stdout.write(said if isinstance(said, str) else json.dumps(said))
    sys.stderr.write(action.get("stderr", ""))
    sys.stdout.flush()
    time.sleep(action.get("late", 0))
    note(end=action.get("exit", 0))
    sys.exit(action.get("exit", 0))


if __name__ == "__main__":
    main()
