"""Feeds the monitor with data made from its own OpenAPI description, good and bad, and looks what it stored.

``python -m tests.monitor.fuzz --seconds 120 [--seed N]`` does so for as long as is asked, with its own Redis.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from monitor.store import CLIENTS, TIMELINE, decode
from pool import connect, events, model, operate, scripts
from pool import settings as settings_module
from pool.claim import Caller
from pool.sessions import KEY, State, from_hash, to_hash
from pool.settings import Settings
from tests.monitor.running import Running
from tests.server import Server

ROOT = Path(__file__).resolve().parent.parent.parent
#: What every answer must hold to: no 5xx, only statuses, types and bodies that the description has.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip


def token(monitor: Running) -> str:
    """The operator's."""
    return (Path(os.environ["COORD_HOME"]) / "monitor.token").read_text(encoding="ascii").strip()


def fill(pool: scripts.Pool, settings: Settings, monitor: Running) -> dict[str, list[str]]:
    """Tasks in several states, workers and sessions; their names by kind."""
    ids = [f"task-{number}" for number in range(6)]
    for number, name in enumerate(ids):
        spec = {"prompt": f"<script>alert({number})</script>", "id": name, "title": f"<b>{name}</b>"}
        if number == 4:
            spec["run_at"] = "2099-01-01"
        operate.submit(pool, settings, [model.parse_spec(spec)])
    for worker in ("w1", "w2", "w3"):
        pool.register(worker, "", "session", "host", 1, ["tasks"], 600.0, 0, "/", ("2.12", "3.11", "0.1"))
        pool.claim(Caller(worker, pool_epoch(pool, worker)))
    pool.cancel(ids[5], "not needed")
    sessions = ["one", "two"]
    for session in sessions:
        monitor.hook("SessionStart", session, source="startup", cwd=f"/work/{session}")
    found = monitor.get("/api/v1/sessions")["sessions"]
    return {"tasks": ids, "workers": ["w1", "w2", "w3"], "queues": ["tasks"],
            "sessions": [*sessions, *(each["id"] for each in found)]}  # fmt: skip


def pool_epoch(pool: scripts.Pool, worker: str) -> str:
    """The number of a worker's registration."""
    return str(pool.connection.execute_command("HGET", f"pool:worker:{worker}", "epoch").decode())


def run(
    monitor: Running, known: dict[str, list[str]], seed: int, examples: int = 0, seconds: int = 0,
    without: str = "",
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Ask it for everything, in so many ways each or for so long; exit code 0: all was answered well.

    ``without``: a pattern of paths to leave out.
    """
    bounds = ["--max-time", str(seconds)] if seconds else ["--max-examples", str(examples)]
    argv = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{monitor.url}/openapi.json", *bounds,
        "--checks", ",".join(CHECKS), "--mode", "all", "--phases", "coverage,fuzzing",
        "--seed", str(seed), "--header", f"Authorization: Bearer {token(monitor)}", "--no-color",
        "--continue-on-failure", "--exclude-path", "/events",  # (it never ends)
        *(["--exclude-path-regex", without] if without else []),
    ]  # fmt: skip
    environ = {
        **os.environ, "SCHEMATHESIS_HOOKS": "tests.monitor.fuzz_hooks", "FUZZ_KNOWN": json.dumps(known),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environ, cwd=monitor.folder)


def stored(connection: redis.Redis) -> Iterator[str]:
    """What is wrong with what is stored of sessions: a line each."""
    raw_ids: Any = connection.zrange("pool:sessions", 0, -1)
    ids = [raw.decode() for raw in raw_ids]
    for prefix in (KEY, TIMELINE):
        found = {raw.decode().removeprefix(prefix) for raw in connection.scan_iter(f"{prefix}*")}
        yield from (f"{prefix}{name} belongs to no session" for name in found - set(ids))
    clients: Any = connection.hgetall(CLIENTS)
    yield from (f"{client!r} is {name!r}'s" for client, name in clients.items() if name.decode() not in ids)
    for name in ids:
        raw: Any = connection.hgetall(KEY + name)
        kept = {field.decode(): value.decode() for field, value in raw.items() if field != b"ids"}
        read = to_hash(from_hash(name, raw))
        if kept != {field: read[field] for field in kept} or "state" not in kept:
            yield f"{name} is kept as {kept} and read as {read}"
        for row in events.latest(connection, 1000, TIMELINE + name):
            if row.get("state") not in set(State) or not row.get("kind"):
                yield f"the timeline of {name} has {row}"
    for row in events.latest(connection, 100_000):
        if not row.get("type"):
            yield f"an event without a type: {row}"
        if row.get("type") == "session" and row.get("kind") != "forgotten" and decode(row["record"]) is None:
            yield f"an event whose record cannot be read: {row}"


def shown(monitor: Running, connection: redis.Redis) -> Iterator[str]:
    """What cannot be shown of what is stored, by the API and on the page."""
    sessions: Any = connection.zrange("pool:sessions", 0, -1)
    tasks: Any = connection.zrange("pool:tasks", 0, -1)
    paths = ["/", "/tasks", "/queues", "/costs", "/docs", "/hook/status", "/api/v1/status",
             "/api/v1/workers", "/api/v1/queues", "/api/v1/stats", "/api/v1/costs", "/api/v1/accounts",
             "/api/v1/events?limit=500", "/api/v1/sessions?limit=500", "/api/v1/tasks?limit=500"]  # fmt: skip
    for raw in sessions[:200]:
        paths += [f"{prefix}/sessions/{quote(raw.decode(), safe='')}" for prefix in ("", "/api/v1")]
    for raw in tasks[:200]:
        paths += [f"{prefix}/tasks/{quote(raw.decode(), safe='')}" for prefix in ("", "/api/v1")]
    for path in paths:
        status, data, headers = monitor.request("GET", path)
        page = (headers["Content-Type"] or "").startswith("text/html")
        if status != 200:
            yield f"{path} is answered with {status}: {data[:200]!r}"
        elif page and b"<script>alert(" in data:
            yield f"{path} has a script in it"
        elif not page:
            json.loads(data)


def main() -> int:
    """Run for as long as is asked; 0: nothing was found."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--seconds", type=int, default=120)
    given.add_argument("--seed", type=int, default=0)
    asked = given.parse_args()
    with tempfile.TemporaryDirectory() as name, Server(Path(name) / "redis") as server:
        os.environ |= {
            "COORD_REDIS_URL": server.url,
            "COORD_HOME": f"{name}/home",
            "COORD_MONITOR_RATE": "1000000",
        }
        settings = settings_module.load()
        monitor = Running(Path(name)).start()
        try:
            with connect.client(settings) as connection:
                known = fill(connect.pool(settings, connection), settings, monitor)
                done = run(monitor, known, asked.seed, seconds=asked.seconds)
                print(done.stdout, done.stderr)
                problems = [*stored(connection), *shown(monitor, connection)]
                said = (
                    connection.zcard("pool:sessions"),
                    connection.zcard("pool:tasks"),
                    connection.xlen(events.EVENTS),
                )
                print("{} sessions, {} tasks, {} events are stored".format(*said))
        finally:
            monitor.close()
    print("\n".join(problems) or "all of it can be read and shown")
    return 1 if problems or done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
