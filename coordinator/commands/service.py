"""Commands on the running system: serve, up, down, trigger, events, dead-letters, settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from redis.backoff import NoBackoff
from redis.retry import Retry

from coordinator import embedded, monitoring, triggers
from coordinator import service as service_module
from coordinator.commands import common
from pool import clock, compiled, connect, events, process, redact, units, wire
from pool import settings as settings_module
from pool.errors import CoordError, RedisAway, UsageError
from pool.settings import Settings

#: The type of events that say what an operator did through the monitor.
AUDIT = "operator"
#: A coordinator begins and ends within so long (seconds).
_PATIENCE = 10.0


@click.command()
def serve() -> None:
    """Run the coordinator: reap, promote, hear triggers, sweep.

    Several may run; one acts, and another takes over within 3 s of its death. SIGTERM ends it cleanly.
    """
    settings = settings_module.load()
    with connect.reachable(settings):
        service_module.serve(settings, common.log)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of Redis (default: 6379 if free).")
@click.option("-d", "--detach", is_flag=True, help="Start them in the background (`coord down` ends them).")
def up(port: int | None, detach: bool) -> None:
    """Start the embedded Redis (in ./.coord, AOF on), the coordinator and the monitor; Ctrl-C ends them.

    The monitor listens at the setting monitor_port; where that is not set and 5050 is in use, at another
    port, which it keeps. monitor_enabled = false leaves it out.
    """
    settings = settings_module.load()
    if settings.redis_url or settings.redis_url_file:
        raise UsageError(
            "COORD_REDIS_URL (or redis_url, or redis_url_file) names a Redis: run `coord serve`, "
            "or unset it for one of our own"
        )
    home = common.project_home(settings)
    settings = settings.model_copy(update={"home": str(home)})
    os.environ["COORD_HOME"] = str(home)
    ours = embedded.running(home) is None
    try:
        server = embedded.start(home, port or 0)
        settings_module.compile_settings(settings)
    except OSError as error:
        raise UsageError(f"{error.filename or home}: {error.strerror}") from None
    cli = "redis-cli" if server.port == embedded.DEFAULT_PORT else f"redis-cli -p {server.port}"
    common.log(f"Redis ({server.kind}) at {server.url}, data in {home / 'redis'}")
    if server.kind == "fakeredis":
        common.log(
            "WARNING: this is fakeredis, an imitation in memory: nothing outlives it. Install redis-server."
        )
    common.log(f'try: {cli} publish {settings.trigger_channel} "Build and test suite"')
    monitor = _monitor(settings)
    if detach:
        if monitor is not None:
            monitor.note()
        _detached(settings)
        if monitor is not None:
            common.log(monitor.ready())
            if token := monitor.token():
                common.log(token)
            monitor.leave()
        return
    if monitor is not None:
        monitor.watch(common.log)
    try:
        service_module.serve(settings, common.log)
    finally:
        if monitor is not None:
            monitor.stop()
        if ours:
            embedded.stop(home)
            common.log("Redis ended")


def _monitor(settings: Settings) -> monitoring.Monitor | None:
    """Start the monitor, unless it is not wanted or runs already."""
    if not settings.monitor_enabled:
        return None
    url = monitoring.runs(settings)
    if url:
        common.log(f"the monitor runs already at {url}")
        return None
    return monitoring.Monitor(settings)


def _detached(settings: Settings) -> None:
    """Start `coord serve` in the background, noted in HOME/serve.pid, and wait until it acts."""
    home = Path(settings.home)
    note, log = home / "serve.pid", home / "serve.log"
    if note.exists() and process.same(note.read_text(encoding="utf-8").strip()):
        common.log("the coordinator runs already")
        return
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "coordinator.cli", "serve"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    note.write_text(process.key(child.pid), encoding="utf-8")
    end = clock.mono() + _PATIENCE
    with connect.reachable(settings), connect.client(settings) as connection:
        while not connection.exists("pool:leader"):
            if child.poll() is not None or clock.mono() > end:
                raise CoordError(f"the coordinator did not start: see {log}")
            time.sleep(0.02)
    common.log(f"the coordinator runs in the background (log: {log}); `coord down` ends it")
    child.returncode = 0  # it is meant to outlive us


@click.command()
def down() -> None:
    """End the embedded Redis of this project, and the coordinator and monitor that `coord up -d` started."""
    home = Path(settings_module.load().home)
    if monitoring.end(home):
        click.echo("monitor ended")
    note = home / "serve.pid"
    key = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    if process.same(key):
        os.kill(int(key.split("-")[2]), signal.SIGTERM)
        end = clock.mono() + _PATIENCE
        while process.same(key) and clock.mono() < end:
            time.sleep(0.02)
        if process.same(key):
            raise CoordError(f"the coordinator (process {key.split('-')[2]}) does not end; Redis goes on")
        click.echo("coordinator ended")
    note.unlink(missing_ok=True)
    click.echo("Redis ended" if embedded.stop(home) else "no embedded Redis runs here")


@click.command()
@click.argument("message")
@click.option("--publish", is_flag=True, help="Publish it: lost if nobody listens, instead of kept.")
@common.as_json
def trigger(message: str, publish: bool, as_json: bool) -> None:
    """Send a trigger: the message becomes a task ('-': standard input).

    It is kept in a stream until a coordinator reads it; what is printed is the id of the task to be.
    """
    data = sys.stdin.buffer.read() if message == "-" else message.encode("utf-8", "surrogateescape")
    # Sent once: whoever hears nothing of it must decide whether to send it again.
    with common.opened(retry=Retry(NoBackoff(), 0)) as ctx:
        triggers.parse(data, ctx.settings)  # told here and now, rather than by a dead letter
        said: dict[str, Any]
        if publish:
            heard = ctx.connection.publish(ctx.settings.trigger_channel, data)
            if not heard:
                raise RedisAway(
                    "nobody listens (`coord serve`), so the trigger is lost: without --publish it is kept"
                )
            said = {"published": True, "listeners": heard}
        else:
            key: Any = ctx.connection.xadd(ctx.settings.trigger_stream, {"task": data})
            said = {"published": False, "id": triggers.task_id(key)}
            if not ctx.led():
                common.warn("no coordinator runs: the trigger is kept until one does (`coord serve`)")
    if as_json:
        common.dump(said)
    else:
        click.echo(f"published to {said['listeners']} listener(s)" if publish else said["id"])


@click.command(name="events")
@click.option("-f", "--follow", is_flag=True, help="As they happen, until Ctrl-C.")
@click.option(
    "-n", "--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="Old ones."
)
@click.option("-t", "--task", "task_id", default="", help="Only those of this task.")
@click.option("-w", "--worker", default="", help="Only those of this worker.")
@click.option("--type", "kind", default="", help="Only those of this type: queued, claimed, finished ...")
@click.option("--audit", is_flag=True, help="Only what operators did through the monitor.")
@common.as_json
def events_(
    follow: bool, limit: int, task_id: str, worker: str, kind: str, audit: bool, as_json: bool
) -> None:
    """Show what happened: each transition is one event. With --json and --follow: one object a line."""
    if audit and kind not in ("", AUDIT):
        raise UsageError("--audit and --type exclude each other")
    kind = AUDIT if audit else kind

    def wanted(row: dict[str, Any]) -> bool:
        of_it = task_id in ("", row.get("task")) and worker in ("", row.get("worker"))
        return of_it and kind in ("", row.get("type"))

    with common.opened() as ctx:
        last = events.newest(ctx.connection)
        count = 100_000 if (task_id or worker or kind) and limit else limit
        old = [row for row in events.latest(ctx.connection, count, until=last) if wanted(row)]
        rows = old[:limit][::-1]
        if as_json and not follow:
            common.dump(rows)
            return
        while True:
            for row in rows:
                _show(row, as_json)
            if not follow:
                return
            sys.stdout.flush()
            found = events.after(ctx.connection, last, 1.0)
            last = found[-1]["id"] if found else last
            rows = [row for row in found if wanted(row)]


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        common.dump(row, indent=None)
        return
    kind = f"{row.get('type', ''):12}"
    parts = [row["at"], kind, *(row.get(name, "") for name in ("task", "worker", "queue", "detail"))]
    click.echo(common.cell("  ".join(part for part in parts if part)).plain.rstrip())


@click.command(name="dead-letters")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most."
)
@common.as_json
def dead_letters(limit: int, as_json: bool) -> None:
    """Show what could not become a task: bad triggers and foreign jobs, each with its reason."""
    with common.opened() as ctx:
        rows = events.latest(ctx.connection, limit, events.DEAD_LETTERS)
    if as_json:
        common.dump(rows)
    elif rows:
        common.show(("at", "kind", "task", "reason", "payload"), rows, "reason", ["payload"])
    else:
        click.echo("no dead letters")


@click.command()
@common.as_json
def settings(as_json: bool) -> None:
    """Show the settings in force, and what each means. Set them by COORD_NAME or in coord.toml."""
    found = settings_module.load()
    values = found.model_dump(mode="json")
    try:
        values["redis_url"] = wire.Address(settings_module.redis_url(found)).shown
    except RedisAway:
        values["redis_url"] = ""  # the embedded one, which does not run
    for name in values:
        secret = redact.is_secret(name) or name == "monitor_notify_webhook"
        if secret and values[name] and not name.endswith("_file"):
            values[name] = redact.HIDDEN
    if as_json:
        common.dump(values)
        return
    rows = []
    for name, field in Settings.model_fields.items():
        value: Any = ", ".join(values[name]) if isinstance(values[name], list) else values[name]
        if settings_module.kind(name) == "duration":
            value = units.span(value) if value >= 1 else f"{value:g}s"
        usual = getattr(found, name) == field.default
        rows.append(
            {
                "setting": name,
                "value": common.cell(value, "" if usual else "bold"),
                "meaning": field.description,
            }
        )
    common.show(("setting", "value", "meaning"), rows, "meaning")
    source = settings_module.config_path() or "no coord.toml"
    hooks = Path(found.home) / compiled.NAME
    common.errors.print(common.cell(f"from {source}; hooks read {hooks}", "dim"))
