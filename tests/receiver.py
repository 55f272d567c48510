"""What hooks post, kept: a monitor's ear that answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Post(NamedTuple):
    """One request."""

    path: str
    #: By their names in small letters.
    headers: dict[str, str]
    body: Any
    #: `time.time()` of its arrival.
    at: float


class Receiver:
    """A server on a free port of 127.0.0.1. It answers as it is told to, or (``silent``) not at all."""

    def __init__(self, status: int = 200, answer: bytes = b'{"status":"ok"}', silent: bool = False) -> None:
        self.got: list[Post] = []
        self.came = threading.Condition()
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.came:
                    receiver.got.append(Post(self.path, headers, body, time.time()))
                    receiver.came.notify_all()
                if silent:
                    receiver.closing.wait()
                    self.close_connection = True
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """(Who asks need not wait for the answer.)"""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def wait(self, number: int = 1) -> Post:
        """The one of that number, waited for."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.got) >= number, 20), self.got
            return self.got[number - 1]

    def close(self) -> None:
        """Answer nobody any more."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
