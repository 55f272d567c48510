"""Redis itself: is it there, which one, does it run our scripts, what does its clock say?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import redis

from coordinator import embedded
from coordinator.doctor.finding import Finding, note, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient
from pool import clock, connect, script_text
from pool.errors import CoordError, RedisAway

#: The oldest Redis that runs the scripts.
OLDEST = (6, 2)
#: A best round trip above this (seconds) makes every hook slow.
_SLOW = 0.05
#: Clocks may differ by so much (seconds) before somebody wonders.
_CLOCKS = 2.0
#: How a script's error begins that is about rights.
_REFUSED = ("NOPERM", "ACL failure", "The user executing the script")
_AGAIN = "install coord again: pip install --force-reinstall coord"
_COMPILE = "local f, why = loadstring(ARGV[1]) return why or 'ok'"


def reach(patient: Patient) -> Iterator[Finding]:
    """Whether Redis answers, and how fast; what it says of itself is kept for the other checks."""
    try:
        client = patient.connect()
        _greet(patient, client)
    except RedisAway as error:
        patient.away = str(error)
        given = patient.settings.redis_url_file
        remedy = f"write the URL into {given}" if given else "coord up -d"
        yield wrong(patient.away.partition(": `")[0].partition("; `")[0], remedy)
        return
    except redis.RedisError as error:
        patient.away = str(connect.trouble(patient.settings, error))
        seen, _, remedy = patient.away.rpartition("; " if "; " in patient.away else ": ")
        if "`coord up`" in remedy:
            remedy = "coord up -d" if patient.embedded else "start the one there, or correct COORD_REDIS_URL"
        yield wrong(seen, remedy)
        return
    patient.away = ""
    at, best = patient.address, patient.round_trip * 1000
    seen = f"{at.shown} answers in {best:.2f} ms" + (" (the project's own)" if patient.embedded else "")
    server = embedded.running(patient.home) if patient.embedded else None
    patient.imitation = server is not None and server.kind == "fakeredis"
    if patient.imitation:
        yield warning(
            f"{seen}; it is fakeredis, an imitation in memory: nothing outlives it",
            "install redis-server, then: coord down; coord up -d",
        )
    elif patient.round_trip > _SLOW:
        yield warning(f"{seen}: each hook and helper waits for it at least once", "bring Redis nearer")
    else:
        yield ok(seen)


def _greet(patient: Patient, client: redis.Redis) -> None:
    times = []
    for _ in range(5):
        began = clock.mono()
        client.ping()
        times.append(clock.mono() - began)
    patient.round_trip = min(times)
    try:
        ask: Any = client.execute_command
        reply = ask("HELLO")
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=False)
        patient.hello = {_text(name): _text(value) for name, value in pairs}
    except redis.ResponseError:
        patient.hello = {}  # an imitation, or a strict ACL
    try:
        patient.info = dict(client.info())
    except redis.ResponseError:
        patient.info = None


def version(patient: Patient) -> Iterator[Finding]:
    """At least Redis 6.2, and no cluster."""
    info = patient.info or {}
    said = str(info.get("redis_version") or patient.hello.get("version") or "")
    if not said:
        yield unknown("its version could not be read", patient.elsewhere)
        return
    name = f"Redis {said}"
    if info.get("valkey_version"):
        name = f"Valkey {info['valkey_version']} (speaks as Redis {said})"
    parts = tuple(int(part) for part in said.split(".")[:2] if part.isdigit())
    mode = str(info.get("redis_mode") or patient.hello.get("mode") or "")
    if parts < OLDEST:
        yield wrong(f"{name} is too old: the scripts need 6.2", "install Redis 7 (or Valkey) and move to it")
    elif mode == "cluster":
        yield wrong(
            f"{name} is a cluster: the scripts need all keys in one place, as RQ does",
            "let COORD_REDIS_URL name a Redis that is no cluster",
        )
    elif mode == "sentinel":
        yield wrong(
            f"{name} is a sentinel, which keeps no data", "let COORD_REDIS_URL name the Redis that it watches"
        )
    else:
        yield ok(name)


def role(patient: Patient) -> Iterator[Finding]:
    """A primary, not a replica."""
    info = patient.info or {}
    said = str(info.get("role") or patient.hello.get("role") or "")
    if said in ("slave", "replica"):
        primary = f"{info.get('master_host', 'HOST')}:{info.get('master_port', 'PORT')}"
        link = f", link {info['master_link_status']}" if "master_link_status" in info else ""
        yield wrong(
            f"it is a replica, which takes no writes (of {primary}{link})",
            f"let COORD_REDIS_URL name the primary: redis://{primary}",
        )
    elif said == "master":
        count = info.get("connected_slaves")
        yield ok("a primary" + (f" with {count} replica(s)" if count else ""))
    else:
        yield unknown("whether it is a primary could not be read", patient.elsewhere)


def clock_difference(patient: Patient) -> Iterator[Finding]:
    """Deadlines are on the server's clock; `--run-in` and what people read are on this machine's."""
    before = clock.wall()
    reply: Any = patient.redis.time()
    after = clock.wall()
    difference = float(reply[0]) + float(reply[1]) / 1e6 - (before + after) / 2
    if abs(difference) > _CLOCKS + (after - before):
        way = "ahead of" if difference > 0 else "behind"
        yield warning(
            f"the server's clock is {abs(difference):.0f} s {way} this machine's: tasks with --run-in start "
            "that much too early or too late (deadlines are the server's)",
            "set both clocks: timedatectl set-ntp true",
        )
    else:
        yield ok(f"the clocks differ by {max(0.0, abs(difference)) * 1000:.0f} ms")


def scripts_run(patient: Patient) -> Iterator[Finding]:
    """Each script compiles there, and one runs (a heartbeat of nobody, which changes nothing)."""
    pool = connect.pool(patient.settings, patient.redis)
    names = script_text.names()
    try:
        for name in names:
            said: Any = patient.redis.eval(_COMPILE, 0, pool.texts.text(name))
            if said != b"ok":
                yield wrong(f"the script {name} does not compile there: {_text(said)}", _AGAIN)
                return
        nobody = f"doctor-{uuid.uuid4().hex[:12]}"
        reply: Any = patient.redis.eval(pool.texts.text("beat"), 0, nobody, "0", "", "", "")
    except redis.ResponseError as error:
        if isinstance(error, redis.exceptions.NoPermissionError) or any(
            each in str(error) for each in _REFUSED
        ):
            if patient.part == "viewer":
                yield note(f"user {patient.user} may run no scripts: it looks, and changes nothing")
            else:
                yield unknown("the scripts could not be tried: the user may not (see redis.rights)")
        else:
            trouble: CoordError = connect.trouble(patient.settings, error)
            yield wrong(f"the scripts do not run: {trouble}", "see the other lines on Redis")
        return
    if [_text(part) for part in reply[:2]] == ["gone", "replaced"]:
        yield ok(f"{len(names)} scripts compile, and run")
    else:
        yield wrong(f"a heartbeat of nobody was answered with {reply!r}", _AGAIN)


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
