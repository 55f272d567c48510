"""`coord accounts`: show, park, stop and resume accounts."""

from __future__ import annotations

import click

from coordinator.commands import common
from pool import accounts as accounts_module
from pool import units
from pool.errors import EXIT_FAILED

_SOURCE = "operator"


@click.group(invoke_without_command=True)
@common.as_json
@click.pass_context
def accounts(ctx: click.Context, as_json: bool) -> None:
    """Show accounts: whose quota is used up and until when, who is stopped and why.

    A worker's account is its setting `account`. All workers of an account that has no quota left wait for the
    reset, each with its task; one with a billing or login error is stopped until it is resumed here.
    """
    if ctx.invoked_subcommand:
        return
    with common.opened() as opened:
        found = accounts_module.read(opened.connection)
    if as_json:
        common.dump(found)
    elif found:
        rows = [
            {
                "account": each.name, "state": common.state(each.state), "workers": str(each.workers),
                "waiting": str(each.parked), "left": "" if each.left is None else units.span(each.left),
                "until": each.until, "by": each.source, "reason": each.reason,
            }
            for each in found
        ]  # fmt: skip
        columns = ["account", "state", "workers", "waiting", "left", "until", "by"]
        common.show([*columns, "reason"], rows, "reason")
    else:
        click.echo("no accounts")


@accounts.command()
@click.argument("name")
@click.option("--for", "seconds", type=common.DURATION, help="For so long [default: until it is resumed].")
@click.option("--reason", default="parked by an operator", show_default=True, help="What workers are told.")
@common.as_json
def park(name: str, seconds: float | None, reason: str, as_json: bool) -> None:
    """Let all workers of an account wait ('*': of every account); they keep their tasks."""
    _changed("park", name, "0" if seconds is None else f"+{seconds:.0f}", reason, as_json)


@accounts.command()
@click.argument("name")
@click.option("--reason", default="stopped by an operator", show_default=True, help="What workers are told.")
@common.as_json
def stop(name: str, reason: str, as_json: bool) -> None:
    """Use an account no more ('*': any): its workers finish what they work on and stop."""
    _changed("stop", name, "", reason, as_json)


@accounts.command()
@click.argument("name")
@common.as_json
def resume(name: str, as_json: bool) -> None:
    """Let an account go on at once, whatever had parked or stopped it (exit code 1: nothing had)."""
    _changed("resume", name, "", "resumed by an operator", as_json)


def _changed(what: str, name: str, until: str, reason: str, as_json: bool) -> None:
    accounts_module.check_name(name)
    with common.opened() as ctx:
        known = name == accounts_module.ALL or name in {
            each.name for each in accounts_module.read(ctx.connection)
        }
        reply = ctx.pool.account(what, name, until, " ".join(reason.split())[:500], _SOURCE)
        state = next((each.state for each in accounts_module.read(ctx.connection) if each.name == name), "ok")
    count = int(reply[2])
    if what != "resume" and not known:
        common.warn(f"no worker uses the account {name}, nor has one spent anything on it")
    if as_json:
        common.dump({"account": name, "state": state, "changed": count >= 0, "workers": max(count, 0)})
    elif count < 0:
        click.echo(f"{name}: nothing to resume")
    elif what == "park" and state == "stopped":
        click.echo(f"{name} stays stopped: resume it first")
    else:
        went = "go on" if what == "resume" else "stop" if what == "stop" else "wait"
        click.echo(f"{name} is {state} ({count} workers {went})")
    if count < 0 or (what == "park" and state == "stopped"):
        raise SystemExit(EXIT_FAILED)
