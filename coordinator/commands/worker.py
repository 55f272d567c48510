"""Commands on a supervised worker: worker run, worker health."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from coordinator.commands import common
from hooks import install as installer
from pool import connect, enroll, units
from pool import settings as settings_module
from pool.errors import EXIT_FAILED, CoordError, UsageError
from workers import health as health_file
from workers import launcher

name_option = click.option(
    "--name", default="", help="Worker id, one per supervisor (default: COORD_WORKER_ID, else this host's)."
)


@click.group()
def worker() -> None:
    """Supervise a worker: start a Claude Code session whenever a task wants one."""


@worker.command()
@click.option("--project", default="", help="Folder in which it works (default: COORD_PROJECT, else here).")
@name_option
def run(project: str, name: str) -> None:
    """Run Claude Code sessions for the pool, one at a time, in the foreground.

    None is started while the queues are empty: a new session costs a turn. Its hooks are kept in a folder of
    its own (CLAUDE_CONFIG_DIR of its sessions); the project's files and your own stay as they are. SIGTERM
    lets it finish its task (for the setting drain_limit at most); a second one ends it at once.
    """
    settings = settings_module.load()
    folder = Path(project or settings.project or ".").resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name one with --project or COORD_PROJECT")
    supervisor = launcher.Supervisor(settings, _name(name), folder, common.log)
    os.environ["CLAUDE_CONFIG_DIR"] = str(supervisor.config)
    try:
        supervisor.config.mkdir(parents=True, exist_ok=True, mode=0o700)
        installer.install("user", settings, worker=True)
        with connect.reachable(settings):
            supervisor.run()
    except OSError as error:
        raise CoordError(f"{error.filename or supervisor.folder}: {error.strerror}") from None


@worker.command()
@name_option
@common.as_json
def health(name: str, as_json: bool) -> None:
    """Say how the supervisor fares. Exit code 1 unless all is well."""
    settings = settings_module.load()
    found: dict[str, Any] = {"name": _name(name)}
    found |= health_file.read(health_file.folder(settings.home, found["name"]) / "health.json")
    if as_json:
        common.dump(found)
    else:
        reason = f": {found['reason']}" if found["reason"] else ""
        click.echo(
            f"{'healthy' if found['healthy'] else 'unhealthy'}, {found['state']}{common.clean(reason)}"
        )
    if not found["healthy"]:
        raise click.exceptions.Exit(EXIT_FAILED)


def _name(given: str) -> str:
    if given and not units.is_worker_id(given):
        raise UsageError(f"{given[:60]!r} is not a worker id: letters, digits, '.', '_' and '-'")
    return given or enroll.given_name() or enroll.host_name()
