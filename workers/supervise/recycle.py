"""When a session has had its time: what is counted of it, and which limit it has reached."""

from __future__ import annotations

import os
import sys
from collections import defaultdict

from pool import clock, process, units
from workers.supervise.options import Limits
from workers.supervise.session import Frame

#: Memory is added up this often (seconds).
_LOOK = 5.0


class Wear:
    """What a session has used up so far."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid, self._limits = pid, limits
        self.began = clock.mono()
        #: Tokens in its context, by the last answer of its model; bytes of all its processes.
        self.tokens, self.memory = 0, 0
        self._looked = 0.0

    def see(self, frame: Frame) -> None:
        """Take a frame in."""
        message = frame.get("message")
        usage = message.get("usage") if isinstance(message, dict) else None
        if frame.get("type") != "assistant" or frame.get("parent_tool_use_id") or not isinstance(usage, dict):
            return
        counts = [
            usage.get(name) for name in (
                "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
            )
        ]  # fmt: skip
        self.tokens = sum(count for count in counts if isinstance(count, int)) or self.tokens

    def reached(self) -> str:
        """Which limit is reached, for people; '' none."""
        limits = self._limits
        if limits.seconds and clock.mono() - self.began >= limits.seconds:
            return f"it has run for {units.span(limits.seconds)}"
        if limits.tokens and self.tokens >= limits.tokens:
            return f"{self.tokens:,} tokens are in its context"
        if limits.memory and clock.mono() - self._looked >= _LOOK:
            self._looked = clock.mono()
            self.memory = resident(self._pid)
        if limits.memory and self.memory >= limits.memory:
            return f"its processes take {self.memory / 2**20:,.0f} MiB"
        return ""


def resident(pid: int) -> int:
    """Bytes of memory of a process and all below it (Linux; elsewhere 0)."""
    if sys.platform != "linux":
        return 0
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            children[process.parent(int(name))].append(int(name))
    total, left = 0, [pid]
    while left:
        each = left.pop()
        left += children.pop(each, [])
        total += _pages(each) * os.sysconf("SC_PAGE_SIZE")
    return total


def _pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0  # it has just ended
