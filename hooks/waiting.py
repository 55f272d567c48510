"""Waiting inside a hook: on the doorbell, the session's death and signals at once."""

from __future__ import annotations

import _signal
import os
import select
import time

from pool import process, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Waiter:
    """Sleeps until something happens. A signal or the session's death raises wire.Cancelled."""

    def __init__(self, pid: int) -> None:
        self.watch = process.Watch(pid)
        self.signalled = False
        self._asleep = False
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.signalled = True
        if self._asleep:  # elsewhere the flag is enough: a claim must not be torn apart
            raise wire.Cancelled("signal")

    def check(self) -> None:
        """Raise wire.Cancelled if a signal came or the session is gone."""
        if self.signalled or not self.watch.alive():
            raise wire.Cancelled("the session is gone")

    def sleep(self, seconds: float) -> None:
        """Sleep, with an eye on the session."""
        self._select([], seconds)

    def until(self, fd: int, seconds: float) -> None:
        """Sleep until a descriptor (-1: none) is ready, with an eye on the session."""
        self._select([fd] if fd >= 0 else [], seconds)

    def bell(self, connection: wire.Connection, name: str, seconds: float) -> bool:
        """Block on a doorbell; whether it rang."""

        def ready(left: float) -> bool:
            return connection.pending() or self._select([connection.fileno()], left)

        # Redis ends the block by itself; two seconds more, then the line is taken for dead.
        reply = connection.wait_command(seconds + 2, ready, "BLPOP", name, f"{max(seconds, 0.05):.3f}")
        return reply is not None

    def _select(self, fds: list[int], seconds: float) -> bool:
        self.check()
        end = time.monotonic() + seconds
        watched = [self.watch.fd] if self.watch.fd >= 0 else []
        try:
            self._asleep = True
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                # Without a pidfd the process is looked at once a second.
                ready = select.select(fds + watched, [], [], left if watched else min(left, 1.0))[0]
                if any(fd in ready for fd in fds):
                    return True
                if ready or not self.watch.alive():
                    raise wire.Cancelled("the session is gone")
        finally:
            self._asleep = False


def jitter(seconds: float) -> float:
    """About so long: between 0.7 and 1.3 times (`random` would cost a hook 5 ms)."""
    return seconds * (0.7 + 0.6 * int.from_bytes(os.urandom(2), "big") / 65535)
