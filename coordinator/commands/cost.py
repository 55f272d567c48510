"""`coord cost`."""

from __future__ import annotations

import math
from typing import Any

import click
from rich.text import Text

from coordinator.commands import common
from pool import costs
from pool.errors import UsageError

#: Tasks on a terminal.
_SHOWN = 200
_DAY = 86400.0


@click.command()
@click.option(
    "--by", type=click.Choice(costs.BY), default="day", show_default=True, help="What to sum up by."
)
@click.option(
    "--since",
    type=common.DURATION,
    default="7d",
    show_default=True,
    help="Whole days, today included: 1d, 30d.",
)
@click.option("-n", "--limit", type=click.IntRange(min=0), default=_SHOWN, show_default=True,
              help="Tasks at most, those worked on last; 0: all.")  # fmt: skip
@common.as_json
def cost(by: str, since: float, limit: int, as_json: bool) -> None:
    """Show what sessions have used: model requests, tokens, US dollars; and what was spent for nothing.

    USD are list prices (setting `prices`), or the client's own figure in stream mode; a model without a known
    price has its tokens only. By task it is what each has cost since ever. `kind` tells requests for tasks
    from those without one: overhead (starting up while something waited) and idle, whose goal is zero.
    """
    days = math.ceil(since / _DAY)
    with common.opened() as ctx:
        if not 1 <= days <= ctx.settings.cost_ttl / _DAY:
            raise UsageError(
                f"--since must be between 1d and {ctx.settings.cost_ttl / _DAY:.0f}d (setting cost_ttl)"
            )
        found = costs.read(ctx.connection, by, days, limit)
    if as_json:
        common.dump(found)
        return
    if not found.rows:
        click.echo(f"nothing was used since {found.since}")
        return
    columns = [by, *_NUMBERS, *(["budget"] if any(each.budget for each in found.rows) else [])]
    rows = [_row(each, by) for each in found.rows]
    if by not in ("task", "kind") and len(rows) > 1 and common.layout() != "flat":
        rows.append({**_row(found.total, by), by: Text("all", style="bold")})
    common.show([*columns[1:], by], rows, by)
    click.echo(idle_line(found))


_NUMBERS = ("requests", "input", "output", "cache read", "cache write", "USD")


def _row(each: costs.Cost, by: str) -> dict[str, Any]:
    return {
        by: each.name, "requests": f"{each.requests}", "input": f"{each.input}", "output": f"{each.output}",
        "cache read": f"{each.cache_read}", "cache write": f"{each.cache_write}", "USD": usd(each),
        "budget": f"{each.budget:g}" if each.budget else "",
    }  # fmt: skip


def usd(each: costs.Cost) -> str:
    """What it cost, for people: ``0.0174``, ``unknown``, or ``0.0174 + unknown``."""
    if each.unpriced:
        return f"{each.usd:.4f} + unknown" if each.usd else "unknown"
    return f"{each.usd:.4f}"


def described(each: costs.Cost) -> str:
    """A task's cost in one line."""
    budget = f", of a budget of {each.budget:g} USD" if each.budget else ""
    return (
        f"{usd(each)} USD{budget}: {each.requests} requests, {each.input} input, {each.output} output, "
        f"{each.cache_read} cache read, {each.cache_write} cache write"
    )


def idle_line(found: costs.Report) -> str:
    """The idle meter: what was spent while no task was held and nothing waited."""
    idle = found.idle
    return f"idle: {idle.requests} requests, {idle.tokens} tokens since {found.since}"
