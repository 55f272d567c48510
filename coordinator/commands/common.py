"""What commands share: the settings, a connection, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
import redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool import connect, scripts, units
from pool import settings as settings_module
from pool.settings import Settings

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

STYLES = {
    "queued": "cyan", "deferred": "magenta", "scheduled": "magenta", "started": "yellow", "finished": "green",
    "failed": "red", "canceled": "dim", "waiting": "cyan", "working": "yellow", "starting": "blue",
    "parked": "magenta", "draining": "magenta", "stopped": "dim", "dead": "red", "needs-you": "bold red",
    "interrupted": "red", "stuck": "red",
}  # fmt: skip


NUMBERS = frozenset(
    ("age", "idle left", "losses", "tries", "queued", "scheduled", "deferred", "running", "failed", "workers", "since")
)


class DurationType(click.ParamType):
    """90, 90s, 10m or 2h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return units.duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()


class Context:
    """The settings in force, a client and the transitions on it."""

    def __init__(self, settings: Settings, connection: redis.Redis) -> None:
        self.settings = settings
        self.connection = connection
        self.pool: scripts.Pool = connect.pool(settings, connection)


@contextmanager
def opened() -> Iterator[Context]:
    """A connection for one command; connection errors become one line and exit code 5."""
    settings = settings_module.load()
    with connect.reachable(settings), connect.client(settings) as connection:
        yield Context(settings, connection)


def dump(value: Any) -> None:
    """Print a value as JSON: dataclasses and lists of them included."""

    def plain(item: Any) -> Any:
        return asdict(item) if hasattr(item, "__dataclass_fields__") else item

    value = [plain(item) for item in value] if isinstance(value, list) else plain(value)
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house style."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Free text gives way first; ids and numbers stay whole.
        free = column in ("title", "evidence", "task", "note", "reason", "payload", "detail", "meaning", "value", "")
        made.add_column(
            column, justify="right" if column in NUMBERS else "left", no_wrap=not free, overflow="ellipsis" if not free else "fold",
            ratio=None, min_width=None if free else len(column),
        )  # fmt: skip
    return made


def cell(text: Any, style: str = "") -> Text:
    """Text as it is: what comes from a task is never read as markup, and shows no control characters."""
    shown = "".join(c if c.isprintable() or c == " " else "·" for c in str("" if text is None else text))
    return Text(shown, style=style)


def state(text: str) -> Text:
    """A state in its colour."""
    return cell(text, STYLES.get(text, ""))


def clean(text: str) -> str:
    """A text from a task for a terminal: lines and tabs stay, other control characters are shown as dots."""
    return "".join(c if c.isprintable() or c in "\n\t" else "·" for c in text)


def each(ids: Sequence[str]) -> list[str]:
    """The ids given, once each, in order."""
    return list(dict.fromkeys(ids))
