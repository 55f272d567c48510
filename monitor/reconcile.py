"""A look around for what no hook reports: deaths, interrupts, sessions without hooks, and silence.

`conclude` is pure: what was seen, and what is known, make signals. `Reconciler` looks and hands them in:
when a known process of this machine ends, at once; else every minute, or every two seconds while no hook is
heard.
"""

from __future__ import annotations

import math
import os
import resource
import select
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from monitor import matching, registry, signals, states
from monitor.hub import Hub
from monitor.observer import Busy
from monitor.registry import Entry
from monitor.signals import Signal
from monitor.store import Store
from pool import clock, process
from pool.sessions import Confidence, Session, State
from pool.settings import Settings

#: One of which nothing can be seen from here is let go of after so long a silence (seconds): a tool may run
#: for hours without a word, and a session at its prompt be left for a day.
SILENCE, AT_ITS_PROMPT = 6 * 3600.0, 24 * 3600.0
#: States in which a session would be heard of before long.
_BUSY = frozenset(
    (State.STARTING, State.WORKING, State.TOOL, State.COMPACTING, State.WAITING, State.DRAINING)
)
#: Records forgotten in one round.
_FORGET = 500
#: Signals that are handed in at once, and how long they may take (seconds).
_AT_ONCE, _PATIENCE = 20, 10.0
#: Workers that are asked for in one round trip.
_PAGE = 500


@dataclass(frozen=True)
class View:
    """What there is to see, at one moment (seconds since 1970)."""

    at: float
    #: Processes of which it can be told from here whether they live: their keys begin so.
    here: str
    #: Keys of those that live, of the sessions that are known.
    alive: frozenset[str] = frozenset()
    #: Claude Code's own files, of those that live.
    entries: tuple[Entry, ...] = ()
    #: The pool's workers: their hashes. (None: the pool was not asked.)
    workers: Mapping[str, Mapping[str, str]] | None = None
    #: Of processes that nobody has known until now: those above them.
    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def heard(sessions: Sequence[Session]) -> float:
    """When a hook was heard last, of any session; 0: never."""
    return max((each.hooks_at for each in sessions), default=0.0)


def polling(sessions: Sequence[Session], settings: Settings, now: float) -> bool:
    """Whether polling stands in for hooks: none has been heard for `monitor_session_timeout`."""
    return settings.monitor_fallback_polling and now - heard(sessions) > settings.monitor_session_timeout


def unheard(sessions: Sequence[Session], settings: Settings, now: float) -> list[Session]:
    """The sessions that live, and of which no hook was heard for so long: a look tells more of them."""
    if not settings.monitor_fallback_polling:
        return []
    before = now - settings.monitor_session_timeout
    return [each for each in sessions if each.hooks_at < before and not _ended(each)]


def conclude(sessions: Sequence[Session], view: View, settings: Settings) -> list[Signal]:
    """The signals in what was seen."""
    found = [entry.signal(view.at, view.above.get(entry.process, ())) for entry in view.entries]
    if view.workers is not None:
        found += [signals.from_worker(name, raw, view.at) for name, raw in view.workers.items() if raw]
    files = {entry.process: entry for entry in view.entries}
    newest: dict[str, Session] = {}
    for each in sessions:
        if each.process and each.started_at >= newest.get(each.process, each).started_at:
            newest[each.process] = each
    for each in sessions:
        if not _ended(each):
            found += _of_one(each, view, settings, files.get(each.process), newest.get(each.process, each))
    return found


def _ended(session: Session) -> bool:
    return session.state is State.DEAD or bool(session.ended_at)


def _of_one(
    session: Session, view: View, settings: Settings, file: Entry | None, newest: Session
) -> list[Signal]:
    if session.process.startswith(view.here + "-"):
        if session.process not in view.alive:
            return [about(session, "seen:gone", view.at)]
        if newest.id != session.id:
            return [about(session, "seen:replaced", view.at)]
        quiet = view.at - max(session.hooks_at, session.evidence_at)
        if file is not None and file.status == "idle" and quiet > settings.monitor_session_timeout:
            if session.task and session.state is not State.STUCK:
                return [about(session, "seen:stuck", view.at)]
        elif session.confidence is Confidence.STALE:
            return [about(session, "seen:alive", view.at)]
        return []
    if session.serves and view.workers is not None:
        known = view.workers.get(session.worker)
        return [] if known else [about(session, "seen:lost", view.at, "the pool knows it no more")]
    return _unseen(session, view.at, settings)


def _unseen(session: Session, at: float, settings: Settings) -> list[Signal]:
    """Another machine's, or one whose process is not known: there is only its silence to go by."""
    silent = at - max(session.hooks_at, session.evidence_at, session.started_at)
    if silent > (SILENCE if session.state in _BUSY else AT_ITS_PROMPT):
        return [about(session, "seen:lost", at)]
    if silent > settings.monitor_session_timeout and session.state in _BUSY:
        return [about(session, "seen:silent", at)] if session.confidence is not Confidence.STALE else []
    return []


def about(session: Session, kind: str, at: float, detail: str = "") -> Signal:
    """A signal about a session that is known."""
    return Signal(kind, at, id=session.id, session=session.session, process=session.process, detail=detail)


class Reconciler:
    """Looks around, in a thread of its own."""

    def __init__(self, settings: Settings, hub: Hub, store: Store, log: Callable[[str], None]) -> None:
        self.settings = settings
        self.hub = hub
        self.store = store
        self._log = log
        self._reader = registry.Reader()
        self._here = f"{process.boot_id()}-{process.namespace()}"
        self._watches: dict[str, process.Watch] = {}
        self._poll = select.poll() if hasattr(os, "pidfd_open") else None
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(16, min(soft, 65536) // 4)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self._problem = ""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        self._thread.join(timeout=5.0)

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        last, short = -math.inf, self.settings.monitor_polling_interval
        while not self._ending.is_set():
            sessions, now = self.hub.mirror.all(), clock.wall()
            long = self.settings.monitor_polling_interval_with_hooks
            interval = short if polling(sessions, self.settings, now) else long
            if clock.mono() - last >= interval:
                last = clock.mono()
                self._round(sessions, whole=True)
            elif quiet := [each for each in unheard(sessions, self.settings, now) if self._tells(each)]:
                self._round(quiet, whole=False)
            self._watch(sessions)
            self._await(min(short, interval))
        for key in list(self._watches):
            self._unwatch(key)

    def _tells(self, session: Session) -> bool:
        """Whether a look from here tells anything of it but its silence."""
        return bool(session.serves) or session.process.startswith(self._here + "-")

    def _round(self, sessions: Sequence[Session], whole: bool) -> None:
        """One look, at everything or at these; what cannot be seen now is left to the next."""
        try:
            self._tell(conclude(sessions, self.look(sessions, whole), self.settings))
            if whole:
                self._forget(sessions)
            self._problem = ""
        except Exception as error:  # (whatever it is, the next look may be better; this thread must go on)
            if repr(error) != self._problem:
                self._log(f"cannot look around: {error!r}")
            self._problem = repr(error)

    def _tell(self, found: Sequence[Signal]) -> None:
        """Hand in what is news, a few at a time: a hook that comes in meanwhile does not wait for all of it.

        Raises:
            redis.RedisError: Redis is away.
            TimeoutError: It takes too long.
        """
        mirror = self.hub.mirror
        given = 0
        for signal in found:
            with mirror.lock:
                known = mirror.sessions.get(matching.find(signal, mirror.index) or "")
            if known is None or states.step(known, signal) is not known:
                taken, given = self.hub.observer.take(signal), given + 1
                if given % _AT_ONCE == 0:
                    taken.result(timeout=_PATIENCE)

    def look(self, sessions: Sequence[Session], whole: bool = True) -> View:
        """What there is to see now; of the pool, its live workers and those of these sessions (``whole``).

        Raises:
            redis.RedisError: Redis is away.
        """
        at = clock.wall()
        entries = self._reader.read(registry.folders(self.settings))
        known = {each.process for each in self.hub.mirror.all()}
        looked = {each.process for each in sessions if not _ended(each)}
        alive = {each for each in looked if each.startswith(self._here + "-") and _lives(each)}
        names = {each.worker for each in sessions if each.worker and each.serves}
        return View(
            at=at,
            here=self._here,
            alive=frozenset(alive | {entry.process for entry in entries}),
            entries=tuple(entries),
            workers=_workers(self.store.connection, names, whole),
            above={
                entry.process: tuple(filter(None, map(process.key, process.ancestors(entry.pid))))
                for entry in entries
                if entry.process not in known
            },
        )

    def _forget(self, sessions: Sequence[Session]) -> None:
        """Those that have ended long ago."""
        before = clock.wall() - self.settings.worker_memory
        old = [each for each in sessions if _ended(each) and max(each.ended_at, each.hooks_at) < before]
        for each in old[:_FORGET]:
            self.store.forget(each)

    # -- deaths on this machine, at once -------------------------------------------------------------------

    def _watch(self, sessions: Sequence[Session]) -> None:
        """Watch the processes of the sessions that live here, and no others."""
        wanted = {
            each.process for each in sessions if not _ended(each) and each.process.startswith(self._here)
        }
        for gone in self._watches.keys() - wanted:
            self._unwatch(gone)
        for key in wanted - self._watches.keys():
            if self._poll is None or len(self._watches) >= self._most:
                return  # the next look finds out
            watch = process.Watch(int(key.split("-")[2]), key)
            if watch.fd < 0 or not watch.alive():
                watch.close()
                self._died(key)
                continue
            self._watches[key] = watch
            self._poll.register(watch.fd, select.POLLIN)

    def _unwatch(self, key: str) -> None:
        watch = self._watches.pop(key)
        if self._poll is not None:
            self._poll.unregister(watch.fd)
        watch.close()

    def _await(self, seconds: float) -> None:
        """Wait so long, or for a death."""
        if self._poll is None or not self._watches:
            self._ending.wait(seconds)
            return
        end = clock.mono() + seconds
        while not self._ending.is_set() and (left := end - clock.mono()) > 0:
            if self._poll.poll(min(left, 0.5) * 1000):
                for key in [key for key, watch in self._watches.items() if not watch.alive()]:
                    self._unwatch(key)
                    self._died(key)
                return

    def _died(self, key: str) -> None:
        for each in self.hub.mirror.all():
            if each.process == key and not _ended(each) and not _lives(key):
                try:
                    self.hub.observer.take(about(each, "seen:gone", clock.wall()))
                except Busy as error:
                    self._log(f"the end of {each.id} is left to the next look: {error}")


def _workers(connection: redis.Redis, names: set[str], whole: bool) -> dict[str, dict[str, str]]:
    """The hashes of these workers, and (``whole``) of all that live."""
    live: Any = connection.zrange("pool:workers", 0, -1) if whole else []
    wanted = sorted(names | {each.decode("utf-8", "replace") for each in live})
    found: dict[str, dict[str, str]] = {}
    for first in range(0, len(wanted), _PAGE):
        page = wanted[first : first + _PAGE]
        pipe = connection.pipeline(transaction=False)
        for name in page:
            pipe.hgetall(f"pool:worker:{name}")
        for name, raw in zip(page, pipe.execute(), strict=True):
            found[name] = {key.decode(): value.decode("utf-8", "replace") for key, value in raw.items()}
    return found


def _lives(key: str) -> bool:
    parts = key.split("-")
    return len(parts) == 4 and parts[2].isdigit() and process.start_time(int(parts[2])) == parts[3]
