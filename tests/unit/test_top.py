"""`coord top` without Redis and terminal: keys, order, filter, and lines that fit terminals of all sizes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from coordinator.top import board, screen
from coordinator.top.board import Board, Queue, Row, merged
from coordinator.top.choice import SORTS, Choice
from coordinator.top.feed import News
from coordinator.top.terminal import Decoder
from pool.sessions import Confidence, Session, State

NOW = 1_000_000.0


def row(name: str, state: State = State.WORKING, since: float = 60.0, **fields: object) -> Row:
    """A session that has been in that state for so long."""
    made = Session(name, state=state, since=NOW - since, evidence="hook Stop", evidence_at=NOW - 5.0)
    found = merged(made, None, NOW, monitored=True)
    return Row(**{**found.__dict__, **fields})


def shown(
    rows: Sequence[Row], queues: Sequence[Queue] = (), led: bool = True, monitored: bool = True
) -> Board:
    return Board(NOW, time.monotonic(), tuple(rows), tuple(queues), monitored, led, ())


def console() -> Console:
    return Console(highlight=False, soft_wrap=True, file=StringIO())


def keys(data: bytes, *more: bytes) -> list[str]:
    decoder = Decoder()
    found = [key for piece in (data, *more) for key in decoder.feed(piece)]
    return found + decoder.feed(b"", done=decoder.pending)


# -- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F", ["page-up", "page-down", "home", "end"]),
        (b"\x1b", ["escape"]),
        (b"\x1bq", ["escape", "q"]),
        ("ü测".encode(), ["ü", "测"]),
        (b"\r\x7f", ["enter", "backspace"]),
        (b"\x1b[99;99zj", ["j"]),
        (b"\xff\xfe", ["\ufffd", "\ufffd"]),
    ],
)
def test_keys_of_terminals(data: bytes, expected: list[str]) -> None:
    assert keys(data) == expected
    assert keys(*(bytes([byte]) for byte in data)) == expected, "in pieces of any size"


def test_moving_stays_within_the_list() -> None:
    choice = Choice().fitted(50, 20)
    for key, top in (
        ("up", 0), ("down", 1), ("j", 2), ("k", 1), ("page-down", 21), ("page-down", 30), ("down", 30),
        ("home", 0), ("end", 30), ("page-up", 10), ("g", 0), ("G", 30),
    ):  # fmt: skip
        choice = choice.pressed(key)
        assert choice.top == top, key
    assert choice.fitted(3, 20).top == 0


def test_a_filter_is_typed_kept_and_dropped() -> None:
    choice = Choice()
    for key in ("/", "b", "q", "backspace", "u"):
        choice = choice.pressed(key)
    assert (choice.filter, choice.typing, choice.over) == ("bu", True, False), "q is a letter there"
    kept = choice.pressed("enter")
    assert (kept.filter, kept.typing) == ("bu", False)
    again = kept.pressed("/").pressed("x").pressed("escape")
    assert (again.filter, again.typing) == ("bu", False), "what it was before"
    assert again.pressed("escape").filter == ""
    assert again.pressed("q").over


def test_pause_help_and_sorts() -> None:
    choice = Choice()
    assert choice.pressed("p").paused and not choice.pressed("p").pressed("p").paused
    assert choice.pressed("h").help and not choice.pressed("h").pressed("j").help
    assert choice.pressed("h").pressed("q").over
    seen = []
    for _ in SORTS:
        choice = choice.pressed("s")
        seen.append(choice.sort)
    assert sorted(seen) == sorted(SORTS) and choice.sort == "need"
    assert choice.pressed("~") == choice


def test_who_needs_a_person_comes_first_and_the_longest_of_them() -> None:
    rows = [row(state.value, state) for state in State]
    rows += [row("waits-longer", State.NEEDS_YOU, since=900.0)]
    order = [each.id for each in Choice().rows(tuple(rows))]
    assert order[:2] == ["waits-longer", "needs-you"]
    assert {*order[2:4]} == {"stuck", "interrupted"} and order[-2:] == ["waiting", "stopped"]


def test_the_other_sorts() -> None:
    rows = (row("b", since=10, usd=1.0, task="t1"), row("a", since=20, usd=2.0), row("c", since=5, task="t0"))
    order = {sort: "".join(each.id for each in Choice(sort=sort).rows(rows)) for sort in SORTS}
    assert order == {"need": "abc", "age": "abc", "cost": "abc", "task": "cba", "name": "abc"}


def test_a_filter_wants_all_words_wherever_they_are() -> None:
    rows = (row("w1", title="Fix the Cache", task="t1"), row("w2", cwd="/src/cache"), row("w3"))
    assert [each.id for each in Choice(filter="CACHE").rows(rows)] == ["w1", "w2"]
    assert [each.id for each in Choice(filter="cache src").rows(rows)] == ["w2"]
    assert Choice(filter="nothing").rows(rows) == []


# -- what is known of one ------------------------------------------------------------------------------


def test_without_a_monitor_other_sessions_are_as_known_last() -> None:
    each = Session("s-1", state=State.WORKING, confidence=Confidence.CERTAIN)
    assert merged(each, None, NOW, monitored=True).confidence == "certain"
    assert merged(each, None, NOW, monitored=False).confidence == "stale"


# -- lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 60), (120, 24), (80, 24), (60, 10), (44, 8), (20, 5), (3, 2), (1, 1)])
def test_it_fits_a_terminal_of_any_size(size: tuple[int, int]) -> None:
    rows = [
        row(f"s-{n:04}", list(State)[n % len(State)], title="测试 " * 30, task=f"t{n}", tool="Bash" * 9,
            evidence="hook " * 50, usd=1234.5, needs="a permission" if n % 12 == 4 else "")
        for n in range(100)
    ]  # fmt: skip
    queues = [Queue(f"queue-{n}", n, 5.0, 1, 1, 1, 2.5, tuple(range(30)), n == 1) for n in range(9)]
    for choice in (Choice(), Choice(help=True), Choice(typing=True, filter="x" * 60), Choice(top=90)):
        news = News(shown(rows, queues, led=False, monitored=False), "Redis is away")
        lines, _ = screen.render(console(), news, choice, size)
        assert len(lines) <= size[1]
        assert all(cell_len(line) <= size[0] for line in lines), [
            line for line in lines if len(line) > size[0]
        ]


def test_what_is_wrong_is_said_above_and_rows_scroll() -> None:
    rows = [row(f"s-{n:04}") for n in range(100)] + [row("asks", State.NEEDS_YOU, needs="permission: Bash")]
    lines, choice = screen.render(console(), News(shown(rows, led=False)), Choice(), (120, 20))
    assert "101 sessions  1 needs-you  100 working" in lines[0]
    assert "no coordinator runs" in lines[1]
    assert lines[2] == "needs you: asks (permission: Bash)"
    assert lines[4].startswith("needs-you") and lines[-1].endswith(f"rows 1-{choice.page} of 101")
    lines, _ = screen.render(console(), News(shown(rows)), choice.pressed("end"), (120, 20))
    assert lines[-2].startswith("working") and "s-0099" in lines[-2]


def test_ages_stand_still_in_a_pause_and_go_on_without_news() -> None:
    old = Board(NOW, time.monotonic() - 120.0, (row("s-1", since=60.0),), (), True, True, ())
    assert "3m" in screen.render(console(), News(old), Choice(), (120, 9))[0][2]
    lines, _ = screen.render(console(), News(old), Choice(paused=True), (120, 9))
    assert lines[1] == "paused: p goes on" and " 1m " in lines[3]


def test_text_of_sessions_steers_no_terminal() -> None:
    evil = row("s-1", title="a\x1b[31mb\nc[bold]d", task="t", evidence="\x07\x9b2J", needs="")
    lines, _ = screen.render(console(), News(shown([evil])), Choice(), (120, 9))
    text = "\n".join(lines)
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text and "[bold]d" in text


def test_a_thousand_sessions_are_drawn_at_once() -> None:
    news = News(shown([row(f"s-{n:04}", list(State)[n % len(State)]) for n in range(1000)]))
    began = time.process_time()
    for _ in range(10):
        lines, _ = screen.render(console(), news, Choice(), (120, 40))
    assert (time.process_time() - began) / 10 < 0.2 and len(lines) == 40


def test_columns_nobody_needs_are_left_out() -> None:
    (head, *_) = screen.table([row("s-1", task="t")], NOW, 120)
    assert isinstance(head, Text) and head.plain.split() == [
        "state",
        "session",
        "age",
        "task",
        "evidence",
        "seen",
    ]
    assert board.RECENT > 60
