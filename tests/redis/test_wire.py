"""pool.wire and redis-py's client against a real server: the same URLs mean the same to both."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import connect, wire
from pool import settings as settings_module
from pool.errors import RedisAway
from pool.settings import Settings
from pool.wire import Connection, ReplyError
from tests.server import Server


def both(settings: Settings, url: str, *command: str) -> list[Any]:
    """What the command answers to hooks and helpers, and to coord."""
    connection = Connection(url)
    try:
        by_wire = connection.execute_command(*command)
    finally:
        connection.close()
    with connect.client(settings.model_copy(update={"redis_url": url})) as client:
        ask: Any = client.execute_command
        by_redis_py = ask(*command)
    return [by_wire, by_redis_py]


def refused(settings: Settings, url: str) -> list[str]:
    """With which words both are refused."""
    connection = Connection(url)
    with pytest.raises(RedisAway) as by_wire:
        connection.execute_command("PING")
    connection.close()
    given = settings.model_copy(update={"redis_url": url})
    with pytest.raises(RedisAway) as by_redis_py, connect.reachable(given), connect.client(given) as client:
        client.get("key")
    return [str(by_wire.value), str(by_redis_py.value)]


# -- ways in -------------------------------------------------------------------------------------------


def test_tcp_and_databases(settings: Settings, conn: Any, server: Server) -> None:
    conn.set("where", "in 0")
    with redis.Redis(port=server.port, db=3) as other:
        other.set("where", "in 3")
    assert both(settings, f"redis://127.0.0.1:{server.port}", "GET", "where") == [b"in 0"] * 2
    assert both(settings, f"redis://localhost:{server.port}/3", "GET", "where") == [b"in 3"] * 2
    assert both(settings, f"redis://127.0.0.1:{server.port}?db=3", "GET", "where") == [b"in 3"] * 2


def test_a_unix_socket(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with Server(tmp_path / "redis", extra=("--unixsocket", str(path))) as running:
        with redis.Redis.from_url(running.url) as client:
            client.set("where", "here")
        assert both(settings, f"unix://{path}", "GET", "where") == [b"here"] * 2
        assert both(settings, f"unix://{path}?db=1", "GET", "where") == [None] * 2


def test_passwords_and_users(settings: Settings, own_server: Server) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("requirepass", "p@ss/w?rd")
        client.acl_setuser("ann", enabled=True, passwords=["+s:cret"], keys=["*"], commands=["+get", "+ping"])
    at = f"127.0.0.1:{own_server.port}"
    assert both(settings, f"redis://:p%40ss%2Fw%3Frd@{at}/0", "GET", "x") == [None] * 2
    assert both(settings, f"redis://default:p@ss/w%3Frd@{at}/0", "GET", "x") == [None] * 2
    assert both(settings, f"redis://ann:s:cret@{at}/0", "GET", "x") == [None] * 2
    for url in (f"redis://:wrong@{at}/0", f"redis://ann:wrong@{at}/0", f"redis://{at}/0"):
        for line in refused(settings, url):
            assert f"Redis at {at} refuses (" in line
            assert line.endswith("check the user and password in COORD_REDIS_URL") and "wrong" not in line


# -- TLS -----------------------------------------------------------------------------------------------


class TlsFront:
    """TLS in front of a plain server, whatever that was built with; one certificate for 127.0.0.1."""

    def __init__(self, folder: Path, port: int, ask_client: bool = False) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        openssl = shutil.which("openssl")
        assert openssl is not None, "openssl is missing: this test makes a certificate with it"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(self.key), "-out", str(self.cert)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, self.key)
        if ask_client:
            self.context.load_verify_locations(self.cert)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(raw, server_side=True) as line:
                    self._forward(line)
            except OSError:
                raw.close()

    def _forward(self, line: ssl.SSLSocket) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as back:
            while True:
                ready = [line] if line.pending() else select.select([line, back], [], [])[0]
                for one, other in ((line, back), (back, line)):
                    if one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        other.sendall(data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=5)


@pytest.fixture(params=[False, True], ids=["one side", "both sides"])
def front(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TlsFront]:
    """TLS with a server's certificate, and with a client's besides."""
    made = TlsFront(tmp_path, server.port, request.param)
    yield made
    made.close()


def test_tls(settings: Settings, conn: Any, front: TlsFront) -> None:
    large = os.urandom(300_000)
    conn.set("large", large)
    own = f"&ssl_certfile={front.cert}&ssl_keyfile={front.key}"
    at = f"rediss://127.0.0.1:{front.port}/0"
    assert both(settings, f"{at}?ssl_ca_certs={front.cert}{own}", "GET", "large") == [large] * 2
    assert both(settings, f"{at}?ssl_cert_reqs=none{own}", "GET", "large") == [large] * 2
    for line in refused(settings, f"{at}?db=0{own}"):
        assert "CERTIFICATE_VERIFY_FAILED" in line and line.endswith("?ssl_ca_certs=FILE")
    if front.context.verify_mode == ssl.CERT_REQUIRED:
        for line in refused(settings, f"{at}?ssl_cert_reqs=none"):
            assert "cannot be reached" in line


def test_waiting_over_tls(conn: Any, front: TlsFront) -> None:
    """What the TLS layer has read already is not waited for."""
    own = f"&ssl_certfile={front.cert}&ssl_keyfile={front.key}"
    connection = Connection(f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={front.cert}{own}")
    watched: list[float] = []

    def watch(seconds: float) -> bool:
        watched.append(seconds)
        return connection.pending() or wire.readable(connection.fileno(), seconds)

    conn.rpush("bell", "x" * 100_000)
    reply = connection.wait_command(5, watch, "BLPOP", "bell", "3")
    assert reply == [b"bell", b"x" * 100_000] and watched
    connection.close()


# -- waiting, breaking, coming back --------------------------------------------------------------------


def test_waiting_for_a_bell(conn: Any, server: Server) -> None:
    connection = Connection(server.url)

    def watch(seconds: float) -> bool:
        return wire.readable(connection.fileno(), seconds)

    ringer = threading.Timer(0.1, lambda: conn.rpush("bell", "tasks"))
    ringer.start()
    assert connection.wait_command(5, watch, "BLPOP", "bell", "3") == [b"bell", b"tasks"]
    ringer.join()
    assert connection.wait_command(5, watch, "BLPOP", "bell", "0.05") is None, "Redis ends the wait"
    assert connection.fileno() >= 0
    assert connection.wait_command(0.05, watch, "BLPOP", "bell", "3") is None, "the line is taken for dead"
    assert connection.fileno() == -1
    conn.rpush("bell", "late")
    assert connection.execute_command("PING") == b"PONG", "a late reply is not taken for this one"
    connection.close()


def test_what_is_watched_may_end_the_wait(server: Server) -> None:
    connection = Connection(server.url)

    def watch(seconds: float) -> bool:
        raise wire.Cancelled("the session is gone")

    with pytest.raises(wire.Cancelled):
        connection.wait_command(5, watch, "BLPOP", "bell", "3")
    assert connection.execute_command("PING") == b"PONG"
    connection.close()


def test_it_comes_back_after_a_restart(own_server: Server) -> None:
    connection = Connection(own_server.url)
    connection.execute_command("SET", "key", "value")
    own_server.kill()
    for _ in range(2):
        with pytest.raises(RedisAway, match="cannot be reached"):
            connection.execute_command("GET", "key")
    own_server.start()
    assert connection.execute_command("GET", "key") == b"value"
    connection.close()


def test_an_error_reply_leaves_the_line_usable(server: Server) -> None:
    connection = Connection(server.url)
    connection.execute_command("SET", "text", "x")
    with pytest.raises(ReplyError, match=r"^WRONGTYPE"):
        connection.execute_command("LPUSH", "text", "y")
    assert connection.execute_command("GET", "text") == b"x"
    connection.close()


def test_a_frozen_server_is_waited_for_as_long_as_told(own_server: Server) -> None:
    connection = Connection(own_server.url, timeout=0.3)
    connection.execute_command("PING")
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(RedisAway, match="cannot be reached"):
            connection.execute_command("PING")
    finally:
        own_server.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - began < 2
    assert connection.execute_command("PING") == b"PONG"
    connection.close()


def test_the_environment_names_the_server(settings: Settings, server: Server) -> None:
    assert settings_module.redis_url(settings) == server.url
