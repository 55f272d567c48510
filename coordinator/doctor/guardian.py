"""Cleans up after a trial, whatever becomes of the doctor: it waits until the doctor lets go, or dies.

It reads lines of JSON on standard input: first where the trial is, then ``{"group": PID}`` for a process
group that begins and ``{"ended": PID}`` for one that is over. At the end of the input it ends what still
runs, wipes the trial's database and removes its folder. Every trial ends this way, so it is no rarely
trodden path.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pool import local, process, wire
from pool.errors import RedisAway

#: The text of the script that takes and wipes the trial's database.
SCRIPT = (Path(__file__).parent / "trial.lua").read_text(encoding="utf-8")
#: A keeper needs so long (seconds) at most to notice that its session is gone.
_PATIENCE = 5.0


def clean(trial: dict[str, Any], groups: set[int]) -> None:
    """End what still runs, wipe the database, remove the folder."""
    for pid in groups:
        _kill(pid, os.killpg)
    if process.same(trial["session"]):
        _kill(int(trial["session"].split("-")[2]), os.kill)
    end = time.monotonic() + _PATIENCE
    while process.same(trial["session"]) and time.monotonic() < end:
        time.sleep(0.01)
    _wait_for_keeper(trial, end)
    try:
        ask = wire.Connection(trial["url"]).execute_command
        ask("EVAL", SCRIPT, 0, "wipe", trial["name"], trial["session"], 0, trial["names"])
    except (RedisAway, wire.ReplyError):
        pass  # Redis has gone meanwhile: the next doctor wipes what this one leaves, before it begins
    shutil.rmtree(trial["folder"], ignore_errors=True)


def _wait_for_keeper(trial: dict[str, Any], end: float) -> None:
    """A keeper holds its lock until it has reported the death of its session."""
    session = local.Session(os.path.join(trial["folder"], "home"), trial["session"])
    while os.path.isdir(session.folder) and time.monotonic() < end:
        fd = session.lock_keeper()
        if fd >= 0:
            os.close(fd)
            return
        time.sleep(0.02)


def _kill(pid: int, how: Any) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
        how(pid, signal.SIGKILL)


def main() -> None:
    """Wait for the end of the input, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the doctor's: its end is this one's beginning
    trial: dict[str, Any] = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    groups: set[int] = set()
    for line in sys.stdin:
        said = json.loads(line)
        if "group" in said:
            groups.add(int(said["group"]))
        else:
            groups.discard(int(said["ended"]))
    clean(trial, groups)


if __name__ == "__main__":
    main()
