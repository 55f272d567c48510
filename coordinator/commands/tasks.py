"""Commands on tasks: tasks, task, result, wait, cancel, retry, requeue."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from coordinator import completing
from coordinator.commands import common, proof
from pool import events, listing, model, operate, payload, units, view
from pool.errors import EXIT_FAILED, UsageError

#: How many events are searched for a task's history.
_HISTORY = 20_000


@click.command()
@click.option(
    "-s", "--status", type=click.Choice([s.value for s in model.Status]), help="Only those in this state."
)
@click.option("-q", "--queue", default="", shell_complete=completing.queues, help="Only those of this queue.")
@click.option(
    "-w", "--worker", default="", shell_complete=completing.workers, help="Only those of this worker."
)
@click.option(
    "-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most."
)
@common.as_json
def tasks(status: str | None, queue: str, worker: str, limit: int, as_json: bool) -> None:
    """List tasks: the newest first.

    With --status queued in the order in which they will be claimed, with --status scheduled by when they
    are due.
    """
    with common.opened() as ctx:
        found = listing.tasks(ctx.connection, status, queue, worker, limit)
        if as_json:
            for each, value in zip(found, view.results(ctx.connection, found), strict=True):
                each.result = value
    if as_json:
        common.dump(found)
    elif found:
        common.show(*_table(found, ctx.settings.queue))
    else:
        click.echo("no tasks")


def _table(found: list[view.TaskView], usual: str) -> tuple[list[str], list[dict[str, Any]], str, list[str]]:
    """Columns, rows, the free column and those below it: see common.listing()."""
    rows = [_row(each) for each in found]
    columns = ["id", "status", "title", "queue", "worker", "tries", "note"]
    if common.layout() != "narrow":
        return columns, rows, "title", ["note"]
    for row in rows:  # what is usual is not worth a line
        row["queue"] = "" if row["queue"] == usual else row["queue"]
        row["worker"] = row["worker"] and f"on {row['worker']}"
        row["tries"] = "" if row["tries"] in ("", "1") else f"try {row['tries']}"
    return columns, rows, "title", columns[3:]


def _row(each: view.TaskView) -> dict[str, Any]:
    """A task as a row of the list."""
    tries = str(each.attempts or "") + (f" ({each.losses} lost)" if each.losses else "")
    note = each.progress if each.status == model.Status.STARTED else each.error
    if each.status == model.Status.SCHEDULED:
        note = f"due {each.run_at}" if each.run_at else note
    elif each.status == model.Status.DEFERRED:
        note = _blocked(each) or f"after {', '.join(each.after)}"
    return {
        "id": each.id, "status": common.state(each.status), "title": each.title, "tries": tries,
        "queue": model.rq_queue(each.queue, each.priority), "worker": each.worker,
        "note": next((line for line in (note or "").splitlines() if line.strip()), ""),
    }  # fmt: skip


def _blocked(each: view.TaskView) -> str:
    """That it will not run, if so, and what to do about it."""
    if not each.blocked_by:
        return ""
    names = " ".join(each.blocked_by)
    return f"will not run: it comes after {names}, not finished; `coord retry {names}`"


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=completing.tasks)
@common.as_json
def task(task_id: str, as_json: bool) -> None:
    """Show one task: its state, history, prompt and result."""
    with common.opened() as ctx:
        found = view.task(ctx.connection, task_id)
        waiting = listing.messages(ctx.connection, found)
        try:
            fields = view.fields(ctx.connection, task_id)
        except payload.NotATask as error:
            fields = {"prompt": f"(this job is none of coord's: {error})"}
        found.evidence = proof.whole(ctx.connection, found)
        history, _ = events.of_task(ctx.connection, task_id, 0, _HISTORY)
    if as_json:
        common.dump({**found.__dict__, "fields": fields, "history": history, "messages": waiting,
                     "cost": found.evidence["cost"]})  # fmt: skip
        return
    common.console.print(common.cell(f"{found.id}  {found.title}", "bold"), soft_wrap=True)
    made = common.table("what", "value")
    made.show_header = False
    notes = {"messages": f"{waiting} that its worker has not got yet" if waiting else ""}
    for name, value in {**_facts(found, fields), **notes}.items():
        if value:
            made.add_row(common.cell(name, "dim"), value if name == "status" else common.cell(value))
    common.console.print(made)
    click.echo("\nprompt:\n" + common.clean(str(fields["prompt"])))
    if found.status == model.Status.FINISHED:
        click.echo("\nresult:\n" + common.clean(_shown(found.result)))
    if history:
        made = common.table("at", "what", "worker", "detail", title="\nhistory")
        for entry in history:
            made.add_row(*(common.cell(entry.get(name)) for name in ("at", "type", "worker", "detail")))
        common.console.print(made)


def _facts(found: view.TaskView, fields: dict[str, Any]) -> dict[str, Any]:
    """What there is to say of a task, in the order of a person's questions."""
    context = fields.get("context")
    files = (
        [str(item.get("path", "")) for item in context if isinstance(item, dict)]
        if isinstance(context, list)
        else []
    )
    return {
        "status": common.state(found.status),
        "queue": model.rq_queue(found.queue, found.priority), "worker": found.worker,
        "tries": found.attempts, "lost with a worker": found.losses,
        "handed back": found.releases, "retries left": found.retries_left,
        "timeout": units.span(found.timeout) if found.timeout else "", "directory": fields.get("cwd"),
        "context": ", ".join(files), "after": ", ".join(found.after),
        "blocked": _blocked(found), "unique": found.unique, "check": fields.get("check"),
        "asks for": _asked(fields.get("profile")), "needs": " ".join(found.needs),
        "created": found.created_at, "not before": found.run_at,
        "started": found.started_at, "ended": found.ended_at, "progress": found.progress,
        "error": found.error, "artifacts": ", ".join(found.artifacts), **proof.facts(found.evidence),
    }  # fmt: skip


def _asked(profile: object) -> str:
    """What a task asks of its session, in a line."""
    if not isinstance(profile, dict):
        return ""
    return ", ".join(f"{name} {_list(value)}" for name, value in profile.items())


def _list(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(result: object) -> str:
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=completing.tasks)
@click.option(
    "--artifacts", "folder", type=click.Path(file_okay=False), help="Write the artifacts into this folder."
)
@click.option(
    "--evidence",
    "evident",
    is_flag=True,
    help="What it is believed by: its check's output, what was changed, its cost, where its log is.",
)
@common.as_json
def result(task_id: str, folder: str | None, evident: bool, as_json: bool) -> None:
    """Print a task's result. Exit code 1: it has none (yet).

    With --evidence also what there is to believe it by, of a failed task as well; with --artifacts the change
    of a worktree is written, too (task.patch).
    """
    with common.opened() as ctx:
        found = view.task(ctx.connection, task_id)
        found.evidence = proof.whole(ctx.connection, found)
        files: Any = ctx.connection.hgetall(f"pool:artifacts:{task_id}") if folder else {}
    for raw, data in sorted(files.items()):
        _write(Path(str(folder)), os.path.basename(raw.decode("utf-8", "replace")), data)
    patch = found.evidence.get("patch") if folder else None
    if patch:
        _write(Path(str(folder)), "task.patch", str(patch).encode())
    if as_json:
        names = ["id", "status", "result", "error", "artifacts", *(["evidence"] if evident else [])]
        common.dump({name: getattr(found, name) for name in names})
    elif found.status == model.Status.FINISHED:
        text = _shown(found.result)
        # A file or a pipe gets it as it is.
        click.echo(common.clean(text) if sys.stdout.isatty() else text, color=True)
    if evident and not as_json:
        text = proof.text(found.evidence) or "no evidence is kept with it"
        click.echo("\n" + (common.clean(text) if sys.stdout.isatty() else text), color=True)
    if found.status != model.Status.FINISHED:
        if not as_json:
            why = f": {' '.join(found.error.split())}" if found.error else ""
            common.errors.print(common.cell(f"coord: task {task_id} is {found.status}{why}"))
        raise SystemExit(EXIT_FAILED)


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write one artifact; its name was a worker's to give."""
    target = folder / (name if name not in ("", ".", "..") else "artifact")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}") from None
    common.errors.print(common.cell(f"wrote {target}"))


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=completing.tasks)
@click.option("--timeout", type=common.DURATION, help="Wait so long at most: 90, 90s, 10m or 2h.")
@common.as_json
def wait(ids: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Wait until tasks have ended. Exit code 0: all are finished; 1: one is not, or the time ran out.

    A task whose parent failed or was cancelled will not run: it is not waited for.
    """
    wanted = common.each(ids)
    with common.opened() as ctx:
        found = view.wait_for(ctx.connection, wanted, timeout)
        for each, value in zip(found, view.results(ctx.connection, found), strict=True):
            each.result = value
    if as_json:
        common.dump(found)
    else:
        for each in found:
            why = " ".join((each.error or "").split()) if each.status == model.Status.FAILED else ""
            why = _blocked(each) or why
            note = f": {why}" if why else ""
            line = (
                common.cell(f"{each.id} ")
                .append_text(common.state(each.status))
                .append_text(common.cell(note))
            )
            common.console.print(line, soft_wrap=True)
    open_ones = [each.id for each in found if not each.over]
    if open_ones and timeout is not None:
        ended = f"{len(open_ones)} of {len(found)} have not ended"
        common.errors.print(f"coord: the time ran out ({units.span(timeout)}): {ended}")
    if any(each.status != model.Status.FINISHED for each in found):
        raise SystemExit(EXIT_FAILED)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=completing.open_tasks)
@click.option("--reason", default="cancelled by an operator", help="Told to the worker that holds it.")
@common.as_json
def cancel(ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel tasks that have not ended. A running one is taken from its worker, which is told.

    All of them or, if one cannot be cancelled, none. Tasks that come after a cancelled one stay deferred,
    until it is retried and finished.
    """
    with common.opened() as ctx:
        rows = operate.cancel(ctx, ids, reason)
        left = operate.left_behind(ctx.connection, [row.id for row in rows])
    _say(rows, as_json)
    if left:
        common.warn(f"{', '.join(left)} will not run: it comes after what was cancelled")


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=completing.ended_badly)
@common.as_json
def retry(ids: tuple[str, ...], as_json: bool) -> None:
    """Run failed or cancelled tasks again, with fresh budgets: all of them or none."""
    with common.opened() as ctx:
        rows = operate.retry(ctx, ids)
    _say(rows, as_json)


@click.command()
@click.argument(
    "ids", metavar="ID...", nargs=-1, required=True, shell_complete=completing.running_or_scheduled
)
@click.option("--reason", default="requeued by an operator", help="Told to the worker that holds it.")
@common.as_json
def requeue(ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Put running or scheduled tasks back into their queue: all of them or none.

    Running ones are taken from their workers, which are told; nothing is counted as a failure or a loss.
    """
    with common.opened() as ctx:
        rows = operate.requeue(ctx, ids, reason)
    _say(rows, as_json)


def _say(rows: list[operate.Moved], as_json: bool) -> None:
    if as_json:
        common.dump(rows)
        return
    for row in rows:
        taken = f", taken from {row.worker}" if row.worker else ""
        click.echo(common.clean(f"{row.id} {row.status} (was {row.was}{taken})"))
