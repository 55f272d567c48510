"""What each transition costs the server, and how many commands a client sends for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from bench import servers, stats
from bench.run import Run
from bench.work import Records, register
from pool import keys, scripts, wire
from pool.claim import Caller, Claim

TRANSITIONS = ("submit", "claim", "confirm", "beat", "complete")


def measure(run: Run) -> dict[str, Any]:
    """Microseconds of server time for each transition (INFO commandstats of EVALSHA), and round trips."""
    times: dict[str, list[float]] = {name: [] for name in TRANSITIONS}
    batch = run.sizes.server_batch
    for _ in run.steps("server time", list(range(run.sizes.server_rounds))):
        with servers.ready() as coord:
            for name, seconds in _round(coord, batch).items():
                times[name].append(seconds)
    return {
        "usec": {name: stats.summary(values) for name, values in times.items()},
        "commands": _commands(),
        "batch": batch,
    }


def _round(coord: servers.Ready, batch: int) -> dict[str, float]:
    """Each of ``batch`` workers goes through the same transition, then all through the next one."""
    records = Records(coord.settings)
    callers = [register(coord.pool, f"w{index}") for index in range(batch)]
    claims: list[Claim] = []
    found: dict[str, float] = {}

    def phase(name: str, act: Callable[[int], object]) -> None:
        coord.forget()
        for index in range(batch):
            act(index)
        calls, found[name] = coord.calls()["evalsha"]
        if calls != batch:
            raise RuntimeError(f"{calls} scripts were run for {batch} times {name}")

    phase("submit", lambda index: coord.pool.submit([records.make(index)]))
    phase("claim", lambda index: claims.append(claim(coord.pool, callers[index])))
    phase("confirm", lambda index: coord.pool.confirm(callers[index], claims[index]))
    phase("beat", lambda index: coord.pool.beat(callers[index], claims[index]))
    phase("complete", lambda index: coord.pool.complete(callers[index], claims[index], '"ok"'))
    return found


def claim(pool: scripts.Pool, caller: Caller) -> Claim:
    """Claim a task that is known to be there."""
    handed = pool.claim(caller).handed
    if handed is None:
        raise RuntimeError(f"{caller.worker} was given no task")
    return handed.claim


def _commands() -> dict[str, int]:
    """Commands that MONITOR shows for one call of each transition, over the hooks' own client."""
    with servers.ready() as coord:
        records = Records(coord.settings)
        connection = wire.Connection(coord.server.url)
        pool = scripts.Pool(connection, coord.pool.values, keys.templates())
        caller = register(pool, "w1")
        held: list[Claim] = []
        calls: dict[str, Callable[[], object]] = {
            "submit": lambda: pool.submit([records.make(1)]),
            "claim": lambda: held.append(claim(pool, caller)),
            "confirm": lambda: pool.confirm(caller, held[0]),
            "beat": lambda: pool.beat(caller, held[0]),
            "complete": lambda: pool.complete(caller, held[0], '"ok"'),
        }
        with socket.create_connection(("127.0.0.1", coord.server.port), 5) as monitor:
            monitor.sendall(b"MONITOR\r\n")
            lines = monitor.makefile("rb")
            lines.readline()
            found = {}
            for name, act in calls.items():
                act()
                coord.conn.echo(f"end of {name}")
                found[name] = _count(lines.readline, f"end of {name}".encode())
            lines.close()
        connection.close()
        return found


def _count(read: Callable[[], bytes], end: bytes) -> int:
    """Commands of clients (not those inside scripts) up to the one that says ``end``."""
    count, deadline = 0, time.monotonic() + 5
    while time.monotonic() < deadline:
        line = read()
        if end in line:
            return count
        if b" lua]" not in line:
            count += 1
    raise RuntimeError("MONITOR does not answer")
