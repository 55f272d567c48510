"""`coord submit`."""

from __future__ import annotations

from typing import Any

import click

from coordinator import completing
from coordinator.commands import common, description
from pool import model, view
from pool import settings as settings_module
from pool.errors import UsageError
from pool.operate import submission

#: A script over a whole file may take so long (seconds).
_LONG = 120.0


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--from", "source", metavar="FILE", help="A file of JSON lines ('-': standard input): all of it or none."
)
@click.option("--id", "task_id", metavar="ID", help="The task's id (default: made).")
@description.options
@click.option("--run-at", metavar="TIME", help="Not before: 2026-01-31T12:00 (local time) or ...Z.")
@click.option("--run-in", metavar="DURATION", help="Not before so long has passed: 10m.")
@click.option(
    "--after",
    multiple=True,
    metavar="ID",
    shell_complete=completing.tasks,
    help="A task that must be finished first (repeat it for more).",
)
@click.option("--allow-failure", is_flag=True, help="With --after: a failed one will do.")
@common.as_json
def submit(prompt: str | None, file: str | None, source: str | None, as_json: bool, **given: Any) -> None:
    """Enqueue a task: PROMPT, '-' for standard input, --file or --from.

    A file for --from has one JSON object a line, with the options' names as fields (prompt or file, title,
    queue, run_at ...; lists for context, read, after and backoff).

    Printed is the task's id; for a file how many there were, and with --json the id of each.
    """
    if sum(x is not None for x in (prompt, file, source)) != 1:
        raise UsageError("give one of: a prompt, '-', --file FILE, --from FILE")
    fields = description.fields(given)
    settings = settings_module.load()
    cwd = "" if fields.get("cwd") == "" else description.here()
    where: list[str] = []
    if source is not None:
        if fields:
            names = ", ".join("--" + name.replace("_", "-") for name in fields)
            raise UsageError(f"--from takes all from the file, not {names}")
        specs, where = _read(source, settings.batch_limit)
    else:
        specs = [model.parse_spec({"prompt": description.prompt(prompt, file), **fields})]
    # One script enqueues all of a file; the longest takes a few seconds, and is not to be asked for twice.
    with common.opened(**({"socket_timeout": _LONG} if where else {})) as ctx:
        if len(specs) > submission.DIRECT:
            done = _with_bar(ctx, specs, cwd, where)
        else:
            done = submission.submit(ctx.pool, ctx.settings, specs, cwd, where)
        warnings = _warnings(ctx, specs, done)
    _report(done, source is not None, as_json)
    for warning in warnings:
        common.warn(warning)


def _warnings(
    ctx: common.Context, specs: list[model.TaskSpec], done: list[submission.Submitted]
) -> list[str]:
    """What keeps the tasks from being done now, and is not their own business."""
    found = description.hindrances(ctx, specs)
    parents = sorted({parent for spec in specs if not spec.allow_failure for parent in spec.after})
    for each in view.tasks(ctx.connection, parents):
        if each.status in (model.Status.FAILED, model.Status.CANCELED):
            found.append(f"what comes after {each.id} waits: that is {each.status} (`coord retry {each.id}`)")
    if any(each.status == "scheduled" for each in done) and not ctx.led():
        found.append("no coordinator runs, and without one a scheduled task stays scheduled: `coord serve`")
    return found


def _read(source: str, limit: int) -> tuple[list[model.TaskSpec], list[str]]:
    name = "standard input" if source == "-" else source
    try:
        with open(0 if source == "-" else source, encoding="utf-8-sig", closefd=source != "-") as file:
            return submission.read_jsonl(name, file, limit)
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"{name} is not text (UTF-8); nothing was submitted") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; nothing was submitted") from None


def _with_bar(
    ctx: common.Context, specs: list[model.TaskSpec], cwd: str, where: list[str]
) -> list[submission.Submitted]:
    with common.progress("submitting", len(specs)) as advance:
        return submission.submit(ctx.pool, ctx.settings, specs, cwd, where, advance)


def _report(done: list[submission.Submitted], many: bool, as_json: bool) -> None:
    if as_json:
        common.dump(done if many else done[0])
        return
    if not many:
        one = done[0]
        if one.status == "duplicate":
            common.warn(f"a live task has this unique key, nothing was submitted: {one.id}")
        click.echo(one.id)
        return
    duplicates = sum(each.status == "duplicate" for each in done)
    click.echo(
        f"submitted {len(done) - duplicates} task{'s' * (len(done) - duplicates != 1)}"
        + (f", {duplicates} were there already" if duplicates else "")
    )
