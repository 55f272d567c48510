"""Cleans up after a trial, whatever becomes of the doctor: it waits until the doctor lets go, or dies.

It reads lines of JSON on standard input: first whose trial it is, upon which it makes a folder and prints
its name; then ``{"url": ...}`` for each database that is tried, ``{"group": PID}`` for a process group that
begins and ``{"ended": PID}`` for one that is over. At the end of the input it ends what still runs, wipes
what the trial left in the databases and removes the folder. Every trial ends this way, so it is no rarely
trodden path.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pool import local, process, wire
from pool.errors import RedisAway

#: The text of the script that takes and wipes the trial's database.
SCRIPT = (Path(__file__).parent / "trial.lua").read_text(encoding="utf-8")
#: Whatever was started for the trial has ended within so long (seconds), on a busy machine too.
_PATIENCE = 15.0


def clean(trial: dict[str, Any], folder: str, urls: list[str], groups: set[int]) -> None:
    """End what still runs, wipe the databases, remove the folder."""
    for pid in groups:
        _kill(pid, os.killpg)
    if process.same(trial["session"]):
        _kill(int(trial["session"].split("-")[2]), os.kill)
    end = time.monotonic() + _PATIENCE
    while process.same(trial["session"]) and time.monotonic() < end:
        time.sleep(0.01)
    if sys.platform.startswith("linux"):
        while (left := _processes(folder)) and time.monotonic() < end:
            for pid in left:
                _kill(pid, os.kill)
    else:
        _wait_for_keeper(folder, trial["session"], end)
    for url in urls:
        try:
            ask = wire.Connection(url).execute_command
            ask("EVAL", SCRIPT, 0, "wipe", trial["name"], trial["session"], 0, trial["names"])
        except (RedisAway, wire.ReplyError):
            continue  # not that one; or Redis has gone: the next doctor wipes what this one leaves
    while os.path.isdir(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > end:
            return


def _processes(folder: str) -> list[int]:
    """Whatever was started for the trial, keepers included: its HOME is in their environment."""
    mark = f"COORD_HOME={os.path.join(folder, 'home')}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    return found


def _wait_for_keeper(folder: str, session_key: str, end: float) -> None:
    """(Where /proc is not.) A keeper holds its lock until it has reported the death of its session."""
    session = local.Session(os.path.join(folder, "home"), session_key)
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
    first = sys.stdin.readline()
    if not first:
        return  # the doctor died at once
    trial: dict[str, Any] = json.loads(first)
    folder = tempfile.mkdtemp(prefix="coord-doctor-")
    urls: list[str] = []
    groups: set[int] = set()
    try:
        with contextlib.suppress(BrokenPipeError):  # the doctor has died: so much the sooner
            os.write(1, f"{folder}\n".encode())
        for line in sys.stdin:
            said = json.loads(line)
            if "url" in said:
                urls.append(str(said["url"]))
            elif "group" in said:
                groups.add(int(said["group"]))
            else:
                groups.discard(int(said["ended"]))
    finally:
        clean(trial, folder, urls, groups)


if __name__ == "__main__":
    main()
