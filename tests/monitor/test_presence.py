"""Others know which monitors run, and where the one of this project is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from pool import events, monitors, process, view
from pool.settings import Settings, load
from tests.monitor.running import Running
from tests.redis.coord import Coord
from tests.server import free_port
from tests.session import eventually

Start = Callable[..., Running]


def kinds(conn: redis.Redis) -> list[tuple[str, str]]:
    found = [(row["type"], row["detail"]) for row in events.latest(conn, 100)[::-1]]
    return [each for each in found if "monitored" in each[0]]


def test_a_monitor_says_that_it_runs_and_that_it_ends(
    start: Start, conn: redis.Redis, settings: Settings
) -> None:
    one, two = start(), start()
    assert [each.url for each in monitors.running(conn)] == sorted((one.url, two.url))
    noted = monitors.noted(settings.home)
    assert noted is not None and noted.runs
    assert (noted.url, noted.port, noted.key) == (two.url, two.port, process.key(_pid(two)))
    assert two.stop() == 0
    assert [each.url for each in monitors.running(conn)] == [one.url]
    assert kinds(conn) == [("monitored", one.url), ("monitored", two.url), ("unmonitored", two.url)]
    assert not noted.runs and monitors.noted(settings.home) == noted, "its port is remembered"


def test_one_that_was_killed_is_believed_only_for_a_while(start: Start, conn: redis.Redis) -> None:
    one = start()
    raw: Any = conn.zrange(monitors.KEY, 0, -1, withscores=True)
    one.kill()
    ((member, until),) = raw
    now = view.server_time(conn)
    assert until - now <= 10.0
    conn.zadd(monitors.KEY, {member: now - 1})
    assert monitors.running(conn) == []
    two = start()
    assert [each.url for each in monitors.running(conn)] == [two.url]
    assert conn.zcard(monitors.KEY) == 1, "the other one is forgotten"


def test_the_next_one_takes_the_same_port_unless_one_is_set(settings: Settings, tmp_path: Path) -> None:
    assert monitors.port(settings) == 5050 and monitors.url(settings) == "http://127.0.0.1:5050"
    monitors.note(settings.home, "http://127.0.0.1:6001", 6001)
    assert monitors.port(settings) == 6001 and monitors.url(settings) == "http://127.0.0.1:6001"
    assert monitors.port(load(monitor_port=5050)) == 5050
    assert monitors.url(load(monitor_url="http://monitor:5050/")) == "http://monitor:5050"
    (Path(settings.home) / monitors.NOTE).write_text('{"port": "x"}')
    assert monitors.port(settings) == 5050


def test_a_port_in_use(settings: Settings, conn: redis.Redis, tmp_path: Path) -> None:
    coord = Coord(tmp_path)
    with closing(coord), socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        assert f"127.0.0.1:{port} is in use" in coord.refused("monitor", "--port", port)
        child = coord.start("monitor", "--port", port, "--elsewhere")
        assert child.stdout is not None
        url = child.stdout.readline().split()[-1]
        assert url.startswith("http://127.0.0.1:") and not url.endswith(f":{port}")
        assert [each.url for each in monitors.running(conn)] == [url]
        child.terminate()
        assert child.wait(20) == 0
        eventually(lambda: not monitors.running(conn))


def _pid(each: Running) -> int:
    assert each.process is not None
    return each.process.pid
