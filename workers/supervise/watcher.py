"""Outlives the supervisor: one that was killed cannot end its sessions, which must not work on alone.

    python -I -S watcher.py COMPILED

It is told on standard input "+KEY" of each session's process, and "-KEY" when that has ended. When its input
ends, it ends the sessions that are left, and starts a keeper beside each, which reports its death as soon as
it has come. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pool import compiled, local, process

#: A session may run its last hooks for so long (seconds); its task is to be had again within two.
GRACE = 1.0


def read(fd: int) -> set[str]:
    """The sessions that are left when the supervisor has gone."""
    left: set[str] = set()
    rest = b""
    while True:
        data = os.read(fd, 65536)
        if not data:
            return left
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            key = line[1:].decode()
            if line.startswith(b"+"):
                left.add(key)
            else:
                left.discard(key)


def end(keys: set[str], settings: compiled.Compiled) -> None:
    """End these sessions, with their process groups."""
    alive = {key for key in keys if process.same(key)}
    for key in keys:
        session = local.Session(settings.home, key)
        if session.load():
            session.ensure_keeper(settings.path)  # the supervisor was its keeper
    for number in (signal.SIGTERM, signal.SIGKILL):
        for key in alive:
            try:
                os.killpg(int(key.split("-")[2]), number)
            except OSError:
                continue  # the whole group has ended
        end = time.monotonic() + GRACE
        while number == signal.SIGTERM and time.monotonic() < end and any(map(process.same, alive)):
            time.sleep(0.02)


def main(argv: list[str]) -> int:
    """Wait for the supervisor's end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the supervisor does
    left = read(0)
    if left:
        end(left, compiled.load(argv[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
