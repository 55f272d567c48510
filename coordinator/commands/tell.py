"""`coord tell`: a message to a session that works."""

from __future__ import annotations

import sys
from typing import Any

import click

from coordinator import completing
from coordinator.commands import common
from pool import clock, events, operate, units
from pool.errors import EXIT_FAILED, UsageError

#: So much of standard input is read: more than any message may have.
_LONGEST = 64 * 1024
#: What became of a message.
_ENDS = ("told", "untold")


@click.command()
@click.argument("target", metavar="WORKER|TASK", shell_complete=completing.told)
@click.argument("text")
@click.option("--wake", is_flag=True, help="Wake a waiting session for it, which costs a turn.")
@click.option("--wait", is_flag=True, help="Wait until the session has it (exit code 1: it never will).")
@click.option("--timeout", type=common.DURATION, help="With --wait, for so long at most: 90, 90s, 10m or 2h.")
@common.as_json
def tell(target: str, text: str, wake: bool, wait: bool, timeout: float | None, as_json: bool) -> None:
    """Send a message to a working session: TEXT, or '-' for standard input.

    WORKER is a live worker, TASK one that runs: its worker is told. The session has it with its next tool
    call, at the latest when it wants to end its turn. A worker without a task has it with its next one;
    --wake tells it now.
    """
    if timeout is not None and not wait:
        raise UsageError("--timeout goes with --wait")
    with common.opened() as ctx:
        last = events.newest(ctx.connection)
        sent = operate.tell(ctx, target, _read() if text == "-" else text, wake)
        told = _outcome(ctx, sent.message, last, timeout) if wait else {}
    if as_json:
        common.dump({**vars(sent), **told})
    else:
        click.echo(common.clean(_line(sent, wake)))
        if told:
            click.echo(common.clean(_ending(sent, told)))
    if told and told["told"] is not True:
        raise SystemExit(EXIT_FAILED)


def _read() -> str:
    """Standard input, as far as it could be a message."""
    try:
        return sys.stdin.buffer.read(_LONGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("the message is not text (UTF-8); nothing was sent") from None


def _outcome(ctx: common.Context, message: str, last: str, seconds: float | None) -> dict[str, Any]:
    """Wait until the message is told or never will be: ``told`` (None: the time ran out), and ``why``."""
    deadline = None if seconds is None else clock.mono() + seconds
    while True:
        left = 1.0 if deadline is None else min(1.0, deadline - clock.mono())
        if left <= 0:
            return {"told": None, "why": f"the time ran out ({units.span(seconds or 0)})"}
        for row in events.after(ctx.connection, last, left):
            last = row["id"]
            if row["type"] in _ENDS and row["detail"].partition(":")[0] == message:
                return {"told": row["type"] == "told", "why": row["detail"].partition(": ")[2] or None}


def _line(sent: operate.Sent, wake: bool) -> str:
    what = f"message {sent.message} to {sent.worker}"
    if sent.holds:
        return f"{what}, which has it with its next tool call (task {sent.holds})"
    if wake and sent.state == "waiting":
        return f"{what}, which is woken for it"
    return f"{what}, which holds no task and has it with its next one" + ("" if wake else " (--wake: now)")


def _ending(sent: operate.Sent, told: dict[str, Any]) -> str:
    if told["told"]:
        return f"{sent.worker} has it"
    return f"{sent.worker} {'never got it' if told['told'] is False else 'has not got it yet'}: {told['why']}"
