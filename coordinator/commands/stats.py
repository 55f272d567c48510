"""`coord stats`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from coordinator import completing
from coordinator.commands import common, live
from pool import stats as stats_module
from pool import units
from pool.errors import UsageError
from pool.units import short as short

_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
#: A picture of a window has at most so many columns.
_BARS = 60
_WENT = ("submitted", "claimed", "finished", "failed", "poisoned", "canceled", "retried")
_WRONG = ("lost", "released", "returned", "refused", "requeued")
#: Shown to people even when they are 0.
_ALWAYS = ("submitted", "claimed", "finished", "failed", "lost", "refused")


@click.command()
@click.option(
    "--since", type=common.DURATION, default="1h", show_default=True, help="The window: 10m, 1h, 24h or 7d."
)
@click.option("-q", "--queue", default="", shell_complete=completing.queues, help="Only this queue.")
@click.option("-w", "--watch", is_flag=True, help="Live, until Ctrl-C.")
@common.as_json
def stats(since: float, queue: str, watch: bool, as_json: bool) -> None:
    """Show what was done, by queue: throughput, waiting and running times, losses, refusals.

    Waiting is counted from when a task became claimable to its claim, running from the claim to the commit of
    its result. Percentiles are exact to 10 %. Up to 6h the window is one of whole minutes, beyond of whole
    hours. With --watch and --json: one object a line, each second.
    """
    with common.opened() as ctx:
        if not stats_module.MINUTE <= since <= ctx.settings.stats_ttl:
            kept = units.span(ctx.settings.stats_ttl)
            raise UsageError(f"--since must be between 1m and {kept} (setting stats_ttl)")
        look = partial(stats_module.read, ctx.connection, since, queue)
        found = look()
        if queue and not found.queues:
            raise UsageError(f"there is no queue {queue[:60]!r}: `coord queues` lists them")
        if watch:
            live.watch(ctx, as_json, look, _print_flat, _picture)
    if as_json:
        common.dump(found)
    elif common.layout() == "flat":
        _print_flat(found)
    else:
        common.console.print(_picture(found))


# -- for programs that read tables ---------------------------------------------------------------------


def _print_flat(found: stats_module.Stats) -> None:
    """A line a queue."""
    rows = []
    for each in found.queues:
        times: dict[str, str] = {}
        for name, of in (("wait", each.waiting), ("run", each.running_time)):
            times |= {f"{name}-{part}": short(getattr(of, part)) for part in ("median", "p90", "p99", "max")}
        depths: dict[str, Any] = {
            "waiting": each.queued,
            "oldest": short(each.oldest),
            "running": each.running,
        }
        counts = {name: str(getattr(each, name)) for name in (*_WENT, *_WRONG)}
        rows.append(
            {"queue": each.queue, **depths, **counts, "per-hour": f"{each.per_minute * 60:.4g}", **times}
        )
    if rows:
        common.show(list(rows[0]), rows, "run-max")
    else:
        click.echo("no queues")


# -- for people ----------------------------------------------------------------------------------------


def _picture(found: stats_module.Stats) -> Group:
    """A block a queue, with a picture of its throughput."""
    window = units.span(found.seconds)
    parts: list[Any] = [common.cell(f"the last {window} (since {found.since})", "dim")]
    for each in found.queues:
        made = common.table("what", "value")
        made.show_header = False
        for name, value in _lines(each, found.slot):
            made.add_row(common.cell(name, "dim"), value)
        parts += [Text(), common.cell(each.queue, "bold"), made]
    if not found.queues:
        parts.append(Text("no queues"))
    idle = f"idle meter: {found.idle.requests} requests, {found.idle.tokens} tokens today"
    parts += [Text(), common.cell(idle, "red" if found.idle.requests else "dim")]
    return Group(*parts)


def _lines(each: stats_module.QueueStats, slot: int) -> list[tuple[str, Text]]:
    width = max(10, min(_BARS, common.console.width - 40))
    columns = grouped(each.finished_by_slot, width)
    per = -(-len(each.finished_by_slot) // width) * slot
    rate = f"{each.per_minute:.3g}/min" if each.per_minute >= 1 else f"{each.per_minute * 60:.3g}/h"
    line = Text("▕").append(bars(columns), "green").append("▏") if _blocks() else Text(bars(columns))
    line.append(f" {each.finished} finished, {rate}")
    found = [("throughput", line)]
    if any(columns):
        found.append(("", Text(f"a column is {units.span(per)}, the highest {max(columns)}", "dim")))
    oldest = f" (the first for {short(each.oldest)})" if each.oldest is not None else ""
    found.append(("now", Text(f"{each.queued} waiting{oldest}, {each.running} running, {each.scheduled} "
                              f"scheduled, {each.deferred} deferred")))  # fmt: skip
    found.append(("tasks", _counts(each, _WENT, {"failed": "red", "poisoned": "red", "finished": "green"})))
    found.append(("claims", _counts(each, _WRONG, {"lost": "red", "refused": "red"})))
    for name, of in (("waiting", each.waiting), ("running", each.running_time)):
        parts = (("median", of.median), ("90%", of.p90), ("99%", of.p99), ("max", of.max))
        text = " · ".join(f"{label} {short(value)}" for label, value in parts) if of.count else "-"
        found.append((name, Text(text)))
    return found


def _counts(each: stats_module.QueueStats, names: Sequence[str], loud: dict[str, str]) -> Text:
    parts = []
    for name in names:
        count = getattr(each, name)
        if count or name in _ALWAYS:
            parts.append(Text(f"{count} {name}", style=loud.get(name, "") if count else "dim"))
    return Text(" · ").join(parts)


def _blocks() -> bool:
    """Whether the terminal can show block characters."""
    try:
        _BLOCKS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def bars(values: Sequence[int]) -> str:
    """A column for each value, as high as the highest allows; what is not 0 is seen."""
    ramp = _BLOCKS if _blocks() else _PLAIN
    top = max(values, default=0)
    return "".join(ramp[-(-value * (len(ramp) - 1) // top)] if top else ramp[0] for value in values)


def grouped(values: Sequence[int], width: int) -> list[int]:
    """Sums of neighbours, so that there are at most ``width``."""
    each = max(1, -(-len(values) // width))
    return [sum(values[first : first + each]) for first in range(0, len(values), each)]
