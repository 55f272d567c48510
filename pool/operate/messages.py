"""Telling a working session something."""

from __future__ import annotations

from dataclasses import dataclass

from pool.errors import UnknownWorker, UsageError, WrongState
from pool.operate.context import Context

#: So many messages may wait for one session.
MOST = 32


@dataclass(frozen=True)
class Sent:
    """A message (its id), its worker and the task it was sent to; the worker's state, and what it holds."""

    message: str
    worker: str
    task: str | None
    state: str
    holds: str | None


def tell(ctx: Context, target: str, text: str, wake: bool = False) -> Sent:
    """Send a message to a live worker, or to the one that holds a task.

    Raises:
        UnknownWorker: There is neither such a worker nor such a task.
        WrongState: The worker is gone, or no worker of the pool has the task.
        UsageError: The text is none or too long, too many messages wait already, or the worker's coord is
            too old. Nothing was sent.
    """
    text = _checked(text, ctx.settings.message_limit)
    reply = ctx.pool.tell(target, text, wake, MOST)
    verdict = reply[0]
    if verdict == "unknown":
        raise UnknownWorker(f"{target!r} is neither a live worker nor a task: `coord workers`, `coord tasks`")
    if verdict == "gone":
        raise WrongState(f"worker {target} is {reply[1]}: nothing was sent")
    if verdict == "idle":
        why = "runs in no session of the pool" if reply[1] == "started" else f"does not run, it is {reply[1]}"
        raise WrongState(f"task {target} {why}: nothing was sent")
    if verdict == "old":
        raise WrongState(f"worker {reply[1]} runs an older coord, which hears no messages: nothing was sent")
    if verdict == "full":
        raise UsageError(f"{reply[2]} messages wait for worker {reply[1]} already: nothing was sent")
    return Sent(reply[1], reply[2], reply[3] or None, reply[4], reply[5] or None)


def _checked(text: str, limit: int) -> str:
    """The message, within its bound."""
    try:
        size = len(text.strip().encode())
    except UnicodeError:
        raise UsageError("the message is not text (UTF-8); nothing was sent") from None
    if not size:
        raise UsageError("the message is empty; nothing was sent")
    if size > limit:
        raise UsageError(
            f"the message has more than {limit:,} bytes (setting message_limit); nothing was sent: "
            "shorten it, or name a file in it"
        )
    return text.strip()
