"""A keyspace as plain values, and where two of them differ.

What cannot be the same in two runs gets a form that can be compared: a moment becomes the seconds since
the run began and is compared with a tolerance, an execution's id becomes EXECUTION, packed data is
unpacked as RQ's own code would.
"""

from __future__ import annotations

import binascii
import json
import re
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import redis

#: Moments and TTLs of two runs may be so far apart (seconds): the runs themselves take less, on a busy
#: machine as well, and what the story tells apart (60 and 90) is further.
TOLERANCE = 20.0

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_EPOCH = re.compile(r"[12]\d{9}(\.\d+)?")
#: RQ's are a UUID in hex, ours the claim's token.
_EXECUTION = re.compile(r"[0-9a-f]{32}|\d+-[0-9a-f]{16}")


class Moment(float):
    """Seconds, since the run began or for which something took or takes."""

    def __repr__(self) -> str:
        return f"{float(self):+.0f} s"


#: Key to (field, member or entry) to value.
Keyspace = dict[str, dict[str, Any]]


class Difference(NamedTuple):
    """``where`` is KEY or KEY FIELD, ``kind`` is 'only RQ', 'only ours' or 'differs'."""

    where: str
    kind: str
    text: str


class Reader:
    """Reads the keyspace of a run that begins now."""

    def __init__(self, connection: redis.Redis) -> None:
        #: (redis-py types every reply as text or bytes; ours are bytes.)
        self.connection: Any = connection
        seconds, micros = connection.time()
        self.began = seconds + micros / 1_000_000
        self._of_type: dict[str, Callable[[bytes], dict[str, Any]]] = {
            "hash": self._hash, "list": self._list, "set": self._set,
            "stream": self._stream, "string": self._string, "zset": self._zset,
        }  # fmt: skip

    def read(self) -> Keyspace:
        """Every key with its type, its TTL and all that it holds."""
        found: Keyspace = {}
        for key in sorted(self.connection.scan_iter("*", count=1000)):
            kind = self.connection.type(key).decode()
            ttl = self.connection.ttl(key)
            found[_named(key.decode())] = {
                "TYPE": kind, "TTL": Moment(ttl) if ttl >= 0 else None, **self._of_type[kind](key)
            }  # fmt: skip
        return found

    def _hash(self, key: bytes) -> dict[str, Any]:
        fields = self.connection.hgetall(key).items()
        return {name.decode(): self._value(name.decode(), raw) for name, raw in fields}

    def _list(self, key: bytes) -> dict[str, Any]:
        return {"entries": [entry.decode() for entry in self.connection.lrange(key, 0, -1)]}

    def _set(self, key: bytes) -> dict[str, Any]:
        return {member.decode(): True for member in self.connection.smembers(key)}

    def _zset(self, key: bytes) -> dict[str, Any]:
        members = self.connection.zrange(key, 0, -1, withscores=True)
        return {_named(member.decode()): self._number(score) for member, score in members}

    def _string(self, key: bytes) -> dict[str, Any]:
        return {"value": self._value("", self.connection.get(key) or b"")}

    def _stream(self, key: bytes) -> dict[str, Any]:
        found = {}
        for number, (_, entry) in enumerate(self.connection.xrange(key)):
            for name, raw in entry.items():
                found[f"{number}.{name.decode()}"] = self._value(name.decode(), raw)
        return found

    def _value(self, name: str, raw: bytes) -> Any:
        if name == "data":
            return json.loads(zlib.decompress(raw))
        if name == "return_value":
            return json.loads(binascii.a2b_base64(raw))
        if name == "exc_string":
            return zlib.decompress(binascii.a2b_base64(raw)).decode()
        text = raw.decode()
        if name == "total_working_time":
            return Moment(text)
        if _ISO.fullmatch(text):
            return self._number(datetime.fromisoformat(text).timestamp())
        return self._number(float(text)) if _EPOCH.fullmatch(text) else _named(text)

    def _number(self, number: float) -> Any:
        return Moment(number - self.began) if _EPOCH.fullmatch(str(number)) else number


def _named(text: str) -> str:
    return _EXECUTION.sub("EXECUTION", text)


def differences(theirs: Keyspace, ours: Keyspace) -> list[Difference]:
    """Where RQ's keyspace and ours differ, key by key and field by field."""
    found: list[Difference] = []
    for key in sorted(theirs.keys() | ours.keys()):
        if key not in ours:
            found.append(Difference(key, "only RQ", repr(theirs[key])))
        elif key not in theirs:
            found.append(Difference(key, "only ours", repr(ours[key])))
        else:
            found += _in_key(key, theirs[key], ours[key])
    return found


def _in_key(key: str, theirs: dict[str, Any], ours: dict[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for field in sorted(theirs.keys() | ours.keys()):
        where = f"{key} {field}"
        if field not in ours:
            found.append(Difference(where, "only RQ", repr(theirs[field])))
        elif field not in theirs:
            found.append(Difference(where, "only ours", repr(ours[field])))
        elif not _alike(theirs[field], ours[field]):
            found.append(Difference(where, "differs", f"RQ {theirs[field]!r}, ours {ours[field]!r}"))
    return found


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Moment) and isinstance(other, Moment):
        return abs(one - other) <= TOLERANCE
    return type(one) is type(other) and bool(one == other)
