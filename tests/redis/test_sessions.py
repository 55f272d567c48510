"""Records of sessions are read many at a time; what cannot be read of one spoils no other."""

from __future__ import annotations

import redis

from pool import sessions


def put(conn: redis.Redis, session: sessions.Session, heard: float) -> None:
    """A record as the monitor leaves it."""
    for name, value in sessions.to_hash(session).items():
        conn.hset(sessions.KEY + session.id, name, value)
    conn.zadd(sessions.INDEX, {session.id: heard})


def test_all_are_read_those_heard_of_last_first(conn: redis.Redis) -> None:
    made = [
        sessions.Session(f"s-{n:04x}", state=sessions.State.TOOL, tool="Bash", since=float(n), tools=n)
        for n in range(620)
    ]
    for n, each in enumerate(made):
        put(conn, each, float(n))
    assert sessions.every(conn) == made[::-1]
    assert sessions.read(conn, ["s-0003", "nobody", "s-0001"]) == [made[3], made[1]]
    assert sessions.read(conn, []) == []


def test_a_damaged_record_is_as_if_not_known(conn: redis.Redis) -> None:
    put(conn, sessions.Session("s-1", state=sessions.State.WORKING, since=5.0), 1.0)
    conn.hset(sessions.KEY + "s-1", mapping={"since": "soon", "state": "asleep", "cwd": b"\xff"})
    (found,) = sessions.every(conn)
    assert (found.since, found.state, found.cwd) == (0.0, sessions.State.STARTING, "\ufffd")
