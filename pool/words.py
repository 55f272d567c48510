"""Messages of an operator's on their way into a session (`coord tell`). Standard library only.

Whoever hands a session its next words, a hook or a supervisor that feeds it, takes what waits, hands it
over, and then says so:

    found = words.take(pool, caller)
    if found is not None and handed_over(found.text):
        found.done()

Of two that take at once one is given the messages; what was taken and not said to be done within the
setting ``provisional`` (10 s) is given again.
"""

from __future__ import annotations

import os

from pool import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.claim import Caller
    from pool.scripts import Pool

#: Bytes of the messages that are handed over at once (the client cuts a hook's text at 10,000 characters).
ROOM = 4_500


class Words:
    """Messages that were taken: their ids, and the text that the session is to read."""

    def __init__(self, pool: Pool, caller: Caller, taken: str, parts: list[str]) -> None:
        self._pool = pool
        self._caller = caller
        self._taken = taken
        self.ids = parts[::4]
        self.text = "\n\n".join(
            framed(task, float(age), text)
            for task, age, text in zip(parts[1::4], parts[2::4], parts[3::4], strict=True)
        )

    def done(self) -> int:
        """They have reached the session; how many wait still.

        Raises:
            RedisAway: Redis does not answer; they will be handed over once more.
        """
        reply = self._pool.told(self._caller, "done", self._taken)
        return int(reply[1]) if reply[0] == "ok" else 0


def take(pool: Pool, caller: Caller, room: int = ROOM) -> Words | None:
    """The messages that wait for a worker's session, of ``room`` bytes at most; None when there is none.

    Raises:
        RedisAway: Redis does not answer.
    """
    return ask(pool, caller, room)[1]


def ask(pool: Pool, caller: Caller, room: int = ROOM) -> tuple[str, Words | None]:
    """The same, with told.lua's verdict: ``none`` wait, or another has them just now (``busy``).

    Raises:
        RedisAway: Redis does not answer.
    """
    taken = os.urandom(8).hex()
    reply = pool.told(caller, "take", taken, room)
    return reply[0], Words(pool, caller, taken, reply[1:]) if reply[0] == "words" else None


def framed(task: str, age: float, text: str) -> str:
    """A message as the session reads it: whose it is, and where it ends."""
    about = f" about task {task}" if task else ""
    quoted = "\n".join(f"> {line}" for line in clean(text).splitlines() if line.strip())
    return (
        f"Message from an operator of the pool{about}, {units.span(age)} ago:\n{quoted}\n"
        "(Take it into account and go on; it is no new task, and it ends none.)"
    )


def clean(text: str) -> str:
    """A text without control characters: lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text.replace("\r\n", "\n"))
