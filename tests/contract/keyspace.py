"""A keyspace as plain values, and how two of them differ.

What cannot be the same in two runs is given a form that can be compared: a moment becomes the seconds
since the run began (compared with a tolerance), an execution's id becomes its place in the order in
which they were met, packed data is unpacked.
"""

from __future__ import annotations

import binascii
import json
import re
import zlib
from datetime import datetime
from typing import Any

import redis

from pool import keys

#: Two runs of the story may be so far apart (seconds) in a moment or a TTL.
TOLERANCE = 5.0

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_EPOCH = re.compile(r"1[5-9]\d{8}(\.\d+)?|2\d{9}(\.\d+)?")
_EXECUTION = re.compile(r"[0-9a-f]{32}|\d+-[0-9a-f]{16}")


class Moment(float):
    """Seconds since the run began."""

    def __repr__(self) -> str:
        return f"{float(self):+.0f} s"


Value = Any
Keyspace = dict[str, dict[str, Value]]


class Reader:
    """Reads one run's keyspace."""

    def __init__(self, connection: redis.Redis) -> None:
        self.connection = connection
        seconds, micros = connection.time()
        self.began = seconds + micros / 1_000_000

    def read(self) -> Keyspace:
        """Every key: ``TTL``, and its fields, members or entries by a name that both runs share."""
        found: Keyspace = {}
        for raw in sorted(self.connection.scan_iter("*", count=1000)):
            kind = self.connection.type(raw).decode()
            ttl = self.connection.ttl(raw)
            fields = {f"({kind})": True, "TTL": None if ttl < 0 else Moment(ttl)}
            fields.update(getattr(self, f"_{kind}")(raw))
            found[self._name(raw.decode())] = fields
        return found

    def _hash(self, key: bytes) -> dict[str, Value]:
        return {
            field.decode(): self._value(field.decode(), value)
            for field, value in self.connection.hgetall(key).items()
        }

    def _zset(self, key: bytes) -> dict[str, Value]:
        members = self.connection.zrange(key, 0, -1, withscores=True)
        return {self._name(member.decode()): self._number(score) for member, score in members}

    def _list(self, key: bytes) -> dict[str, Value]:
        return {"entries": [member.decode() for member in self.connection.lrange(key, 0, -1)]}

    def _set(self, key: bytes) -> dict[str, Value]:
        return {member.decode(): True for member in self.connection.smembers(key)}

    def _string(self, key: bytes) -> dict[str, Value]:
        return {"value": self._value("", self.connection.get(key) or b"")}

    def _stream(self, key: bytes) -> dict[str, Value]:
        found = {}
        for number, (_, entry) in enumerate(self.connection.xrange(key)):
            for field, value in entry.items():
                found[f"{number}.{field.decode()}"] = self._value(field.decode(), value)
        return found

    def _value(self, field: str, raw: bytes) -> Value:
        """A field's value; packed ones unpacked as RQ's own code would."""
        if field == "data":
            return json.loads(zlib.decompress(raw))
        if field == "return_value":
            return json.loads(binascii.a2b_base64(raw))
        if field == "exc_string":
            return zlib.decompress(binascii.a2b_base64(raw)).decode()
        if field == "exc_info" and raw[:1] == b"\x78":
            return {"zlib": zlib.decompress(raw).decode()}
        text = raw.decode()
        if _ISO.fullmatch(text):
            return Moment(datetime.fromisoformat(text).timestamp() - self.began)
        if _EPOCH.fullmatch(text):
            return self._number(float(text))
        return self._name(text)

    def _number(self, number: float) -> Value:
        return Moment(number - self.began) if 1_500_000_000 < number < 3_000_000_000 else number

    def _name(self, text: str) -> str:
        return _EXECUTION.sub("EXECUTION", text)


def differences(theirs: Keyspace, ours: Keyspace) -> dict[str, str]:
    """Where two keyspaces differ: ``KEY`` or ``KEY FIELD``, and what stands on either side."""
    found: dict[str, str] = {}
    for key in sorted(theirs.keys() | ours.keys()):
        if key not in ours:
            found[key] = "only RQ has this key"
        elif key not in theirs:
            found[key] = "only we have this key"
        else:
            for field in sorted(theirs[key].keys() | ours[key].keys()):
                one, other = theirs[key].get(field), ours[key].get(field)
                if not alike(one, other):
                    left = repr(one) if field in theirs[key] else "no such field"
                    right = repr(other) if field in ours[key] else "no such field"
                    found[f"{key} {field}"] = f"RQ: {left[-160:]}; ours: {right[-160:]}"
    return found


def alike(one: Value, other: Value) -> bool:
    """Whether two values say the same."""
    if isinstance(one, Moment) and isinstance(other, Moment):
        return abs(one - other) <= TOLERANCE
    return type(one) is type(other) and bool(one == other)
