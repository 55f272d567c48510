"""`coord serve`: the tick. It keeps nothing in memory that a restart would miss (design section 8)."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

import redis

from coordinator.reaper import Guard
from coordinator.sweeper import Sweeper
from coordinator.triggers import Triggers
from pool import clock, connect
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
        self.connection = connect.client(settings, socket_timeout=5.0)
        self.pool = connect.pool(settings, self.connection)
        self.guard = Guard(settings.lease)
        self.sweeper = Sweeper(self.connection, self.pool)
        self.triggers = Triggers(self.connection, self.pool, settings, self.token)
        self.leader = False
        self.stopping = threading.Event()
        self._away = False
        self._swept = 0.0
        self._others: list[str] = []
        self._listener: redis.client.PubSub | None = None

    def run(self) -> None:
        """Tick until asked to stop; then step down, so that another takes over at once."""
        self.log(f"coordinator {self.token} starts")
        try:
            while not self.stopping.is_set():
                began = clock.mono()
                try:
                    self.tick()
                    if self._away:
                        self.log("Redis is back")
                    self._away = False
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    self._lost_redis(error)
                except redis.ResponseError as error:
                    self.log(f"Redis refused: {error}")
                self._listen(max(0.0, self.settings.tick - (clock.mono() - began)))
        finally:
            self._step_down()

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End after the current tick (a signal handler)."""
        self.stopping.set()

    def tick(self) -> None:
        """One round: lead or follow; as leader reap, promote, read the durable triggers, sweep."""
        was = self.leader
        self.leader, server_time, others = self.pool.lead(self.token, self.settings.leader_ttl)
        if self.leader != was:
            self.log("leads" if self.leader else "follows")
            self.guard.disturb("just became leader")
        if not self.leader:
            return
        if others != self._others:
            self._others = others
            if others:
                self.log(f"another scheduler holds RQ's lock of {', '.join(others)} (`coord doctor` names it)")
        self._reap(server_time)
        for task_id in self.pool.promote(self.token):
            self.log(f"task {task_id} is due")
        for line in self.triggers.read_stream():
            self.log(line)
        if clock.mono() - self._swept >= self.settings.sweep:
            self._swept = clock.mono()
            for task_id in self.sweeper.round(self.token):
                self.log(f"mended {task_id}")

    def _reap(self, server_time: float) -> None:
        believed = self.guard.look(self._run_id(), server_time, clock.mono())
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
            try:
                if self._listener is None:
                    self._listener = self.connection.pubsub(ignore_subscribe_messages=True)
                    self._listener.subscribe(self.settings.trigger_channel)
                message: Any = self._listener.get_message(timeout=min(left, 0.25))
            except (redis.ConnectionError, redis.TimeoutError) as error:
                self._lost_redis(error)
                self.stopping.wait(min(left, 0.25))
                continue
            # Every coordinator hears it; the leader alone acts.
            if message is not None and self.leader:
                self._published(message["data"])

    def _published(self, data: bytes) -> None:
        try:
            self.log(self.triggers.take(data, "published"))
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # It cannot be kept where Redis is away; the log is the only place left.
            self.log(f"a published trigger was lost with the connection ({error}): {data[:200]!r}")
            self._lost_redis(error)

    def _lost_redis(self, error: Exception) -> None:
        if not self._away:
            self.log(connect.away(self.settings, error))
        self._away, self.leader = True, False
        self.guard.disturb("Redis was away")
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _step_down(self) -> None:
        try:
            self.pool.lead(self.token, self.settings.leader_ttl, step_down=True)
            if self._listener is not None:
                self._listener.close()
            self.connection.close()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.log(f"could not step down, the lock runs out by itself: {error}")
        self.log("coordinator ends")


def serve(settings: Settings, log: Log) -> None:
    """Run a coordinator until SIGTERM or SIGINT."""
    service = Service(settings, log)
    signal.signal(signal.SIGTERM, service.stop)
    signal.signal(signal.SIGINT, service.stop)
    service.run()
