"""Commands on workers and queues: workers, drain, idle, pause, resume, queues, reap."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from coordinator import completing
from coordinator.commands import common, live
from pool import accounts, listing, model, operate, units, view

#: Rows on a terminal: ten thousand would take seconds to draw, and nobody reads them.
_SHOWN = 200
#: States of workers that nobody has to look at: they are shown last where not all are.
_IDLE = frozenset(("waiting", "stopped"))


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Live, until Ctrl-C.")
@click.option("-a", "--all", "everyone", is_flag=True, help="Also those that stopped or died a while ago.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=0),
    help=f"Show so many, those that wait last; 0: all [default: {_SHOWN} on a terminal, all elsewhere].",
)  # fmt: skip
@common.as_json
def workers(watch: bool, everyone: bool, limit: int | None, as_json: bool) -> None:
    """List workers: state with its evidence and age, task, last heartbeat, idle time left, host.

    With --watch and --json: one list a line, each second. JSON lists all, whatever the limit.
    """
    with common.opened() as ctx:
        if watch:
            live.watch(
                ctx, as_json, partial(_look, ctx, everyone),
                lambda found: _show(found, limit), partial(_picture, ctx, limit),
            )  # fmt: skip
        found = _look(ctx, everyone)
        if as_json:
            common.dump(found)
            return
        if found:
            _show(found, limit)
        else:
            click.echo("no workers")
        if not ctx.led():
            common.warn("no coordinator runs, so nothing is reaped, scheduled or triggered: `coord serve`")
        for each in accounts.barred(ctx.connection):
            common.warn(accounts.line(each))


def _look(ctx: common.Context, everyone: bool) -> list[view.WorkerView]:
    """Workers, and those for which their supervisor can start no session now, in place of earlier ones."""
    broken = view.barred_workers(ctx.connection)
    ids = {each.id for each in broken}
    there = view.workers(ctx.connection, departed=everyone)
    return sorted([*(each for each in there if each.id not in ids), *broken], key=lambda each: each.id)


def _show(found: list[view.WorkerView], limit: int | None) -> None:
    """Print workers, and a line about those beyond the limit."""
    shown, rest = _cut(found, limit)
    common.show(*_table(shown))
    if rest:
        click.echo(rest)


def _cut(found: list[view.WorkerView], limit: int | None) -> tuple[list[view.WorkerView], str]:
    """The workers to show and a word about the others: of very many, those that are idle come last."""
    if limit is None:
        limit = 0 if common.layout() == "flat" else _SHOWN
    if not limit or len(found) <= limit:
        return found, ""
    found = sorted(found, key=lambda each: each.state in _IDLE)
    rest = found[limit:]
    return found[:limit], f"... and {len(rest):,} more ({_counted(rest)}): --limit 0 shows all"


def _counted(found: list[view.WorkerView]) -> str:
    """How many there are, by state."""
    states = Counter(each.state for each in found)
    return ", ".join(f"{count:,} {name}" for name, count in states.most_common())


def _picture(ctx: common.Context, limit: int | None, found: list[view.WorkerView]) -> Group:
    """Workers and queues, under one line that sums them up."""
    led = "" if ctx.led() else " (no coordinator runs: `coord serve`)"
    summary = f": {_counted(found)}" if found else ""
    line = common.cell(f"{len(found):,} workers{summary}{led}", "bold")
    parts: list[Text | Table] = [line]
    parts += [common.cell(accounts.line(each), "yellow") for each in accounts.barred(ctx.connection)]
    shown, rest = _cut(found, limit)
    if shown:
        parts += [Text(), workers_table(shown)]
    if rest:
        parts.append(common.cell(rest, "dim"))
    rows = listing.queues(ctx.connection)
    if rows:
        parts += [Text(), queues_table(rows)]
    return Group(*parts)


def _table(found: list[view.WorkerView]) -> tuple[list[str], list[dict[str, Any]], str, list[str]]:
    """Columns, rows, the free column and those below it: see common.listing()."""
    columns = [
        "id", "state", "heartbeat", "idle left", "since", "USD", "idle requests", "task", "evidence", "host",
    ]  # fmt: skip
    rows = [
        {
            "id": each.id, "state": common.state(each.state), "since": units.span(each.state_age),
            "heartbeat": f"{units.span(each.last_heartbeat)} ago",
            "idle left": "" if each.idle_left is None else units.span(each.idle_left),
            "task": f"{each.task} {each.title or ''}".strip() if each.task else "",
            "USD": f"{each.usd:.2f}" if each.requests else "",
            "idle requests": str(each.idle_requests) if each.idle_requests else "",
            "evidence": each.evidence + _unread(each.messages), "session": _session(each),
            "host": f"{each.host}:{each.pid}",
        }
        for each in found
    ]  # fmt: skip
    if common.layout() == "wide":
        columns = [*columns[:7], "host", "task", "evidence"]
    under = columns[8:] if common.layout() == "narrow" else ["evidence"]
    if any(row["session"] for row in rows):
        columns, under = [*columns, "session"], [*under, "session"]
    return columns, rows, "task", under


def _session(each: view.WorkerView) -> str:
    """How a supervised worker's session is run, whose quota it uses, and how long it has been there."""
    if not each.mode:
        return ""
    account = f", account {each.account}" if each.account != "default" else ""
    age = f", up {units.span(each.age)}" if each.age and each.state not in ("stopped", "dead") else ""
    return f"{each.mode} mode{account}{age}"


def _unread(messages: int) -> str:
    """That an operator's messages wait for the session, if so."""
    return f"; {messages} message{'s' * (messages != 1)} not read yet" if messages else ""


def workers_table(found: list[view.WorkerView]) -> Table:
    """Workers as people look at them."""
    return common.listing(*_table(found))


@click.command()
@click.argument("names", metavar="WORKER...", nargs=-1, shell_complete=completing.workers)
@click.option("--all", "everyone", is_flag=True, help="Every live worker.")
@click.option("--undo", is_flag=True, help="Let them go on after all.")
@common.as_json
def drain(names: tuple[str, ...], everyone: bool, undo: bool, as_json: bool) -> None:
    """Let workers finish their task and stop."""
    with common.opened() as ctx:
        found = operate.drain(ctx, names, everyone, undo)
    _tuned(found, {"draining": "" if undo else "1"}, "goes on" if undo else "drains", as_json)


@click.command()
@click.argument("limit", type=common.DURATION)
@click.argument("names", metavar="WORKER...", nargs=-1, shell_complete=completing.workers)
@click.option("--all", "everyone", is_flag=True, help="Every live worker.")
@common.as_json
def idle(limit: float, names: tuple[str, ...], everyone: bool, as_json: bool) -> None:
    """Change how long workers may idle, at once: coord idle 30m WORKER."""
    with common.opened() as ctx:
        found = operate.idle(ctx, limit, names, everyone)
    _tuned(found, {"idle_limit": f"{limit:g}"}, f"may idle for {units.span(limit)}", as_json)


def _tuned(found: list[operate.Tuned], given: dict[str, str], what: str, as_json: bool) -> None:
    if as_json:
        common.dump([{"id": each.id, **given, "task": each.task} for each in found])
        return
    if not found:
        click.echo("no workers")
    for each in found:
        click.echo(f"{each.id} {what}" + (f" (holds {each.task})" if each.task and what == "drains" else ""))


@click.command()
@click.argument("queue", required=False, shell_complete=completing.queues)
@click.option("--all", "everything", is_flag=True, help="All queues, plain RQ workers included.")
@common.as_json
def pause(queue: str | None, everything: bool, as_json: bool) -> None:
    """Hand out no more tasks of a queue (or of any). Running ones go on."""
    _paused(queue, everything, True, as_json)


@click.command()
@click.argument("queue", required=False, shell_complete=completing.queues)
@click.option(
    "--all", "everything", is_flag=True, help="All queues (each that was paused by its name stays so)."
)
@common.as_json
def resume(queue: str | None, everything: bool, as_json: bool) -> None:
    """Hand out tasks again."""
    _paused(queue, everything, False, as_json)


def _paused(queue: str | None, everything: bool, paused: bool, as_json: bool) -> None:
    with common.opened() as ctx:
        done = (operate.pause if paused else operate.resume)(ctx, queue, everything)
        rows = listing.queues(ctx.connection)
        known = {model.split_queue(name)[0] for name in view.queue_names(ctx.connection)}
    if as_json:
        common.dump(done)
        return
    word = "paused" if paused else "running"
    click.echo(f"{'all queues' if everything else queue}: {word}" + ("" if done.changed else " (as before)"))
    if queue is not None and queue not in known:
        common.warn(f"there is no queue {queue!r} yet")
    still = sorted({str(row["queue"]) for row in rows if row["paused"] and queue in (None, row["queue"])})
    if not paused and still:
        common.warn(
            f"{', '.join(still)} stay paused: "
            + ("`coord resume QUEUE`" if everything else "`coord resume --all`")
        )


@click.command()
@common.as_json
def queues(as_json: bool) -> None:
    """Show queues: how many tasks wait, run, are scheduled; who serves them; whether they are paused."""
    with common.opened() as ctx:
        rows = listing.queues(ctx.connection)
    if as_json:
        common.dump(rows)
    elif not rows:
        click.echo("no queues")
    elif common.layout() == "flat":
        common.show(*_queue_table(rows))
    else:
        common.console.print(queues_table(rows))


def _queue_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]], str]:
    shown = [
        {"queue": model.rq_queue(row["queue"], row["priority"]), "state": "paused" if row["paused"] else "",
         **{name: str(row[name]) for name in listing.COUNTED}}
        for row in rows
    ]  # fmt: skip
    return ["queue", *listing.COUNTED, "state"], shown, "state"


def queues_table(rows: list[dict[str, Any]]) -> Table:
    """Queues as people look at them."""
    return common.listing(*_queue_table(rows))


@click.command()
@click.option(
    "--expired", is_flag=True, help="Believe every expired lease, as when you know those workers dead."
)
@common.as_json
def reap(expired: bool, as_json: bool) -> None:
    """Take back what was never confirmed or ran past its timeout, now.

    With --expired, also what workers hold that were not heard of for a whole lease.
    """
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
