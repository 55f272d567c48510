"""Triggers: a message becomes a task. Published (heard by who listens) or added to a stream (kept).

Whoever can publish must not thereby run shell: a trigger sets text, title, queue and priority; other
fields only where the operator's allow-list (setting trigger_allow) names them. A bad message goes to
the dead letters with its reason (design section 8).
"""

from __future__ import annotations

import json
from typing import Any

import redis

from coordinator import submission
from pool import model, scripts
from pool.errors import CoordError, TaskExists, UsageError
from pool.settings import Settings

#: What any trigger may set.
SAFE = frozenset(("prompt", "title", "queue", "priority"))
DEAD_LETTERS = "pool:dead-letters"
GROUP = "coord"
#: Messages of another consumer are taken over after so long (milliseconds).
_STALE_MS = 5000


def parse(message: bytes, settings: Settings, task_id: str = "") -> model.TaskSpec:
    """The task that a message asks for.

    Raises:
        UsageError: It is too large, not text, not valid JSON, or asks for what it may not.
    """
    if len(message) > settings.trigger_limit:
        raise UsageError(f"it has {len(message):,} bytes, the limit is {settings.trigger_limit:,} (setting trigger_limit)")
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("it is not UTF-8 text") from None
    fields: dict[str, Any] = {"prompt": text}
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UsageError(f"it starts with {{ but is not valid JSON: {error}") from None
        fields = dict(value)
        for alias in ("text", "task"):
            if alias in fields and "prompt" not in fields:
                fields["prompt"] = fields.pop(alias)
        for name in fields:
            if name not in SAFE and name not in settings.trigger_allow:
                raise UsageError(f"it may not set {name!r} (the setting trigger_allow names what a trigger may set)")
    if task_id and "id" not in fields:
        fields["id"] = task_id
    return model.parse_spec(fields)


class Triggers:
    """Both kinds of trigger, for the leader's tick."""

    def __init__(self, connection: redis.Redis, pool: scripts.Pool, settings: Settings, name: str) -> None:
        self.connection = connection
        self.pool = pool
        self.settings = settings
        self.name = name
        self.group_made = False

    def take(self, message: bytes, source: str, task_id: str = "") -> str:
        """Make a task of one message, or a dead letter; what became of it, in a line."""
        try:
            spec = parse(message, self.settings, task_id)
            done = submission.submit(self.pool, self.settings, [spec])[0]
            return f"{source}: task {done.id} {done.status}"
        except TaskExists:
            return f"{source}: task {task_id} is there already"  # a message read twice
        except CoordError as error:
            self.connection.xadd(
                DEAD_LETTERS,
                {"kind": "trigger", "task": "", "queue": "", "reason": str(error), "payload": message[:4096]},
                maxlen=self.settings.event_limit,
                approximate=True,
            )
            return f"{source}: refused: {error}"

    def read_stream(self) -> list[str]:
        """The stream's messages that nobody has acknowledged: each becomes one task, then is acknowledged.

        The task's id comes from the message's, so that a message read twice is one task.
        """
        stream = self.settings.trigger_stream
        if not self.group_made:
            try:
                self.connection.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            self.group_made = True
        said = []
        try:
            claimed = self.connection.xautoclaim(stream, GROUP, self.name, _STALE_MS, count=100)[1]
            fresh = self.connection.xreadgroup(GROUP, self.name, {stream: ">"}, count=100)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self.group_made = False  # somebody deleted the stream: made again at the next tick
            return []
        entries = [*claimed, *(entry for _, page in fresh or [] for entry in page)]
        for entry_id, raw in entries:
            if raw:
                task_id = "trigger-" + entry_id.decode()
                said.append(self.take(_message(raw), "stream", task_id))
            self.connection.xack(stream, GROUP, entry_id)
        return said


def _message(raw: dict[bytes, bytes]) -> bytes:
    """The message of a stream's entry: its field `task` (or its only one); several are a JSON task."""
    if b"task" in raw and len(raw) == 1:
        return raw[b"task"]
    if len(raw) == 1:
        return next(iter(raw.values()))
    fields = {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in raw.items()}
    return json.dumps(fields).encode()
