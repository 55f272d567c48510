"""`coord purge`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from coordinator import completing
from coordinator.commands import common
from pool import model, units, view
from pool.errors import EXIT_FAILED, UsageError

#: So many tasks are judged (and deleted) by one script.
_BATCH = 100
_ENDED = tuple(str(each) for each in sorted(model.TERMINAL))


@click.command()
@click.option(
    "--older-than", "age", type=common.DURATION, required=True, help="Ended at least so long ago: 30d, 12h."
)
@click.option(
    "-s",
    "--status",
    "statuses",
    type=common.Statuses(_ENDED),
    default=",".join(_ENDED),
    show_default=True,
    help="Only those in these states, comma-separated.",
)
@click.option("-q", "--queue", default="", shell_complete=completing.queues, help="Only those of this queue.")
@click.option("--dry-run", is_flag=True, help="Count only.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common.as_json
def purge(age: float, statuses: list[str], queue: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete tasks that ended long ago, with their results and artifacts.

    Never one that has not ended, nor one that another task still waits for. Entries in the list of tasks
    whose task has expired go, too. Exit code 1: you said no.
    """
    if queue and not units.is_queue(queue):
        raise UsageError(f"{queue[:60]!r} is not a queue name: letters, digits, '.', '_' and '-'")
    if not dry_run and not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked: give --yes, or --dry-run to count only")
    with common.opened() as ctx:
        found = None
        if dry_run or not yes:
            found = _walk(ctx, age, statuses, queue, True)
        if found is not None and not dry_run:
            count = _deleted(found)
            if count and not _agreed(found):
                common.errors.print("coord: nothing was deleted")
                raise SystemExit(EXIT_FAILED)
        if not dry_run:
            found = _walk(ctx, age, statuses, queue, False)
    assert found is not None
    _report(found, dry_run, as_json)


def _walk(ctx: common.Context, age: float, statuses: Sequence[str], queue: str, look: bool) -> Counter[str]:
    """Judge every task that is old enough to have ended so long ago; how often each verdict was given."""
    until = view.server_time(ctx.connection) - age
    total: Any = ctx.connection.zcount("pool:tasks", "-inf", until)
    found: Counter[str] = Counter()
    with common.progress("looking" if look else "purging", total) as advance:
        for page in view.ids_by_age(ctx.connection, until):
            for first in range(0, len(page), _BATCH):
                batch = page[first : first + _BATCH]
                found.update(ctx.pool.purge(age, statuses, queue, look, batch))
                advance(len(batch))
    return found


def _deleted(found: Counter[str]) -> int:
    return sum(found[status] for status in _ENDED)


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{found[status]} {status}" for status in _ENDED if found[status])


def _agreed(found: Counter[str]) -> bool:
    return click.confirm(f"Delete {_deleted(found)} tasks ({_counts(found)}) for good?", err=True)


def _report(found: Counter[str], dry_run: bool, as_json: bool) -> None:
    if as_json:
        counts = {status: found[status] for status in _ENDED}
        common.dump({"dry_run": dry_run, "deleted": _deleted(found), **counts,
                     "awaited": found["awaited"], "expired": found["gone"]})  # fmt: skip
        return
    verb = "would delete" if dry_run else "deleted"
    which = f" ({_counts(found)})" if _deleted(found) else ""
    click.echo(f"{verb} {_deleted(found)} tasks{which}")
    if found["gone"]:
        click.echo(f"{'would drop' if dry_run else 'dropped'} {found['gone']} entries of expired tasks")
    if found["awaited"]:
        click.echo(f"kept {found['awaited']} that other tasks still wait for")
