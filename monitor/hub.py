"""What happens, to all who listen: follows the stream of events, keeps the mirror, feeds subscribers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import redis

from monitor.mirror import START, Entry, Mirror, entry
from monitor.observer import Busy, Observer
from monitor.signals import POOL_EVENTS
from monitor.store import Store, attach
from pool import connect, events
from pool.sessions import Session
from pool.settings import Settings

#: Rows that a subscriber may be behind; then it is cut off, and comes back for them.
BEHIND = 2000
#: The stream is asked for so long at once, and Redis again so soon after a failure (seconds).
_BLOCK, _AGAIN = 0.25, 0.25
#: Rows that are told at once, at most.
_AT_ONCE = 200

RESET = "reset"


class Heard(NamedTuple):
    """Whether hooks are heard, since when that is so, and when one was heard last (0: never)."""

    alive: bool
    since: float
    last: float


class Subscription:
    """One listener's rows, as they come. It lives in the event loop."""

    def __init__(self, begin: Entry) -> None:
        #: It has what comes after this entry.
        self.begin = begin
        self.rows: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.over = False

    def put(self, row: dict[str, Any]) -> None:
        """A row for it; cut off when it is too far behind."""
        if self.over:
            return
        if self.rows.qsize() < BEHIND:
            self.rows.put_nowait(row)
            return
        while not self.rows.empty():
            self.rows.get_nowait()
        self.end()

    def waiting(self, most: int) -> list[dict[str, Any] | None]:
        """What is there already, oldest first."""
        return [self.rows.get_nowait() for _ in range(min(most, self.rows.qsize()))]

    def end(self) -> None:
        """No more rows."""
        self.over = True
        self.rows.put_nowait(None)


class Hub:
    """The mirror of all sessions, and the feed of events."""

    def __init__(self, settings: Settings, store: Store, log: Callable[[str], None]) -> None:
        self.settings = settings
        self.store = store
        self.mirror = Mirror()
        self.observer = Observer(store, self.mirror, log)
        self.log = log
        #: The newest entry that was handed out; '' why Redis does not answer.
        self.last = "0-0"
        self.away = ""
        #: The hook that was heard last, since this began.
        self.last_hook: dict[str, str] | None = None
        self._hooks_last = self._hooks_since = 0.0
        self._reader = connect.client(settings, socket_timeout=_BLOCK + 4.0)
        #: Rows that could not be taken into account, for Redis was away just then.
        self._unfolded: deque[dict[str, Any]] = deque(maxlen=BEHIND)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[Subscription] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tail", daemon=True)

    @property
    def sessions(self) -> dict[str, Session]:
        """All sessions by id. A thread that walks over them takes ``mirror.all()``."""
        return self.mirror.sessions

    def heard(self, now: float) -> Heard:
        """Whether hooks are heard, as of a moment."""
        last, timeout = self._hooks_last, self.settings.monitor_session_timeout
        if last and now - last < timeout:
            return Heard(True, self._hooks_since, last)
        return Heard(False, last and last + timeout, last)

    def followers(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    # -- its life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load what Redis has, and follow from there; within the running event loop.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self._loop = asyncio.get_running_loop()
        self._load()
        self.observer.start()
        self._fold(self.store.latest(self._counted(), self.last))
        self._thread.start()

    def close(self) -> None:
        """End every subscription: the service ends. In the event loop."""
        self._ending.set()
        for listener in list(self._listeners):
            listener.end()

    def stop(self) -> None:
        """End the threads."""
        self._ending.set()
        self.observer.stop()
        self._thread.join(timeout=_BLOCK + 1.0)

    def _load(self) -> None:
        newest = events.newest(self._reader)
        found, clients = self.store.load()
        self.mirror.fill(found, clients, entry(newest) or START)
        self._hooks_last = self._hooks_since = max((each.hooks_at for each in found), default=0.0)
        self.last = newest

    def _counted(self) -> str:
        """The newest entry of the pool's that counts in some session's record; '' where none does."""
        return max(
            (each.entry for each in self.mirror.all()), key=lambda text: entry(text) or START, default=""
        )

    # -- the tail (a thread of its own) -------------------------------------------------------------------

    def _follow(self) -> None:
        last = self.last
        while not self._ending.is_set():
            try:
                if self.away:
                    last = self._return(last)
                rows = events.after(self._reader, last, _BLOCK)
            except redis.RedisError as error:
                self._lost(error)
                continue
            self._once_more()
            if rows:
                last = rows[-1]["id"]
                self._take(rows)

    def _lost(self, error: redis.RedisError) -> None:
        if not self.away:
            self.away = str(connect.trouble(self.settings, error))
            self.log(self.away)
        self._ending.wait(_AGAIN)

    def _return(self, last: str) -> str:
        """Redis answers again: go on where it was, unless that is not there any more."""
        newest, oldest = events.newest(self._reader), self.store.oldest()
        whole = (entry(newest) or START) >= (entry(last) or START) >= (entry(oldest) or START)
        if not whole:
            self._load()
            last = self.last
            self._hand_out([{"id": last, "type": RESET}])
        self.away = ""
        self.log("Redis is back" + ("" if whole else ": what it has now was read anew"))
        return last

    def _take(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row.get("type") == "session":
                self._mirror(row)
        self._hand_out(rows)
        self._fold(rows)

    def _fold(self, rows: list[dict[str, Any]]) -> None:
        """Take into account what the pool says about its workers' sessions."""
        for row in rows:
            if row.get("type") in POOL_EVENTS and row.get("worker"):
                try:
                    self.observer.take(row).add_done_callback(partial(self._folded, row))
                except Busy:
                    self.log(f"too busy to take {row['type']} of {row['worker']} into account")

    def _folded(self, row: dict[str, Any], done: Future[Session | None]) -> None:
        """What Redis was away for is taken into account once more. (In the observer's thread.)"""
        if isinstance(done.exception(), redis.RedisError):
            self._unfolded.append(row)

    def _once_more(self) -> None:
        self._fold([self._unfolded.popleft() for _ in range(len(self._unfolded))])

    def _mirror(self, row: dict[str, Any]) -> None:
        place = entry(row["id"])
        assert place is not None
        if row.get("kind") == "forgotten":
            self.mirror.drop(row.get("session", ""), place)
            row.pop("record", None)
            return
        attach(row)
        record = row["record"]
        if record is not None:
            self.mirror.put(Session(**record), place)
            self._heard(row, record["hooks_at"])

    def _heard(self, row: dict[str, Any], at: float) -> None:
        if row.get("kind", "").partition(":")[0] in ("pool", "seen"):
            return
        self.last_hook = {"at": row["at"], "event": row["kind"], "session": row["session"]}
        if at - self._hooks_last >= self.settings.monitor_session_timeout:
            self._hooks_since = at
        self._hooks_last = max(at, self._hooks_last)

    def _hand_out(self, rows: list[dict[str, Any]]) -> None:
        loop = self._loop
        assert loop is not None
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._spread, rows)

    # -- subscribers (in the event loop) --------------------------------------------------------------------

    def _spread(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for listener in self._listeners:
                listener.put(row)
        self.last = rows[-1]["id"]

    @contextmanager
    def listening(self) -> Iterator[Subscription]:
        """A subscription to the rows that come from now on."""
        made = Subscription(entry(self.last) or START)
        if self._ending.is_set():
            made.end()
        self._listeners.add(made)
        try:
            yield made
        finally:
            self._listeners.discard(made)

    async def subscribe(self, last: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Rows as they happen: those after ``last`` first, where that is given, none missing and none twice.

        A row of type ``reset`` says that some after ``last`` are not there any more. It ends when the service
        does, and where whoever listens falls behind (`BEHIND` rows): come again with the last row's id.

        Raises:
            redis.RedisError: Redis is away, and ``last`` was given.
        """
        with self.listening() as live:
            async for rows in self.pages(live, last):
                for row in rows:
                    yield row

    async def pages(self, live: Subscription, last: str | None = None) -> AsyncIterator[list[dict[str, Any]]]:
        """The same for a subscription that was begun, by what is there at once."""
        done = live.begin
        if last is not None:
            async for old in self._replay(last, live.begin):
                yield old
            done = max(done, entry(last) or START) if await self._ahead(last) else done
        while not self._ending.is_set():
            rows = [await live.rows.get(), *live.waiting(_AT_ONCE)]
            news = [
                row for row in rows
                if row is not None and (row["type"] == RESET or (entry(row["id"]) or START) > done)
            ]  # fmt: skip
            if news:
                yield news
            if None in rows:
                return

    async def _ahead(self, last: str) -> bool:
        """Whether who listens is ahead of us: another monitor has told more already."""
        place = entry(last)
        if place is None or place <= (entry(self.last) or START):
            return False
        newest = await asyncio.to_thread(events.newest, self.store.connection)
        return place <= (entry(newest) or START)

    async def _replay(self, last: str, begin: Entry) -> AsyncIterator[list[dict[str, Any]]]:
        """What there is after ``last`` up to ``until``, in pages; with ``reset`` where that is not all."""
        until = "{}-{}".format(*begin)
        reset = [{"id": until, "type": RESET}]
        place = entry(last)
        if place is None or (place > begin and not await self._ahead(last)):
            yield reset
            return
        oldest = entry(await asyncio.to_thread(self.store.oldest)) or START
        if START < place < oldest:
            yield reset
            return
        pages = self.store.between(last, until)
        while not self._ending.is_set():
            page = await asyncio.to_thread(next, pages, None)
            if page is None:
                break
            yield [attach(row) for row in page]
        oldest = entry(await asyncio.to_thread(self.store.oldest)) or START
        if START < place < oldest:  # some may have been removed before they were read
            yield reset


def encode(row: dict[str, Any]) -> str:
    """A row as JSON."""
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False)
