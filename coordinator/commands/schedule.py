"""`coord schedule`: add, list, show, remove, pause, resume, run."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from coordinator import completing
from coordinator.commands import common, description
from pool import cron, model
from pool import schedule as schedules
from pool import settings as settings_module
from pool.errors import CoordError, UsageError
from pool.schedule import CatchUp, Entry, Scheduled, UnknownSchedule
from pool.settings import Settings

#: So often it is tried to resume a schedule that others change meanwhile.
_TRIES = 5


@click.group(no_args_is_help=False)
def schedule() -> None:
    """Make tasks by the clock: each tick of a schedule becomes one task, whose id is NAME-TICK."""


@schedule.command()
@click.argument("name")
@click.argument("prompt", required=False)
@click.option("--cron", "expression", metavar="EXPR", help="'30 2 * * *', six fields with seconds, @daily.")
@click.option("--every", metavar="DURATION", type=common.DURATION, help="Every so often, from now on: 10m.")
@click.option("--tz", metavar="ZONE", help="Time zone of --cron (default: the setting schedule_tz, UTC).")
@click.option(
    "--catch-up", type=click.Choice([each.value for each in CatchUp]), default=CatchUp.LAST.value,
    show_default=True, help="What to make of ticks that were missed.",
)  # fmt: skip
@click.option("--no-overlap", is_flag=True, help="Skip a tick while the task before has not ended.")
@click.option("--replace", is_flag=True, help="Change the schedule of that name, if there is one.")
@description.options
@common.as_json
def add(
    name: str, prompt: str | None, file: str | None, expression: str | None, every: float | None,
    tz: str | None, catch_up: str, no_overlap: bool, replace: bool, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Add a schedule: when (--cron or --every), and the task: PROMPT, '-' for standard input, or --file.

    Context files are read now. What is not given of a task (its timeout) is as the settings of the
    coordinator have it at each tick.
    """
    schedules.check_name(name)
    if (prompt is None) == (file is None):
        raise UsageError("give one of: a prompt, '-', --file FILE")
    if (expression is None) == (every is None):
        raise UsageError("give one of: --cron EXPR, --every DURATION")
    if tz is not None and every is not None:
        raise UsageError("--tz goes with --cron: an interval has no time zone")
    if no_overlap and given["unique"]:
        raise UsageError("--no-overlap is a unique key of its own: drop --unique")
    settings = settings_module.load()
    timing = _timing(expression, every, tz, settings)
    fields = {"cwd": "", **description.fields(given)}
    if given["cwd"] is None:
        fields["cwd"] = description.here()
    spec = model.parse_spec({"prompt": description.prompt(prompt, file), **fields})
    with common.opened() as ctx:
        now = _server_time(ctx)
        entry = _entry(timing, spec, settings, CatchUp(catch_up), not no_overlap)
        schedules.record(name, entry, schedules.task_id(name, now), settings, now)  # too large: told now
        first = cron.following(entry.timing(now), now)
        if first is None:
            raise UsageError(f"{entry.when!r} never ticks")
        text = entry.model_dump_json(exclude_defaults=True)
        verdict, due = ctx.pool.schedule(name, uuid.uuid4().hex, text, entry.times, first, replace)
        if verdict == "exists":
            raise UsageError(f"a schedule {name!r} exists already: --replace changes it; nothing was changed")
        warnings = description.hindrances(ctx, [spec])
        if not ctx.led():
            warnings.append("no coordinator runs, and without one nothing is made: `coord serve`")
    shown = None if due is None else schedules.moment(due)
    if as_json:
        common.dump({"name": name, "replaced": verdict == "replaced", "paused": due is None, "next": shown,
                     "tz": entry.tz})  # fmt: skip
    else:
        what = "changed" if verdict == "replaced" else "added"
        then = "paused" if due is None else f"next {_local(due, entry)}"
        click.echo(f"{name} {what}: {entry.when}, {then}")
    for warning in warnings:
        common.warn(warning)


def _timing(expression: str | None, every: float | None, tz: str | None, settings: Settings) -> cron.Timing:
    try:
        zone = cron.zone(tz or settings.schedule_tz).key
    except ValueError as error:
        where = "--tz" if tz else "setting schedule_tz"
        raise UsageError(f"{where}: {error}") from None
    try:
        return cron.Every(every, 0.0) if every is not None else cron.Cron(str(expression), zone)
    except ValueError as error:
        raise UsageError(f"{'--cron' if every is None else '--every'}: {error}") from None


def _entry(
    timing: cron.Timing, spec: model.TaskSpec, settings: Settings, catch_up: CatchUp, overlap: bool
) -> Entry:
    """The entry, with the context as it is now."""
    task = spec.model_dump(mode="json", exclude_defaults=True, exclude={"context", "read"})
    task.setdefault("queue", settings.queue)
    context = model.read_context(spec, settings)
    if isinstance(timing, cron.Every):
        when: dict[str, Any] = {"every": timing.seconds}
    else:
        when = {"cron": timing.given, "tz": timing.zone.key}
    return Entry(**when, catch_up=catch_up, overlap=overlap, task=task, context=context)


def _server_time(ctx: common.Context) -> float:
    seconds, micro = ctx.connection.time()
    return float(seconds) + float(micro) / 1_000_000


def _local(at: float, entry: Entry) -> str:
    """A moment as the clocks of the schedule's zone show it."""
    return datetime.fromtimestamp(at, cron.zone(entry.tz)).strftime("%Y-%m-%d %H:%M:%S ") + entry.tz


@schedule.command(name="list")
@common.as_json
def list_(as_json: bool) -> None:
    """List schedules: when they tick, in which zone, the next and the last tick, and what became of that."""
    with common.opened() as ctx:
        found = schedules.all_of(ctx.connection)
        led = ctx.led()
    if as_json:
        common.dump(found)
        return
    if not found:
        click.echo("no schedules")
        return
    rows = [
        {
            "name": each.name, "state": common.state(each.state), "next": _shown(each.next, each.tz),
            "zone": each.tz, "when": each.when, "last": _shown(each.last_tick, each.tz),
            "task": _last(each), "policy": _policy(each), "note": each.problem or each.missed,
        }
        for each in found
    ]  # fmt: skip
    common.show(("name", "state", "next", "zone", "when", "last", "policy", "task", "note"), rows, "task",
                ["policy", "note"])  # fmt: skip
    if not led:
        common.warn("no coordinator runs, and without one nothing is made: `coord serve`")


def _shown(at: str | None, tz: str) -> str:
    """A moment (UTC, ISO 8601) as the zone's clocks show it."""
    if not at:
        return ""
    try:
        there = datetime.fromisoformat(at).astimezone(cron.zone(tz))
    except (ValueError, OverflowError):
        return at
    return there.strftime("%Y-%m-%d %H:%M:%S")


def _policy(each: Scheduled) -> str:
    return f"catch up {each.catch_up}" + ("" if each.overlap else ", no overlap")


def _last(each: Scheduled) -> str:
    words = {"skipped": "skipped: the one before had not ended", "exists": "it had its task already"}
    return words.get(each.last_outcome or "", each.last_task or "")


@schedule.command()
@click.argument("name", shell_complete=completing.schedules)
@common.as_json
def show(name: str, as_json: bool) -> None:
    """Show one schedule with the task that it makes."""
    with common.opened() as ctx:
        found = [each for each in schedules.all_of(ctx.connection) if each.name == name]
    if not found:
        raise _unknown(name)
    one = found[0]
    if as_json:
        common.dump(one)
        return
    rows = common.table("field", "value")
    for field, value in {**asdict(one), **{f"task {k}": v for k, v in one.task.items()}}.items():
        if field in ("next", "last_tick"):
            value = value and f"{_shown(value, one.tz)} {one.tz}"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if value not in (None, "") and field not in ("task", "revision", "cron", "every"):
            rows.add_row(field.replace("_", " "), common.cell(value))
    common.console.print(rows)


def _unknown(name: str) -> UnknownSchedule:
    return UnknownSchedule(f"{name[:60]!r} is no schedule: `coord schedule list` lists them")


@schedule.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.schedules)
@common.as_json
def remove(names: tuple[str, ...], as_json: bool) -> None:
    """Remove schedules: all that are named, or none. Tasks that they have made stay."""
    with common.opened() as ctx:
        missing = ctx.pool.unschedule(common.each(names))
    if missing:
        raise UnknownSchedule(f"{_unknown(missing)}; nothing was changed")
    if as_json:
        common.dump([{"name": name, "removed": True} for name in common.each(names)])
        return
    for name in common.each(names):
        click.echo(f"{name} removed")


@schedule.command()
@click.argument("name", shell_complete=completing.schedules)
@common.as_json
def pause(name: str, as_json: bool) -> None:
    """Make nothing of a schedule's ticks until it is resumed."""
    with common.opened() as ctx:
        verdict = ctx.pool.hold(name)
    if verdict == "no":
        raise _unknown(name)
    _say({"name": name, "paused": True, "changed": verdict == "paused"}, "paused", as_json)


@schedule.command()
@click.argument("name", shell_complete=completing.schedules)
@common.as_json
def resume(name: str, as_json: bool) -> None:
    """Let a paused schedule go on with its next tick. Those of the pause are not made up for."""
    with common.opened() as ctx:
        for _ in range(_TRIES):
            entry, revision = schedules.load(ctx.connection, name)
            now = _server_time(ctx)
            due = cron.following(entry.timing(now), now)
            verdict = ctx.pool.let_go(name, due, revision)
            if verdict != "changed":
                break
        else:
            raise CoordError(f"{name} is being changed by others: try again")
    if verdict == "no":
        raise _unknown(name)
    said = {"name": name, "paused": False, "changed": verdict == "resumed"}
    _say(said, f"goes on, next {_local(due, entry)}" if due is not None else "goes on", as_json)


def _say(said: dict[str, Any], word: str, as_json: bool) -> None:
    if as_json:
        common.dump(said)
    else:
        click.echo(f"{said['name']}: {word}" + ("" if said["changed"] else " (as before)"))


@schedule.command()
@click.argument("name", shell_complete=completing.schedules)
@common.as_json
def run(name: str, as_json: bool) -> None:
    """Make a schedule's task now, besides its ticks. With --no-overlap not while another has not ended."""
    with common.opened() as ctx:
        entry, _ = schedules.load(ctx.connection, name)
        now = _server_time(ctx)
        task_id = f"{name}-manual-{uuid.uuid4().hex[:12]}"
        reply = ctx.pool.submit([schedules.record(name, entry, task_id, ctx.settings, now)])
    # What is there already is this very call's: redis-py sends a command again when its reply was lost.
    other = reply[0] == "ok" and reply[1] != task_id
    done = {"id": reply[1] if other else task_id, "status": "duplicate" if other else "queued"}
    if as_json:
        common.dump(done)
        return
    if done["status"] == "duplicate":
        common.warn(f"the task before has not ended, nothing was submitted: {done['id']}")
    click.echo(done["id"])
