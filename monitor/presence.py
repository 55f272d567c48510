"""Says in Redis that this monitor runs, so that others know whether sessions are watched, and from where."""

from __future__ import annotations

import contextlib
import secrets
import threading

import redis

from pool import __version__, connect
from pool.settings import Settings

#: It is believed for so long (seconds), and says so three times in that.
TTL = 10.0


class Presence(threading.Thread):
    """Says so until it is ended. While Redis is away, it tries on: the hub says so in the log."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(name="presence", daemon=True)
        self._settings = settings
        self._url = url
        self._token = secrets.token_hex(8)
        self._over = threading.Event()
        self._pool = connect.pool(settings)

    def begin(self) -> None:
        """Say it once, and go on in a thread.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self._say(TTL)
        self.start()

    def run(self) -> None:
        """Say it again and again; at last, that it is over."""
        wait = TTL / 3
        while not self._over.wait(wait):
            try:
                self._say(TTL)
                wait = TTL / 3
            except redis.RedisError:
                wait = 1.0
        with contextlib.suppress(redis.RedisError):  # it is forgotten soon, in any case
            self._say(0.0)

    def _say(self, seconds: float) -> None:
        self._pool.attend(self._token, seconds, __version__, self._url)

    def end(self) -> None:
        """Say that it is over, if Redis answers at once."""
        self._over.set()
        self.join(timeout=2.0)
