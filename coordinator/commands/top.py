"""`coord top`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace

import click
from rich.console import Console

from coordinator.commands import common
from coordinator.top import screen
from coordinator.top.board import Board, Reader, Row
from coordinator.top.choice import SORTS, Choice
from coordinator.top.feed import Feed
from coordinator.top.terminal import Ended, Terminal
from pool import connect, units
from pool import settings as settings_module
from pool.errors import RedisAway, UsageError
from pool.settings import Settings

#: Ages are shown anew so often (seconds).
_TICK = 1.0


@click.command()
@click.option("--once", is_flag=True, help="Print it once (so it is where there is no terminal).")
@click.option(
    "-w", "--watch", is_flag=True, help="With --json: an object a line, whenever something happens."
)
@click.option("-a", "--all", "everyone", is_flag=True, help="Also those that stopped or died a while ago.")
@click.option(
    "-s", "--sort", type=click.Choice(list(SORTS)), default="need", show_default=True,
    help="What comes first: who needs a person, the longest in its state, the dearest, by task, by name.",
)  # fmt: skip
@click.option("-f", "--filter", "words", default="", metavar="WORDS", help="Only those that match all words.")
@common.as_json
def top(once: bool, watch: bool, everyone: bool, sort: str, words: str, as_json: bool) -> None:
    """Show live what every session does, who needs a person first; h shows the keys.

    It needs no monitor: without one it shows the pool's workers, and other sessions as they were known last.
    What happens is on the screen within a quarter of a second.
    """
    choice = Choice(sort=sort, filter=words)
    if watch and (once or not as_json):
        raise UsageError("--watch goes with --json, and not with --once")
    if as_json:
        _dump(choice, everyone, watch)
    elif once or not _takes():
        _print(choice, everyone)
    else:
        _live(settings_module.load(), choice, everyone)


def _takes() -> bool:
    """Whether standard output is a terminal on which a picture can be drawn."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


# -- for programs, and where there is no terminal -----------------------------------------------------


def _dump(choice: Choice, everyone: bool, watch: bool) -> None:
    with common.opened() as ctx:
        reader = Reader(ctx.connection, everyone)
        board = reader.whole()
        while True:
            common.dump(_chosen(board, choice).plain(), indent=None if watch else 2)
            if not watch:
                return
            sys.stdout.flush()
            while not reader.wait(_TICK):
                continue
            board = reader.board()


def _chosen(board: Board, choice: Choice) -> Board:
    return replace(board, rows=tuple(choice.rows(board.rows)))


def _print(choice: Choice, everyone: bool) -> None:
    with common.opened() as ctx:
        board = _chosen(Reader(ctx.connection, everyone).whole(), choice)
    if common.layout() != "flat":
        for line in screen.once(board, choice, common.console.width):
            common.console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        return
    if board.rows:
        rows = [_flat(row, board.at) for row in board.rows]
        common.show(list(rows[0]), rows, "task", ["task", "evidence"])
    else:
        click.echo("no sessions")
    if not board.led:
        common.warn("no coordinator runs: `coord serve`")
    if not board.monitored:
        common.warn("no monitor runs, so other sessions than workers are as they were: `coord monitor`")
    for warning in board.warnings:
        common.warn(warning)


def _flat(row: Row, at: float) -> dict[str, str]:
    return {
        "state": row.state, "session": row.id, "age": _span(row.since, at), "confidence": row.confidence,
        "seen": _span(row.evidence_at, at), "tool": row.tool, "USD": f"{row.usd:.2f}" if row.usd else "",
        "task": row.needs or f"{row.task} {row.title}".strip(), "evidence": row.evidence,
    }  # fmt: skip


def _span(moment: float, at: float) -> str:
    return units.span(max(0.0, at - moment)) if moment else ""


# -- for people --------------------------------------------------------------------------------------


def _live(settings: Settings, choice: Choice, everyone: bool) -> None:
    """Draw until `q` or a signal; the terminal is then as it was."""
    with suppress(RedisAway):  # (a URL that is none is told now, in one line)
        connect.client(settings).close()
    terminal = Terminal()
    feed = Feed(settings, terminal.wake, everyone)
    try:
        with terminal.taken():
            feed.start()
            _loop(terminal, feed, choice)
    except Ended as end:
        if end.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)
    except (EOFError, OSError):
        if os.isatty(1):
            raise
        # The terminal is gone, and nobody is there to be told.
    finally:
        feed.end()


def _loop(terminal: Terminal, feed: Feed, choice: Choice) -> None:
    console = Console(highlight=False, soft_wrap=True)
    news = feed.news
    while True:
        if not choice.paused or news.board is None:
            news = feed.news
        lines, choice = screen.render(console, news, choice, terminal.size)
        terminal.draw(lines)
        for key in terminal.keys(_TICK):
            choice = choice.pressed(key)
        if choice.over:
            return
