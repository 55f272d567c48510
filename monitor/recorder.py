"""Counts once a minute what the pool's workers do (pool/activity.py), for the charts of the page."""

from __future__ import annotations

import threading
from collections.abc import Callable

import redis

from monitor.hub import Hub
from pool import activity, clock, connect
from pool.settings import Settings

#: It counts so long (seconds) after a minute has begun: hooks of the same moment are in by then.
_AFTER = 1.0


class Recorder:
    """A thread of its own. Redis that is away costs a minute's number, and nothing else."""

    def __init__(self, settings: Settings, hub: Hub, log: Callable[[str], None]) -> None:
        self.settings, self.hub, self.log = settings, hub, log
        self._connection = connect.client(settings)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def stop(self) -> None:
        """Count no more."""
        self._ending.set()
        self._thread.join(timeout=5.0)

    def record(self) -> bool:
        """Keep this minute's numbers; False if they are known already.

        Raises:
            redis.RedisError: Redis is away.
        """
        numbers = activity.counts(self.hub.mirror.all())
        return activity.keep(self._connection, numbers, self.settings.stats_ttl)

    def _run(self) -> None:
        while not self._ending.wait(60 - (clock.wall() - _AFTER) % 60):
            try:
                self.record()
            except redis.RedisError as error:
                self.log(f"this minute's numbers are lost: {connect.trouble(self.settings, error)}")
