"""`coord top` on real terminals (tmux holds them), without one, and as JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from coordinator.top.board import Reader
from pool import events
from pool.claim import Caller
from pool.scripts import Pool
from pool.sessions import Confidence, Session, State
from tests.client.terminal import Terminal
from tests.redis.coord import COORD, Coord
from tests.redis.test_sessions import put
from tests.server import Server
from tests.session import eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]
Show = Callable[..., Terminal]


def attended(conn: redis.Redis) -> None:
    """As if a monitor ran."""
    conn.zadd("pool:monitors", {"m": time.time() + 3600})


def session(name: str, state: State, **fields: object) -> Session:
    made = Session(name, state=state, since=time.time() - 60, evidence="hook Stop", evidence_at=time.time())
    return Session(**{**made.__dict__, **fields})


def heard(conn: redis.Redis, each: Session) -> None:
    """A change that the monitor has written."""
    put(conn, each, time.time())
    conn.xadd(events.EVENTS, {"type": "session", "session": each.id, "worker": each.worker, "task": ""})


@pytest.fixture
def some(conn: redis.Redis, submit: Submit, register: Register, pool: Pool) -> None:
    """A worker that works, one that waits, two ordinary sessions: one asks for a permission."""
    attended(conn)
    submit("Sort the letters", id="sort", title="Sort the letters")
    works = register("works")
    handed = pool.claim(works).handed
    assert handed is not None
    pool.confirm(works, handed.claim)
    pool.claim(register("waits"), "new", 600.0)
    put(conn, session("s-0a1b", State.TOOL, tool="Bash", cwd="/src/project"), time.time())
    put(conn, session("s-0c2d", State.NEEDS_YOU, needs="permission: Bash"), time.time())


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    """Run a command line in a shell in a terminal; it is ended with the test."""
    made: list[Terminal] = []

    def run(line: str = "", size: tuple[int, int] = (120, 24), **env: str) -> Terminal:
        top = " ".join([*COORD, "top"])
        text = line.replace("TOP", top) or f"exec {top}"
        environ = {**os.environ, "TERM": "xterm-256color", "PS1": "$ ", **env}
        made.append(Terminal(["bash", "--norc", "-c", text], tmp_path, environ, size))
        return made[-1]

    yield run
    for each in made:
        each.close()


# -- what is read --------------------------------------------------------------------------------------


def test_a_worker_is_one_row_with_what_both_know(coord: Coord, conn: redis.Redis, some: None) -> None:
    found = {each["id"]: each for each in coord.json("top")["sessions"]}
    assert (found["works"]["state"], found["works"]["task"]) == ("working", "sort")
    put(conn, session("works", State.TOOL, worker="works", tool="Edit", evidence="hook PreToolUse"), 0.0)
    again = coord.json("top")
    found = {each["id"]: each for each in again["sessions"]}
    assert len(again["sessions"]) == 4 and again["monitor"] is True
    works = found["works"]
    assert (works["state"], works["tool"], works["title"]) == ("tool", "Edit", "Sort the letters")
    assert works["evidence"] == "hook PreToolUse" and works["worker"] == "works"
    conn.delete("pool:monitors")
    found = {each["id"]: each for each in coord.json("top")["sessions"]}
    assert found["works"]["state"] == "working" and found["works"]["confidence"] == "certain"
    assert found["s-0a1b"]["state"] == "tool" and found["s-0a1b"]["confidence"] == Confidence.STALE


def test_a_worker_that_died_is_dead_whatever_the_monitor_thought(
    coord: Coord, conn: redis.Redis, some: None, pool: Pool, register: Register
) -> None:
    caller = register("gone")
    put(conn, session("gone", State.WORKING, worker="gone", evidence_at=time.time() + 5), 0.0)
    pool.deregister(caller, died=True, why="its process is gone")
    found = {each["id"]: each for each in coord.json("top")["sessions"]}
    assert (found["gone"]["state"], found["gone"]["evidence"]) == ("dead", "its process is gone")


def test_an_event_is_read_and_nothing_else(
    conn: redis.Redis, some: None, submit: Submit, pool: Pool, register: Register
) -> None:
    reader = Reader(conn)
    reader.whole()
    reader._next_whole = float("inf")
    assert reader.wait(0.01) is False
    heard(conn, session("s-0a1b", State.INTERRUPTED))
    pool.deregister(register("new"), died=True, why="its process is gone")
    before = conn.info("commandstats")["cmdstat_hgetall"]["calls"]
    assert reader.wait(10.0) is True
    states = {row.id: row.state for row in reader.board().rows}
    assert states["s-0a1b"] == "interrupted" and states["new"] == "dead"
    assert conn.info("commandstats")["cmdstat_hgetall"]["calls"] - before < 8, "what has changed, not all"


def test_what_ended_long_ago_is_left_out_unless_all_is_asked_for(coord: Coord, conn: redis.Redis) -> None:
    put(conn, session("s-old", State.DEAD, since=time.time() - 5000), 0.0)
    put(conn, session("s-new", State.STOPPED), 1.0)
    assert [each["id"] for each in coord.json("top")["sessions"]] == ["s-new"]
    assert {each["id"] for each in coord.json("top", "--all")["sessions"]} == {"s-old", "s-new"}


# -- without a terminal ----------------------------------------------------------------------------------


def test_without_a_terminal_it_is_printed_once(coord: Coord, some: None) -> None:
    done = coord("top")
    lines = done.out.splitlines()
    assert lines[0].split()[:2] == ["state", "session"] and lines[1].split()[:2] == ["needs-you", "s-0c2d"]
    assert "permission: Bash" in lines[1] and len(lines) == 5 and "no coordinator runs" in done.err
    assert coord("top", "--filter", "nothing matches").out == "no sessions\n"
    assert [each["id"] for each in coord.json("top", "-s", "name", "-f", "s-0")["sessions"]] == [
        "s-0a1b",
        "s-0c2d",
    ]


def test_json_holds_queues_and_throughput(coord: Coord, some: None, submit: Submit) -> None:
    submit(id="next", queue="gpu")
    found = coord.json("top")
    (queue,) = [each for each in found["queues"] if each["name"] == "gpu"]
    assert (queue["queued"], queue["running"], queue["paused"]) == (1, 0, False)
    assert len(queue["finished"]) == 31 and found["coordinator"] is False


def test_json_lines_follow_what_happens(coord: Coord, some: None, conn: redis.Redis) -> None:
    child = coord.start("top", "--json", "--watch")
    assert child.stdout is not None
    assert len(json.loads(child.stdout.readline())["sessions"]) == 4
    heard(conn, session("s-new", State.WORKING))
    while len(json.loads(child.stdout.readline())["sessions"]) != 5:
        continue  # (it is read anew every few seconds, too)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=10) == 130


def test_wrong_use_and_redis_away(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--watch goes with --json" in coord.refused("top", "--watch")
    assert "Invalid value for '-s'" in coord.refused("top", "-s", "size")
    monkeypatch.setenv("COORD_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "Redis" in coord.refused("top", "--once", code=5)


# -- on a terminal ---------------------------------------------------------------------------------------


def test_it_shows_who_needs_me_first_and_what_happens(
    show: Show, some: None, conn: redis.Redis, submit: Submit
) -> None:
    screen = show()
    seen = screen.shown(r"rows|q quit  h help")
    lines = seen.splitlines()
    assert lines[0].startswith("coord top  4 sessions  1 needs-you")
    assert "needs you: s-0c2d (permission: Bash)" in seen and "sort Sort the letters" in seen
    first = next(n for n, line in enumerate(lines) if line.startswith("state"))
    assert lines[first + 1].startswith("needs-you")
    assert re.search(r"tasks  0 waiting  1 running", seen)
    heard(conn, session("s-0a1b", State.STUCK, evidence="silent"))
    screen.shown(r"1 stuck")
    submit(id="more", queue="gpu")
    screen.shown(r"gpu +1 waiting")


def test_keys(show: Show, some: None, conn: redis.Redis) -> None:
    for n in range(100):
        put(conn, session(f"s-9{n:03}", State.WAITING, cwd=f"/src/number-{n}"), 1.0)
    screen = show(size=(100, 16))
    screen.shown(r"rows 1-\d+ of 104")
    screen.type("j", enter=False)
    screen.shown(r"rows 2-\d+ of 104")
    screen.key("NPage")
    screen.shown(r"rows 1\d-\d+ of 104")
    screen.key("End")
    assert "s-9099" in screen.shown(r"-104 of 104")
    screen.type("g", enter=False)
    screen.type("s", enter=False)
    screen.shown(r"s sort: age")
    screen.type("/number-7", enter=False)
    screen.shown("/number-7_")
    screen.key("Enter")
    assert "s-9070" in screen.shown(r"filter: number-7 \(Esc: none\)")
    screen.key("Escape")
    screen.shown(r"/ filter  p pause")
    screen.type("p", enter=False)
    screen.shown("paused: p goes on")
    heard(conn, session("s-late", State.NEEDS_YOU, needs="an answer"))
    screen.type("h", enter=False)
    screen.shown("any key goes back")
    screen.type("x", enter=False)
    assert "s-late" not in screen.shown("paused: p goes on"), "the picture stands still"
    screen.type("p", enter=False)
    screen.shown(r"needs you:.*s-late \(an answer\)")
    screen.resize(60, 10)
    screen.shown(r"(?m)^coord top  105 sessions.*…$")
    screen.type("q", enter=False)
    eventually(lambda: screen.dead)


#: What is on a terminal must be as it was: its modes, its first screen, its cursor.
SHELL = 'stty -a > before; {}; echo "ended with $?"; stty -a > after; sleep 60'


def given_back(screen: Terminal, folder: Path, code: str) -> None:
    screen.shown(rf"ended with {code}")
    eventually(lambda: (folder / "after").exists() and (folder / "after").read_text())
    assert (folder / "before").read_text() == (folder / "after").read_text()
    assert (screen.flag("alternate_on"), screen.flag("cursor_flag")) == ("0", "1")
    assert "Traceback" not in screen.screen()


@pytest.mark.parametrize(("way", "code"), [("q", "0"), ("C-c", "130"), ("TERM", "143"), ("HUP", "129")])
def test_the_terminal_is_given_back(show: Show, some: None, tmp_path: Path, way: str, code: str) -> None:
    screen = show(SHELL.format("TOP"))
    screen.shown("q quit")
    assert (screen.flag("alternate_on"), screen.flag("cursor_flag")) == ("1", "0")
    if way in ("q", "C-c"):
        screen.key(way)
    else:
        os.kill(_child(screen.pid), getattr(signal, f"SIG{way}"))
    given_back(screen, tmp_path, code)


def test_the_terminal_is_given_back_after_an_error(show: Show, tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text(
        "from coordinator.top.terminal import Terminal\nwith Terminal().taken():\n    raise SystemExit(3)\n"
    )
    given_back(show(SHELL.format(f"{sys.executable} -P {program}")), tmp_path, "3")


def test_stopped_and_continued(show: Show, some: None, tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("PS1='the shell> '\n")
    screen = show("exec bash --rcfile rc -i")
    screen.shown("the shell>")
    screen.type(" ".join([*COORD, "top"]))
    screen.shown("q quit")
    for _ in range(2):
        screen.key("C-z")
        screen.shown("(?s)Stopped.*the shell>")
        assert (screen.flag("alternate_on"), screen.flag("cursor_flag")) == ("0", "1")
        screen.type("clear; fg")
        screen.shown("q quit")
    screen.type("h", enter=False)
    screen.shown("any key goes back")  # it hears keys, one by one
    screen.type("q", enter=False)
    screen.shown("the shell>")
    screen.type("echo typed-is-seen")
    screen.shown(r"(?s)echo typed-is-seen.*\ntyped-is-seen")


def test_redis_away_is_said_and_comes_back_by_itself(
    show: Show, own_server: Server, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", own_server.url)
    own_server.kill()
    screen = show()
    screen.shown(r"Redis at 127\.0\.0\.1:\d+")
    own_server.start()
    screen.shown("0 sessions")
    own_server.kill()
    screen.shown(r"Redis at 127\.0\.0\.1:\d+")
    screen.type("h", enter=False)
    screen.shown("any key goes back")
    own_server.start()
    with redis.Redis.from_url(own_server.url) as client:
        put(client, session("s-after", State.NEEDS_YOU, needs="an answer"), 1.0)
    screen.type("h", enter=False)
    assert "Redis at" not in screen.shown("s-after")


def test_no_colour_where_none_is_wanted(show: Show, some: None) -> None:
    def colours(screen: Terminal) -> list[str]:
        screen.shown("needs you")
        found = re.findall(r"\x1b\[([\d;]*)m", screen.visible(colours=True))
        return [each for each in found if re.search(r"(^|;)([349][0-7]|38|48)(;|$)", each)]

    assert colours(show())
    assert not colours(show(NO_COLOR="1"))


def test_a_terminal_that_can_only_print_gets_it_once(show: Show, some: None) -> None:
    screen = show("TERM=dumb TOP; echo ended with $?; sleep 60")
    assert "s-0c2d" in screen.shown("ended with 0")


def test_a_thousand_sessions_move_smoothly(show: Show, conn: redis.Redis) -> None:
    attended(conn)
    for n in range(1000):
        put(conn, session(f"s-{n:04}", list(State)[n % 10], title="a task", task=f"t{n}"), float(n))
    screen = show()
    screen.shown(r"rows 1-\d+ of 1000")
    for n in range(40):
        heard(conn, session(f"s-{n:04}", State.NEEDS_YOU, needs="an answer"))
    screen.key("End")
    screen.shown("-1000 of 1000")
    screen.key("Home")
    screen.shown(r"136 needs-you")


def _child(pid: int) -> int:
    """The one process that a shell has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return int(text.split()[0])
