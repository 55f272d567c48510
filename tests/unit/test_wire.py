"""pool.wire without a Redis: URLs, and replies that arrive in any pieces."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import connection as redis_connection

from pool import wire
from pool.errors import RedisAway, SettingsError
from pool.wire import Address, Connection, ReplyError

# -- URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://", {"host": "127.0.0.1", "port": 6379, "db": 0, "username": "", "password": ""}),
        ("redis://host", {"host": "host", "port": 6379, "db": 0}),
        ("redis://host:7000/3", {"host": "host", "port": 7000, "db": 3}),
        ("redis://host?db=4", {"host": "host", "db": 4}),
        ("redis://:secret@host", {"username": "", "password": "secret", "host": "host"}),
        ("redis://user:p%40ss%3F@host:1/0", {"username": "user", "password": "p@ss?", "port": 1}),
        ("redis://user:p@ss/w:rd@host:1/0",
         {"username": "user", "password": "p@ss/w:rd", "host": "host", "port": 1}),
        ("redis://user@host", {"username": "user", "password": ""}),
        ("redis://host?username=u&password=p%26", {"username": "u", "password": "p&"}),
        ("redis://[::1]:7000/1", {"host": "::1", "port": 7000, "db": 1, "where": "[::1]:7000"}),
        ("redis://[::1]", {"host": "::1", "port": 6379}),
        ("rediss://host?ssl_cert_reqs=none", {"tls": True, "tls_verify": False, "tls_ca": ""}),
        ("rediss://host?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_certfile=c&ssl_keyfile=k",
         {"tls": True, "tls_verify": True, "tls_ca": "/etc/ca.pem", "tls_cert": "c", "tls_key": "k"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2, "where": "/run/redis.sock"}),
        ("unix://user:secret@/run/re%20dis.sock",
         {"username": "user", "password": "secret", "path": "/run/re dis.sock"}),
    ],
)  # fmt: skip
def test_urls(url: str, parts: dict[str, object]) -> None:
    at = Address(url)
    assert {name: getattr(at, name) for name in parts} == parts
    assert at.password == "" or at.password not in at.shown


@pytest.mark.parametrize(
    "url",
    ["", "host:6379", "http://host", "redis:/host", "redis://host:port", "redis://host/zero", "redis://host:0",
     "redis://host:65536", "redis://host:-1", "redis://host:٣", "redis://host/1/2", "redis://host?protocol=3",
     "redis://a..b", "redis://" + "a" * 64, "unix://"],
)  # fmt: skip
def test_no_urls(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^redis_url "):
        Address(url)


PART = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=10)


@given(
    st.sampled_from(["redis", "rediss"]),
    PART,
    st.none() | PART,
    st.none() | PART,
    st.integers(1, 65535),
    st.integers(0, 15),
)
def test_ordinary_urls_are_read_as_redis_py_reads_them(
    scheme: str, host: str, user: str | None, secret: str | None, port: int, db: int
) -> None:
    login = f"{user or ''}{':' + secret if secret else ''}@" if user or secret else ""
    url = f"{scheme}://{login}{host}:{port}/{db}"
    parse: Any = redis_connection.parse_url
    theirs = parse(url)
    at = Address(url)
    assert (at.host.lower(), at.port, at.db) == (theirs["host"], theirs["port"], theirs["db"])
    assert (at.username, at.password) == (theirs.get("username") or "", theirs.get("password") or "")


# -- replies -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(*pieces: bytes, pause: float = 0.0, stay: bool = False) -> Iterator[str]:
    """A listener that answers each connection with these pieces; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.recv(65536)
                for piece in pieces:
                    line.sendall(piece)
                    over.wait(pause)
                if stay:
                    over.wait(10)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def ask(url: str, timeout: float = 5.0) -> Any:
    connection = Connection(url, timeout)
    try:
        return connection.execute_command("PING")
    finally:
        connection.close()


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4),
)


def encoded(value: Any) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n" % len(value) + b"".join(encoded(each) for each in value)


@given(VALUES, st.lists(st.integers(1, 50), max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_reply_in_any_pieces(value: Any, cuts: list[int]) -> None:
    data, pieces = encoded(value), []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    with answering(*[piece for piece in [*pieces, data] if piece], stay=True) as url:
        assert ask(url) == value


def test_a_reply_byte_by_byte() -> None:
    value = [b"task", 7, None, [b"", b"\r\n", [-1]], b"x" * 50]
    data = encoded(value)
    with answering(*(data[n : n + 1] for n in range(len(data))), pause=0.001, stay=True) as url:
        assert ask(url) == value


def test_simple_strings_errors_and_missing_lists() -> None:
    for data, value in ((b"+OK\r\n", b"OK"), (b"*-1\r\n", None), (b"*0\r\n", [])):
        with answering(data, stay=True) as url:
            assert ask(url) == value
    with (
        answering(b"-ERR unknown command\r\n", stay=True) as url,
        pytest.raises(ReplyError, match=r"^ERR unknown"),
    ):
        ask(url)


@pytest.mark.parametrize("words", sorted(wire.REFUSALS))
def test_a_refusal_is_redis_away_and_says_what_to_do(words: str) -> None:
    reply = f"-{words.strip()} and so on\r\n".encode()
    with answering(reply, stay=True) as url, pytest.raises(RedisAway) as error:
        ask(url)
    text = str(error.value)
    assert words.strip() in text and text.endswith(wire.REFUSALS[words]) and "refuses (" in text


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0\r\n",
        b"$x\r\n",
        b"*x\r\n",
        b":x\r\n",
        b"$-x\r\n",
        b"\r\n",
    ],
)
def test_what_is_not_redis(data: bytes) -> None:
    with answering(data, stay=True) as url, pytest.raises(RedisAway, match="does not speak Redis' protocol"):
        ask(url)


@pytest.mark.parametrize("data", [b"", b"+O", b"$10\r\nhalf", b"*2\r\n:1\r\n"])
def test_a_line_that_breaks_off(data: bytes) -> None:
    with answering(data) as url, pytest.raises(RedisAway, match="cannot be reached"):
        ask(url)


def test_no_answer_is_waited_for_no_longer_than_told() -> None:
    began = time.monotonic()
    with answering(b"$10\r\nhalf", stay=True) as url, pytest.raises(RedisAway, match="cannot be reached"):
        ask(url, timeout=0.2)
    assert 0.15 < time.monotonic() - began < 2


def test_drops_do_not_keep_it_waiting_either() -> None:
    """A server that sends a byte now and then is given up on after the same time."""
    began = time.monotonic()
    with answering(*([b"x"] * 100), pause=0.05, stay=True) as url, pytest.raises(RedisAway):
        ask(url, timeout=0.3)
    assert time.monotonic() - began < 2


# -- commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "data"),
    [
        (("GET", "k"), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        (("SET", "ü", b"\x00\r\n", 5, 1.5),
         b"*5\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$3\r\n\x00\r\n\r\n$1\r\n5\r\n$3\r\n1.5\r\n"),
        (("\udcff",), b"*1\r\n$1\r\n\xff\r\n"),
        (("\ud800",), b"*1\r\n$1\r\n?\r\n"),
    ],
)  # fmt: skip
def test_commands_are_packed(args: tuple[object, ...], data: bytes) -> None:
    pack: Callable[[tuple[object, ...]], bytes] = wire._pack
    assert pack(args) == data
