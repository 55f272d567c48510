"""`python -m bench.monitor`: from a hook's call to its event at who listens, and the first page.

python -m bench.monitor [--rate 200] [--seconds 20] [--record 10000] [--aof always] [--json]
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import track

from bench import machine, servers, stats
from monitor import signals, states
from monitor.store import Store
from pool.sessions import Session
from tests.server import free_port

#: Sessions that report at once; each has a connection of its own, as a client has.
_SESSIONS = 40
#: What a session goes through, again and again.
_STORY = ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PreToolUse", "PostToolUse", "Stop")
_PATIENCE = 30.0
#: No two hooks of one session are the same: that would be one of two installations.
_NUMBERS = itertools.count()
_LIMITS = {"median": 5.0, "p99": 20.0, "page_ms": 300.0}

Heard = dict[str, float]


class Service(NamedTuple):
    """The monitor that is measured."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        user, system = text[text.rindex(")") + 2 :].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measured(service: Service, rate: float, seconds: float) -> dict[str, float]:
    """The latencies in milliseconds, and the processor time of a hook in microseconds."""
    asyncio.run(latencies(service.port, min(rate, 50.0), 2.0))  # warm
    before = service.cpu()
    found = asyncio.run(latencies(service.port, rate, seconds))
    return {**stats.summary(found), "cpu_us": round((service.cpu() - before) / len(found) * 1e6)}


@contextmanager
def running(coord: servers.Ready) -> Iterator[Service]:
    """`coord monitor` as a process of its own."""
    port = free_port()
    env = {**os.environ, "COORD_REDIS_URL": coord.server.url, "COORD_HOME": coord.settings.home}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "coordinator.cli", "monitor", "--port", str(port)],
            stdout=subprocess.PIPE, stderr=log, text=True, env=env,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                log.seek(0)
                raise RuntimeError(log.read())
            yield Service(port, process.pid)
        finally:
            process.terminate()
            process.wait(_PATIENCE)
            process.stdout.close()


def record(coord: servers.Ready, count: int, console: Console) -> None:
    """So many sessions on record, as hooks would have made them."""
    store = Store(coord.settings)
    for number in track(range(count), "sessions on record", console=console, disable=not console.is_terminal):
        before = Session(f"s-{number:010x}")
        signal = signals.Signal(
            kind="UserPromptSubmit" if number % 3 else "Stop", at=time.time(), session=f"recorded-{number}",
            cwd=f"/work/{number % 50}", title=f"session {number}",
        )  # fmt: skip
        store.observe(before, replace(states.step(before, signal), revision=1), signal)


def body(session: str, event: str, number: int) -> bytes:
    """A hook's JSON, with what the client sends besides; the number comes back in the event."""
    fields: dict[str, Any] = {
        "session_id": session, "hook_event_name": event, "cwd": "/work", "permission_mode": "default",
        "transcript_path": f"/home/user/.claude/projects/work/{session}.jsonl", "prompt_id": str(number),
    }  # fmt: skip
    if "ToolUse" in event:
        fields |= {"tool_name": "Bash", "tool_use_id": f"toolu_{(number + 1) // 2}",
                   "tool_input": {"command": "pytest -q", "description": "Run the tests"}}  # fmt: skip
    if event == "PostToolUse":
        fields["tool_response"] = {"stdout": "x" * 2000, "stderr": ""}
    if event == "Stop":
        fields |= {"stop_hook_active": False, "last_assistant_message": "done " * 40}
    return json.dumps(fields).encode()


async def report(port: int, mine: int, rate: float, seconds: float, sent: list[float]) -> None:
    """One session: its share of the rate, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    session, every = f"bench-{mine}", _SESSIONS / rate
    first = next(_NUMBERS) * 6_000_000
    begin, number = time.perf_counter() + every * mine / _SESSIONS, 0
    try:
        while (due := begin + number * every) < begin + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            event = _STORY[number % len(_STORY)]
            data = body(session, event, first + number)
            head = (
                f"POST /hook/{signals.route(event)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            )
            sent.append(time.perf_counter())
            writer.write(head.encode() + data)
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(f"a hook was answered with {status!r}")
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            number += 1
    finally:
        writer.close()


async def listen(port: int) -> AsyncIterator[tuple[str, float]]:
    """The client's id of each session that an event is about, and when that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(f"GET /events?types=session HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    try:
        while line := await reader.readline():
            at = time.perf_counter()
            if line.startswith(b"data: "):
                yield json.loads(line[6:])["record"]["session"], at
            elif line.startswith(b"id: ") and not line.startswith(b"id: 0-0"):
                yield "", at
    finally:
        writer.close()


async def latencies(port: int, rate: float, seconds: float) -> list[float]:
    """Milliseconds from the write of each hook's call to its event. Each session has one at a time."""
    sent: dict[str, list[float]] = {f"bench-{mine}": [] for mine in range(_SESSIONS)}
    heard: dict[str, list[float]] = {session: [] for session in sent}
    listening = asyncio.Event()

    async def hear() -> None:
        async for session, at in listen(port):
            listening.set()
            if session in heard:
                heard[session].append(at)

    listener = asyncio.create_task(hear())
    await asyncio.sleep(0.5)
    await asyncio.gather(
        *(report(port, mine, rate, seconds, sent[f"bench-{mine}"]) for mine in range(_SESSIONS))
    )
    end = time.perf_counter() + _PATIENCE
    while sum(map(len, heard.values())) < sum(map(len, sent.values())) and time.perf_counter() < end:
        await asyncio.sleep(0.05)
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener
    for session, times in sent.items():
        if len(heard[session]) != len(times):
            raise RuntimeError(f"{session}: {len(times)} sent, {len(heard[session])} heard")
    return [
        (after - before) * 1000
        for session in sent
        for before, after in zip(sent[session], heard[session], strict=True)
    ]


def page(port: int, path: str) -> tuple[float, int]:
    """Milliseconds that a page takes, to its last byte, and its size; its first request of all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    took = (time.perf_counter() - began) * 1000
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"GET {path} was answered with {answer.status}")
    return took, len(data)


@click.command()
@click.option(
    "--rate", type=click.FloatRange(1, 5000), default=200.0, show_default=True, help="Hooks a second."
)
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=20.0, show_default=True, help="For so long."
)
@click.option(
    "--record", "recorded", type=click.IntRange(0, 100_000), default=10_000, show_default=True,
    help="Sessions on record for the second half.",
)  # fmt: skip
@click.option(
    "--aof", type=click.Choice(list(servers.AOF)), default="everysec", show_default=True,
    help="How Redis keeps what it is told.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rate: float, seconds: float, recorded: int, aof: str, as_json: bool) -> None:
    """Measure the monitor: a hook's call to its event, without and with many sessions on record; the page.

    Exit code 1 when a goal is missed.
    """
    for variable in [name for name in os.environ if name.startswith(("COORD_", "CLAUDE"))]:
        del os.environ[variable]
    console = Console(stderr=True)
    found: dict[str, Any] = {"machine": machine.facts(), "rate": rate, "seconds": seconds, "aof": aof}
    with servers.ready(aof) as coord:
        with running(coord) as service:
            found["empty"] = measured(service, rate, seconds)
        if recorded:
            record(coord, recorded, console)
            with running(coord) as service:
                found["recorded"] = recorded
                found["full"] = measured(service, rate, seconds)
            times = []
            for _ in range(3):  # the first request of a service that has just begun, each
                with running(coord) as service:
                    times.append(page(service.port, "/"))
            found["page_ms"], found["page_bytes"] = max(each[0] for each in times), times[0][1]
    missed = [
        f"{part}.{name} {found[part][name]:.1f} ms > {_LIMITS[name]:g} ms"
        for part in ("empty", "full") if part in found
        for name in ("median", "p99") if found[part][name] > _LIMITS[name]
    ]  # fmt: skip
    if found.get("page_ms", 0.0) > _LIMITS["page_ms"]:
        missed.append(f"first page {found['page_ms']:.0f} ms > {_LIMITS['page_ms']:g} ms")
    found["missed"] = missed
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _show(found)
    sys.exit(1 if missed else 0)


def _show(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['rate']:g} hooks/s for {found['seconds']:g} s, AOF {found['aof']}, "
        f"load {found['machine']['load']}"
    )
    for part, text in (
        ("empty", "no other session"),
        ("full", f"{found.get('recorded')} sessions on record"),
    ):
        if part in found:
            each = found[part]
            click.echo(
                f"  hook call to event, {text}: median {each['median']:.2f} ms, 99th percentile "
                f"{each['p99']:.2f} ms, slowest {each['high']:.1f} ms "
                f"({each['count']:.0f} hooks, {each['cpu_us']:.0f} µs of processor time each)"
            )
    if "page_ms" in found:
        click.echo(f"  first page: {found['page_ms']:.0f} ms, {found['page_bytes'] / 1024:.0f} KiB")
    for each in found["missed"]:
        click.echo(f"MISSED: {each}")


if __name__ == "__main__":
    main()
