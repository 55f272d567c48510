"""Which deferred tasks will not run as things stand, and because of which failed or cancelled task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import redis

from pool import keys

#: Chains of tasks are followed so far.
_DEEPEST = 100
_FAILED = frozenset((b"failed", b"stopped"))


class Parents:
    """What deferred tasks wait for, read level by level: a round trip for each."""

    def __init__(self, connection: redis.Redis, deferred: Mapping[str, tuple[list[str], bool]]) -> None:
        """``deferred`` has what was read already: the tasks asked about, their parents, and whether a parent
        may fail."""
        self._tasks: dict[str, tuple[bytes | None, list[str], bool]] = {
            name: (b"deferred", parents, allow) for name, (parents, allow) in deferred.items()
        }
        self._causes: dict[str, list[str]] = {}
        level = self._above(deferred)
        for _ in range(_DEEPEST):
            if not level:
                return
            pipe = connection.pipeline(transaction=False)
            for task_id in level:
                names = ["status", "dependency_ids", "allow_dependency_failures"]
                pipe.hmget(keys.key("job", task_id), names)
            for task_id, (status, raw, allow) in zip(level, pipe.execute(), strict=True):
                parents = ids(raw) if status == b"deferred" else []
                self._tasks[task_id] = status, parents, allow == b"1"
            level = self._above(level)

    def _above(self, level: Iterable[str]) -> list[str]:
        """The parents of these that are not known yet."""
        above = {parent for task_id in level for parent in self._tasks[task_id][1]}
        return sorted(above - self._tasks.keys())

    def causes(self, task_id: str) -> list[str]:
        """The ended tasks, near or far above it, because of which a deferred task will not run."""
        if task_id not in self._causes:
            self._causes[task_id] = []  # (a circle, which only another program can make, has no cause)
            _, parents, allow = self._tasks[task_id]
            found: set[str] = set()
            for parent in parents:
                status = self._tasks.get(parent, (None, [], False))[0]
                if status == b"canceled" or (status in _FAILED and not allow):
                    found.add(parent)
                elif status == b"deferred":
                    found.update(self.causes(parent))
            self._causes[task_id] = sorted(found)
        return self._causes[task_id]


def ids(raw: Any) -> list[str]:
    """The parents in a job's ``dependency_ids``; none where that is no list."""
    try:
        return [str(each) for each in json.loads(raw or b"[]")]
    except (ValueError, TypeError):
        return []
