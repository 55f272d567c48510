"""What every peer's module shares: the no-op task's mark, and how a producer is told what to do.

It runs in the peers' virtualenvs: standard library only.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable

#: One mark: when a task was done (CLOCK_MONOTONIC, seconds) and in which process.
MARK = struct.Struct("<dq")

URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")

_fd = -1


def mark() -> None:
    """Append a mark to the file BENCH_MARKS: all that a task of the benchmark does, with every peer."""
    global _fd
    if _fd < 0:
        _fd = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(_fd, MARK.pack(time.monotonic(), os.getpid()))


def produce(send: Callable[[int], object]) -> None:
    """Enqueue as many tasks as each line of standard input says; answer with when it began and ended."""
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.monotonic()
        send(int(line))
        print(f"{began:.6f} {time.monotonic():.6f}", flush=True)
