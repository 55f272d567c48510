"""Processes of a measurement: a tree of them, stopped, continued and ended by process id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = (entry / "stat").read_text(errors="replace")
                children.setdefault(int(text[text.rindex(")") + 2 :].split()[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def stopped(pid: int) -> bool:
    """Whether a process is stopped, or there is none of that id (any more)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return True
    return text[text.rindex(")") + 2] in "TZX"


def send(pids: list[int], number: int) -> None:
    """A signal to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill processes with all their descendants, and wait for the processes themselves."""
    for each in processes:
        if each.poll() is None:
            send(tree(each.pid), signal.SIGKILL)
    for each in processes:
        each.wait()
        for stream in (each.stdin, each.stdout, each.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
