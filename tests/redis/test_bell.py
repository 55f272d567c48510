"""A doorbell to select() on."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest
import redis

from pool import wire
from pool.errors import RedisAway
from tests.server import Server
from workers.supervise.bell import Bell


@pytest.fixture
def bell(server: Server, conn: redis.Redis) -> Iterator[Bell]:
    made = Bell(wire.Connection(server.url))
    yield made
    made.close()


def readable(bell: Bell, seconds: float = 10.0) -> bool:
    return bool(select.select([bell.fileno()], [], [], seconds)[0])


def test_it_is_readable_once_it_rings_and_only_then(bell: Bell, conn: redis.Redis) -> None:
    assert bell.fileno() == -1
    bell.listen("pool:bell:w1:1")
    bell.listen("pool:bell:w1:1")  # it listens already
    assert not readable(bell, 0.05)
    conn.rpush("pool:bell:w1:1", "tasks")
    assert readable(bell) and bell.rang()
    assert bell.fileno() == -1
    conn.rpush("pool:bell:w1:1", "again")
    bell.listen("pool:bell:w1:1")
    assert readable(bell) and bell.rang()


def test_it_listens_to_one_bell_at_a_time(bell: Bell, conn: redis.Redis) -> None:
    bell.listen("pool:bell:w1:1")
    bell.listen("pool:bell:w1:2")
    conn.rpush("pool:bell:w1:2", "tasks")
    assert readable(bell) and bell.rang()


def test_a_line_that_breaks_is_readable_and_says_so(own_server: Server) -> None:
    bell = Bell(wire.Connection(own_server.url))
    bell.listen("pool:bell:w1:1")
    own_server.kill()
    assert readable(bell)
    with pytest.raises(RedisAway):
        bell.rang()
    with pytest.raises(RedisAway):
        bell.listen("pool:bell:w1:1")
    own_server.start()
    bell.listen("pool:bell:w1:1")
    assert bell.fileno() >= 0
    bell.close()
