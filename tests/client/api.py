"""A Messages API on loopback whose model is a script: enough for the real Claude Code, and no more.

A script is a function from a request of a session's main conversation (or a sub-agent's) to a Reply;
side requests (titles and the like) get a short text. Several sessions at once are told apart by the
key with which they log in. Every request is kept, so that a test can count and read them.

    with Api() as api:
        api.script(lambda request: replies.text("done"))
        ...
        assert api.count(since=began) == 0
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.client import replies
from tests.client.replies import Reply

Script = Callable[["Request"], Reply]


@dataclass(frozen=True)
class Request:
    """One request for a message."""

    number: int
    #: `time.monotonic()` of its arrival.
    at: float
    #: 'main', 'sub' (a sub-agent's) or 'side' (no tools: a title, a summary).
    kind: str
    #: The API key or token.
    key: str
    #: The session's id ('' when the client does not tell).
    session: str
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["messages"]
        return found

    @property
    def tools(self) -> list[str]:
        return [each.get("name", "") for each in self.body.get("tools", [])]

    def new(self) -> str:
        """What has come since the model spoke last, as text."""
        texts: list[str] = []
        for each in reversed(self.messages):
            if each["role"] == "assistant":
                break
            texts.append(flat(each["content"]))
        return "\n".join(reversed(texts))

    def conversation(self) -> str:
        """All of it as text."""
        return "\n".join(flat(each["content"]) for each in self.messages)

    def results(self) -> list[str]:
        """The results of tools that have come since the model spoke last."""
        found = []
        for each in reversed(self.messages):
            if each["role"] == "assistant":
                break
            if isinstance(each["content"], list):
                found += [flat([b]) for b in reversed(each["content"]) if b.get("type") == "tool_result"]
        return found[::-1]


def flat(content: Any) -> str:
    """A message's content as text: texts, and the results of tools."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content:
        if block.get("type") == "text":
            parts.append(block["text"])
        elif block.get("type") == "tool_result":
            parts.append(flat(block.get("content") or ""))
    return "\n".join(parts)


class Api:
    """The API: a thread that listens on a free port, a thread per request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.changed = threading.Condition()
        #: What went wrong in a script or a handler: a test's end looks at it.
        self.faults: list[BaseException] = []
        self.closing = threading.Event()
        self._scripts: dict[str, Script] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Api:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if value is None:
            assert not self.faults, self.faults

    def script(self, script: Script, key: str = "") -> None:
        """Who answers; with a key, for the sessions that log in with it."""
        with self.changed:
            self._scripts[key] = script

    # -- what came -------------------------------------------------------------------------------------

    def seen(self, kind: str = "main", key: str = "", since: float = 0.0) -> list[Request]:
        """The requests so far: of a kind ('' any), of a key ('' any), since a `time.monotonic()`."""
        with self.changed:
            return [
                each for each in self.requests
                if kind in ("", each.kind) and key in ("", each.key) and each.at >= since
            ]  # fmt: skip

    def count(self, kind: str = "main", key: str = "", since: float = 0.0) -> int:
        return len(self.seen(kind, key, since))

    def wait(self, test: Callable[[Request], bool], seconds: float = 60.0, since: float = 0.0) -> Request:
        """The first main request for which that is true; waits for it."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for each in self.requests:
                    if each.kind == "main" and each.at >= since and test(each):
                        return each
                left = end - time.monotonic()
                assert left > 0, f"no such request within {seconds} s; {len(self.requests)} came"
                self.changed.wait(left)

    # -- used by the handler ---------------------------------------------------------------------------

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Request, Script | None]:
        with self.changed:
            key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
            session = headers.get("x-claude-code-session-id", "")
            number, kind = len(self.requests), kind_of(body, headers)
            request = Request(number, time.monotonic(), kind, key, session, body, headers)
            self.requests.append(request)
            self.changed.notify_all()
            return request, self._scripts.get(key) or self._scripts.get("")


def kind_of(body: dict[str, Any], headers: dict[str, str]) -> str:
    """Whose request it is: only a conversation that can work has the tool Bash."""
    if not any(each.get("name") == "Bash" for each in body.get("tools", [])):
        return "side"
    # Versions differ in how they tell a sub-agent's.
    if "x-claude-code-agent-id" in headers or "cc_is_subagent=true" in json.dumps(body.get("system", "")):
        return "sub"
    return "main"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: Api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """(A client that has gone is no fault: handlers tell of the others.)"""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.partition("?")[0].endswith("/count_tokens"):
            self._json(200, {"input_tokens": len(data) // 4})
        elif self.path.partition("?")[0].endswith("/v1/messages"):
            try:
                self._message(json.loads(data))
            except OSError:
                pass  # the client has gone
            except BaseException as fault:
                self.server.api.faults.append(fault)
                raise
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _message(self, body: dict[str, Any]) -> None:
        api = self.server.api
        request, script = api.take(body, {name.lower(): value for name, value in self.headers.items()})
        reply = replies.text("A task") if request.kind == "side" or script is None else script(request)
        if reply.delay:
            api.closing.wait(reply.delay)
        while reply.gate is not None and not reply.gate.wait(0.05):
            if api.closing.is_set():
                return
        if reply.drop == "before":
            self._reset()
        elif reply.status != 200:
            error = {"type": "error", "error": {"type": reply.error, "message": reply.message}}
            self._json(reply.status, error, dict(reply.headers))
        elif body.get("stream"):
            self._stream(reply, body["model"], request.number)
        else:
            self._json(200, replies.message(reply, body["model"], request.number), dict(reply.headers))

    def _stream(self, reply: Reply, model: str, number: int) -> None:
        self._head(200, "text/event-stream", dict(reply.headers))
        for name, fields in replies.events(replies.message(reply, model, number)):
            self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode())
            if reply.drop == "within" and name == "content_block_start":
                self._reset()
                return

    def _json(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._head(status, "application/json", headers or {})
        self.wfile.write(json.dumps(value).encode())

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _reset(self) -> None:
        """End the connection as a network does that breaks."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
