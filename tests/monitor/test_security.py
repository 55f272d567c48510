"""The door of the real service: hosts, origins, tokens, sizes, and what answers say to a browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import events
from tests.monitor.running import COORD, PATIENCE, Running

OPERATOR, VIEWER, HOOK = "operator-0123456789", "viewer-0123456789ab", "hook-0123456789abcd"
STOP = {"session_id": "one", "hook_event_name": "Stop", "cwd": "/work"}
Start = Callable[..., Running]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def elsewhere(start: Start, tmp_path: Path) -> Running:
    """A monitor that listens beyond this machine, with a token for each role."""
    file = tmp_path / "operator"
    file.write_text(OPERATOR)
    return start(
        "--host", "0.0.0.0", COORD_MONITOR_OPERATOR_TOKEN_FILE=str(file), COORD_MONITOR_VIEWER_TOKEN=VIEWER,
        COORD_MONITOR_HOOK_TOKEN=HOOK, COORD_MONITOR_HOSTS="monitor.example,other.example",
    )  # fmt: skip


def raw(port: int, data: bytes, more: bytes = b"") -> bytes:
    """What comes back for such bytes, until the other side ends it."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as line:
        line.sendall(data)
        try:
            for _ in range(2000):
                if not more:
                    break
                line.sendall(more)
        except OSError:
            pass  # it has heard enough
        found = b""
        try:
            while chunk := line.recv(65536):
                found += chunk
        except ConnectionResetError:
            pass
        return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_page_whose_name_was_made_to_mean_this_machine_is_refused(monitor: Running) -> None:
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.1.2.3",
        "",
        "a b",
        "localhost:x",
    ):
        code, data, _ = monitor.request("GET", "/api/v1/status", headers={"Host": host})
        assert code in (400, 421), (host, data)
    for host in (f"127.0.0.1:{monitor.port}", "localhost", "LOCALHOST.:80", "[::1]:5050"):
        assert monitor.request("GET", "/api/v1/status", headers={"Host": host})[0] == 200, host
    assert status(raw(monitor.port, b"GET /api/v1/status HTTP/1.0\r\n\r\n")) == 421
    twice = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert status(raw(monitor.port, twice)) == 400


def test_another_sites_page_may_ask_for_nothing(monitor: Running, conn: redis.Redis) -> None:
    token = (monitor.folder / "home" / "monitor.token").read_text().strip()
    local = f"127.0.0.1:{monitor.port}"
    for said in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"http://{local}.evil.example"}, {"Origin": f"file://{local}"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Origin": "http://evil.example", "Content-Type": "application/x-www-form-urlencoded"},
    ):  # fmt: skip
        for path in ("/hook/stop", "/action/pause"):
            code, data, headers = monitor.request("POST", path, STOP, {**said, **bearer(token)})
            assert code == 403 and json.loads(data)["status"] == "error", (said, path, data)
            assert not [name for name in headers if name.lower().startswith("access-control")]
        assert monitor.request("GET", "/events", headers=said)[0] == 403
    assert not conn.exists("pool:sessions") and not conn.exists("pool:paused")
    same = {"Origin": f"http://{local}", "Sec-Fetch-Site": "same-origin"}
    assert monitor.request("POST", "/hook/stop", STOP, same)[0] == 200
    follows = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert monitor.request("GET", "/docs", headers=follows)[0] == 200


def test_a_body_is_json(monitor: Running) -> None:
    stop = json.dumps(STOP).encode()
    for kind in ("application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"):
        assert monitor.request("POST", "/hook/stop", stop, {"Content-Type": kind})[0] == 200  # (curl -d)
    token = (monitor.folder / "home" / "monitor.token").read_text().strip()
    for path, kind in (
        ("/hook/stop", "text/plain"), ("/hook/stop", "multipart/form-data"),
        ("/action/pause", "application/x-www-form-urlencoded"), ("/action/pause", "text/plain"),
    ):  # fmt: skip
        code = monitor.request("POST", path, stop, {"Content-Type": kind, **bearer(token)})[0]
        assert code == 415, (path, kind)


@pytest.mark.settings(monitor_body_limit="64KiB")
def test_a_body_is_not_read_beyond_its_limit(monitor: Running) -> None:
    head = b"POST /hook/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    large = head + b"Content-Length: 9999999999999999999999\r\n\r\n"
    assert status(raw(monitor.port, large)) in (400, 413)
    assert status(raw(monitor.port, head + b"Content-Length: 65537\r\n\r\n")) == 413
    piece = b"1000\r\n" + b" " * 4096 + b"\r\n"
    answer = raw(monitor.port, head + b"Transfer-Encoding: chunked\r\n\r\n", piece)
    assert not answer or status(answer) == 413  # (it may be gone before we listen)
    both = head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    smuggled = both + b"GET /x HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert status(raw(monitor.port, smuggled)) in (400, 413, 422)
    short = (
        head + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert raw(monitor.port, short).count(b"HTTP/1.1 ") == 1
    code, data, _ = monitor.request("POST", "/hook/stop", {**STOP, "x": "y" * 60_000})
    assert code == 200, data


def test_what_answers_say_to_a_browser(monitor: Running) -> None:
    for path in ("/api/v1/status", "/docs", "/login", "/openapi.json", "/nothing", "/hook/status"):
        code, data, headers = monitor.request("GET", path)
        policy = headers["Content-Security-Policy"]
        assert (
            "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        )
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store" and "server" not in headers
        assert code == (404 if path == "/nothing" else 200), (path, data)
        again, nothing, same = monitor.request("HEAD", path)
        assert (again, nothing, same["Content-Length"]) == (code, b"", headers["Content-Length"])
    code, data, headers = monitor.request("HEAD", "/events")
    assert (code, data) == (200, b"") and headers["Content-Type"].startswith("text/event-stream")
    code, _, headers = monitor.request("OPTIONS", "/api/v1/status", headers={"Origin": monitor.url})
    assert (
        code == 204
        and headers["Allow"] == "GET, HEAD, OPTIONS"
        and "Access-Control-Allow-Origin" not in headers
    )
    assert monitor.request("OPTIONS", "/nothing")[0] == 404
    code, page, _ = monitor.request("GET", "/nothing", headers={"Accept": "text/html"})
    assert code == 404 and b"There is no such page" in page
    assert monitor.request("DELETE", "/api/v1/status", b"{}")[0] == 405
    assert monitor.request("TRACE", "/api/v1/status")[0] == 405


def test_a_script_in_a_title_stays_text(
    monitor: Running, submit: Callable[..., str], conn: redis.Redis
) -> None:
    nasty = "<script>alert(1)</script>\x1b[31m\u202e"
    task = submit(nasty, title=nasty)
    code, data, headers = monitor.request("GET", f"/api/v1/tasks/{task}")
    assert code == 200 and headers["Content-Type"] == "application/json"
    found = json.loads(data)
    assert found["title"].startswith("<script>") and found["fields"]["prompt"] == nasty
    for path in (
        f"/login?next={'%22%3E%3Cscript%3Ealert(1)%3C/script%3E'}",
        "/docs",
        "/login?next=//evil.example",
    ):
        _, page, headers = monitor.request("GET", path)
        assert (
            b"<script" not in page.replace(b'<script type="module" src="/static/page.js"></script>', b"")
            and b"evil" not in page
            and headers["Content-Type"].startswith("text/html")
        )


def test_who_may_do_what(elsewhere: Running) -> None:
    def asks(token: str, method: str, path: str, body: Any = None) -> int:
        return elsewhere.request(method, path, body, bearer(token) if token else {})[0]

    look, report, act = (
        ("GET", "/api/v1/status"),
        ("POST", "/hook/stop", STOP),
        ("POST", "/action/pause", {"queue": "q"}),
    )
    assert [asks(OPERATOR, *each) for each in (look, report, act)] == [200, 200, 200]
    assert [asks(VIEWER, *each) for each in (look, report, act)] == [200, 200, 403]
    assert [asks(HOOK, *each) for each in (look, report, act)] == [403, 200, 403]
    assert [asks("", *each) for each in (look, report, act)] == [401, 401, 401]
    assert asks(HOOK, "GET", "/hook/status") == 200
    for path in ("/", "/events", "/metrics", "/docs", "/openapi.json", "/api/v1/tasks"):
        assert asks("", "GET", path) == 401 and asks(HOOK, "GET", path) == 403, path
    (elsewhere.folder / "operator").write_text("another-0123456789")
    assert asks(OPERATOR, *act) == 401 and asks("another-0123456789", *act) == 200


def test_names_that_the_service_answers_to(elsewhere: Running) -> None:
    for host, code in (
        ("monitor.example:5050", 200),
        ("OTHER.example", 200),
        ("10.1.2.3:80", 200),
        ("evil.example", 421),
    ):
        assert (
            elsewhere.request("GET", "/api/v1/status", headers={"Host": host, **bearer(VIEWER)})[0] == code
        ), host


def test_here_looking_needs_no_token_and_acting_does(monitor: Running) -> None:
    assert monitor.request("GET", "/api/v1/status")[0] == 200
    code, data, headers = monitor.request("POST", "/action/pause", {"queue": "q"})
    assert (
        code == 401 and headers["WWW-Authenticate"] == "Bearer" and "operator" in json.loads(data)["message"]
    )
    # Who only hands on what another machine asks is not this machine.
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert monitor.request("GET", "/api/v1/status", headers={name: "10.1.2.3"})[0] == 401
    assert monitor.request("GET", "/api/v1/status", headers=bearer("wrong"))[0] == 401


def test_a_browser_logs_in_to_look(elsewhere: Running) -> None:
    code, _, headers = elsewhere.request("GET", "/tasks?q=x", headers={"Accept": "text/html"})
    assert (code, headers["Location"]) == (303, "/login?next=/tasks")
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def log_in(token: str, then: str = "/tasks", **more: str) -> tuple[int, Any]:
        body = f"token={token}&next={then}".encode()
        code, _, headers = elsewhere.request("POST", "/login", body, {**form, **more})
        return code, headers

    for wrong, expected in (("nothing", 401), (HOOK, 403), ("", 401), ("%ff%fe", 401)):
        code, headers = log_in(wrong)
        assert code == expected and "Set-Cookie" not in headers, wrong
    assert log_in(VIEWER, Origin="http://evil.example")[0] == 403
    code, headers = log_in(VIEWER, then="//evil.example/")
    assert (code, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert all(flag in cookie for flag in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=")), cookie
    assert VIEWER not in cookie and "Secure" not in cookie
    assert "Secure" in log_in(VIEWER, **{"X-Forwarded-Proto": "https"})[1]["Set-Cookie"]
    kept = {"Cookie": f"other=1; {cookie.partition(';')[0]}"}
    assert elsewhere.request("GET", "/api/v1/status", headers=kept)[0] == 200
    # An operator's login lets nobody act, either: a browser sends it by itself.
    _, headers = log_in(OPERATOR)
    kept = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    assert elsewhere.request("GET", "/api/v1/status", headers=kept)[0] == 200
    assert elsewhere.request("POST", "/action/pause", {"queue": "q"}, kept)[0] == 401
    code, _, headers = elsewhere.request("POST", "/logout", b"", {**form, **kept})
    assert code == 303 and 'coord_login=""' in headers["Set-Cookie"] and "Max-Age=0" in headers["Set-Cookie"]


def test_a_wrong_token_is_answered_late_noted_and_never_written_down(
    elsewhere: Running, conn: redis.Redis
) -> None:
    begun = time.monotonic()
    for _ in range(3):
        assert elsewhere.request("GET", "/api/v1/status", headers=bearer("a-guess-0123456789"))[0] == 401
    assert time.monotonic() - begun > 2.9
    (noted,) = [row for row in events.latest(conn, 100) if row["type"] == "operator"]
    assert (noted["what"], noted["who"], noted["address"]) == ("login", "nobody", "127.0.0.1")
    elsewhere.request("GET", f"/login?token={VIEWER}", headers=bearer(OPERATOR))
    elsewhere.stop()
    everything = elsewhere.log.read_text() + repr(events.latest(conn, 1000))
    for secret in (OPERATOR, VIEWER, HOOK, "a-guess-0123456789"):
        assert secret not in everything
    assert "a wrong token came from 127.0.0.1" in everything


@pytest.mark.settings(monitor_rate=5)
def test_who_asks_too_often_is_told_to_wait(monitor: Running) -> None:
    codes = [monitor.request("GET", "/api/v1/status") for _ in range(40)]
    late = [headers for code, _, headers in codes if code == 429]
    assert late and int(late[0]["Retry-After"]) >= 1 and {code for code, _, _ in codes} == {200, 429}


@pytest.mark.settings(monitor_streams=2)
def test_so_many_follow_the_events_and_no_more(monitor: Running) -> None:
    monitor.stream(), monitor.stream()
    code, data, _ = monitor.request("GET", "/events")
    assert code == 503 and "monitor_streams" in json.loads(data)["message"]
    assert monitor.request("GET", "/api/v1/status")[0] == 200


@pytest.fixture
def lines() -> Iterator[list[socket.socket]]:
    """Connections to be closed."""
    found: list[socket.socket] = []
    yield found
    for each in found:
        each.close()


@pytest.mark.settings(monitor_connections=100)
def test_thousands_of_connections_that_say_nothing_do_no_harm(
    monitor: Running, lines: list[socket.socket]
) -> None:
    for _ in range(900):
        line = socket.create_connection(("127.0.0.1", monitor.port), timeout=PATIENCE)
        line.setblocking(False)
        lines.append(line)
    end = time.monotonic() + 60
    # Those beyond the limit are closed at once, the others when they have sent no head for ten seconds.
    while True:
        try:
            assert monitor.request("GET", "/api/v1/status")[0] == 200
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize(
    "given", [{}, {"COORD_MONITOR_VIEWER_TOKEN": VIEWER}, {"COORD_MONITOR_OPERATOR_TOKEN": "short"}]
)
def test_without_tokens_it_does_not_listen_elsewhere(conn: redis.Redis, given: dict[str, str]) -> None:
    argv = [*COORD, "monitor", "--host", "0.0.0.0", "--port", "5998"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **given})
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert "token" in done.stderr and "short" not in done.stderr
