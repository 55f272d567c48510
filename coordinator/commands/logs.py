"""`coord logs`: what a worker's sessions said and did, or what was done for a task."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from coordinator import completing
from coordinator.commands import common
from pool import sessionlog, shown, view
from pool.enroll import host_name
from pool.errors import CoordError, UnknownTask, UnknownWorker, UsageError

#: Lines that are shown without -n.
_SHOWN = 100
#: How often a log that is followed is looked at (seconds).
_LOOK = 0.25


@click.command()
@click.argument("name", metavar="WORKER|TASK", shell_complete=completing.workers)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until interrupted.")
@click.option(
    "-n", "--lines", "count", type=click.IntRange(0), metavar="N",
    help=f"Only the last N lines (default: {_SHOWN} of a worker, all of a task).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON lines.")
def logs(name: str, follow: bool, count: int | None, as_json: bool) -> None:
    """Show the log of a supervised worker, or that part of it in which a task was done.

    `> ` is a tool's call, `< ` its result (`! ` a failure), `» ` what was handed to the session, `-- ` what
    happened around it. The log is kept on the machine of the worker.
    """
    wanted = _find(name)
    if count is None and not wanted.task:
        count = _SHOWN
    some = False
    kept: deque[str] = deque(maxlen=count)
    inode = at = 0
    for path in sessionlog.files(wanted.folder):
        found, inode, at = sessionlog.read(path)
        for entry in filter(wanted.has, found):
            some = True
            kept.extend(_lines(entry, as_json))
    if wanted.task and not some and not follow:
        raise CoordError(f"nothing was logged for task {wanted.task} (its worker has a log here)")
    for line in kept:
        click.echo(line)
    if follow:
        for entry in filter(wanted.has, _added(wanted.folder, inode, at)):
            for line in _lines(entry, as_json):
                click.echo(line)


def _lines(entry: dict[str, Any], as_json: bool) -> list[str]:
    if as_json:
        return [json.dumps(entry, ensure_ascii=False)]
    at = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
    return [f"{at} {common.clean(line)}" for line in shown.lines(entry)]


def _find(name: str) -> sessionlog.Wanted:
    """Whose log is meant.

    Raises:
        UsageError: It is kept elsewhere, or nowhere.
        UnknownTask: There is no such worker and no such task.
    """
    with common.opened() as ctx:
        folder = sessionlog.folder(ctx.settings.home, name)
        if sessionlog.files(folder):
            return sessionlog.Wanted(folder)
        try:
            one = view.worker(ctx.connection, name)
        except UnknownWorker:
            pass
        else:
            raise UsageError(_elsewhere(one.id, one.host, bool(one.supervisor)))
        try:
            task = view.task(ctx.connection, name)
        except UnknownTask:
            raise UnknownTask(f"{name[:200]!r} is neither a worker with a log here nor a task") from None
        if task.worker is None:
            raise UsageError(f"task {name} is {task.status}: no worker has begun it")
        found = sessionlog.folder(ctx.settings.home, task.worker)
        if sessionlog.files(found):
            return sessionlog.of_task(found, task.id, task.started_at, task.ended_at)
        if task.host is not None:  # as it was kept with the task: the worker may be gone
            raise UsageError(f"task {name}: {_elsewhere(task.worker, task.host, bool(task.supervisor))}")
        raise UsageError(
            f"task {name} was worker {task.worker}'s, which has no log here: look on its machine"
        )


def _elsewhere(worker: str, host: str, supervised: bool) -> str:
    if not supervised:
        return (
            f"worker {worker} (on {host}) has no supervisor, which would keep a log: `coord worker run` does"
        )
    if host == host_name():
        return f"the log of {worker} is kept by another installation of coord on this machine (COORD_HOME)"
    return f"the log of {worker} is on {host}: run `coord logs` there"


def _added(folder: Path, inode: int, at: int) -> Iterator[dict[str, Any]]:
    """Entries as they are added; where a new file is begun, the rest of the old one comes first."""
    while True:
        for path in sessionlog.files(folder)[-2:]:
            if path.suffix == ".jsonl" or (inode and _inode(path) == inode):
                found, inode, at = sessionlog.read(path, inode, at)
                yield from found
        time.sleep(_LOOK)


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0  # rotated away just now
