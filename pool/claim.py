"""Small frozen values: who calls, what it holds, and what it was handed. Standard library only."""

from __future__ import annotations

from pool import payload, units
from pool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Caller:
    """A worker's registration: its id and its epoch ('' means the current one)."""

    __slots__ = ("epoch", "worker")

    def __init__(self, worker: str, epoch: str = "") -> None:
        self.worker = worker
        self.epoch = epoch


class Claim:
    """A worker's hold on one task, written ``TASK.TOKEN``. Without a token it is a bare task id."""

    __slots__ = ("queue", "task_id", "token")

    def __init__(self, task_id: str, token: str = "", queue: str = "") -> None:
        self.task_id = task_id
        self.token = token
        self.queue = queue

    def __str__(self) -> str:
        return f"{self.task_id}.{self.token}" if self.token else self.task_id

    @classmethod
    def parse(cls, text: str) -> Claim:
        """The claim in ``TASK.TOKEN`` or ``TASK``.

        Raises:
            UsageError: The text is neither.
        """
        task_id, _, token = text.partition(".")
        if not units.is_name(task_id) or (token and not units.is_name(token)):
            raise UsageError(f"{text[:80]!r} is not a task: write TASK.TOKEN as it was handed over")
        return cls(task_id, token)


class HandOver:
    """A task as it is handed to a session."""

    __slots__ = ("attempts", "claim", "data", "parked", "provisional", "title")

    def __init__(self, reply: list[bytes]) -> None:
        task, token, queue, self.data = (reply[2].decode(), reply[3].decode(), reply[4].decode(), reply[5])
        self.claim = Claim(task, token, queue)
        self.attempts = int(reply[6])
        self.provisional = reply[7] == b"1"
        self.parked = reply[8] == b"1"
        self.title = reply[9].decode("utf-8", "replace")

    @property
    def fields(self) -> dict[str, Any]:
        """What the task says (prompt, context, cwd ...).

        Raises:
            payload.NotATask: It is not a task of ours.
        """
        return payload.decode(self.data)
