"""Look whether what coord takes for granted about Claude Code holds for a version of it.

    python -m tools.client_facts [--claude PATH | --sdk RELEASE] [--only FACT] [--json]

Runs real sessions against a scripted model on loopback, side by side; no account is needed, and where root
allows it there is no network. Exit codes: 0 what coord relies on is as it was, 1 some of it has changed, 2
wrong usage.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from coordinator.commands.common import as_json, cell, console, dump, progress, warn
from tests.client import client, isolation, releases
from tests.client.facts.fact import Experiment, Seen
from tests.client.facts.known import FILE, Known, Row, experiments, version

#: Sessions mostly wait.
JOBS = 2 * (os.cpu_count() or 1)


def look(claude: str, chosen: Sequence[Experiment], patience: float, jobs: int) -> dict[str, Seen]:
    """Run the experiments side by side; each fact and what was seen (``{"failed": why}``: nothing was)."""
    seen: dict[str, Seen] = {}
    with progress("looking", len(chosen)) as advance, ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(each.run, claude, patience): each for each in chosen}
        for run in as_completed(runs):
            error = run.exception()
            if error is None:
                seen.update(run.result())
            else:
                failed = {"failed": f"{type(error).__name__}: {error}".split("\n")[0]}
                seen.update({fact.name: failed for fact in runs[run].facts})
            advance(1)
    return seen


def shown(value: Seen, inner: bool = False) -> str:
    """A value of JSON, short."""
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {shown(each, True)}" for name, each in value.items())
        return f"({text})" if inner else text
    if isinstance(value, list):
        return "[" + " ".join(shown(each, True) for each in value) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)


def differing(one: Seen, other: Seen) -> Seen:
    """What of the first is not the same in the other."""
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        return [each for each in one if each not in other]
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one
    return {name: differing(each, other.get(name)) for name, each in one.items() if each != other.get(name)}


def table(rows: Iterable[Row]) -> Table:
    """The facts; of those that have changed, what differs."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("fact", ratio=3)
    made.add_column("expected", ratio=3)
    made.add_column("seen", ratio=3)
    made.add_column("changed", no_wrap=True)
    for row in rows:
        if row.changed is None:
            state, before, now = Text("not here", "dim"), row.expected, "cannot be observed here"
        elif row.changed:
            state = Text("CHANGED", "bold red" if row.fact.relies else "yellow")
            before, now = differing(row.expected, row.seen), differing(row.seen, row.expected)
        else:
            state, before, now = Text("no", "green"), row.expected, "the same"
        about = Text.assemble((row.fact.name, "bold"), "\n", (row.fact.says, "dim"))
        if row.breaks:
            about.append(f"\ncoord relies on it: {row.fact.relies}", "red")
        made.add_row(about, cell(shown(before)), cell(shown(now)), state)
    return made


@click.command(help=__doc__.split("\n")[0])
@click.option(
    "--claude", metavar="PATH", help="A Claude Code. [default: that of the Agent SDK installed here]"
)
@click.option(
    "--sdk", metavar="RELEASE", help="The Claude Code of that release of claude-agent-sdk, which is fetched."
)
@click.option(
    "--only", metavar="FACT", multiple=True, help="These facts only (and what is observed with them)."
)
@click.option("--changed", is_flag=True, help="Show what has changed only.")
@click.option(
    "--wait", default=4.0, metavar="SECONDS", help="How long the long wait in a Stop hook takes. [default: 4]"
)
@click.option("--jobs", default=JOBS, metavar="N", help=f"How many sessions at once. [default: {JOBS}]")
@click.option(
    "--expected",
    default=str(FILE),
    type=click.Path(dir_okay=False, exists=True),
    help="What is known, as JSON.",
)
@click.option(
    "--record", metavar="WHENCE", help="Keep what was seen as what is known of this version, with its origin."
)
@click.option(
    "--reference", is_flag=True, help="With --record: and make it the version that others are compared with."
)
@as_json
def main(
    claude: str | None, sdk: str | None, only: tuple[str, ...], changed: bool, wait: float, jobs: int,
    expected: str, record: str | None, reference: bool, as_json: bool,
) -> None:  # fmt: skip
    """Parse the options, look, print."""
    if claude and sdk:
        raise click.UsageError("give --claude or --sdk, not both")
    if reference and not record:
        raise click.UsageError("--reference goes with --record")
    try:
        chosen = experiments(only)
        program = (
            str(releases.fetch(sdk)) if sdk else str(Path(claude).resolve()) if claude else client.program()
        )
        cli = version(program)
        known = Known(Path(expected))
    except (RuntimeError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    if why := isolation.isolate():
        warn(f"the network is not cut off: {why}")
    seen = look(program, chosen, wait, max(1, jobs))
    rows = [row for each in chosen for row in known.rows(cli, each, seen)]
    breaks = [row.fact.name for row in rows if row.breaks]
    failed = [row for row in rows if isinstance(row.seen, dict) and "failed" in row.seen]
    beside = known.compared(cli)
    if record and not failed:
        known.record(cli, seen, {"whence": record}, reference)
    wanted = [row for row in rows if row.changed or not changed]
    if as_json:
        dump({"version": cli, "compared_with": beside, "facts": [row.plain() for row in wanted]})
    else:
        console.print(table(wanted))
        total = sum(bool(row.changed) for row in rows)
        console.print(
            f"Claude Code {cli} beside {beside}: {total} of {len(rows)} facts changed.",
            highlight=False,
        )
        if breaks:
            console.print(Text(f"coord relies on {len(breaks)} of these: {', '.join(breaks)}", "bold red"))
    if record and failed:
        warn("nothing was recorded: some facts could not be observed")
    sys.exit(1 if breaks else 0)


if __name__ == "__main__":
    main()
