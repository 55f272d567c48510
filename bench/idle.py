"""Part e: what a thousand waiting workers cost the server."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

from bench import servers
from bench.run import Run
from bench.work import register
from pool.claim import Caller


class Line:
    """One raw connection that sends commands and reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Line:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, *words: str | bytes | int | float) -> Any:
        """Send one command; its reply."""
        raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.writer.write(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in raw))
        return await self._reply()

    async def _reply(self) -> Any:
        line = (await self.reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else (await self.reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [await self._reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest


async def wait(coord: servers.Ready, caller: Caller, began: asyncio.Event) -> None:
    """Do what a Stop hook does that waits: look, block on the doorbell until about `recheck`, look again."""
    line = await Line.to(coord.server.port)
    sha, ticket = coord.pool.texts.sha("claim"), "new"
    await began.wait()
    await asyncio.sleep(random.random() * coord.settings.recheck)
    while True:
        window = coord.settings.recheck * random.uniform(0.7, 1.3)
        look = await line.ask(
            "EVALSHA", sha, 0, caller.worker, caller.epoch, ticket, os.urandom(8).hex(), window
        )
        if look[0] != b"wait":
            raise RuntimeError(f"{caller.worker} was to wait: {look[:3]}")
        ticket = look[1].decode()
        await line.ask("BLPOP", f"pool:bell:{caller.worker}:{ticket}", f"{window:.3f}")


async def keep(coord: servers.Ready, caller: Caller, began: asyncio.Event) -> None:
    """Do what a keeper does: a beat at the setting's interval."""
    line = await Line.to(coord.server.port)
    sha = coord.pool.texts.sha("beat")
    await began.wait()
    await asyncio.sleep(random.random() * coord.settings.beat)
    while True:
        answer = await line.ask("EVALSHA", sha, 0, caller.worker, caller.epoch, "", "", "")
        if answer[0] != b"ok":
            raise RuntimeError(f"{caller.worker} was to live on: {answer}")
        await asyncio.sleep(coord.settings.beat)


async def poll(coord: servers.Ready, caller: Caller, began: asyncio.Event) -> None:
    """Look for a task each second, and do not wait in between: the naive way."""
    line = await Line.to(coord.server.port)
    sha = coord.pool.texts.sha("claim")
    await began.wait()
    await asyncio.sleep(random.random())
    while True:
        await line.ask("EVALSHA", sha, 0, caller.worker, caller.epoch, "", os.urandom(8).hex(), 0)
        await asyncio.sleep(1.0)


def measure(run: Run) -> dict[str, Any]:
    """The server under waiting workers, and under the same number that poll each second."""
    return {
        "workers": run.sizes.waiting,
        "waiting": asyncio.run(_watch(run, run.sizes.idle_seconds, (wait, keep), "idle")),
        "polling": asyncio.run(_watch(run, run.sizes.polling_seconds, (poll, keep), "polling")),
    }


async def _watch(run: Run, seconds: float, roles: tuple[Any, ...], what: str) -> dict[str, float]:
    with servers.ready() as coord:
        empty = coord.memory()
        callers = [register(coord.pool, f"w{number}") for number in range(run.sizes.waiting)]
        began = asyncio.Event()
        tasks = [asyncio.create_task(role(coord, each, began)) for each in callers for role in roles]
        try:
            began.set()
            await asyncio.sleep(coord.settings.recheck * 1.5)  # all have looked once and are blocked
            coord.forget()
            cpu, start = servers.cpu_seconds(coord.conn), time.monotonic()
            for _ in run.steps(what, list(range(10))):
                await asyncio.sleep(seconds / 10)
                for task in tasks:
                    if task.done():
                        task.result()
            took, used, calls = time.monotonic() - start, servers.cpu_seconds(coord.conn) - cpu, coord.calls()
            client: Any = coord.conn.info("clients")
            return {
                "seconds": round(took, 1),
                "commands_per_s": round(_client_commands(calls) / took, 1),
                "cpu_percent": round(100 * used / took, 2),
                "bytes_per_worker": round((coord.memory() - empty) / len(callers)),
                "connections": float(client["connected_clients"]),
                "blocked": float(client["blocked_clients"]),
            }
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _client_commands(calls: dict[str, tuple[int, float]]) -> int:
    """Commands that clients sent: those inside of scripts do not count."""
    return sum(count for name, (count, _) in calls.items() if name in ("evalsha", "blpop"))
