"""Commands on supervised workers: worker run, worker health."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from coordinator.commands import common
from hooks import install as installer
from hooks import monitor_template, template
from pool import compiled, connect, enroll, monitors, profile, sessionlog, units
from pool import settings as settings_module
from pool.errors import EXIT_FAILED, CoordError, UsageError
from pool.settings import Settings
from workers.supervise import health as health_file
from workers.supervise import options as supervise
from workers.supervise import relay, session
from workers.supervise.supervisor import Supervisor

name_option = click.option(
    "--name", default="", help="Worker id, one per supervisor (default: COORD_WORKER_ID, else this host's)."
)


@click.group()
def worker() -> None:
    """Supervise workers: start Claude Code sessions whenever tasks want them."""


@worker.command()
@name_option
@click.option("--project", default="", help="Folder in which they work (default: COORD_PROJECT, else here).")
@click.option(
    "-n", "--workers", type=int, metavar="N", help="So many workers: NAME-1, NAME-2 ... (default 1)."
)
@click.option("--min", "least", type=int, metavar="N", help="Sessions that are kept ready, tasks or not.")
@click.option("--max", "most", type=int, metavar="N", help="Sessions that run at most (default: --workers).")
@click.option("-q", "--queue", "queues", multiple=True, metavar="NAME", help="A queue to serve (repeat it).")
@click.option(
    "--mode",
    type=click.Choice(["hook", "stream", "terminal"]),
    help="How sessions are run (docs/sessions.md).",
)
@click.option(
    "--tmux",
    is_flag=False,
    flag_value="coord",
    default="",
    metavar="[SESSION]",
    help="Terminal mode: each worker in a window of this tmux session (default: coord).",
)
@click.option("--resume", default="", metavar="ID", help="Begin with this session of Claude Code.")
@click.option("--fork", is_flag=True, help="With --resume: with a copy of it.")
@click.option("--session-tasks", type=int, metavar="N", help="A fresh session after so many tasks.")
@click.option("--session-hours", type=float, metavar="H", help="... after so many hours.")
@click.option("--session-tokens", type=int, metavar="N", help="... when so many tokens are in its context.")
@click.option("--session-memory", metavar="SIZE", help="... when its processes take so much: 2GiB.")
@click.option(
    "--config", type=click.Choice(["own", "shared"]), help="A configuration folder of their own, or yours."
)
@click.option("--model", metavar="NAME", help="The model.")
@click.option("--effort", type=click.Choice(profile.EFFORTS), help="How hard it thinks.")
@click.option(
    "--permission-mode", type=click.Choice(profile.PERMISSION_MODES), help="How they ask for permission."
)
@click.option(
    "--allowed-tools", multiple=True, metavar="RULE", help="A tool to be used unasked: 'Bash(git *)'."
)
@click.option("--disallowed-tools", multiple=True, metavar="RULE", help="A tool that they may not use.")
@click.option("--max-turns", type=click.IntRange(1), metavar="N", help="Turns of one message to a session.")
@click.option("--budget", type=float, metavar="USD", help="What one session may cost, in US dollars.")
def run(project: str, name: str, tmux: str, **given: Any) -> None:
    """Run Claude Code sessions for the pool, in the foreground.

    None is started while the queues are empty: a new session costs a turn. Each worker's hooks are kept in a
    folder of its own (CLAUDE_CONFIG_DIR of its sessions); the project's files and your own stay as they are.
    SIGTERM lets them finish their tasks (for the setting drain_limit at most); a second one ends them now.
    """
    settings = settings_module.load(**({"tmux": tmux} if tmux else {}))
    if tmux:
        given["mode"] = given["mode"] or "terminal"
        if given["mode"] != "terminal":
            raise UsageError(f"--tmux shows sessions in terminal mode: leave out --mode {given['mode']}")
    folder = Path(project or settings.project or ".").resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name one with --project or COORD_PROJECT")
    options = _options(settings, _name(name), folder, given)
    session.require(options.mode, settings, options.workers)
    log: Callable[[str], None] = common.log
    if options.mode == "terminal" and not settings.tmux:
        log = relay.aside(log, sessionlog.folder(settings.home, options.name) / "supervisor.log")
    try:
        supervisor = Supervisor(options, log)
        if not options.shared:
            for slot in supervisor.slots:
                _install(settings, supervisor.config(slot))
        else:
            installer.prepare(settings, template.wanted(settings, worker=True))
            if monitors.expected(settings):
                installer.keep_token(settings)
        with connect.reachable(settings):
            supervisor.run()
    except OSError as error:
        raise CoordError(f"{error.filename or folder}: {error.strerror}") from None


def _install(settings: Settings, config: Path) -> None:
    """The hooks, in a worker's own configuration folder."""
    before = os.environ.get("CLAUDE_CONFIG_DIR")
    os.environ["CLAUDE_CONFIG_DIR"] = str(config)
    try:
        config.mkdir(parents=True, exist_ok=True, mode=0o700)
        installer.install("user", settings, worker=True)
        if monitors.expected(settings):
            installer.install_reports("user", settings)
        else:
            installer.uninstall("user", workers=False)
    finally:
        os.environ.pop("CLAUDE_CONFIG_DIR")
        if before is not None:
            os.environ["CLAUDE_CONFIG_DIR"] = before


def _given(settings: Settings) -> dict[str, Any]:
    """The hooks as settings of one session, for those that share a configuration folder with a person."""
    wanted = template.wanted(settings, worker=True).settings()
    if monitors.expected(settings):
        for event, groups in monitor_template.wanted(settings).groups.items():
            wanted["hooks"][event] = [*wanted["hooks"].get(event, []), *groups]
    return wanted


def _options(settings: Settings, name: str, folder: Path, given: dict[str, Any]) -> supervise.Options:
    """What was asked for, over the settings.

    Raises:
        UsageError: It does not fit together.
    """

    def one(option: str, setting: str) -> Any:
        return getattr(settings, setting) if given[option] is None else given[option]

    for queue in given["queues"]:
        if not units.is_queue(queue):
            raise UsageError(
                f"--queue: {queue[:60]!r} is not a queue name: letters, digits, '.', '_' and '-'"
            )
    for option in ("session_tasks", "session_hours", "session_tokens"):
        if (given[option] or 0) < 0:
            raise UsageError(f"--{option.replace('_', '-')}: it must not be negative")
    wrong = {
        "--max: between 1 and the number of --workers": given["most"] == 0,
        "--budget: it must be more than 0": given["budget"] == 0,
        "--model is empty: give it a value, or leave it out": given["model"] == "",
    }
    for text, so in wrong.items():  # (each would mean the setting's value, or none)
        if so:
            raise UsageError(text)
    try:
        memory = compiled.size(given["session_memory"] or str(settings.session_memory))
    except ValueError as error:
        raise UsageError(f"--session-memory: {error}") from None
    workers = one("workers", "workers")
    hours = given["session_hours"]
    limits = supervise.Limits(
        given["session_tasks"] or 0, settings.session_time if hours is None else hours * 3600.0,
        one("session_tokens", "session_tokens"), memory,
    )  # fmt: skip
    shared = one("config", "worker_config") == "shared"
    hooks = json.dumps(_given(settings)) if shared else ""
    options = supervise.Options(
        settings, name, folder, one("mode", "worker_mode"), workers, one("least", "workers_min"),
        one("most", "workers_max") or workers, tuple(given["queues"] or settings.queues), given["resume"],
        given["fork"], limits, shared, supervise.profile(settings, given), hooks,
    )  # fmt: skip
    supervise.check(options)
    return options


@worker.command()
@name_option
@common.as_json
def health(name: str, as_json: bool) -> None:
    """Say how the supervisor fares. Exit code 1 unless all is well."""
    settings = settings_module.load()
    found: dict[str, Any] = {"name": _name(name)}
    found |= health_file.read(sessionlog.folder(settings.home, found["name"]) / "health.json")
    if as_json:
        common.dump(found)
    else:
        reason = f": {found['reason']}" if found["reason"] else ""
        word = "healthy" if found["healthy"] else "unhealthy"
        click.echo(f"{word}, {found['state']}{common.clean(reason)}")
        if found["breaker"] and found["breaker"] != found["reason"]:
            click.echo(f"no session is started for now: {common.clean(found['breaker'])}")
    if not found["healthy"]:
        raise click.exceptions.Exit(EXIT_FAILED)


def _name(given: str) -> str:
    if given and not units.is_worker_id(given):
        raise UsageError(f"{given[:60]!r} is not a worker id: letters, digits, '.', '_' and '-'")
    return given or enroll.given_name() or enroll.host_name()
