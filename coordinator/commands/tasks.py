"""Commands on tasks: tasks, task, result, wait, cancel, retry, requeue."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import redis

from coordinator.commands import common
from pool import model, units, view
from pool.errors import EXIT_FAILED, UnknownTask, UsageError, WrongState


@click.command()
@click.option("-s", "--status", type=click.Choice([s.value for s in model.Status]), help="Only those in this state.")
@click.option("-q", "--queue", default="", help="Only those of this queue.")
@click.option("-w", "--worker", default="", help="Only those of this worker.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@common.as_json
def tasks(status: str | None, queue: str, worker: str, limit: int, as_json: bool) -> None:
    """List tasks, newest first (queued ones in the order in which they will be claimed)."""
    with common.opened() as ctx:
        found = _listed(ctx.connection, status, queue, worker, limit)
        if as_json:
            for each in found:
                each.result = view.result(ctx.connection, each.id) if each.status == "finished" else None
    if as_json:
        common.dump(found)
        return
    if not found:
        click.echo("no tasks")
        return
    made = common.table("id", "status", "title", "queue", "priority", "worker", "tries", "losses", "note")
    for each in found:
        note = each.progress or each.error or (f"at {each.run_at}" if each.run_at and each.status == "scheduled" else "")
        note = f"after {', '.join(each.after)}" if each.status == "deferred" else note
        made.add_row(
            common.cell(each.id), common.state(each.status), common.cell(each.title), common.cell(each.queue),
            common.cell("" if each.priority == "normal" else each.priority), common.cell(each.worker),
            str(each.attempts), str(each.losses), common.cell((note or "").splitlines()[0][:60] if note else ""),
        )  # fmt: skip
    common.console.print(made)


def _listed(
    connection: redis.Redis, status: str | None, queue: str, worker: str, limit: int
) -> list[view.TaskView]:
    """The tasks asked for. A filter without a status pages through all of them, newest first."""
    if status:
        found: list[view.TaskView] = []
        ids = view.ids_by_status(connection, status, queue, limit if not worker else 100_000)
        for each in view.tasks(connection, ids):
            if each.status == status and worker in ("", each.worker):
                found.append(each)
        return found[:limit]
    found, first, page = [], 0, 500
    while len(found) < limit:
        ids = view.latest_ids(connection, first, first + page - 1)
        for each in view.tasks(connection, ids):
            if queue in ("", each.queue) and worker in ("", each.worker):
                found.append(each)
        if len(ids) < page:
            break
        first += page
    return found[:limit]


@click.command()
@click.argument("task_id", metavar="ID")
@common.as_json
def task(task_id: str, as_json: bool) -> None:
    """Show one task: state, history, prompt, result."""
    with common.opened() as ctx:
        found = view.task(ctx.connection, task_id)
        fields = view.fields(ctx.connection, task_id)
        history = [
            {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()} | {"at": model.utc(int(key.split(b"-")[0]) / 1000)}
            for key, raw in ctx.connection.xrevrange("pool:events", count=5000)
            if raw.get(b"task") == task_id.encode()
        ][::-1]
    if as_json:
        common.dump({**found.__dict__, "fields": fields, "history": history})
        return
    console = common.console
    console.print(common.cell(f"{found.id}  {found.title}", "bold"))
    rows = {
        "status": found.status, "queue": found.queue + ("" if found.priority == "normal" else f" ({found.priority})"),
        "worker": found.worker, "tries": found.attempts, "losses": found.losses, "releases": found.releases,
        "retries left": found.retries_left, "timeout": units.span(found.timeout) if found.timeout else "none",
        "directory": fields.get("cwd"), "after": ", ".join(found.after), "check": fields.get("check"),
        "created": found.created_at, "started": found.started_at, "ended": found.ended_at, "not before": found.run_at,
        "progress": found.progress, "error": found.error, "artifacts": ", ".join(found.artifacts),
    }  # fmt: skip
    made = common.table("", "")
    made.show_header = False
    for name, value in rows.items():
        if value not in (None, "", 0):
            made.add_row(common.cell(name, "dim"), common.state(value) if name == "status" else common.cell(value))
    console.print(made)
    click.echo("\nprompt:\n" + common.clean(str(fields["prompt"])))
    if found.status == "finished":
        click.echo("\nresult:\n" + common.clean(_shown(found.result)))
    if history:
        made = common.table("at", "what", "worker", "detail", title="\nhistory")
        for entry in history:
            made.add_row(*(common.cell(entry[name]) for name in ("at", "type", "worker", "detail")))
        console.print(made)


def _shown(result: object) -> str:
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--artifacts", "folder", type=click.Path(file_okay=False), help="Write the artifacts into this folder.")
@common.as_json
def result(task_id: str, folder: str | None, as_json: bool) -> None:
    """Print a task's result; exit code 1 if it has none (yet)."""
    with common.opened() as ctx:
        found = view.task(ctx.connection, task_id)
        files = ctx.connection.hgetall(f"pool:artifacts:{task_id}") if folder else {}
    for raw, data in files.items():
        target = Path(str(folder)) / os.path.basename(raw.decode("utf-8", "replace"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        common.errors.print(common.cell(f"wrote {target}"))
    if as_json:
        common.dump({"id": found.id, "status": found.status, "result": found.result, "error": found.error, "artifacts": found.artifacts})
    elif found.status == "finished":
        click.echo(_shown(found.result))
    if found.status != "finished":
        if not as_json:
            why = f": {found.error}" if found.error else ""
            common.errors.print(common.cell(f"coord: task {task_id} is {found.status}{why}"))
        raise SystemExit(EXIT_FAILED)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", type=common.DURATION, help="Wait so long at most.")
@common.as_json
def wait(ids: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Wait until tasks have ended. Exit code 0: all finished; 1: one did not, or the time ran out."""
    wanted = common.each(ids)
    with common.opened() as ctx:
        found = view.wait_for(ctx.connection, wanted, timeout)
        for each in found:
            each.result = view.result(ctx.connection, each.id) if each.status == "finished" else None
    if as_json:
        common.dump(found)
    else:
        for each in found:
            note = f": {each.error}" if each.error and each.status == "failed" else ""
            common.console.print(common.cell(each.id), common.state(each.status), common.cell(note), sep=" ")
    if any(each.status != "finished" for each in found):
        raise SystemExit(EXIT_FAILED)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="cancelled by an operator", help="Told to the worker that holds it.")
@common.as_json
def cancel(ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel tasks that have not ended. A running one is taken from its worker, which is told."""
    with common.opened() as ctx:
        replies = {each: ctx.pool.cancel(each, reason) for each in common.each(ids)}
    _moved(replies, "canceled", as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@common.as_json
def retry(ids: tuple[str, ...], as_json: bool) -> None:
    """Run failed or cancelled tasks again, with fresh budgets."""
    with common.opened() as ctx:
        replies = {each: ctx.pool.requeue(each, "retry", "retried by an operator") for each in common.each(ids)}
    _moved(replies, "queued", as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="requeued by an operator", help="Told to the worker that holds it.")
@common.as_json
def requeue(ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Put running tasks (taken from their workers, nothing counted) or scheduled ones back into their queue."""
    with common.opened() as ctx:
        replies = {each: ctx.pool.requeue(each, "requeue", reason) for each in common.each(ids)}
    _moved(replies, "queued", as_json)


def _moved(replies: dict[str, list[str]], done: str, as_json: bool) -> None:
    """Say what was moved; the first that could not be is the command's error."""
    rows = []
    problem: Exception | None = None
    for task_id, reply in replies.items():
        if reply[0] != "no":
            rows.append({"id": task_id, "status": reply[0], "was": reply[1], "worker": reply[2] or None})
            continue
        if reply[1] == "":
            problem = problem or UnknownTask(f"there is no task {task_id!r} (it may have expired): `coord tasks` lists them")
        elif reply[1].startswith("unique:"):
            problem = problem or WrongState(f"task {task_id}: {reply[1][7:]} has its unique key now")
        else:
            problem = problem or WrongState(f"task {task_id} is {reply[1]}: it cannot be {done} from there")
    if as_json:
        common.dump(rows)
    else:
        for row in rows:
            click.echo(f"{row['id']} {row['status']} (was {row['was']}{', on ' + row['worker'] if row['worker'] else ''})")
    if problem is not None:
        raise problem if isinstance(problem, UsageError) else UsageError(str(problem))
