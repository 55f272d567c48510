"""Run the checks one after the other, each within its own time; what fails becomes a finding."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import redis

from coordinator.doctor import (
    access,
    client,
    hooks,
    leader,
    leftovers,
    monitor,
    outbox,
    persistence,
    quota,
    rights,
    rq,
    server,
    versions,
)
from coordinator.doctor.finding import Finding, Level, unknown, warning, wrong
from coordinator.doctor.patient import PARTS, Patient
from pool import clock, connect
from pool.errors import CoordError


class Check(NamedTuple):
    """One subject: ``GROUP.NAME``, how it is looked at, for how long (seconds) at most."""

    name: str
    look: Callable[[Patient], Iterable[Finding]]
    seconds: float = 10.0
    #: It asks Redis; where that does not answer it is left out.
    redis: bool = True
    #: It matters of a real server only, not of an imitation for a first look.
    real: bool = False
    #: Whose business it is.
    parts: Sequence[str] = PARTS

    @property
    def group(self) -> str:
        """What `--only` names."""
        return self.name.partition(".")[0]


_COORDINATOR = ("coordinator",)

CHECKS = (
    Check("redis.reach", server.reach, 15.0, redis=False),
    Check("redis.version", server.version, real=True),
    Check("redis.role", server.role, real=True),
    Check("redis.clock", server.clock_difference),
    Check("redis.scripts", server.scripts_run),
    Check("redis.aof", persistence.aof, real=True),
    Check("redis.fsync", persistence.fsync, real=True),
    Check("redis.writes", persistence.writes, real=True),
    Check("redis.memory", persistence.memory, real=True),
    Check("redis.disk", persistence.disk, real=True),
    Check("redis.rights", rights.rights),
    Check("redis.access", access.access, real=True),
    Check("coordinator.leads", leader.leads),
    Check("accounts.barred", quota.barred),
    Check("hooks.installed", hooks.installed, redis=False),
    Check("hooks.allowed", hooks.allowed, redis=False),
    Check("hooks.once", hooks.once, redis=False),
    Check("hooks.interpreter", hooks.interpreters, 30.0, redis=False),
    Check("hooks.fire", hooks.fire, 90.0, parts=("coordinator", "worker")),
    Check("monitor.runs", monitor.runs, parts=("coordinator", "monitor", "viewer")),
    Check("monitor.answers", monitor.answers, 20.0, redis=False),
    Check("monitor.tokens", monitor.tokens, redis=False),
    Check("client.version", client.version, 45.0, redis=False),
    Check("client.start", client.start, redis=False),
    Check("client.login", client.login, redis=False),
    Check("client.blocks", client.blocks, redis=False),
    Check("rq.version", rq.version, redis=False),
    Check("rq.workers", rq.workers),
    Check("rq.schedulers", rq.schedulers),
    Check("rq.jobs", rq.jobs),
    Check("versions.here", versions.here, redis=False),
    Check("versions.workers", versions.workers),
    Check("versions.settings", versions.settings, redis=False),
    Check("leftovers.claims", leftovers.claims),
    Check("leftovers.workers", leftovers.workers),
    Check("leftovers.strays", leftovers.strays, 20.0, parts=_COORDINATOR),
    Check("leftovers.uploads", leftovers.uploads, 20.0, parts=_COORDINATOR),
    Check("leftovers.triggers", leftovers.triggers, parts=_COORDINATOR),
    Check("leftovers.dead-letters", leftovers.dead_letters, parts=_COORDINATOR),
    Check("leftovers.queues", leftovers.queues),
    Check("leftovers.schedules", leftovers.schedules, parts=_COORDINATOR),
    Check("leftovers.outbox", outbox.commits, redis=False),
    Check("leftovers.sessions", outbox.sessions, redis=False),
    Check("leftovers.keepers", outbox.keepers, redis=False),
    Check("leftovers.notes", outbox.notes, redis=False),
)

GROUPS = tuple(dict.fromkeys(check.group for check in CHECKS))


def examine(
    patient: Patient, groups: Sequence[str], fire: bool, begins: Callable[[str], None] = lambda name: None
) -> Iterator[Finding]:
    """The findings of these groups, check by check. Redis is always asked whether it is there."""
    left_out: list[str] = []
    for check in CHECKS:
        wanted = check.group in groups and patient.part in check.parts
        wanted = wanted and (fire or check.look != hooks.fire)
        if not (wanted or check.look == server.reach) or (patient.imitation and check.real):
            continue
        if check.redis and patient.away:
            left_out.append(check.name)
            continue
        begins(check.name)
        for found in _within(patient, check):
            if wanted or found.level != Level.OK:
                seen, remedy = patient.without_secret(found.seen), patient.without_secret(found.remedy)
                yield replace(found, check=check.name, seen=seen, remedy=remedy)
    if left_out:
        seen = f"not looked at, because Redis does not answer: {', '.join(left_out)}"
        yield Finding(Level.UNKNOWN, seen, check="redis.rest")


def _within(patient: Patient, check: Check) -> Iterator[Finding]:
    """A check's findings until its time has passed; it runs in a thread that may be left behind.

    A Redis that falls silent is not asked again: each silence costs seconds.
    """
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def look() -> None:
        try:
            for each in check.look(patient):
                found.put(each)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            patient.away = str(connect.trouble(patient.settings, error))
            found.put(wrong(f"Redis fell silent: {patient.away}", "see whether it is overloaded, or ends"))
        except redis.exceptions.NoPermissionError as error:
            found.put(unknown(f"user {patient.user} may not look: {error}", patient.elsewhere))
        except redis.RedisError as error:
            found.put(
                unknown(
                    f"it could not be looked at: {connect.trouble(patient.settings, error)}",
                    patient.elsewhere,
                )
            )
        except (CoordError, OSError) as error:
            found.put(unknown(f"it could not be looked at: {error}"))
        except Exception as error:  # a mistake in one check must not hide what the others find
            seen = f"the doctor made a mistake here: {type(error).__name__}: {error}"
            found.put(warning(seen, "report it, with this line"))
        found.put(None)

    threading.Thread(target=look, name=check.name, daemon=True).start()
    deadline = clock.mono() + check.seconds
    while True:
        try:
            each = found.get(timeout=max(0.0, deadline - clock.mono()))
        except queue.Empty:
            seen = f"it was not seen through within {check.seconds:g} s"
            if check.look is server.reach:
                patient.away = "it does not answer"
                yield wrong(f"Redis does not answer within {check.seconds:g} s", "see whether it runs there")
            else:
                yield unknown(seen)
            return
        if each is None:
            return
        yield each
