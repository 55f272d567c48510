"""`coord submit`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from coordinator import submission
from coordinator.commands import common
from pool import model, view
from pool import settings as settings_module
from pool.errors import UsageError

#: A script over a whole file may take so long (seconds).
_LONG = 120.0


@click.command()
@click.argument("prompt", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="Read the prompt from a file.")
@click.option(
    "--from", "source", metavar="FILE", help="A file of JSON lines ('-': standard input): all of it or none."
)
@click.option("--id", "task_id", metavar="ID", help="The task's id (default: made).")
@click.option("--title", help="The title (default: the prompt's first line).")
@click.option(
    "--context", multiple=True, metavar="FILE", help="A file to be inlined (bounded by context_limit)."
)
@click.option("--read", multiple=True, metavar="PATH", help="A path that the session is told to read.")
@click.option("--cwd", metavar="DIR", help="The directory to work in (default: this one; '' for none).")
@click.option(
    "-q", "--queue", metavar="NAME", help="The queue (a queue is also how a task asks for a capability)."
)
@click.option(
    "-p", "--priority", type=click.Choice([p.value for p in model.Priority]), help="Default: normal."
)
@click.option("--retries", type=int, help="How often it is tried again after a failure (default 0).")
@click.option("--backoff", metavar="DURATIONS", help="Waits before the retries: 10s,1m,10m.")
@click.option(
    "--timeout", metavar="DURATION", help="It may run for so long (default: the setting task_timeout, 2h)."
)
@click.option("--run-at", metavar="TIME", help="Not before: 2026-01-31T12:00 (local time) or ...Z.")
@click.option("--run-in", metavar="DURATION", help="Not before so long has passed: 10m.")
@click.option(
    "--after", multiple=True, metavar="ID", help="A task that must be finished first (repeat it for more)."
)
@click.option("--allow-failure", is_flag=True, help="With --after: a failed one will do.")
@click.option("--unique", metavar="KEY", help="Do nothing if a live task has this key.")
@click.option("--check", metavar="COMMAND", help="A command that must pass (kept with the task).")
@common.as_json
def submit(prompt: str | None, file: str | None, source: str | None, as_json: bool, **given: Any) -> None:
    """Enqueue a task: PROMPT, '-' for standard input, --file or --from.

    A file for --from has one JSON object a line, with the options' names as fields (prompt or file, title,
    queue, run_at ...; lists for context, read, after and backoff).

    Printed is the task's id; for a file how many there were, and with --json the id of each.
    """
    if sum(x is not None for x in (prompt, file, source)) != 1:
        raise UsageError("give one of: a prompt, '-', --file FILE, --from FILE")
    fields = _fields(given)
    settings = settings_module.load()
    cwd = "" if fields.get("cwd") == "" else _here()
    where: list[str] = []
    if source is not None:
        if fields:
            names = ", ".join("--" + name.replace("_", "-") for name in fields)
            raise UsageError(f"--from takes all from the file, not {names}")
        specs, where = _read(source, settings.batch_limit)
    else:
        if fields.get("cwd"):
            fields["cwd"] = os.path.abspath(fields["cwd"])
        specs = [model.parse_spec({"prompt": _prompt(prompt, file), **fields})]
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


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        raise UsageError(
            "the current directory is gone: name another with --cwd, or none with --cwd ''"
        ) from None


def _prompt(prompt: str | None, file: str | None) -> str:
    if prompt is None:
        return submission.read_prompt(str(file))
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is not text (UTF-8)") from None


def _warnings(
    ctx: common.Context, specs: list[model.TaskSpec], done: list[submission.Submitted]
) -> list[str]:
    """What keeps the tasks from being done now, and is not their own business."""
    queues = {spec.queue or ctx.settings.queue for spec in specs}
    found = [
        f"no worker serves the queue {queue!r} now; what waits there waits for one"
        for queue in submission.unserved(ctx.connection, queues)
    ]
    paused: Any = ctx.connection.smembers("pool:paused")
    held = sorted(queues & {name.decode() for name in paused})
    found += [f"the queue {queue!r} is paused: `coord resume {queue}`" for queue in held]
    parents = sorted({parent for spec in specs if not spec.allow_failure for parent in spec.after})
    for each in view.tasks(ctx.connection, parents):
        if each.status in (model.Status.FAILED, model.Status.CANCELED):
            found.append(f"what comes after {each.id} waits: that is {each.status} (`coord retry {each.id}`)")
    if any(each.status == "scheduled" for each in done) and not ctx.led():
        found.append("no coordinator runs, and without one a scheduled task stays scheduled: `coord serve`")
    return found


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a task that the options set."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value is False or value == ():
            continue
        found["id" if name == "task_id" else name] = list(value) if isinstance(value, tuple) else value
    if "backoff" in found:
        found["backoff"] = [part for part in str(found["backoff"]).split(",") if part]
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
    columns = (TextColumn("submitting"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=common.errors, transient=True, disable=not common.errors.is_terminal
    ) as bar:
        job = bar.add_task("submitting", total=len(specs))
        return submission.submit(ctx.pool, ctx.settings, specs, cwd, where, lambda n: bar.advance(job, n))


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
        f"submitted {len(done) - duplicates} tasks"
        + (f", {duplicates} were there already" if duplicates else "")
    )
