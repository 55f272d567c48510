"""`coord serve`: the tick. It keeps nothing in memory that a restart would miss (design section 8)."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import redis

from coordinator.reaper import Guard
from coordinator.schedules import Schedules
from coordinator.sweeper import Sweeper
from coordinator.triggers import Triggers
from pool import clock, connect, script_text, wire
from pool import settings as settings_module
from pool.errors import CoordError, RedisAway
from pool.settings import Settings

Log = Callable[[str], None]

#: How many expired claims one script call takes back; more are taken in further calls.
_BATCH = 100


class Service:
    """One coordinator. Several may run; the leader acts."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings = settings
        self.log = log
        self.token = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.guard = Guard(settings.lease)
        self._connect()
        self.leader = False
        self._led: bool | None = None
        self.stopping = threading.Event()
        self._away = False
        #: What went wrong last, by step: said once.
        self._failing: dict[str, str] = {}
        self._server_time = 0.0
        self._day_ends = 0.0
        self._swept = 0.0
        self._others: list[str] = []
        self._listener: redis.client.PubSub | None = None

    def begin(self) -> None:
        """Lead or follow for the first time. Later failures are outages, to be sat out; this one is told."""
        self._lead()

    def run(self) -> None:
        """Tick until asked to stop; then step down, so that another takes over at once."""
        self.log(f"coordinator {self.token} starts")
        try:
            while not self.stopping.is_set():
                began = clock.mono()
                self.tick()
                # A follower looks more often: it takes over within leader_ttl and this.
                pause = self.settings.tick if self.leader else self.settings.tick / 4
                self._listen(max(0.0, pause - (clock.mono() - began)))
        finally:
            self._step_down()

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End after the current tick (a signal handler)."""
        self.stopping.set()

    def tick(self) -> None:
        """One round: lead or follow; as leader reap, promote, thaw, run schedules, read triggers, sweep."""
        if self._attempt("lead", self._lead) and self.leader:
            self._attempt("reap", self._reap)
            self._attempt("promote", self._promote)
            self._attempt("thaw", self._thaw)
            self._attempt("say which day it is", self._today)
            self._attempt("run schedules", self._run_schedules)
            self._attempt("read triggers", self._read_triggers)
            if clock.mono() - self._swept >= self.settings.sweep:
                self._swept = clock.mono()
                self._attempt("sweep", self._sweep)

    def _attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Run one step; whether it went well. One that fails stops neither the others nor the next tick."""
        if self._away and what != "lead":
            return False
        try:
            step()
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
            # (A primary that has become a replica: the name may lead to the new one by now.)
            self._lost_redis(error)
            return False
        except Exception as error:
            known = isinstance(error, redis.RedisError)
            text = str(connect.trouble(self.settings, error)) if known else repr(error)
            text = str(error) if isinstance(error, CoordError) else text
            if self._failing.get(what) != text:
                self.log(f"could not {what}: {text}")
            self._failing[what] = text
            return False
        if self._failing.pop(what, None):
            self.log(f"can {what} again")
        if self._away:
            self._away = False
            self.log("Redis is back")
        return True

    def _lead(self) -> None:
        self.leader, self._server_time, others = self.pool.lead(self.token, self.settings.leader_ttl)
        if self.leader != self._led:
            self._day_ends = 0.0
            self._led = self.leader
            self.log("leads" if self.leader else "follows")
            self.guard.disturb("just became leader")
        if self.leader and others != self._others:
            self._others = others
            if others:
                self.log(f"an RQ scheduler beside this one holds the lock of {', '.join(others)}: end it")

    def _promote(self) -> None:
        for task_id in self.pool.promote(self.token):
            self.log(f"task {task_id} is due")

    def _thaw(self) -> None:
        for kind, name, task_id in self.pool.thaw(self.token):
            gone = f"its task {task_id} is given back: nobody made its session go on"
            words = {"account": f"account {name} goes on", "park": f"worker {name} goes on"}
            self.log(words.get(kind, f"worker {name}: {gone}"))

    def _today(self) -> None:
        """Say which day it is in the operators' time zone, once a day."""
        zone = ZoneInfo(self.settings.schedule_tz)
        if self._server_time < self._day_ends:
            return
        here = datetime.fromtimestamp(self._server_time, zone)
        tomorrow = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), zone)
        if self.pool.today(self.token, here.date().isoformat(), tomorrow.timestamp()):
            self._day_ends = tomorrow.timestamp()

    def _run_schedules(self) -> None:
        for line in self.schedules.round(self._server_time):
            self.log(line)

    def _read_triggers(self) -> None:
        for line in self.triggers.read_stream():
            self.log(line)

    def _sweep(self) -> None:
        for task_id in self.sweeper.round(self.token):
            self.log(f"mended {task_id}")

    def _reap(self) -> None:
        believed = self.guard.look(self._run_id(), self._server_time, clock.mono())
        while True:
            taken = self.pool.reap(self.token, believed, _BATCH)
            for what, outcome, reason in taken:
                self.log(f"took back {what} ({reason}): {outcome}")
            if len(taken) < _BATCH:
                return

    def _run_id(self) -> str:
        """Which run of Redis this is; '' where that cannot be asked (fakeredis, a strict ACL)."""
        try:
            return str(self.connection.info("server").get("run_id", ""))
        except redis.ResponseError:
            return ""

    def _listen(self, seconds: float) -> None:
        """Hear published triggers until the next tick is due."""
        end = clock.mono() + seconds
        while not self.stopping.is_set():
            left = end - clock.mono()
            if left <= 0:
                return
            if not self._attempt("listen", partial(self._hear, left)):
                self.stopping.wait(min(left, 0.25))

    def _hear(self, seconds: float) -> None:
        """Wait a little for one message."""
        if self._listener is None:
            self._listener = redis.client.PubSub(
                self.connection.connection_pool, ignore_subscribe_messages=True
            )
            self._listener.subscribe(self.settings.trigger_channel)
        message: Any = self._listener.get_message(timeout=min(seconds, 0.25))
        if message is None:
            return
        # Every coordinator hears it, the leader alone acts; and what a leader hears that was frozen for a
        # while was its successor's to act on.
        self._lead()
        if not self.leader:
            return
        try:
            self.log(self.triggers.take(message["data"], "published"))
        except redis.RedisError:
            self.log(f"a published trigger was lost, Redis could not take it: {message['data'][:200]!r}")
            raise

    def _connect(self) -> None:
        self.url = settings_module.redis_url(self.settings)
        self.connection = connect.client(self.settings, socket_timeout=5.0)
        self.pool = connect.pool(self.settings, self.connection)
        self.pool.preload(*script_text.names())
        self.sweeper = Sweeper(self.connection, self.pool)
        self.schedules = Schedules(self.connection, self.pool, self.settings, self.token)
        self.triggers = Triggers(self.connection, self.pool, self.settings, self.token)

    def _follow(self) -> None:
        """The embedded Redis may have come back on another port."""
        try:
            if settings_module.redis_url(self.settings) != self.url:
                self.connection.close()
                self._connect()
                self.log(f"Redis is at {wire.Address(self.url).shown} now")
        except RedisAway:
            return  # it is not back yet

    def _lost_redis(self, error: redis.RedisError) -> None:
        if not self._away:
            self.log(str(connect.trouble(self.settings, error)))
        self._away, self.leader, self._led = True, False, None
        self.guard.disturb("Redis was away")
        self.connection.connection_pool.disconnect()
        self._follow()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _step_down(self) -> None:
        try:
            self.pool.lead(self.token, self.settings.leader_ttl, step_down=True)
            if self._listener is not None:
                self._listener.close()
            self.connection.close()
        except redis.RedisError as error:
            self.log(f"could not step down, the lock runs out by itself: {error}")
        self.log("coordinator ends")


def serve(settings: Settings, log: Log) -> None:
    """Run a coordinator until SIGTERM or SIGINT.

    Raises:
        redis.RedisError: It cannot even begin: no Redis, or no right to lead.
    """
    service = Service(settings, log)
    before = {number: signal.signal(number, service.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        service.begin()
        service.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
