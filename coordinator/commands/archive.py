"""Commands that move tasks between servers: export, import."""

from __future__ import annotations

from typing import Any

import click
import redis

from coordinator import completing, exporting, importing
from coordinator.commands import common
from pool import model
from pool.errors import EXIT_FAILED, UsageError

_ALL = tuple(each.value for each in model.Status)
#: One script makes a batch; a slow disk is waited for.
_LONG = 60.0


@click.command()
@click.option(
    "-s",
    "--status",
    "statuses",
    type=common.Statuses(_ALL),
    default=",".join(_ALL),
    help="Only those in these states, comma-separated.",
)
@click.option("-q", "--queue", default="", shell_complete=completing.queues, help="Only those of this queue.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    default="-",
    show_default=True,
    help="Where to ('-': standard output); gzip, if the name ends in .gz.",
)
@click.option(
    "--running",
    type=click.Choice(["refuse", "queue", "skip"]),
    default="refuse",
    show_default=True,
    help="What to do with tasks that run: nothing at all, export them as queued, or leave them out.",
)
@common.as_json
def export(statuses: list[str], queue: str, target: str, running: str, as_json: bool) -> None:
    """Write tasks with all of their state as lines of JSON, for `coord import` on another server.

    A run cannot be moved: with --running queue its task is written as one that waits, at the front, and is
    done again over there, while the session here may still commit. To move a pool: `coord pause --all`, wait
    until nothing runs, export. What changes meanwhile is exported as it stands when its turn comes.
    """
    if as_json and target == "-":
        raise UsageError("--json needs a file to export to: -o FILE")
    with common.opened() as ctx:
        wanted = exporting.Wanted(statuses, queue, running)
        if running == "refuse" and model.Status.STARTED in statuses:
            ids = exporting.started(ctx.connection, queue)
            if ids:
                raise exporting.running(ids)
        total: Any = ctx.connection.zcard("pool:tasks")
        with common.progress("exporting", total) as advance, exporting.opened(target) as write:
            done = exporting.export(ctx.connection, ctx.settings, wanted, write, advance)
    if as_json:
        common.dump({"file": target, "exported": done.total, "by_status": dict(done.counts), "ran": done.ran,
                     "left_out": done.left_out})  # fmt: skip
    else:
        common.errors.print(common.cell(f"exported {done.total} tasks"))
    if done.ran:
        what = (
            "left out"
            if running == "skip"
            else "exported as queued: see to it that they do not go on here, too"
        )
        common.warn(
            f"{len(done.ran)} were running ({', '.join(done.ran[:5])}{' ...' * (len(done.ran) > 5)}), {what}"
        )
    if done.left_out:
        first = f"{len(done.left_out)} jobs were left out: {done.left_out[0]}"
        common.warn(f"{first}{' ...' * (len(done.left_out) > 1)}")


@click.command("import")
@click.argument("source", metavar="FILE")
@click.option("--partial", is_flag=True, help="Take a file that was cut off, or filtered.")
@click.option("--dry-run", is_flag=True, help="Check only.")
@common.as_json
def import_(source: str, partial: bool, dry_run: bool, as_json: bool) -> None:
    """Make the tasks of a file of `coord export` ('-': standard input), gzip or not.

    All of it is checked before anything is written. A task that is there already is left alone, so an import
    that was broken off is simply repeated. Exit code 1: some could not be made after all; they are named.
    """
    name = "standard input" if source == "-" else source
    done = importing.Imported()
    with common.opened(socket_timeout=_LONG) as ctx, importing.opened(source) as file:
        importer = importing.Importer(ctx.connection, ctx.pool, ctx.settings, name)
        with common.progress("checking", None) as advance:
            total, existing = importer.check(file, partial, advance)
        if not dry_run:
            try:
                with common.progress("importing", total) as advance:
                    done = importer.run(file, partial, advance)
            except redis.RedisError:
                common.warn("broken off: run it again, what is there already is left alone")
                raise
    made, there = (
        (total - existing, existing) if dry_run else (done.counts["restored"], done.counts["exists"])
    )
    if as_json:
        common.dump({"dry_run": dry_run, "imported": made, "existing": there, "refused": done.refused})
    else:
        also = f", {there} {'are' if dry_run else 'were'} there already" if there else ""
        click.echo(f"{'would import' if dry_run else 'imported'} {made} tasks{also}")
    for line in done.refused:
        common.warn(line)
    if done.refused:
        raise SystemExit(EXIT_FAILED)
