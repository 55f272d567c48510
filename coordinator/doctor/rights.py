"""May the user in COORD_REDIS_URL do what coord needs; and may others, who should not?

What is asked for is queued in a MULTI that is discarded: Redis checks the rights when it queues a
command, so this tells the truth, needs no right of its own, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import redis

from coordinator.doctor.finding import Finding, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient
from coordinator.triggers import GROUP
from pool import keys

_KEY = "KEY"

#: What looking on takes.
VIEWER: dict[str, Sequence[str]] = {
    "EXISTS": [_KEY], "GET": [_KEY], "HEXISTS": [_KEY, "f"],
    "HGET": [_KEY, "f"], "HGETALL": [_KEY], "HKEYS": [_KEY],
    "HMGET": [_KEY, "f"], "LINDEX": [_KEY, "0"], "LLEN": [_KEY], "LRANGE": [_KEY, "0", "1"],
    "SCARD": [_KEY], "SMEMBERS": [_KEY], "TIME": [], "TYPE": [_KEY],
    "XLEN": [_KEY], "XRANGE": [_KEY, "-", "+"],
    "XREAD": ["STREAMS", _KEY, "0"], "XREVRANGE": [_KEY, "+", "-"], "ZCARD": [_KEY],
    "ZRANGE": [_KEY, "0", "1"], "ZREVRANGE": [_KEY, "0", "1"], "ZSCORE": [_KEY, "m"],
}  # fmt: skip
#: What the scripts take besides, whoever runs them: sessions, operators, the coordinator.
SCRIPTS: dict[str, Sequence[str]] = {
    "BLPOP": [_KEY, "1"], "DEL": [_KEY], "EVAL": ["return 1", "0"], "EVALSHA": ["0" * 40, "0"],
    "EXPIRE": [_KEY, "1"], "HDEL": [_KEY, "f"], "HINCRBY": [_KEY, "f", "1"],
    "HINCRBYFLOAT": [_KEY, "f", "1"], "HSET": [_KEY, "f", "v"], "HSETNX": [_KEY, "f", "v"],
    "INCR": [_KEY], "LPOP": [_KEY],
    "LPOS": [_KEY, "m"], "LPUSH": [_KEY, "m"], "LREM": [_KEY, "0", "m"], "PERSIST": [_KEY],
    "RPUSH": [_KEY, "m"], "SADD": [_KEY, "m"], "SET": [_KEY, "v"], "SETNX": [_KEY, "v"],
    "SISMEMBER": [_KEY, "m"], "SREM": [_KEY, "m"], "XADD": [_KEY, "*", "f", "v"], "XDEL": [_KEY, "1-1"],
    "ZADD": [_KEY, "1", "m"], "ZRANGEBYSCORE": [_KEY, "0", "1"], "ZREM": [_KEY, "m"],
    "ZREMRANGEBYSCORE": [_KEY, "0", "1"],
}  # fmt: skip
#: What triggers take: sent by operators, read by the coordinator.
TRIGGERS: dict[str, Sequence[str]] = {
    "XACK": [_KEY, GROUP, "1-1"], "XADD": [_KEY, "*", "f", "v"], "XDEL": [_KEY, "1-1"],
    "XAUTOCLAIM": [_KEY, GROUP, "c", "5000", "0"], "XGROUP": ["CREATE", _KEY, GROUP, "0"],
    "XREADGROUP": ["GROUP", GROUP, "c", "STREAMS", _KEY, ">"],
}  # fmt: skip


class Need(NamedTuple):
    """One command that must be allowed; ``on`` is what of the ACL would allow its key or channel."""

    command: tuple[str, ...]
    on: str


def needs(patient: Patient) -> list[Need]:
    """What the part of the pool that asks must be allowed to do."""
    channel, stream = patient.settings.trigger_channel, patient.settings.trigger_stream
    table = VIEWER if patient.part == "viewer" else {**VIEWER, **SCRIPTS}
    found = []
    for name, args in table.items():
        for prefix in ("pool:", keys.key("job", "").partition(":")[0] + ":") if _KEY in args else ("",):
            words = [f"{prefix}doctor" if word == _KEY else word for word in args]
            found.append(Need((name, *words), f"~{prefix}*" if prefix else ""))
    if patient.part == "coordinator":
        for name, args in TRIGGERS.items():
            words = [stream if word == _KEY else word for word in args]
            found.append(Need((name, *words), f"~{stream}*"))
        found += [Need(("SUBSCRIBE", channel), f"&{channel}"), Need(("PUBLISH", channel, ""), f"&{channel}")]
    return found


def rights(patient: Patient) -> Iterator[Finding]:
    """Every command, key pattern and channel that coord uses."""
    wanted = needs(patient)
    try:
        refused = dry_run(patient, wanted)
    except redis.ResponseError as error:
        yield unknown(
            f"what user {patient.user} may do could not be tried ({error})",
            f"let it: {patient.cli} acl setuser {patient.user} +multi +discard",
        )
        return
    missing: dict[str, None] = {}
    gone = []
    for need, why in zip(wanted, refused, strict=True):
        if "unknown command" in why.lower():
            gone.append(need.command[0])
        elif "key" in why or "channel" in why:
            missing[need.on] = None
        elif why:
            missing[f"+{need.command[0].lower()}"] = None
    if gone:
        yield wrong(
            f"Redis does not know {', '.join(dict.fromkeys(gone))}: renamed in redis.conf, or an imitation",
            "take the rename-command lines out of redis.conf",
        )
    if missing:
        words = " ".join(f"'{word}'" if word[0] in "~&" else word for word in missing)
        yield wrong(
            f"user {patient.user} lacks {', '.join(missing)}, which {_who(patient)} needs",
            f"{patient.cli} acl setuser {patient.user} {words}",
        )
    if not gone and not missing:
        yield ok(f"user {patient.user} may do all that {_who(patient)} needs ({len(wanted)} commands tried)")


def _who(patient: Patient) -> str:
    return f"a {patient.part}"


def dry_run(patient: Patient, wanted: Sequence[Need]) -> list[str]:
    """Why Redis would refuse each command ('' it would not), without running any.

    Raises:
        redis.ResponseError: The user may not even queue commands.
    """
    client = patient.client(single_connection_client=True)
    try:
        line: Any = client.connection
        line.send_command("MULTI")
        line.read_response()
        line.send_packed_command(line.pack_commands([need.command for need in wanted]))
        refused = []
        for _ in wanted:
            try:
                line.read_response()
                refused.append("")
            except redis.ResponseError as error:
                said = str(error)
                about_rights = isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in said
                refused.append(said if about_rights or "unknown command" in said.lower() else "")
        line.send_command("DISCARD")
        line.read_response()
    finally:
        client.close()
    return refused


def access(patient: Patient) -> Iterator[Finding]:
    """Who can write to Redis can submit prompts: others should need a password."""
    at = patient.address
    near = bool(at.path) or at.host in ("localhost", "::1") or at.host.startswith("127.")
    remedy = f"set a password: {patient.cli} config set requirepass ..., and in redis.conf; or ACL users"
    if not _open(patient):
        yield ok("it asks for a password")
        return
    if not near:
        yield warning(f"everybody who reaches {at.where} can use it: it asks for no password", remedy)
        return
    bind, protected = patient.config("bind"), patient.config("protected-mode")
    port = patient.config("port")
    if bind is None or protected is None:
        yield unknown(
            "it asks for no password, and whether it can be reached from other machines could not be read",
            f"let user {patient.user} ask: {patient.cli} acl setuser {patient.user} '+config|get'",
        )
        return
    beyond = [each for each in bind.split() or ["*"] if not _loopback(each)]
    if port == "0" or not beyond:
        yield ok("it asks for no password, and only this machine can reach it")
    elif protected == "yes":
        yield ok("it asks for no password, but in protected mode it serves this machine only")
    else:
        yield warning(
            f"everybody who reaches this machine can use it: it listens on {', '.join(beyond)}, asks for no "
            "password, and its protected mode is off",
            remedy,
        )


def _loopback(bound: str) -> bool:
    return bound.lstrip("-") in ("::1", "localhost") or bound.lstrip("-").startswith("127.")


def _open(patient: Patient) -> bool:
    """Whether somebody without a password is let in."""
    try:
        with patient.client(username=None, password=None) as stranger:
            return bool(stranger.ping())
    except redis.RedisError:
        return False
