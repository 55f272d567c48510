"""What is known outlives the monitor: killed and started again under load; several; slow listeners."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from pool import connect, events, scripts, sessions
from pool.claim import Caller, Claim
from pool.settings import Settings
from tests.monitor.running import PATIENCE, Running, Stream


def settled(check: Callable[[], Any], what: str) -> None:
    """Look until it is so."""
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Load:
    """Hooks and transitions of the pool's, together so many a second, until it is ended."""

    def __init__(self, settings: Settings, port: int, submit: Callable[..., str], caller: Caller) -> None:
        self._settings, self._port, self._submit, self._caller = settings, port, submit, caller
        self._over = threading.Event()
        self.made: list[str] = []
        self.taken = 0
        self._threads = [threading.Thread(target=self._hooks, args=(each,)) for each in range(4)]
        self._threads.append(threading.Thread(target=self._work))

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(PATIENCE)

    def _hooks(self, mine: int) -> None:
        """40 hooks a second; while no monitor answers, they are lost, as a session's are."""
        number = 0
        while not self._over.wait(0.025):
            number += 1
            event = ("user-prompt-submit", "stop")[number % 2]
            body = json.dumps({"session_id": f"load-{mine}", "cwd": f"/load/{mine}"})
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            try:
                connection.request("POST", f"/hook/{event}", body, {"Content-Type": "application/json"})
                self.taken += connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()

    def _work(self) -> None:
        """Tasks through their life: about 40 transitions a second."""
        with connect.client(self._settings) as client:
            pool = connect.pool(self._settings, client)
            while not self._over.wait(0.07):
                task = self._submit("do it")
                look = pool.claim(self._caller)
                assert look.handed is not None
                held = look.handed.claim
                pool.complete(self._caller, Claim(held.task_id, held.token), '"done"')
                self.made.append(task)


def test_killed_and_started_again_under_load_it_misses_no_transition(
    monitor: Running, start: Callable[..., Running], settings: Settings, conn: redis.Redis,
    submit: Callable[..., str], register: Callable[..., Caller],
) -> None:  # fmt: skip
    heard: list[dict[str, Any]] = []
    first = monitor.stream(last="0-0")
    caller = register("w1")

    def drain(stream: Stream) -> str:
        while stream.next() is not None:
            pass
        heard.extend(stream.seen)
        return stream.last

    with Load(settings, monitor.port, submit, caller) as load:
        stream, last = first, ""
        for _ in range(2):
            before = len(load.made)
            settled(lambda: len(load.made) >= before + 8 and load.taken > 20, "the load runs")  # noqa: B023
            monitor.kill()
            last = drain(stream)
            before = len(load.made)
            settled(lambda: len(load.made) > before + 2, "the pool goes on without it")  # noqa: B023
            monitor.start()
            stream = monitor.stream(last=last)
            load.taken = 0
        settled(lambda: load.taken > 20, "hooks are taken again")
    newest = events.newest(conn)
    stream.until(lambda event: event["id"] == newest)
    heard.extend(stream.seen)
    kept = [each for each in events.latest(conn, 100_000)[::-1] if each["type"] != "session"]
    told = [event["data"] for event in heard if event["event"] == "pool"]
    assert told == kept
    for kind in ("submitted", "claimed", "finished"):
        assert [row["task"] for row in told if row["type"] == kind] == load.made
    ids = [event["id"] for event in heard]
    assert len(set(ids)) == len(ids)
    # And what it knows of the worker is what the pool says.
    settled(lambda: sessions.read(conn, ["w1"])[0].entry == kept[-1]["id"], "the last one counts")
    assert len({each.session for each in sessions.every(conn) if each.session.startswith("load-")}) == 4


def test_what_happened_without_it_is_in_the_record(
    start: Callable[..., Running], submit: Callable[..., str], register: Callable[..., Caller],
    pool: scripts.Pool, conn: redis.Redis,
) -> None:  # fmt: skip
    monitor = start()
    stream = monitor.stream()
    caller = register("w1")
    stream.state("starting", "w1")
    monitor.kill()
    task = submit("do it", title="a title")
    assert pool.claim(caller).handed is not None
    monitor.start()
    settled(lambda: sessions.read(conn, ["w1"])[0].task == task, "the claim counts")
    session = sessions.read(conn, ["w1"])[0]
    assert session.title == "a title" and session.state == "working"


def test_a_worker_that_dies_is_shown_so(
    monitor: Running, submit: Callable[..., str], register: Callable[..., Caller], pool: scripts.Pool
) -> None:
    stream = monitor.stream()
    caller = register("w1", process="")
    submit("do it")
    assert pool.claim(caller).handed is not None
    stream.state("working", "w1")
    pool.deregister(caller, True, "killed")
    record = stream.state("dead", "w1")["record"]
    assert record["ended_at"] and record["worker"] == "w1"


def test_a_workers_session_is_known_by_the_workers_name(
    monitor: Running, pool: scripts.Pool, conn: redis.Redis
) -> None:
    stream = monitor.stream()
    before = monitor.hook(
        "SessionStart", "client-1", source="startup", coord={"process": "b-n-7-9", "pid": 7}
    )
    assert before["agent_id"].startswith("s-")
    pool.register("w1", "b-n-7-9", "client-1", "host", 7, ["tasks"], 600, 0, "/work", ("2", "3", "0"))
    stream.until(lambda event: event["data"].get("session") == "w1")
    assert monitor.hook("UserPromptSubmit", "client-1") == {
        "status": "ok", "agent_id": "w1", "state": "working"
    }  # fmt: skip
    assert [each.id for each in sessions.every(conn)] == ["w1"]


def test_two_monitors_agree(monitor: Running, start: Callable[..., Running], conn: redis.Redis) -> None:
    other = start()
    streams = [each.stream() for each in (monitor, other)]
    names = set()
    for number in range(30):
        each = (monitor, other)[number % 2]
        event = ("UserPromptSubmit", "PreToolUse", "PostToolUse")[number % 3]
        names.add(each.hook(event, tool_name="Bash", tool_use_id=f"t{number // 3}")["agent_id"])
    assert len(names) == 1
    newest = events.newest(conn)
    for stream in streams:
        stream.until(lambda event: event["id"] == newest)
    assert [event["data"] for event in streams[0].seen] == [event["data"] for event in streams[1].seen]
    assert monitor.get("/hook/status")["sessions"] == other.get("/hook/status")["sessions"]


@pytest.mark.settings(event_limit=100_000)
def test_who_listens_too_slowly_is_cut_off_and_comes_back_for_the_rest(
    monitor: Running, conn: redis.Redis
) -> None:
    slow = socket.create_connection(("127.0.0.1", monitor.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{monitor.port}\r\nConnection: close\r\n\r\n"
    slow.sendall(head.encode())
    data = bytearray(slow.recv(1000))
    count, text = 9000, "x" * 1500  # (more than the system's buffers hold, and the rows that may wait)
    for first in range(0, count, 500):
        pipe = conn.pipeline(transaction=False)
        for number in range(first, first + 500):
            pipe.xadd("pool:events", {"type": "made-up", "task": str(number), "detail": text})
        pipe.execute()
    settled(lambda: monitor.get("/hook/status")["last_event"] == events.newest(conn), "all is told")
    quick = monitor.stream()  # (not before: on a loaded machine it would fall behind as well)
    slow.settimeout(PATIENCE)
    while chunk := slow.recv(1 << 20):  # it ends, though nobody has asked for that
        data += chunk
    slow.close()
    ids = [line[4:].decode() for line in bytes(data).split(b"\n") if line.startswith(b"id: ")]
    assert len(ids) < count
    again = monitor.stream(last=ids[-1])
    newest = events.newest(conn)
    again.until(lambda event: event["id"] == newest)
    heard = [row["id"] for row in events.latest(conn, 100_000)[::-1]]
    ids = [*ids, *(event["id"] for event in again.seen)]
    assert ids[ids.index(heard[0]) :] == heard
    monitor.hook("SessionStart")
    quick.state("starting")


def test_an_event_for_which_redis_was_away_counts_when_it_is_back(
    monitor: Running, register: Callable[..., Caller], conn: redis.Redis
) -> None:
    stream = monitor.stream()
    register("w1")
    stream.state("starting", "w1")
    with conn.pipeline() as both:  # (the event is read, but its meaning cannot be written for 1.5 s)
        both.xadd(
            "pool:events", {"type": "dead", "task": "", "worker": "w1", "queue": "", "detail": "killed"}
        )
        both.client_pause(1500, all=False)
        both.execute()
    assert stream.state("dead", "w1")["kind"] == "pool:dead"


def test_a_clock_of_redis_that_is_ahead_outweighs_nothing(
    monitor: Running, register: Callable[..., Caller], conn: redis.Redis
) -> None:
    stream = monitor.stream()
    register("w1")
    stream.state("starting", "w1")
    ahead = int(time.time() + 3600) * 1000
    conn.xadd(
        "pool:events",
        {"type": "left", "task": "", "worker": "w1", "queue": "", "detail": ""},
        id=f"{ahead}-0",
    )
    record = stream.state("interrupted", "w1")["record"]
    assert record["evidence_at"] < time.time() + 60 and record["since"] < time.time() + 60
