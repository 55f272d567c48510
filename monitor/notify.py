"""Tells people when a session waits for one of them, or a task has failed for good.

Each channel has a thread: it notes what is to be told (notice.lua: once, whoever else looks), takes what is
due (deliver.lua) and says what became of it (delivered.lua). What waits lies in Redis, so a restart loses
none, and several monitors on one Redis tell each thing once.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import redis

from monitor import channels
from monitor.message import Message, Writer
from monitor.redact import Redactor
from pool import clock, connect, scripts
from pool.errors import CoordError
from pool.sessions import Session, State
from pool.settings import Settings

#: Seconds between two looks; and after a failure of Redis'.
LOOK, AGAIN = 1.0, 2.0
#: What is older than this (seconds) is not told any more: nobody looked meanwhile.
HISTORY = 86400.0
#: Notifications that wait at most, and of which one is made at most.
MOST, TOGETHER = 500, 200
#: A notification that a sender has taken is another's after so long (seconds).
TAKEN = 3 * channels.TIMEOUT
#: How often one is tried by each channel, and the longest wait between two tries (seconds).
TRIES = {"desktop": 2, "webhook": 10, "browser": 1}
LONGEST = 300.0

Sessions = Callable[[], Iterable[Session]]


class Notifier:
    """The channels that are on."""

    def __init__(
        self, settings: Settings, sessions: Sessions, log: Callable[[str], None], secrets: Iterable[str] = ()
    ) -> None:
        self._log, self._lacks = log, ""
        names = chosen(settings)
        senders = channels.senders(settings, names)
        if "desktop" in names and not channels.program():
            names.remove("desktop")
            if "monitor_notify" in settings.model_fields_set:  # asked for, not only left as it is
                self._lacks = "no notifications on the desktop: there is no notify-send here"
        write = writer(settings, secrets)
        self._threads = [_Channel(name, settings, sessions, senders.get(name), write, log) for name in names]

    def start(self) -> None:
        """Begin; returns at once."""
        if self._lacks:
            self._log(self._lacks)
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End the threads. What is being sent at that moment may be sent again later."""
        for each in self._threads:
            each.ending.set()
        for each in self._threads:
            each.join(timeout=2.0)


def chosen(settings: Settings) -> list[str]:
    """The channels that the settings turn on."""
    return [name for name in settings.monitor_notify if name != "none"]


def writer(settings: Settings, more: Iterable[str] = ()) -> Writer:
    """Makes messages with links to this monitor's page, without the secrets that are known."""
    secrets = list(more)
    for read in (channels.address, channels.secret):
        try:
            secrets.append(read(settings))
        except CoordError:
            continue  # (who sends by it will say so)
    return Writer(Redactor(settings, more=secrets), home(settings))


def home(settings: Settings) -> str:
    """Where the page is, as another machine finds it."""
    host = settings.monitor_host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return settings.monitor_url or f"http://{shown}:{settings.monitor_port}"


def occasion(session: Session) -> tuple[str, str]:
    """A session that waits for a person, as notice.lua takes it: a name for this very occasion, and JSON."""
    said = {"kind": "needs-you", "session": session.id, "worker": session.worker, "task": session.task,
            "title": session.title, "asks": session.needs, "at": session.since,
            "since": session.since}  # fmt: skip
    return f"asks-{session.id}-{session.since:.3f}", json.dumps(said)


def tried(settings: Settings, names: list[str], pool: scripts.Pool) -> list[tuple[str, bool, str]]:
    """Send a test by each of these channels, now: its name, whether it went out, and how.

    Raises:
        SettingsError: A webhook is asked for and its settings do not name one.
        redis.RedisError: Redis is away (it is asked for the pages only).
    """
    senders = channels.senders(settings, names)
    key = f"test-{os.urandom(6).hex()}"
    item = {"kind": "test", "asks": "It works: this is how you will be told.", "at": clock.wall()}
    message = writer(settings).message(key, [item])
    found = []
    for name in names:
        if name not in senders:
            pool.notice(name, HISTORY, MOST, [(key, json.dumps(item))])
            found.append((name, True, "pages that are open show it, where a monitor runs"))
            continue
        try:
            found.append((name, True, senders[name](message)))
        except channels.Undelivered as error:
            found.append((name, False, str(error)))
    return found


class _Channel(threading.Thread):
    """One channel: notes, takes, sends."""

    def __init__(
        self, name: str, settings: Settings, sessions: Sessions, send: channels.Send | None,
        write: Writer, log: Callable[[str], None],
    ) -> None:  # fmt: skip
        super().__init__(name=f"notify-{name}", daemon=True)
        self.ending = threading.Event()
        self._channel, self._settings, self._sessions, self._send = name, settings, sessions, send
        self._log = log
        self._pool: scripts.Pool = connect.pool(settings)
        self._writer = write
        #: Occasions that were noted by this process: they are not sent to Redis again and again.
        self._noted: set[str] = set()
        self._trouble = self._unsent = ""

    def run(self) -> None:
        """Until it is to end. Trouble is said once."""
        while not self.ending.is_set():
            try:
                self._note()
                while not self.ending.is_set() and self._deliver():
                    pass
                self._trouble = ""
                wait = LOOK
            except (redis.RedisError, CoordError) as error:
                line = str(error if isinstance(error, CoordError) else connect.trouble(self._settings, error))
                if line != self._trouble:
                    self._trouble = line
                    self._log(line)
                wait = AGAIN
            self.ending.wait(wait)

    def _note(self) -> None:
        now, after = clock.wall(), self._settings.monitor_notify_after
        due = [
            occasion(each)
            for each in self._sessions()
            if each.state is State.NEEDS_YOU and after <= now - each.since < HISTORY
        ]
        names = {name for name, _ in due}
        self._pool.notice(self._channel, HISTORY, MOST, [each for each in due if each[0] not in self._noted])
        self._noted = names

    def _deliver(self) -> bool:
        """Send one, if one is due."""
        rate = self._settings.monitor_notify_rate
        taken = self._pool.deliver(self._channel, rate, TAKEN, TOGETHER)
        if taken is None:
            return False
        key, tries, raw = taken
        items = [each for each in _items(raw) if not self._over(each)]
        if not items:
            self._pool.delivered(self._channel, key, tries, "over")
            return True
        message = self._writer.message(key, items)
        if self._send is None:
            self._pool.delivered(self._channel, key, tries, "sent", shown=_shown(message))
            return True
        try:
            how = self._send(message)
        except channels.Undelivered as error:
            self._failed(key, tries, error)
        else:
            self._pool.delivered(self._channel, key, tries, "sent", how=how)
            self._unsent = ""
        return True

    def _failed(self, key: str, tries: int, error: channels.Undelivered) -> None:
        if tries >= TRIES[self._channel]:
            self._log(f"a notification by {self._channel} was given up after {tries} tries: {error}")
            self._pool.delivered(self._channel, key, tries, "failed", how=str(error))
            return
        if str(error) != self._unsent:
            self._unsent = str(error)
            self._log(f"a notification by {self._channel} did not go out, and is tried again: {error}")
        wait = max(min(2.0**tries, LONGEST) * random.uniform(0.5, 1.0), error.after)
        self._pool.delivered(self._channel, key, tries, "again", delay=wait)

    def _over(self, item: dict[str, Any]) -> bool:
        """Whether that session does not wait for anybody any more."""
        if item.get("kind") != "needs-you":
            return False
        for each in self._sessions():
            if each.id == item.get("session"):
                return each.state is not State.NEEDS_YOU or occasion(each)[0] != occasion_of(item)
        return False


def occasion_of(item: dict[str, Any]) -> str:
    """The name of the occasion that an item tells of."""
    since = item.get("since")
    return f"asks-{item.get('session')}-{since:.3f}" if isinstance(since, (int, float)) else ""


def _items(raw: str) -> list[dict[str, Any]]:
    """The items as Redis holds them; what cannot be read is none."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _shown(message: Message) -> str:
    """What pages show, as an event's detail."""
    found = {"id": message.key, "kind": message.kind, "title": message.title, "text": message.text,
             "url": message.url}  # fmt: skip
    return json.dumps(found, ensure_ascii=False)
