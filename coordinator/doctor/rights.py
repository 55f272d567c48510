"""May the user in COORD_REDIS_URL do what its part of the pool needs?

What is asked for is queued in a MULTI that is discarded: Redis checks the rights when it queues a
command, so this tells the truth and runs nothing. A user who may not even do that tries them: looking
harms nothing, and one script tries the others on keys of no one and undoes each.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis

from coordinator.doctor.finding import Finding, ok, unknown, wrong
from coordinator.doctor.patient import Patient
from pool import keys

_KEY = "KEY"
#: No consumer group of anybody's.
_NOBODY = "doctor-nobody"
_TRY = (Path(__file__).parent / "rights.lua").read_text(encoding="utf-8")

#: What looking on takes.
VIEWER: dict[str, Sequence[str]] = {
    "EXISTS": [_KEY], "GET": [_KEY], "HGET": [_KEY, "f"], "HGETALL": [_KEY], "HKEYS": [_KEY],
    "HMGET": [_KEY, "f"], "LINDEX": [_KEY, "0"], "LLEN": [_KEY], "LRANGE": [_KEY, "0", "1"],
    "SCARD": [_KEY], "SISMEMBER": [_KEY, "m"], "SMEMBERS": [_KEY], "TIME": [], "TYPE": [_KEY],
    "XLEN": [_KEY], "XREAD": ["STREAMS", _KEY, "0"], "XREVRANGE": [_KEY, "+", "-"], "ZCARD": [_KEY],
    "ZRANGE": [_KEY, "0", "1"], "ZREVRANGE": [_KEY, "0", "1"], "ZSCORE": [_KEY, "m"],
}  # fmt: skip
#: What the scripts take besides.
SCRIPTS: dict[str, Sequence[str]] = {
    "BLPOP": [_KEY, "no-time"], "DEL": [_KEY], "EVAL": ["return 1", "0"], "EVALSHA": ["0" * 40, "0"],
    "EXPIRE": [_KEY, "1"], "HDEL": [_KEY, "f"], "HINCRBY": [_KEY, "f", "1"],
    "HINCRBYFLOAT": [_KEY, "f", "1"], "HSET": [_KEY, "f", "v"], "HSETNX": [_KEY, "f", "v"],
    "INCR": [_KEY], "LPOP": [_KEY], "LPOS": [_KEY, "m"], "LPUSH": [_KEY, "m"], "LREM": [_KEY, "0", "m"],
    "PERSIST": [_KEY], "RPUSH": [_KEY, "m"], "SADD": [_KEY, "m"], "SET": [_KEY, "v"],
    "SETNX": [_KEY, "v"], "SREM": [_KEY, "m"], "XADD": [_KEY, "*", "f", "v"], "XDEL": [_KEY, "1-1"],
    "XRANGE": [_KEY, "-", "+"], "ZADD": [_KEY, "1", "m"], "ZRANGEBYSCORE": [_KEY, "0", "1"],
    "ZREM": [_KEY, "m"], "ZREMRANGEBYSCORE": [_KEY, "0", "1"],
}  # fmt: skip
#: Of all these, what a session's hooks, helpers and keeper and its supervisor take.
_WORKER = """
BLPOP DEL EVAL EVALSHA EXISTS EXPIRE GET HDEL HGET HGETALL HINCRBY HINCRBYFLOAT HMGET HSET INCR LINDEX LLEN
LPOP LPUSH LREM PERSIST RPUSH SADD SET SISMEMBER SMEMBERS SREM TIME XADD XREAD XREVRANGE ZADD ZCARD ZRANGE
ZREM ZREMRANGEBYSCORE ZSCORE
"""
WORKER = frozenset(_WORKER.split())
#: What the monitor takes, besides looking: it writes down sessions, and does what operators do.
_MONITOR = """
DEL EVAL EVALSHA EXPIRE HDEL HINCRBY HINCRBYFLOAT HSET LPOP LPUSH LREM PERSIST RPUSH SADD SET SETNX SREM XADD
XDEL XRANGE ZADD ZRANGEBYSCORE ZREM ZREMRANGEBYSCORE
"""
MONITOR = frozenset(_MONITOR.split())
#: What reading triggers takes; each would do nothing, even if it ran.
TRIGGERS: dict[str, Sequence[str]] = {
    "XACK": [_KEY, _NOBODY, "1-1"], "XADD": [_KEY, "no-id", "f", "v"], "XDEL": [_KEY, "1-1"],
    "XAUTOCLAIM": [_KEY, _NOBODY, "c", "5000", "0"], "XGROUP": ["CREATE", _KEY, _NOBODY, "no-id"],
    "XREADGROUP": ["GROUP", _NOBODY, "c", "STREAMS", _KEY, ">"],
}  # fmt: skip
#: A script may not call them. (The BLPOP is one that fails before it blocks.)
_DIRECT = frozenset(("BLPOP", "EVAL", "EVALSHA"))


class Need(NamedTuple):
    """One command that must be allowed; ``on`` is what of the ACL would allow its key or channel."""

    command: tuple[str, ...]
    on: str


def needs(patient: Patient, name: str = "") -> list[Need]:
    """What the part of the pool that asks must be allowed to do, tried on keys of that name."""
    channel, stream = patient.settings.trigger_channel, patient.settings.trigger_stream
    name = name or f"doctor-{uuid.uuid4().hex}"
    table = {**VIEWER, **SCRIPTS}
    wanted = {
        "viewer": VIEWER.keys(), "worker": WORKER, "monitor": VIEWER.keys() | MONITOR,
        "coordinator": table.keys(),
    }[patient.part]  # fmt: skip
    found = []
    for command in sorted(wanted):
        args = table[command]
        for prefix in prefixes() if _KEY in args else ("",):
            words = [prefix + name if word == _KEY else word for word in args]
            found.append(Need((command, *words), f"~{prefix}*" if prefix else ""))
    if patient.part == "coordinator":
        for command, args in TRIGGERS.items():
            words = [stream if word == _KEY else word for word in args]
            found.append(Need((command, *words), f"~{stream}*"))
        found += [Need(("SUBSCRIBE", channel), f"&{channel}"), Need(("PUBLISH", channel, ""), f"&{channel}")]
    return found


def prefixes() -> tuple[str, str]:
    """What our keys and RQ's begin with."""
    return "pool:", keys.key("job", "").partition(":")[0] + ":"


def rights(patient: Patient) -> Iterator[Finding]:
    """Every command, key pattern and channel that coord uses."""
    name = f"doctor-{uuid.uuid4().hex}"
    wanted = needs(patient, name)
    try:
        refused = dry_run(patient, wanted)
    except redis.ResponseError:
        refused = attempt(patient, wanted, name)
    missing: dict[str, None] = {}
    gone, untried = [], []
    for need, why in zip(wanted, refused, strict=True):
        if why is None:
            untried.append(need.command[0])
        elif "unknown command" in why.lower():
            gone.append(need.command[0])
        elif why and re.search(r"access .*\b(keys?|channels?)\b", why):
            missing[need.on] = None
        elif why:
            missing[f"+{need.command[0].lower()}"] = None
    who = f"a {patient.part}"
    if gone:
        yield wrong(
            f"Redis does not know {', '.join(dict.fromkeys(gone))}: renamed in redis.conf, or an imitation",
            "take the rename-command lines out of redis.conf",
        )
    if missing:
        words = " ".join(f"'{word}'" if word[0] in "~&" else word for word in missing)
        remedy = f"{patient.cli} acl setuser {patient.user} {words}"
        if (
            patient.user in ("worker", "monitor", "viewer") and patient.user != patient.part
        ):  # another part's own login
            remedy = f"coord doctor --as {patient.user} (a {patient.user} needs no more than that)"
        yield wrong(f"user {patient.user} lacks {', '.join(missing)}, which {who} needs", remedy)
    if untried and untried != ["PUBLISH"]:
        names = ", ".join(dict.fromkeys(untried)).lower()
        yield unknown(
            f"whether user {patient.user} may do {names} could not be tried",
            f"let it: {patient.cli} acl setuser {patient.user} +multi +discard",
        )
    elif not gone and not missing:
        tried = len(wanted) - len(untried)
        yield ok(f"user {patient.user} may do all that {who} needs ({tried} commands tried)")


def refusal(error: str) -> str:
    """What of an error is about rights, or about a command that there is not; '' of any other."""
    about = ("NOPERM", "no permission", "The user executing the script", "ACL failure", "unknown command")
    return error if any(each.lower() in error.lower() for each in about) else ""


def dry_run(patient: Patient, wanted: Sequence[Need]) -> list[str | None]:
    """Why Redis would refuse each command ('' it would not), without running any.

    Raises:
        redis.ResponseError: The user may not queue commands.
    """
    with patient.client(single_connection_client=True) as client:
        line: Any = client.connection
        line.send_command("MULTI")
        line.read_response()
        line.send_packed_command(line.pack_commands([need.command for need in wanted]))
        refused: list[str | None] = [_answer(line) for _ in wanted]
        line.send_command("DISCARD")
        line.read_response()
    return refused


def attempt(patient: Patient, wanted: Sequence[Need], name: str) -> list[str | None]:
    """The same by doing it (None: it was not tried): what only looks as it is, the rest by rights.lua."""
    with patient.client(single_connection_client=True) as client:
        line: Any = client.connection

        def said(*command: str) -> str:
            line.send_command(*command)
            return _answer(line)

        made = [prefix + name for prefix in prefixes()]
        script = not said("EVAL", "return 1", "0") and not any(said("DEL", key) for key in made)
        refused: list[str | None] = []
        for need in wanted:
            if need.command[0] in VIEWER or need.command[0] in _DIRECT:
                refused.append(said(*need.command))
            elif need.command[0] == "SUBSCRIBE":
                refused.append(_subscribed(patient, need))
            elif need.command[0] == "PUBLISH":
                refused.append(None)  # whoever listens would take it for a trigger
            elif not script:
                refused.append(said(*need.command) if need.command[0] == "DEL" else None)
            else:
                reply: Any = client.eval(_TRY, 0, json.dumps([need.command]), *made)
                refused.append(refusal(reply[0].decode("utf-8", "replace")))
    return refused


def _answer(line: Any) -> str:
    """Why the next reply is a refusal; '' when it is none."""
    try:
        line.read_response()
    except redis.ResponseError as error:
        known = isinstance(error, redis.exceptions.NoPermissionError)
        return str(error) if known else refusal(str(error))
    return ""


def _subscribed(patient: Patient, need: Need) -> str:
    """A connection of its own, because one that has subscribed takes no other commands."""
    with patient.client(single_connection_client=True) as client:
        line: Any = client.connection
        line.send_command(*need.command)
        return _answer(line)
