"""Commands on workers and queues: workers, drain, idle, pause, resume, queues, reap."""

from __future__ import annotations

import time

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table

from coordinator.commands import common
from pool import keys, model, units, view
from pool.errors import UnknownWorker, UsageError


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Live, until Ctrl-C.")
@click.option("-a", "--all", "everyone", is_flag=True, help="Also those that stopped or died (kept for worker_memory).")
@common.as_json
def workers(watch: bool, everyone: bool, as_json: bool) -> None:
    """List workers: state with its evidence and age, task, last heartbeat, idle time left, host."""
    with common.opened() as ctx:
        if not watch:
            found = view.workers(ctx.connection, departed=everyone)
            if as_json:
                common.dump(found)
            elif found:
                common.console.print(workers_table(found))
            else:
                click.echo("no workers")
            return
        with Live(console=common.console, refresh_per_second=4) as live:
            while True:
                live.update(Group(workers_table(view.workers(ctx.connection, departed=everyone)), queues_table(ctx)))
                time.sleep(1.0)


def workers_table(found: list[view.WorkerView]) -> Table:
    """Workers as people look at them."""
    made = common.table("id", "state", "since", "evidence", "task", "heartbeat", "idle left", "host")
    for each in found:
        task = f"{each.task} {each.title or ''}".strip() if each.task else ""
        made.add_row(
            common.cell(each.id), common.state(each.state), units.span(each.state_age), common.cell(each.evidence[:60]),
            common.cell(task[:60]), f"{units.span(each.last_heartbeat)} ago",
            "" if each.idle_left is None else units.span(each.idle_left), common.cell(f"{each.host}:{each.pid}"),
        )  # fmt: skip
    return made


@click.command()
@click.argument("names", metavar="WORKER...", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every live worker.")
@click.option("--undo", is_flag=True, help="Let them go on after all.")
@common.as_json
def drain(names: tuple[str, ...], everyone: bool, undo: bool, as_json: bool) -> None:
    """Let workers finish their task and stop."""
    _tuned(names, everyone, "draining", "" if undo else "1", as_json)


@click.command()
@click.argument("limit", type=common.DURATION)
@click.argument("names", metavar="WORKER...", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every live worker.")
@common.as_json
def idle(limit: float, names: tuple[str, ...], everyone: bool, as_json: bool) -> None:
    """Change how long workers may idle, at once: coord idle 30m WORKER."""
    _tuned(names, everyone, "idle_limit", str(limit), as_json)


def _tuned(names: tuple[str, ...], everyone: bool, field: str, value: str, as_json: bool) -> None:
    if bool(names) == everyone:
        raise UsageError("name workers, or give --all")
    with common.opened() as ctx:
        live = {each.id for each in view.workers(ctx.connection, departed=False)}
        for name in names:
            if name not in live:
                raise UnknownWorker(f"{name!r} is no live worker: `coord workers` lists them")
        rows = [
            {"id": name, field: value, "task": ctx.pool.tune(name, field, value) or None}
            for name in (sorted(live) if everyone else common.each(names))
        ]
    if as_json:
        common.dump(rows)
        return
    for row in rows:
        what = {"draining": "drains" if value else "goes on"}.get(field, f"may idle for {units.span(float(value or 0))}")
        click.echo(f"{row['id']} {what}" + (f" (holds {row['task']})" if row["task"] and field == "draining" else ""))


@click.command()
@click.argument("queue", required=False)
@click.option("--all", "everything", is_flag=True, help="All queues, plain RQ workers included.")
def pause(queue: str | None, everything: bool) -> None:
    """Hand out no more tasks of a queue (or of any). Running ones go on."""
    _paused(queue, everything, True)


@click.command()
@click.argument("queue", required=False)
@click.option("--all", "everything", is_flag=True, help="All queues.")
def resume(queue: str | None, everything: bool) -> None:
    """Hand out tasks again."""
    _paused(queue, everything, False)


def _paused(queue: str | None, everything: bool, paused: bool) -> None:
    if (queue is None) != everything:
        raise UsageError("name a queue, or give --all")
    if queue is not None and not units.is_queue(queue):
        raise UsageError(f"{queue!r} is not a queue name")
    with common.opened() as ctx:
        changed = ctx.pool.pause("*" if everything else str(queue), paused)
    word = "paused" if paused else "running"
    click.echo(f"{'all queues' if everything else queue}: {word}" + ("" if changed else " (as before)"))


@click.command()
@common.as_json
def queues(as_json: bool) -> None:
    """Show queues: how many tasks wait, run, are scheduled; who serves them; whether they are paused."""
    with common.opened() as ctx:
        rows = queue_rows(ctx)
        if as_json:
            common.dump(rows)
        elif rows:
            common.console.print(queues_table(ctx))
        else:
            click.echo("no queues")


def queue_rows(ctx: common.Context) -> list[dict[str, object]]:
    """Depths by queue and priority."""
    names = view.queue_names(ctx.connection)
    pipe = ctx.connection.pipeline(transaction=False)
    for name in names:
        pipe.llen(keys.key("queue", name))
        for registry in ("started", "scheduled", "deferred", "failed"):
            pipe.zcard(keys.key(registry, name))
        pipe.scard(keys.key("workers_of", name))
        pipe.sismember("pool:paused", model.split_queue(name)[0])
    pipe.exists(keys.templates()["suspended"])
    *counts, suspended = pipe.execute()
    rows = []
    for index, name in enumerate(names):
        queued, running, scheduled, deferred, failed, serving, paused = counts[index * 7 : index * 7 + 7]
        base, priority = model.split_queue(name)
        rows.append(
            {
                "queue": base, "priority": priority, "queued": queued, "running": running, "scheduled": scheduled,
                "deferred": deferred, "failed": failed, "workers": serving, "paused": bool(paused or suspended),
            }  # fmt: skip
        )
    return rows


def queues_table(ctx: common.Context) -> Table:
    """Queues as people look at them."""
    made = common.table("queue", "priority", "queued", "running", "scheduled", "deferred", "failed", "workers")
    for row in queue_rows(ctx):
        name = f"{row['queue']}{' (paused)' if row['paused'] else ''}"
        made.add_row(common.cell(name), *(common.cell(row[c]) for c in (
            "priority", "queued", "running", "scheduled", "deferred", "failed", "workers")))  # fmt: skip
    return made


@click.command()
@click.option("--expired", is_flag=True, help="Believe every expired lease, as after an outage that you know is over.")
@common.as_json
def reap(expired: bool, as_json: bool) -> None:
    """Take back what was never confirmed or ran past its timeout (and, with --expired, what silent workers hold)."""
    rows = []
    with common.opened() as ctx:
        while True:
            taken = ctx.pool.reap("", expired)
            rows += [{"task": what, "outcome": outcome, "reason": reason} for what, outcome, reason in taken]
            if len(taken) < 100:
                break
    if as_json:
        common.dump(rows)
        return
    for row in rows:
        click.echo(f"{row['task']}: {row['outcome']} ({row['reason']})")
    if not rows:
        click.echo("nothing to take back")
