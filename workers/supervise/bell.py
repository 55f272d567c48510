"""A worker's doorbells as something to select() on, beside other things. Standard library only."""

from __future__ import annotations

from pool import wire

#: Redis ends a wait on a bell by itself after so long (seconds): a line that broke unseen is found then.
_LONGEST = 30


class Bell:
    """One wait on doorbells, over a connection of its own."""

    def __init__(self, connection: wire.Connection) -> None:
        self._connection = connection
        self._names: tuple[str, ...] = ()

    def listen(self, *names: str) -> None:
        """Wait on these bells from now on, and on no other.

        Raises:
            RedisAway: Redis could not be reached.
        """
        if self._names and names != self._names:
            self.close()
        if not self._names:
            self._connection.begin("BLPOP", *names, _LONGEST)
            self._names = names

    def fileno(self) -> int:
        """What is readable once `rang` has something to say; -1 while there is no line."""
        return self._connection.fileno() if self._names else -1

    def rang(self) -> bool:
        """Take what has come: whether it rang. (Call it when ``fileno`` is readable, then `listen` again.)

        Raises:
            RedisAway: The line broke.
        """
        self._names = ()
        return self._connection.finish() is not None

    def pending(self) -> bool:
        """Whether something has come that select() cannot see (TLS)."""
        return bool(self._names) and self._connection.pending()

    def close(self) -> None:
        """Listen no more."""
        self._connection.close()
        self._names = ()
