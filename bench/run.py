"""One run: its sizes, its progress on the terminal, its notes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Item = TypeVar("Item")

#: Without a terminal the progress is told about so often (seconds).
_TELL = 20.0


@dataclass(frozen=True)
class Sizes:
    """How much is measured. ``quick`` runs show that all of it works; their numbers are rough."""

    process_rounds: int
    throughput_rounds: int
    #: Rounds with one and with four processes (two are what the goals are about).
    other_rounds: int
    #: Tasks of a measurement, as a share of the full number.
    share: float
    server_rounds: int
    server_batch: int
    handovers: int
    deaths: int
    backlogs: tuple[int, ...]
    backlog_rounds: int
    backlog_batch: int
    workers: tuple[int, ...]
    command_rounds: int
    #: Waiting workers, and for how long (seconds) they are watched.
    waiting: int
    idle_seconds: float
    polling_seconds: float


FULL = Sizes(
    process_rounds=40, throughput_rounds=4, other_rounds=2, share=1.0, server_rounds=5, server_batch=1000,
    handovers=300, deaths=25, backlogs=(1_000, 100_000, 1_000_000), backlog_rounds=15, backlog_batch=300,
    workers=(10, 1_000, 10_000), command_rounds=7, waiting=1_000, idle_seconds=60.0, polling_seconds=15.0,
)  # fmt: skip
QUICK = Sizes(
    process_rounds=8, throughput_rounds=1, other_rounds=0, share=0.5, server_rounds=2, server_batch=300,
    handovers=40, deaths=4, backlogs=(1_000, 20_000, 100_000), backlog_rounds=5, backlog_batch=100,
    workers=(10, 1_000, 10_000), command_rounds=2, waiting=1_000, idle_seconds=10.0, polling_seconds=5.0,
)  # fmt: skip


class Run:
    """A run in progress."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.console = Console(stderr=True, highlight=False)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something that the reader of the numbers must know."""
        self.notes.append(text)
        self.console.print(f"[yellow]{text}[/]")

    def steps(self, what: str, items: Sequence[Item]) -> Iterator[Item]:
        """The items, with a progress bar; a line now and then where there is no terminal."""
        if not self.console.is_terminal:
            yield from self._told(what, items)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(what, total=len(items))
            for item in items:
                yield item
                progress.advance(task)

    def _told(self, what: str, items: Sequence[Item]) -> Iterator[Item]:
        began = said = time.monotonic()
        for index, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - said > _TELL or index == len(items):
                self.console.print(f"   {what}: {index} of {len(items)} ({now - began:.0f} s)")
                said = now
