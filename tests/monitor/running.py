"""The real service, as a process of its own, and a client of its stream of events."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tests.server import free_port

COORD = [sys.executable, "-P", "-m", "coordinator.cli"]
#: What is waited for comes in milliseconds; a loaded machine takes longer (seconds).
PATIENCE = 20.0


class Running:
    """`coord monitor` on a free port, with the settings of the environment."""

    def __init__(self, folder: Path, *argv: str, port: int = 0, **env: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._free = not port
        self.argv = argv
        self.env = env
        self.process: subprocess.Popen[str] | None = None
        self.log = folder / f"monitor-{self.port}.log"
        self._streams: list[Stream] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Running:
        """Start it, and wait until it says where it is."""
        # (Whatever runs on this machine besides is no session of the test's.)
        environ = {**os.environ, "CLAUDE_CONFIG_DIR": str(self.folder / "claude"), **self.env}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*COORD, "monitor", "--port", str(self.port), *self.argv],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environ, cwd=self.folder,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line and self._free and "is in use" in self.log.read_text():  # somebody was faster
            self._end(signal.SIGKILL)
            self.log.unlink()
            self.port = free_port()
            return self.start()
        assert line.rstrip().endswith(f":{self.port}"), (line, self.log.read_text())
        return self

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def close(self) -> None:
        """End it and what listens to it."""
        self.kill()
        for stream in self._streams:
            stream.close()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """One request; the body as it is, or as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})} if data is not None else headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, data, given)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        """What is there, read as JSON where it is that."""
        status, data, _ = self.request("GET", path, headers=headers)
        assert status == 200, (path, status, data)
        return json.loads(data)

    def hook(self, event: str, session: str = "a-session", code: int = 200, **fields: Any) -> Any:
        """Report as the client does: a hook's JSON to the route of that event ("PreToolUse")."""
        from monitor import signals

        body = {"session_id": session, "hook_event_name": event, "cwd": "/work", **fields}
        status, data, _ = self.request("POST", f"/hook/{signals.route(event)}", body)
        assert status == code, (status, data)
        return json.loads(data)

    def stream(self, path: str = "/events", last: str = "") -> Stream:
        """Listen to the events."""
        made = Stream(self.port, path, last)
        self._streams.append(made)
        return made


class Stream:
    """A client of the server-sent events, read in a thread of its own as they come."""

    def __init__(self, port: int, path: str = "/events", last: str = "") -> None:
        self.last = last
        self.seen: list[dict[str, Any]] = []
        self._coming: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Last-Event-ID": last} if last else {}
        self._connection.request("GET", path, headers=headers)
        self._socket: socket.socket = self._connection.sock
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        event: dict[str, Any] = {}
        try:
            while line := self._answer.readline():
                text = line.decode().rstrip("\n")
                name, _, value = text.partition(": ")
                if text:
                    event[name] = value
                    continue
                if "data" in event:
                    event["data"] = json.loads(event["data"])
                    event["heard"] = time.monotonic()
                    self._coming.put(event)
                self.last = event.get("id", self.last)
                event = {}
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass  # closed, here or there
        self._coming.put(None)

    def next(self, seconds: float = PATIENCE) -> dict[str, Any] | None:
        """The next event (`id`, `event`, `data`); None when the stream has ended."""
        found = self._coming.get(timeout=seconds)
        if found is not None:
            self.seen.append(found)
        return found

    def until(self, wanted: Callable[[dict[str, Any]], Any], seconds: float = PATIENCE) -> dict[str, Any]:
        """The next event that is as wanted; those before it are in `seen`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                found = self.next(left)
            except Empty:
                break
            assert found is not None, f"the stream has ended after {self.seen[-3:]}"
            if wanted(found):
                return found
        raise AssertionError(f"not seen within {seconds:g} s; last {self.seen[-3:]}")

    def state(self, state: str, session: str = "") -> dict[str, Any]:
        """Wait for a session's event with that state; its data."""
        data: dict[str, Any] = self.until(
            lambda event: (
                event["event"] == "session"
                and event["data"]["state"] == state
                and session in ("", event["data"]["session"])
            )
        )["data"]
        return data

    def close(self) -> None:
        """Hear no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._answer.close()
        self._connection.close()
