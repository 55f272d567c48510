"""The one thread that changes records: signals are taken in their order, each from what the last has made."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import redis

from monitor import matching, states
from monitor.mirror import Mirror, entry
from monitor.signals import EVENTS, WITH_WORKER, Signal, from_pool
from monitor.store import Moved, Store
from pool import clock
from pool.sessions import Session

#: So many signals may wait; more are refused. (A session sends its next one when this has been answered.)
WAITING = 5000
#: A record that changes this often while it is being stepped is left as it is.
_TRIES = 20
#: After a failure, Redis counts as away for so long (seconds), so that nobody waits for it in vain.
_AWAY = 0.25
#: The same hook comes again within so long (seconds) where it is installed twice.
_TWICE = 1.0
#: So many hooks are remembered for that.
_REMEMBERED = 4096
#: What comes many times a second and says no more than that the session lives is written once in so long.
_CHATTER, _EACH = frozenset(("MessageDisplay", "FileChanged")), 1.0

_HOOKS = frozenset(EVENTS)


class Busy(Exception):
    """More comes in than can be taken; try again in a moment."""


class Observer:
    """Takes signals: finds whose each is, steps that session's record, and writes it."""

    def __init__(self, store: Store, mirror: Mirror, log: Callable[[str], None]) -> None:
        self.store = store
        self.mirror = mirror
        self._log = log
        #: What is done to a signal before anything is stored of it.
        self.hide: Callable[[Signal], Signal] = lambda signal: signal
        self._jobs: queue.SimpleQueue[tuple[Signal | dict[str, Any], Future[Session | None]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._away_until = 0.0
        self._away: redis.RedisError | None = None
        #: When each signal was heard (without its moment and its sender), and each session's last one.
        self._heard: OrderedDict[Signal, float] = OrderedDict()
        self._last: OrderedDict[str, Signal] = OrderedDict()

    def start(self) -> None:
        """Begin to take signals."""
        self._thread.start()

    def stop(self) -> None:
        """Take what was handed in, then end."""
        self._jobs.put(None)
        self._thread.join(timeout=1.0)

    def take(self, signal: Signal | dict[str, Any]) -> Future[Session | None]:
        """Hand in a signal, or a row of pool:events; what comes of it: the session's record.

        (None: it says nothing about a session.) The future raises redis.RedisError when Redis is away.

        Raises:
            Busy: Too many wait.
        """
        if self._jobs.qsize() >= WAITING:
            raise Busy(Busy.__doc__)
        done: Future[Session | None] = Future()
        self._jobs.put((signal, done))
        return done

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            given, done = job
            if not done.set_running_or_notify_cancel():
                continue  # whoever asked has given up
            try:
                done.set_result(self._one(given))
            except Exception as error:
                if not isinstance(error, redis.RedisError):
                    self._log(f"could not take a signal: {error!r}")
                done.set_exception(error)

    def _one(self, given: Signal | dict[str, Any]) -> Session | None:
        if self._away is not None and clock.mono() < self._away_until:
            raise self._away
        try:
            heard = given if isinstance(given, Signal) else self._of_pool(given)
            signal = self.hide(heard) if heard is not None else None
            found = None
            if signal is not None and signal.kind in _HOOKS:
                found = self._again(signal) or self._observe(signal)
                self._remember(signal)
            elif signal is not None:
                found = self._observe(signal)
        except redis.RedisError as error:
            self._away, self._away_until = error, clock.mono() + _AWAY
            raise
        self._away = None
        return found

    def _again(self, signal: Signal) -> Session | None:
        """The session's record, if this very hook was taken a moment ago: it is installed twice."""
        bare = _bare(signal)
        if clock.mono() - self._heard.get(bare, -_TWICE) > _TWICE:
            return None
        if not signal.tool_use_id and self._last.get(signal.session) != bare:
            return None  # (it may be so once more, after another that came in between)
        with self.mirror.lock:
            known = self.mirror.index.of_session(signal.session)
        return None if known is None or (signal.process and not known.process) else known

    def _remember(self, signal: Signal) -> None:
        bare = _bare(signal)
        self._heard[bare], self._last[signal.session] = clock.mono(), bare
        self._heard.move_to_end(bare)
        self._last.move_to_end(signal.session)
        for kept in (self._heard, self._last):
            if len(kept) > _REMEMBERED:
                kept.popitem(last=False)

    def _of_pool(self, row: dict[str, Any]) -> Signal | None:
        worker = str(row.get("worker", ""))
        known = self.store.worker(worker) if row.get("type") in WITH_WORKER and worker else None
        title = self.store.title(str(row["task"])) if row.get("type") == "claimed" else ""
        found = from_pool(row, known, title)
        # (Redis' clock may be ahead of ours; what is still to come would outweigh every look around.)
        return found and replace(found, at=min(found.at, clock.wall()))

    def _observe(self, signal: Signal) -> Session:
        with self.mirror.lock:
            index = self.mirror.index
            signal = matching.related(signal, index)
            known = matching.find(signal, index)
            before = index.sessions[known] if known is not None else matching.new(signal, index)
            absorbed = matching.absorbed(signal, index)
        for _ in range(_TRIES):
            start = matching.merge(signal.worker, absorbed, before) if absorbed is not None else before
            after = states.step(start, signal)
            if after is before and before.revision:
                return before
            if signal.kind in _CHATTER and _alike(start, after) and signal.at - start.hooks_at < _EACH:
                return before
            after = replace(after, revision=start.revision + 1)
            try:
                at = self.store.observe(before, after, signal, absorbed)
            except Moved as moved:
                if absorbed is not None and moved.id == absorbed.id:
                    absorbed = moved.session
                elif moved.session is not None:
                    before = moved.session
                else:
                    before = replace(before, revision=0)
                continue
            place = entry(at)
            assert place is not None
            if absorbed is not None:
                self.mirror.drop(absorbed.id, place)
            self.mirror.put(after, place)
            return after
        raise Busy(f"the record of {before.id} changes too fast")


def _bare(signal: Signal) -> Signal:
    """The signal without its moment and who has sent it."""
    return replace(signal, at=0.0, process="", ancestors=(), pid=0, host="")


def _alike(before: Session, after: Session) -> bool:
    """Whether nothing is different but when it was heard of."""
    return replace(
        after, evidence=before.evidence, evidence_at=before.evidence_at, hooks_at=before.hooks_at,
        revision=before.revision,
    ) == before  # fmt: skip
