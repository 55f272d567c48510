"""What commands share: the settings, a connection, tables and JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pool import connect, plain, units
from pool import settings as settings_module
from pool.errors import UsageError
from pool.operate import Context as Context
from pool.plain import clean as clean
from pool.settings import Settings

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

STYLES = {
    "queued": "cyan", "deferred": "magenta", "scheduled": "magenta", "started": "yellow", "finished": "green",
    "failed": "red", "canceled": "dim", "waiting": "cyan", "working": "yellow", "starting": "blue",
    "tool": "yellow", "compacting": "yellow", "parked": "magenta", "draining": "magenta", "stopped": "dim",
    "dead": "red", "needs-you": "bold red", "interrupted": "red", "broken": "bold red", "stuck": "red",
}  # fmt: skip

#: A terminal of fewer columns gets fewer columns: what is left out stands under the title.
WIDE = 100
#: Free text gets at least so many columns.
_FREE = 24
#: Columns of a plain table that give way first.
_FOLDED = frozenset(("", "detail", "evidence", "meaning", "note", "task", "title", "value"))


class DurationType(click.ParamType[float]):
    """90, 90s, 10m or 2h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return units.duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()


class Statuses(click.ParamType[list[str]]):
    """States of tasks, comma-separated."""

    name = "states"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The states, once each."""
        found = each(part.strip() for part in value.split(",")) if isinstance(value, str) else value
        wrong = [part for part in found if part not in self.known]
        if wrong or not found:
            self.fail(f"{(wrong or [''])[0]!r} is not one of {', '.join(self.known)}", param, ctx)
        return found


@contextmanager
def opened(**options: Any) -> Iterator[Context]:
    """A connection for one command; Redis' errors become one line and exit code 5."""
    settings = settings_module.load()
    with connect.reachable(settings), connect.client(settings, **options) as connection:
        yield Context(settings, connection)


# -- JSON ----------------------------------------------------------------------------------------------


def dump(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON: dataclasses and lists of them included."""

    def plain(item: Any) -> Any:
        # (`asdict` copies deeply: a quarter of a second for ten thousand workers.)
        return vars(item) if is_dataclass(item) else str(item)

    text = json.dumps(value, indent=indent, ensure_ascii=False, default=plain)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, default=plain)
    click.echo(text)


# -- text ----------------------------------------------------------------------------------------------


def cell(text: Any, style: str = "") -> Text:
    """Text as it is, on one line: what comes from a task is never read as markup."""
    return Text(_line(text), style=style)


def _line(text: Any) -> str:
    """A text (or what is to be one) on one line, without control characters."""
    return plain.line(_plain(text))


def state(text: str) -> Text:
    """A state in its colour."""
    return cell(text, STYLES.get(text, ""))


def log(line: str) -> None:
    """A line of a service's log, on standard error."""
    click.echo(f"{time.strftime('%H:%M:%S')} {clean(line)}", err=True)


def warn(text: str) -> None:
    """One line on standard error; the command goes on."""
    errors.print(cell(f"coord: {text}", "yellow"))


def each(ids: Iterable[str]) -> list[str]:
    """The ids given, once each, in order."""
    return list(dict.fromkeys(ids))


def _plain(text: Any) -> str:
    return "" if text is None else str(text)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal; what it yields adds to the work done."""
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        job = bar.add_task(label, total=total)
        yield lambda done: bar.advance(job, done)


# -- tables --------------------------------------------------------------------------------------------


def layout() -> str:
    """How to lay out: ``flat`` (no terminal: a row is a line, nothing is cut), ``wide`` or ``narrow``."""
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        return "flat"
    return "wide" if console.width >= WIDE else "narrow"


def show(
    columns: Sequence[str], rows: Sequence[dict[str, Any]], free: str, under: Sequence[str] = ()
) -> None:
    """Print rows as a table: see listing()."""
    if layout() == "flat":
        wide = [free, *(name for name in under if name != free)]
        _print_flat([*(name for name in columns if name not in wide), *wide], rows)
    else:
        console.print(listing(columns, rows, free, under))


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house style, for rows of names and values."""
    made = Table(
        title=title, title_justify="left", title_style="", box=None, pad_edge=False, header_style="bold"
    )
    for column in columns:
        made.add_column(column, no_wrap=column not in _FOLDED, overflow="fold")
    return made


def listing(
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    free: str,
    under: Sequence[str] = (),
    title: str | None = None,
) -> Table:
    """A table for a terminal. Columns that are empty in every row are left out.

    ``free`` is the column of free text, which is folded, to two lines at most; the others stay whole. The
    columns ``under`` stand below it, on a line of their own; so do others, where they would leave it no room.
    """
    used = [name for name in columns if any(_plain(row.get(name)) for row in rows) or name == columns[0]]
    beside = [name for name in used if name not in under and name != free]
    below = [name for name in used if name in under]
    widths = {name: max([len(name), *(cell_len(_plain(row.get(name))) for row in rows)]) for name in beside}

    def room() -> int:
        return console.width - sum(widths[name] + 2 for name in beside)

    needed = min(_FREE, max([len(free), *(cell_len(_plain(row.get(free))) for row in rows)]))
    needed = _FREE if below else needed
    while room() < needed and len(beside) > 2:
        name = beside.pop()
        below.insert(0, name)
        rows = [{**row, name: _labelled(name, row)} for row in rows]
    made = table(title=title)
    for name in beside:
        numbers = all(_plain(row.get(name)).isdigit() for row in rows)
        # Whole, unless this alone would leave no room for anything else.
        width = min(widths[name], max(console.width // 3, len(name)))
        made.add_column(name, min_width=width, overflow="fold", justify="right" if numbers else "left")
    made.add_column(free, overflow="fold")
    longest = 2 * max(_FREE, room()) - 8
    for row in rows:
        text = _cell(row, free)
        text.truncate(longest, overflow="ellipsis")
        extra = Text(" · ").join(_cell(row, name) for name in below if _plain(row.get(name)))
        if extra:
            extra.truncate(longest, overflow="ellipsis")
            extra.stylize_before("dim")
            text.append("\n" if text else "").append_text(extra)
        made.add_row(*(_cell(row, name) for name in beside), text)
    return made


def _labelled(name: str, row: dict[str, Any]) -> str:
    value = _plain(row.get(name))
    return f"{name} {value}" if value else ""


def _cell(row: dict[str, Any], name: str) -> Text:
    value = row.get(name)
    return value.copy() if isinstance(value, Text) else cell(value)


def _print_flat(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    # (Of very many rows: a Text for each cell would take as long as all the rest.)
    def plain(value: Any) -> str:
        return value.plain if isinstance(value, Text) else _line(value)

    def width(text: str) -> int:
        return len(text) if text.isascii() else cell_len(text)

    lines = [list(columns), *([plain(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text + " " * (room - width(text)) for text, room in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def project_home(settings: Settings, make: bool = True) -> Path:
    """The folder of coord's own files in this project: COORD_HOME, the project's .coord, else a new one here.

    Raises:
        UsageError: It cannot be made.
    """
    home = Path(settings.home)
    if not os.environ.get("COORD_HOME") and home == settings_module.user_home():
        home = Path.cwd() / ".coord"
    try:
        if make:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"coord's own files cannot be kept in {home}: {error.strerror}") from None
    return home
