"""How much anybody may ask of the service: rates, and the time and number of connections."""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pool.settings import Settings

#: A request's head is there so soon (seconds), and its body.
HEAD, BODY = 10.0, 20.0
#: Bytes of a request's head.
HEAD_SIZE = 32 * 1024
#: So many clients are told apart by the rate they ask at; those that were quiet longest are forgotten.
_CLIENTS = 4096


class Rates:
    """A bucket of tokens for each client: ``rate`` a second, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one; 0, or how long (seconds) there will be none."""
        left, then = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - then) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[client] = (left - 1 if not wait else left, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return wait


def room(settings: Settings) -> None:
    """Have the system allow as many connections as the settings do, as far as it lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.monitor_connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def protocol(settings: Settings) -> type[H11Protocol]:
    """uvicorn's protocol, which waits for a request's head without end, with an end to that.

    A connection beyond the setting ``monitor_connections`` is closed at once.
    """
    most = settings.monitor_connections

    class Bounded(H11Protocol):
        """Ends a connection that sends no whole head within `HEAD`."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """One more, or one too many."""
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
                return
            self._wait()

        def data_received(self, data: bytes) -> None:
            """Some of a head or of a body."""
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._wait()
            else:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            """No more."""
            self._stop()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._waiting is None:
                self._waiting = self.loop.call_later(HEAD, self._late)

        def _stop(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _late(self) -> None:
            self._waiting = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.abort()

    return Bounded
