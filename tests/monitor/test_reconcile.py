"""What no hook tells, with real processes: deaths, interrupts, sessions without hooks, the end of records."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pool import process
from tests.monitor.running import Running
from tests.session import Session

SOON = {"COORD_MONITOR_POLLING_INTERVAL": "100ms", "COORD_MONITOR_POLLING_INTERVAL_WITH_HOOKS": "100ms"}


class Played:
    """A process that stands for a client, with the file that a client writes about itself."""

    def __init__(self, config: Path, session: str) -> None:
        self.process = subprocess.Popen(["sleep", "1000"])
        self.pid, self.key, self.session = self.process.pid, process.key(self.process.pid), session
        self.path = config / "sessions" / f"{self.pid}.json"

    def write(self, status: str, ago: float = 10.0, **fields: Any) -> None:
        """Say that it has been busy, idle or waiting for so long."""
        said = {
            "pid": self.pid, "sessionId": self.session, "cwd": "/work", "status": status,
            "procStart": process.start_time(self.pid), "statusUpdatedAt": int((time.time() - ago) * 1000),
            "pidDomain": f"linux:abc:pid:[{process.namespace()}]", "kind": "interactive", **fields,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        os.replace(fresh, self.path)

    @property
    def coord(self) -> dict[str, Any]:
        return {"process": self.key, "pid": self.pid, "host": "here"}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[[str], Played]]:
    made: list[Played] = []

    def run(session: str) -> Played:
        made.append(Played(tmp_path / "claude", session))
        return made[-1]

    yield run
    for each in made:
        each.kill()


def test_a_killed_session_is_dead_at_once(monitor: Running, play: Callable[[str], Played]) -> None:
    """(By default the next look around is a minute away.)"""
    client = play("one")
    stream = monitor.stream()
    monitor.hook("SessionStart", "one", source="startup", coord=client.coord)
    monitor.hook("UserPromptSubmit", "one")
    stream.state("working")
    client.kill()
    record = stream.state("dead")["record"]
    assert record["evidence"] == "its process is gone" and record["confidence"] == "certain"


def test_a_killed_worker_is_dead(
    monitor: Running, session: Callable[..., Session], submit: Callable[..., str]
) -> None:
    worker = session("w1")
    stream = monitor.stream()
    worker.start()
    stream.state("starting", "w1")
    task = submit("do it")
    worker.hook("Stop")
    assert stream.state("working", "w1")["task"] == task
    worker.kill()
    record = stream.state("dead", "w1")["record"]
    assert record["task"] == "" and record["worker"] == "w1"


def test_a_worker_from_before_the_monitor_is_listed(
    session: Callable[..., Session], start: Callable[..., Running]
) -> None:
    worker = session("w1")
    worker.start()
    stop = worker.start_hook("Stop")
    monitor = start(**SOON)
    stream = monitor.stream()
    while (record := monitor.get("/hook/status")["sessions"]) != {"waiting": 1}:
        assert stream.next() is not None, record
    worker.kill()
    stream.state("dead", "w1")
    assert stop is not None


def test_a_session_that_died_while_no_monitor_ran(
    monitor: Running, start: Callable[..., Running], play: Callable[[str], Played]
) -> None:
    client = play("one")
    monitor.hook("SessionStart", "one", source="startup", coord=client.coord)
    monitor.kill()
    client.kill()
    again = start(port=monitor.port)
    stream = again.stream(last="0-0")
    stream.state("dead")


def test_an_interrupt_is_found_by_the_clients_file(
    start: Callable[..., Running], play: Callable[[str], Played]
) -> None:
    monitor = start(**SOON)
    client = play("one")
    stream = monitor.stream()
    monitor.hook("SessionStart", "one", source="startup", coord=client.coord)
    monitor.hook("UserPromptSubmit", "one")
    stream.state("working")
    client.write("idle", ago=-0.001)  # just after the prompt
    record = stream.state("interrupted")["record"]
    assert record["confidence"] == "likely" and "session file: idle" in record["evidence"]


def test_a_session_without_hooks_is_listed(
    start: Callable[..., Running], play: Callable[[str], Played]
) -> None:
    monitor = start(**SOON)
    client, left, contained = play("one"), play("left"), play("contained")
    stream = monitor.stream()
    left.write("busy", procStart="1")  # of an earlier process with that number
    contained.write("busy", pidDomain="linux:abc:pid:[1]")
    client.write("busy")
    record = stream.state("working")["record"]
    assert (record["session"], record["cwd"], record["confidence"]) == ("one", "/work", "likely")
    client.write("waiting", ago=0.0, waitingFor="permission prompt")
    assert stream.state("needs-you")["record"]["needs"] == "permission prompt"
    client.write("idle", ago=0.0, sessionId="two")
    assert stream.state("stopped")["record"]["session"] == "two"
    client.kill()
    stream.state("dead")
    assert {event["data"]["record"]["process"] for event in stream.seen} == {client.key}


@pytest.mark.settings(worker_memory="1s")
def test_what_has_ended_is_forgotten(start: Callable[..., Running]) -> None:
    monitor = start(**SOON)
    stream = monitor.stream()
    monitor.hook("SessionStart", "one", source="startup")
    monitor.hook("SessionEnd", "one", reason="other")
    stream.until(lambda event: event["data"].get("kind") == "forgotten")
    assert monitor.get("/hook/status")["sessions"] == {}


def test_what_is_no_folder_is_no_session(
    start: Callable[..., Running], play: Callable[[str], Played], tmp_path: Path
) -> None:
    (tmp_path / "claude").mkdir()
    (tmp_path / "claude" / "sessions").write_text("no folder")  # read as: no session
    monitor = start(**SOON)
    stream = monitor.stream()
    client = play("one")
    (tmp_path / "claude" / "sessions").unlink()
    client.write("busy")
    stream.state("working")
    assert "cannot look around" not in monitor.log.read_text()
