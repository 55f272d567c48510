"""`coord monitor`: starting and ending."""

from __future__ import annotations

import os
import subprocess

import redis

from tests.monitor.running import COORD, Running


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COORD, "monitor", *argv], capture_output=True, text=True, check=False)


def test_an_address_in_use_is_one_line(monitor: Running) -> None:
    done = run("--port", str(monitor.port))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "is in use" in done.stderr


def test_without_redis_it_does_not_start(conn: redis.Redis) -> None:
    env = {"COORD_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [*COORD, "monitor", "--port", "5999"],
        capture_output=True, text=True, check=False, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 5 and done.stderr.count("\n") == 1, done.stderr
