"""The audit log: what operators did through the monitor, as events of type `operator` in pool:events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis

from monitor.redact import Redactor
from monitor.security import Caller
from pool import connect
from pool.settings import Settings

#: Wrong tokens of one address are noted at most once in so long (seconds), with how many there were.
_SELDOM = 10.0
_ADDRESSES = 256


class Audit:
    """Writes to the log. What is written has no secret in it."""

    def __init__(self, settings: Settings, redactor: Redactor, log: Callable[[str], None]) -> None:
        self._settings, self._redactor, self._log = settings, redactor, log
        self._pool = connect.pool(settings)
        self._lock = threading.Lock()
        #: By address: when it was noted last, and how many came since.
        self._failures: dict[str, tuple[float, int]] = {}

    def did(
        self, caller: Caller, what: str, target: str, outcome: str,
        task: str = "", worker: str = "", queue: str = "",
    ) -> None:  # fmt: skip
        """Note an action and what came of it.

        Raises:
            redis.RedisError: Redis is away.
        """
        said = (what, self._redactor.line(target, 200), self._redactor.line(outcome))
        self._pool.audit(*said, caller.role.name.lower(), caller.address, task, worker, queue)

    def failed(self, address: str) -> None:
        """Note that somebody came with a wrong token; it blocks for as long as Redis takes."""
        with self._lock:
            at, count = self._failures.get(address, (0.0, 0))
            now = time.monotonic()
            if at and now - at < _SELDOM:
                self._failures[address] = at, count + 1
                return
            self._failures.pop(address, None)
            if len(self._failures) >= _ADDRESSES:
                self._failures.pop(next(iter(self._failures)))
            self._failures[address] = now, 0
        more = f", and {count} times since it was noted last" if count else ""
        self._log(f"a wrong token came from {address}{more}")
        try:
            self._pool.audit("login", "", f"refused: a wrong token{more}", "nobody", address)
        except redis.RedisError as error:
            self._log(f"the audit log: {connect.trouble(self._settings, error)}")
