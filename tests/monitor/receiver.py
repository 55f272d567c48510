"""A webhook's other end on loopback, and a stand-in for notify-send that writes down its arguments."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

#: What is waited for comes in milliseconds; a loaded machine takes longer (seconds).
PATIENCE = 20.0


@dataclass
class Answer:
    """What the receiver answers: a status with headers, after a while; ``drip``: a header without end."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    drip: bool = False


class Receiver:
    """Answers as it is told to, in turn (the last answer for good), and keeps what it got."""

    def __init__(self, *answers: Answer, port: int = 0) -> None:
        self.answers = list(answers) or [Answer()]
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self._coming: SimpleQueue[tuple[str, dict[str, str], bytes]] = SimpleQueue()
        self.ending = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.take((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if answer.after:
                    receiver.ending.wait(answer.after)
                try:
                    if answer.drip:
                        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                        while not receiver.ending.wait(0.05):
                            self.wfile.write(b"x")
                            self.wfile.flush()
                        return
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # who asked has gone

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def take(self, request: tuple[str, dict[str, str], bytes]) -> Answer:
        self.got.append(request)
        self._coming.put(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T00/SECRETPATH"

    def next(self, seconds: float = PATIENCE) -> tuple[dict[str, str], dict[str, Any]]:
        """The next request: its headers and its JSON."""
        _, headers, body = self._coming.get(timeout=seconds)
        return headers, json.loads(body)

    def none(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            self._coming.get(timeout=seconds)
        except Empty:
            return True
        return False

    def close(self) -> None:
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(PATIENCE)


class Desktop:
    """A folder for PATH with a notify-send in it."""

    def __init__(self, folder: Path, code: int = 0) -> None:
        self.folder = folder
        folder.mkdir()
        self.log = folder / "calls"
        program = folder / "notify-send"
        # Each argument ends with a NUL, each call with an empty one: nothing in them can be mistaken.
        program.write_text(
            '#!/bin/sh\n{ for each in "$@"; do printf "%s\\0" "$each"; done; '
            f'printf "END\\0"; }} >> "{self.log}"\n'
            f'echo "no desktop: $DISPLAY" >&2\nexit {code}\n'
        )
        program.chmod(0o755)

    def calls(self) -> list[list[str]]:
        """The arguments of each call."""
        text = self.log.read_text() if self.log.exists() else ""
        found: list[list[str]] = [[]]
        for each in text.split("\0")[:-1]:
            if each == "END":
                found.append([])
            else:
                found[-1].append(each)
        return found[:-1]

    def wait(self, count: int) -> list[list[str]]:
        """The calls, once there are so many."""
        end = time.monotonic() + PATIENCE
        while len(self.calls()) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.calls()) >= count, self.calls()
        return self.calls()
