"""`coord up` starts the monitor as well; neither it nor the coordinator takes the other one along."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from coordinator import embedded
from pool import monitors, process
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.server import free_port
from tests.session import eventually


@pytest.fixture
def coord(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Coord]:
    """`coord` in a project without a Redis of its own; all that `coord up` starts is ended."""
    monkeypatch.delenv("COORD_REDIS_URL")
    Path(settings.home).mkdir()
    (Path(settings.home) / "redis.port").write_text(str(free_port()))
    made = Coord(tmp_path)
    yield made
    made.process("down")
    made.close()


def noted(settings: Settings) -> monitors.Noted:
    found = monitors.noted(settings.home)
    assert found is not None
    return found


def status(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/hook/status", timeout=10) as answer:
        return json.loads(answer.read())


def pid(key: str) -> int:
    return int(key.split("-")[2])


def remembered(settings: Settings, port: int) -> None:
    """As if a monitor had been at that port."""
    text = json.dumps({"url": f"http://127.0.0.1:{port}", "port": port, "key": "gone-0-1-1"})
    (Path(settings.home) / monitors.NOTE).write_text(text)


def test_up_and_down_in_the_background(coord: Coord, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        taken = other.getsockname()[1]
        remembered(settings, taken)
        done = coord.process("up", "-d")
    assert done.code == 0, done
    first = noted(settings)
    assert f"monitor at {first.url} (port {taken} is in use)" in done.err and first.port != taken
    assert f"operator's token, which is in {Path(settings.home) / 'monitor.token'}\n" in done.err
    assert status(first.url)["status"] == "ok" and monitors.url(settings) == first.url
    again = coord.process("up", "-d")
    assert f"the monitor runs already at {first.url}" in again.err
    # A crash of either leaves the other one alone.
    server = embedded.running(Path(settings.home))
    assert server is not None
    os.kill(pid(first.key), signal.SIGKILL)
    eventually(lambda: not first.runs)
    with redis.Redis.from_url(server.url) as client:
        assert client.exists("pool:leader")
    again = coord.process("up", "-d")
    assert "the coordinator runs already" in again.err and f"monitor at {first.url}\n" in again.err, (
        "its port"
    )
    leader = (Path(settings.home) / "serve.pid").read_text()
    os.kill(pid(leader), signal.SIGKILL)
    eventually(lambda: not process.same(leader))
    assert status(first.url)["status"] == "ok"
    assert coord.process("down").out == "monitor ended\nRedis ended\n"
    assert not noted(settings).runs
    assert coord.process("down").out == "no embedded Redis runs here\n"


def test_a_port_that_is_set_and_in_use_leaves_the_monitor_out(coord: Coord, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        taken = other.getsockname()[1]
        done = coord.process("up", "-d", COORD_MONITOR_PORT=str(taken))
    assert done.code == 0
    assert f"going on without the monitor: 127.0.0.1:{taken} is in use" in done.err
    assert coord.process("down").out == "coordinator ended\nRedis ended\n"


def test_in_the_foreground_and_left_out(coord: Coord, settings: Settings) -> None:
    remembered(settings, free_port())
    child = coord.start("up")
    url = eventually(lambda: noted(settings).runs and noted(settings).url, 30)
    assert status(url)["status"] == "ok"
    os.kill(pid(noted(settings).key), signal.SIGKILL)
    assert child.stderr is not None
    lines = [child.stderr.readline()]
    while "the monitor has ended" not in lines[-1]:
        lines.append(child.stderr.readline())
    assert [line for line in lines if line.rstrip().endswith(f"monitor at {url}")]
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0 and err.rstrip().endswith("Redis ended"), err
    child = coord.start("up", COORD_MONITOR_ENABLED="0")
    assert child.stderr is not None
    server = eventually(lambda: embedded.running(Path(settings.home)), 20)
    with redis.Redis.from_url(server.url) as client:
        eventually(lambda: client.exists("pool:leader"), 20)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0 and "monitor" not in err, err


def test_ctrl_c_ends_the_monitor_too(coord: Coord, settings: Settings) -> None:
    remembered(settings, free_port())
    child = coord.start("up")
    eventually(lambda: noted(settings).runs, 30)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0 and not noted(settings).runs, err
    assert not re.search(r"the monitor has ended|Traceback", err)
