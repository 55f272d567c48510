"""Triggers: a message becomes a task. Published (heard by who listens) or added to a stream (kept).

Whoever can publish must not thereby run shell: a trigger sets text, title, queue and priority; other
fields only where the operator's allow-list (setting trigger_allow) names them. A bad message goes to
the dead letters with its reason (design section 8).
"""

from __future__ import annotations

import json
from typing import Any

import redis

from pool import events, model, scripts
from pool.errors import CoordError, TaskExists, UsageError
from pool.operate import submission
from pool.settings import Settings

#: What any trigger may set.
SAFE = frozenset(("prompt", "title", "queue", "priority", "finish"))
GROUP = "coord"
#: Messages of another consumer are taken over after so long (milliseconds).
_STALE_MS = 5000


def parse(message: bytes, settings: Settings, own_id: str = "") -> model.TaskSpec:
    """The task that a message asks for.

    Raises:
        UsageError: It is too large, not text, not valid JSON, or asks for what it may not.
    """
    if len(message) > settings.trigger_limit:
        limit = f"the limit is {settings.trigger_limit:,} (setting trigger_limit)"
        raise UsageError(f"it has {len(message):,} bytes, {limit}")
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("it is not UTF-8 text") from None
    fields: dict[str, Any] = {"prompt": text}
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except RecursionError:
            raise UsageError("it starts with { but is nested too deeply") from None
        except ValueError as error:  # JSONDecodeError, or a number of too many digits
            raise UsageError(f"it starts with {{ but is not valid JSON: {error}") from None
        fields = dict(value)
        for alias in ("text", "task"):
            if alias in fields and "prompt" not in fields:
                fields["prompt"] = fields.pop(alias)
        for name in fields:
            if name not in SAFE and name not in settings.trigger_allow:
                allowed = "the setting trigger_allow names what a trigger may set"
                raise UsageError(f"it may not set {name[:60]!r} ({allowed})")
    if own_id and "id" not in fields:
        fields["id"] = own_id
    return model.parse_spec(fields)


class Triggers:
    """Both kinds of trigger, for the leader's tick."""

    def __init__(self, connection: redis.Redis, pool: scripts.Pool, settings: Settings, name: str) -> None:
        self.connection = connection
        self.pool = pool
        self.settings = settings
        self.name = name
        self.group_made = False

    def take(self, message: bytes, source: str, own_id: str = "") -> str:
        """Make a task of one message, or a dead letter; what became of it, in a line."""
        spec: model.TaskSpec | None = None
        try:
            spec = parse(message, self.settings, own_id)
            done = submission.submit(self.pool, self.settings, [spec])[0]
            return f"{source}: task {done.id} {done.status}"
        except CoordError as error:
            if isinstance(error, TaskExists) and spec is not None and spec.id == own_id:
                return f"{source}: task {own_id} is there already"  # a message read twice
            self.connection.xadd(
                events.DEAD_LETTERS,
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
            # What was read and never acknowledged (by one that died, or before an outage), and what is new.
            stale: Any = self.connection.xautoclaim(stream, GROUP, self.name, _STALE_MS, count=100)
            fresh: Any = self.connection.xreadgroup(GROUP, self.name, {stream: ">"}, count=100)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self.group_made = False  # somebody deleted the stream: made again at the next tick
            return []
        for entry_id, raw in [*stale[1], *(entry for _, page in fresh or [] for entry in page)]:
            if raw:
                said.append(self.take(_message(raw), "stream", task_id(entry_id)))
            self.pool.connection.execute_command("XACK", stream, GROUP, entry_id)
            self.connection.xdel(stream, entry_id)  # else the stream would grow for ever
        return said


def task_id(entry_id: bytes) -> str:
    """The id of the task that a stream's entry becomes."""
    return "trigger-" + entry_id.decode()


def _message(raw: dict[bytes, bytes]) -> bytes:
    """The message of a stream's entry: its field `task`; several fields are a task like one in JSON."""
    if b"task" in raw and len(raw) == 1:
        return raw[b"task"]
    fields = {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in raw.items()}
    return json.dumps(fields).encode()
