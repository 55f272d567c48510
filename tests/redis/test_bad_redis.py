"""Redis down, slow, full, another's, or not to be entered: one line, exit code 5, no password."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from tests.redis.coord import Coord
from tests.redis.test_bad_input import SECRET, keyspace
from tests.server import Server, free_port


@pytest.fixture
def secured(own_server: Server) -> Iterator[Server]:
    """A server of the test's own with the password `right`, and a user who may read only."""
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("requirepass", "right")
        client.acl_setuser(
            "viewer",
            enabled=True,
            passwords=["+right"],
            keys=["rq:*", "pool:*"],
            categories=["+@read", "+@connection"],
        )
    yield own_server
    with redis.Redis.from_url(own_server.url.replace("//", "//:right@")) as client:
        assert client.dbsize() == 0, "nothing was changed"


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("redis://:SECRET@127.0.0.1:FREE/0", 5, "cannot be reached ("),
        ("redis://:SECRET@nowhere.invalid/0", 5, "Redis at nowhere.invalid:6379 cannot be reached"),
        ("unix://:SECRET@/nowhere/redis.sock", 5, "Redis at /nowhere/redis.sock cannot be reached"),
        ("redis://:right@127.0.0.1:PORT/99", 5, "it has fewer databases than COORD_REDIS_URL asks for"),
        ("redis://nobody:SECRET@127.0.0.1:PORT/0", 5, "check the user and password in COORD_REDIS_URL"),
        ("redis://:SECRET@127.0.0.1:PORT/0", 5, "check the user and password in COORD_REDIS_URL"),
        ("redis://:SECRET/@:x@127.0.0.1:PORT/0", 5, "check the user and password in COORD_REDIS_URL"),
        ("redis://127.0.0.1:PORT/0", 5, "check the user and password in COORD_REDIS_URL"),
        ("http://:SECRET@127.0.0.1/0", 2, "redis_url must start with redis://, rediss:// or unix://"),
        ("SECRET", 2, "redis_url must start with"),
        ("redis://:SECRET@127.0.0.1:SECRET/0", 2, "a port or a database that is not a number"),
        ("redis://:SECRET@127.0.0.1/SECRET", 2, "a port or a database that is not a number"),
        ("redis://:SECRET@127.0.0.1:65536/0", 2, "a port that is not between 1 and 65535"),
        (
            "redis://:SECRET@127.0.0.1/0?SECRET=SECRET",
            2,
            "redis_url has an option that is none of db, password",
        ),
        ("redis://:SEC?RET@127.0.0.1/0", 2, "(a ? in a password is %3F)"),
        ("redis://:SECRET@" + "a" * 64 + "/0", 2, "redis_url has no possible host name"),
        ("unix://", 2, "redis_url has no path"),
    ],
)
def test_urls(
    coord: Coord, secured: Server, monkeypatch: pytest.MonkeyPatch, url: str, code: int, words: str
) -> None:
    for word, value in (("SECRET", SECRET), ("FREE", str(free_port())), ("PORT", str(secured.port))):
        url = url.replace(word, value)
    monkeypatch.setenv("COORD_REDIS_URL", url)
    for line in (coord("tasks", code=code).line(), coord.worker("w", "status", code=code).line()):
        assert words in line and SECRET not in line and "RET@" not in line and "right" not in line


def test_a_user_without_the_right(coord: Coord, secured: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", f"redis://viewer:right@127.0.0.1:{secured.port}/0")
    assert coord("tasks").out == "no tasks\n", "a viewer views"
    for done in (
        coord("submit", "x", code=5),
        coord("trigger", "x", code=5),
        coord.worker("w", "claim", code=5),
    ):
        line = done.line()
        assert "refuses (NOPERM " in line and "give this user the keys rq:* pool:* claude-trigger*" in line
        assert "right@" not in line
    done = coord.process("serve")
    assert done.code == 5 and "NOPERM" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "greeting",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b""],
    ids=["http", "ssh", "silence"],
)
def test_something_else_on_the_port(coord: Coord, monkeypatch: pytest.MonkeyPatch, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("COORD_REDIS_URL", f"redis://127.0.0.1:{listener.getsockname()[1]}/0")

        def answer() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    line.recv(1000)
                    line.sendall(greeting)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            for done in (
                coord("tasks", code=5),
                coord("submit", "x", code=5),
                coord.worker("w", "status", code=5),
            ):
                line = done.line()
                assert "cannot be reached (" in line and "COORD_REDIS_URL names another" in line
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def test_redis_has_no_memory_left(coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    coord("submit", "x", "--id", "held")
    claim = coord.worker("w", "claim", "--json").json["claim"]
    coord("submit", "x", "--id", "there")
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        before = keyspace(client)
        lines = [coord.refused(*argv, code=5) for argv in (("submit", "y"), ("trigger", "y"), ("pause", "q"))]
        lines.append(coord.worker("new", "claim", code=5).line())
        for line in lines:
            assert "refuses (OOM command not allowed" in line and "raise that, nothing was changed" in line
        kept = coord.worker("w", "complete", claim, "--result", "done", code=5).line()
        assert "refuses (OOM" in kept and "The result is kept in" in kept
        assert keyspace(client) == before
        assert len(coord.json("tasks")) == 2, "reading goes on"
        coord("cancel", "there")  # what needs no memory is done
        client.config_set("maxmemory", "0")
    coord.worker("w", "heartbeat")
    assert coord.json("result", "held")["result"] == "done", "it was sent with the next call"


def test_redis_hangs(coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command ends within some seconds. (They run at once: each waits for its timeout.)"""
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        running = [
            coord.start(*argv) for argv in (("submit", "x"), ("tasks",), ("wait", "x"), ("trigger", "x"))
        ]
        helper = coord.worker("w", "claim", code=5)
        assert "cannot be reached (timed out)" in helper.line()
        for child in running:
            out, err = child.communicate(timeout=15)
            assert (child.returncode, out) == (5, "") and err.count("\n") == 1
            assert "cannot be reached (Timeout reading from" in err
        assert time.monotonic() - began < 30  # (one after the other they would take longer)
    finally:
        own_server.process.send_signal(signal.SIGCONT)


def test_redis_is_down_while_it_is_waited_for(
    coord: Coord, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    coord("submit", "x", "--id", "t")
    running = [coord.start(*argv) for argv in (("wait", "t"), ("events", "--follow"))]
    events = running[1]
    assert events.stdout is not None and "submitted" in events.stdout.readline()
    with redis.Redis.from_url(own_server.url) as client:
        while int(client.info("clients")["blocked_clients"]) < 2:
            time.sleep(0.01)
    own_server.kill()
    for child in running:
        _, err = child.communicate(timeout=15)
        assert child.returncode == 5 and err.count("\n") == 1 and "cannot be reached" in err
