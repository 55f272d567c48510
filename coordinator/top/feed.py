"""Reads the board beside the screen: a Redis that hangs or is away holds up no key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from coordinator.top.board import Board, Reader
from pool import connect
from pool.errors import CoordError
from pool.settings import Settings

#: At most so many pictures a second, however much happens.
_APART = 0.25
#: Waits so long for an event, and after a failure (seconds).
_PATIENCE = 1.0


@dataclass(frozen=True)
class News:
    """The newest board (None: none yet), and why Redis cannot be asked now ('': it can)."""

    board: Board | None = None
    trouble: str = ""


class Feed(threading.Thread):
    """Follows the pool's events in a thread of its own, and calls ``wake`` when there is something new."""

    def __init__(self, settings: Settings, wake: Callable[[], None], everyone: bool = False) -> None:
        super().__init__(name="feed", daemon=True)
        self.news = News()
        self._settings = settings
        self._wake = wake
        self._everyone = everyone
        self._over = threading.Event()

    def end(self) -> None:
        """Ask it to end; it does within a second or two."""
        self._over.set()

    def run(self) -> None:
        """Read until the end; through outages too."""
        while not self._over.is_set():
            try:
                # (Anew each time: the embedded Redis may have come back on another port.)
                with connect.client(self._settings) as connection:
                    self._follow(Reader(connection, self._everyone))
            except redis.RedisError as error:
                self._say(News(self.news.board, str(connect.trouble(self._settings, error))))
            except CoordError as error:
                self._say(News(self.news.board, str(error)))
            self._over.wait(_PATIENCE)

    def _follow(self, reader: Reader) -> None:
        self._say(News(reader.whole()))
        shown = time.monotonic()
        while not self._over.is_set():
            if reader.wait(_PATIENCE):
                self._over.wait(_APART - (time.monotonic() - shown))
                self._say(News(reader.board()))
                shown = time.monotonic()

    def _say(self, news: News) -> None:
        self.news = news
        self._wake()
