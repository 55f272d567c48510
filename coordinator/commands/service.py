"""Commands on the running system: serve, up, down, trigger, events, dead-letters, settings."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from coordinator import embedded, triggers
from coordinator import service as service_module
from coordinator.commands import common
from pool import compiled, connect, model
from pool import settings as settings_module
from pool.errors import RedisAway, UsageError
from pool.settings import Settings


def _log(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {common.clean(line)}", err=True)


@click.command()
def serve() -> None:
    """Run the coordinator: reap, promote, triggers, sweep. Several may run; one acts. SIGTERM ends it cleanly."""
    settings = settings_module.load()
    with connect.reachable(settings):
        with connect.client(settings) as probe:
            probe.ping()
        service_module.serve(settings, _log)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the embedded Redis (default: 6379 if free).")
@click.option("-d", "--detach", is_flag=True, help="Start both in the background (`coord down` ends them).")
def up(port: int | None, detach: bool) -> None:
    """Start the embedded Redis (in ./.coord, AOF on) and the coordinator; Ctrl-C ends both."""
    settings = settings_module.load()
    if settings.redis_url:
        raise UsageError("COORD_REDIS_URL (or redis_url) names a Redis: run `coord serve`, or unset it for the embedded one")
    if settings_module.config_path() is None and not os.environ.get("COORD_HOME"):
        settings = settings.model_copy(update={"home": str(Path.cwd() / ".coord")})
    home = Path(settings.home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["COORD_HOME"] = str(home)
    ours = embedded.running(home) is None
    server = embedded.start(home, port or 0)
    settings_module.compile_settings(settings)
    cli = "redis-cli" if server.port == embedded.DEFAULT_PORT else f"redis-cli -p {server.port}"
    _log(f"Redis ({server.kind}) at {server.url}, data in {home / 'redis'}")
    if server.kind == "fakeredis":
        _log("WARNING: this is fakeredis, an imitation in memory: nothing outlives it. Install redis-server for real work.")
    _log(f'try: {cli} publish {settings.trigger_channel} "Build and test suite"')
    if detach:
        _detached(home)
        return
    try:
        service_module.serve(settings, _log)
    finally:
        if ours:
            embedded.stop(home)
            _log("Redis ended")


def _detached(home: Path) -> None:
    """Start `coord serve` in the background, noted in HOME/serve.pid."""
    from pool import process

    note = home / "serve.pid"
    if note.exists() and process.same(note.read_text(encoding="utf-8").strip()):
        _log("the coordinator runs already")
        return
    with (home / "serve.log").open("ab") as out:
        import subprocess

        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "coordinator.cli", "serve"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    note.write_text(process.key(child.pid), encoding="utf-8")
    _log(f"coordinator runs in the background (log: {home / 'serve.log'}); `coord down` ends both")
    child.returncode = 0  # it is meant to outlive us


@click.command()
def down() -> None:
    """End the embedded Redis of this project, and the coordinator that `coord up -d` started."""
    from pool import process

    home = Path(settings_module.load().home)
    note = home / "serve.pid"
    if note.exists():
        key = note.read_text(encoding="utf-8").strip()
        if process.same(key):
            os.kill(int(key.split("-")[2]), signal.SIGTERM)
            end = time.monotonic() + 10
            while process.same(key) and time.monotonic() < end:
                time.sleep(0.05)
            click.echo("coordinator ended")
        note.unlink(missing_ok=True)
    click.echo("Redis ended" if embedded.stop(home) else "no embedded Redis runs here")


@click.command()
@click.argument("message")
@click.option("--publish", is_flag=True, help="Publish it (lost if nobody listens) instead of keeping it in the stream.")
@common.as_json
def trigger(message: str, publish: bool, as_json: bool) -> None:
    """Send a trigger: the message becomes a task ('-': standard input). Kept until a coordinator reads it."""
    data = sys.stdin.buffer.read() if message == "-" else message.encode("utf-8", "surrogateescape")
    with common.opened() as ctx:
        triggers.parse(data, ctx.settings)  # told here and now, rather than by a dead letter
        if publish:
            heard = ctx.connection.publish(ctx.settings.trigger_channel, data)
            if not heard:
                raise RedisAway("nobody listens (is `coord serve` running?): the trigger is lost; send it without --publish to keep it")
            said: dict[str, Any] = {"published": True, "listeners": heard}
        else:
            key = ctx.connection.xadd(ctx.settings.trigger_stream, {"task": data}).decode()
            said = {"published": False, "id": f"trigger-{key}"}
    if as_json:
        common.dump(said)
    else:
        click.echo(f"published to {said['listeners']} listener(s)" if publish else said["id"])


@click.command()
@click.option("-f", "--follow", is_flag=True, help="As they happen, until Ctrl-C.")
@click.option("-n", "--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="How many old ones.")
@click.option("-t", "--task", "task_id", default="", help="Only those of this task.")
@click.option("-w", "--worker", default="", help="Only those of this worker.")
@common.as_json
def events(follow: bool, limit: int, task_id: str, worker: str, as_json: bool) -> None:
    """Show what happened: each transition is one event. With --json, one object a line when following."""
    with common.opened() as ctx:
        newest = ctx.connection.xrevrange("pool:events", count=1)
        last = newest[0][0].decode() if newest else "0-0"
        filtered = bool(task_id or worker)
        old = ctx.connection.xrevrange("pool:events", max=last, count=100_000 if filtered else limit) if limit else []
        rows = [row for row in (_event(*entry) for entry in old) if task_id in ("", row["task"]) and worker in ("", row["worker"])]
        rows = rows[:limit][::-1]
        if as_json and not follow:
            common.dump(rows)
            return
        for row in rows:
            _show(row, as_json)
        while follow:
            for _, page in ctx.connection.xread({"pool:events": last}, count=1000, block=1000) or []:
                for entry in page:
                    last = entry[0].decode()
                    row = _event(*entry)
                    if task_id in ("", row["task"]) and worker in ("", row["worker"]):
                        _show(row, as_json)


def _event(key: bytes, raw: dict[bytes, bytes]) -> dict[str, Any]:
    fields = {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()}
    return {"id": key.decode(), "at": model.utc(int(key.split(b"-")[0]) / 1000), **fields}


def _show(row: dict[str, Any], as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    parts = [row["at"], f"{row.get('type', ''):12}", row.get("task", ""), row.get("worker", ""), row.get("queue", ""), row.get("detail", "")]
    click.echo(common.clean("  ".join(part for part in parts if part)).replace("\n", " "))


@click.command(name="dead-letters")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@common.as_json
def dead_letters(limit: int, as_json: bool) -> None:
    """Show what could not become a task: bad triggers and foreign jobs, each with its reason."""
    with common.opened() as ctx:
        rows = [_event(*entry) for entry in ctx.connection.xrevrange(triggers.DEAD_LETTERS, count=limit)]
    if as_json:
        common.dump(rows)
        return
    if not rows:
        click.echo("no dead letters")
        return
    made = common.table("at", "kind", "task", "reason", "payload")
    for row in rows:
        made.add_row(*(common.cell(str(row.get(name, ""))[:100]) for name in ("at", "kind", "task", "reason", "payload")))
    common.console.print(made)


@click.command()
@common.as_json
def settings(as_json: bool) -> None:
    """Show the settings in force, and what each means. Set them by COORD_NAME or in coord.toml."""
    found = settings_module.load()
    values = found.model_dump(mode="json")
    values["redis_url"] = _without_password(settings_module.redis_url(found))
    if as_json:
        common.dump(values)
        return
    made = common.table("setting", "value", "meaning")
    for name, field in Settings.model_fields.items():
        shown = ", ".join(values[name]) if isinstance(values[name], list) else values[name]
        made.add_row(common.cell(name), common.cell(shown), common.cell(field.description))
    common.console.print(made)
    common.console.print(common.cell(f"\nfrom {settings_module.config_path() or 'no coord.toml'}; hooks read {Path(found.home) / compiled.NAME}", "dim"))


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    userinfo, at, where = rest.rpartition("@")
    return f"{scheme}{mark}{userinfo.partition(':')[0]}:***@{where}" if at else url
