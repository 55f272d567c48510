"""What every function of an operator's works with."""

from __future__ import annotations

import redis

from pool import connect, scripts
from pool.settings import Settings


class Context:
    """The settings in force, a client and the transitions on it."""

    def __init__(self, settings: Settings, connection: redis.Redis) -> None:
        self.settings = settings
        self.connection = connection
        self.pool: scripts.Pool = connect.pool(settings, connection)

    def led(self) -> bool:
        """Whether a coordinator acts."""
        return bool(self.connection.exists("pool:leader"))
