"""`coord submit`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from coordinator import submission
from coordinator.commands import common
from pool import model
from pool.errors import UsageError


@click.command()
@click.argument("prompt", required=False)
@click.option("-f", "--file", "file", help="Read the prompt from a file.")
@click.option("--from", "source", help="Submit a file of JSON lines ('-': standard input): all of it or none.")
@click.option("--id", "task_id", help="The task's id (default: made).")
@click.option("--title", help="The title (default: the prompt's first line).")
@click.option("--context", multiple=True, help="A file to be inlined (bounded by context_limit).")
@click.option("--read", multiple=True, help="A path that the session is told to read.")
@click.option("--cwd", help="The directory to work in (default: this one; '' for none).")
@click.option("-q", "--queue", help="The queue (a queue is also how a task asks for a capability).")
@click.option("-p", "--priority", type=click.Choice([p.value for p in model.Priority]), help="Default: normal.")
@click.option("--retries", type=int, help="How often it is tried again after a failure (default 0).")
@click.option("--backoff", help="Waits before the retries: 10s,1m,10m.")
@click.option("--timeout", help="It may run for so long (default: the setting task_timeout, 2h).")
@click.option("--run-at", help="Not before: 2026-01-31T12:00 (local time) or ...Z.")
@click.option("--run-in", help="Not before so long has passed: 10m.")
@click.option("--after", multiple=True, help="A task that must be finished first (repeat it for more).")
@click.option("--allow-failure", is_flag=True, help="With --after: a failed one will do.")
@click.option("--unique", help="Do nothing if a live task has this key.")
@click.option("--check", help="A command that must pass (kept with the task).")
@common.as_json
def submit(prompt: str | None, file: str | None, source: str | None, as_json: bool, **given: Any) -> None:
    """Enqueue a task: PROMPT, '-' for standard input, --file or --from."""
    if sum(x is not None for x in (prompt, file, source)) != 1:
        raise UsageError("give one of: a prompt, '-', --file FILE, --from FILE")
    fields = _fields(given)
    where: list[str] = []
    if source is not None:
        if fields:
            raise UsageError(f"--from takes all from the file, not {', '.join('--' + n.replace('_', '-') for n in fields)}")
        specs, where = _read(source)
        cwd = os.getcwd()
    else:
        text = sys.stdin.read() if prompt == "-" else prompt if prompt is not None else submission.read_prompt(str(file))
        cwd = "" if fields.get("cwd") == "" else os.getcwd()
        if fields.get("cwd"):
            fields["cwd"] = os.path.abspath(fields["cwd"])
        specs = [model.parse_spec({"prompt": text, **fields})]
    with common.opened() as ctx:
        if len(specs) > submission.DIRECT:
            done = _with_bar(ctx, specs, cwd, where)
        else:
            done = submission.submit(ctx.pool, ctx.settings, specs, cwd, where)
        missing = submission.unserved(ctx.connection, (spec.queue or ctx.settings.queue for spec in specs))
    for queue in missing:
        common.errors.print(common.cell(f"coord: no worker serves the queue {queue!r} now; the task waits for one", "yellow"))
    _report(done, source is not None, as_json)


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


def _read(source: str) -> tuple[list[model.TaskSpec], list[str]]:
    if source == "-":
        return submission.read_jsonl("standard input", sys.stdin)
    try:
        with open(source, encoding="utf-8") as file:
            return submission.read_jsonl(source, file)
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not text; nothing was submitted") from None
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}") from None


def _with_bar(
    ctx: common.Context, specs: list[model.TaskSpec], cwd: str, where: list[str]
) -> list[submission.Submitted]:
    columns = (TextColumn("submitting"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=common.errors, transient=True) as bar:
        job = bar.add_task("submitting", total=len(specs))
        return submission.submit(ctx.pool, ctx.settings, specs, cwd, where, lambda n: bar.advance(job, n))


def _report(done: list[submission.Submitted], many: bool, as_json: bool) -> None:
    if as_json:
        common.dump(done if many else done[0])
        return
    if not many:
        one = done[0]
        if one.status == "duplicate":
            common.errors.print(common.cell(f"coord: a live task has this unique key: {one.id}", "yellow"))
        click.echo(one.id)
        return
    duplicates = sum(each.status == "duplicate" for each in done)
    click.echo(f"submitted {len(done) - duplicates} tasks" + (f", {duplicates} were there already" if duplicates else ""))
