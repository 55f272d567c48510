"""Commands on the Claude Code hooks: hooks install, hooks uninstall, hooks status."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from coordinator.commands import common
from hooks import install as installer
from hooks import monitor_status, monitor_template, template
from hooks import status as status_module
from pool import settings as settings_module
from pool.errors import EXIT_FAILED, UsageError
from pool.settings import Settings

#: Shell scripts that are printed on request.
SCRIPTS = ("notify-monitor", "install-hooks")

scope_option = click.option(
    "--scope", type=click.Choice(installer.SCOPES), default="project", show_default=True,
    help="Whose settings file: yours, this folder's, or this folder's that is not shared.",
)  # fmt: skip


@click.group()
def hooks() -> None:
    """Install, inspect or remove the Claude Code hooks."""


@hooks.command()
@scope_option
@click.option("--worker", is_flag=True, help="Make every session there a worker (unless COORD_WORKER=0).")
@click.option("--copy", is_flag=True, help=f"Run one file, {template.COPY}, to be committed.")
@click.option("--monitor", is_flag=True, help="Install the hooks that tell the monitor what sessions do.")
@click.option("--http", is_flag=True, help="With --monitor: the client itself sends them, and waits.")
@click.option("--print", "only_print", is_flag=True, help="Print the settings; change nothing.")
@common.as_json
def install(
    scope: str, worker: bool, copy: bool, monitor: bool, http: bool, only_print: bool, as_json: bool
) -> None:
    """Install the hooks into Claude Code's settings, or replace those that are installed.

    What is there stays, and is kept in settings.json.coord-backup. Without --worker a session becomes a
    worker when COORD_WORKER=1 is set; every other session never notices the hooks.

    With --monitor it installs the hooks that tell the monitor what each session does, worker or not. They are
    beside those of workers: either may be installed, or taken out, without the other.
    """
    settings = settings_module.load()
    if http and not monitor:
        raise UsageError("--http goes with --monitor")
    if monitor:
        if worker or copy:
            raise UsageError(
                "--monitor goes without --worker and --copy: install workers' hooks on their own"
            )
        _install_reports(scope, settings, http, only_print, as_json)
        return
    if scope != "user":
        # The project's own folder, so that `coord up` and the hooks agree whichever comes first.
        home = common.project_home(settings, make=not (only_print or copy))
        settings = settings.model_copy(update={"home": str(home)})
    if only_print:
        common.dump(template.wanted(settings, worker, copy).settings())
        return
    done = installer.install(scope, settings, worker, copy)
    if as_json:
        common.dump({"scope": scope, "worker": worker, **done._asdict()})
        return
    if not done.changed:
        click.echo(f"The hooks are installed in {done.path} already; nothing was changed.")
        return
    click.echo(f"The hooks are installed in {done.path}.")
    if done.copy:
        click.echo(f"They run {done.copy}: commit it.")
    if done.backup:
        click.echo(f"What was there before is kept in {done.backup}.")
    click.echo("Its sessions are workers." if worker else "Sessions started with COORD_WORKER=1 are workers.")


def _install_reports(scope: str, settings: Settings, http: bool, only_print: bool, as_json: bool) -> None:
    if scope != "user" and settings.monitor_hook_token:  # a file in HOME will hold it
        home = common.project_home(settings, make=not only_print)
        settings = settings.model_copy(update={"home": str(home)})
    wanted = monitor_template.wanted(settings, http)
    if only_print:
        common.dump({"hooks": wanted.groups})
        return
    done = installer.install_reports(scope, settings, http)
    if as_json:
        common.dump({"scope": scope, "monitor": wanted.url, "http": http, **done._asdict()})
        return
    if not done.changed:
        click.echo(f"The monitor's hooks are installed in {done.path} already; nothing was changed.")
        return
    click.echo(f"The monitor's hooks are installed in {done.path}; they report to {wanted.url}.")
    if done.backup:
        click.echo(f"What was there before is kept in {done.backup}.")
    if http:
        click.echo("While no monitor answers there, sessions wait for it (1 s a hook) and say so.")
    if http and wanted.token_file:
        click.echo(f"Sessions need the token in {monitor_template.TOKEN}: it is in {wanted.token_file}.")


@hooks.command()
@scope_option
@click.option("--monitor", is_flag=True, help="Only those that report to the monitor.")
@common.as_json
def uninstall(scope: str, monitor: bool, as_json: bool) -> None:
    """Take coord's hooks out of Claude Code's settings, and nothing else."""
    done = installer.uninstall(scope, workers=not monitor)
    if as_json:
        common.dump({"scope": scope, **done._asdict()})
        return
    if not done.changed:
        click.echo(f"There are no hooks of coord's in {done.path} (--scope {scope}); nothing was changed.")
        return
    if done.removed:
        click.echo(f"{done.path} held nothing but coord's hooks: it is removed.")
    else:
        click.echo(f"The hooks are out of {done.path}.")
    if done.copy:
        click.echo(f"{done.copy} is removed.")
    if done.backup:
        click.echo(f"It was changed since they came in; what was there before is still in {done.backup}.")


@hooks.command()
@click.option("--scope", type=click.Choice(installer.SCOPES), help="This one only.")
@common.as_json
@click.pass_context
def status(ctx: click.Context, scope: str | None, as_json: bool) -> None:
    """Show where hooks are installed and whether they run. Exit code 1 unless they are, and all is well."""
    settings = settings_module.load()
    seen = [status_module.look(each, settings) for each in ([scope] if scope else installer.SCOPES)]
    if as_json:
        common.dump([{**asdict(each), "fine": each.fine} for each in seen])
    else:
        _show(seen)
    if not status_module.fine(seen):
        ctx.exit(EXIT_FAILED)


@hooks.command()
@click.argument("name", type=click.Choice(SCRIPTS))
def script(name: str) -> None:
    """Print a shell script for those without coord: notify-monitor tells the monitor of one event,
    install-hooks writes hooks that call it into Claude Code's settings.
    """
    path = Path(template.__file__).with_name(f"{name}.sh")
    click.echo(path.read_text(encoding="utf-8"), nl=False)


def _show(seen: list[status_module.ScopeStatus]) -> None:
    made = common.table("scope", "", "value")
    for each in seen:
        made.add_row(common.cell(each.scope), common.cell("file"), common.cell(each.path))
        for name, value, style in _rows(each):
            made.add_row("", common.cell(name), common.cell(value, style))
    common.console.print(made)


def _rows(seen: status_module.ScopeStatus) -> list[tuple[str, str, str]]:
    """What there is to say about a scope: name, value, style."""
    problems = [("problem", problem, "yellow") for problem in seen.problems]
    problems = [*_monitor_rows(seen.monitor), *problems]
    if not seen.installed:
        return [("hooks", "not installed (`coord hooks install` does it)", "dim"), *problems]
    hooks = ", ".join(event if state == "ok" else f"{event} ({state})" for event, state in seen.hooks.items())
    found = {True: "there", False: "gone"}
    interpreter = f"{seen.interpreter} ({found[seen.interpreter_there]})"
    return [
        ("hooks", hooks, _style(set(seen.hooks.values()) == {"ok"})),
        ("sessions", "all are workers" if seen.worker else "workers with COORD_WORKER=1", ""),
        ("interpreter", interpreter, _style(seen.interpreter_there)),
        ("hook files", found[seen.files_there], _style(seen.files_there)),
        ("settings", f"{seen.compiled} ({seen.compiled_state})", _style(seen.compiled_state == "ok")),
        *problems,
    ]


def _monitor_rows(seen: monitor_status.Reporting) -> list[tuple[str, str, str]]:
    if not seen.installed:
        return []
    states = sorted(set(seen.hooks.values()))
    how = "sent by the client" if seen.http else "sent in the background"
    told = f"{len(seen.hooks)} events {how} to {', '.join(seen.urls)} ({', '.join(states)})"
    mend = [("problem", f"{each}: `coord hooks install --monitor` again", "yellow") for each in seen.problems]
    return [("monitor", told, _style(states == ["ok"])), *mend]


def _style(good: bool) -> str:
    return "green" if good else "red"
