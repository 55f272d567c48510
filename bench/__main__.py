"""`python -m bench`: measure side by side, judge the goals, write the JSON and docs/benchmarks.md.

python -m bench [--quick] [--only a,c] [--peers rq,celery | none] [--strict] [--output FILE]
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click

from bench import goals, growth, idle, latency, machine, processes, report, run, terminal, throughput
from bench.peers import catalogue

PARTS = {
    "a": "hook and helper processes",
    "b": "enqueue, claim and complete per second",
    "c": "latency",
    "d": "growth",
    "e": "idle cost",
}
RESULTS = Path(__file__).resolve().parent / "results"


def _parts(text: str) -> list[str]:
    found = [each.strip() for each in text.split(",") if each.strip()]
    for each in found:
        if each not in PARTS:
            raise click.BadParameter(
                f"{each!r} is no part: {', '.join(f'{k} {v}' for k, v in PARTS.items())}"
            )
    return found


def _peers(text: str) -> list[str]:
    known = {each.name for each in catalogue.PEERS} - catalogue.OURS
    families = {name.partition("-")[0] for name in known}
    if text in ("all", "none"):
        return sorted(known) if text == "all" else []
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    for each in wanted:
        if each not in known | families:
            raise click.BadParameter(f"{each!r} is no peer: {', '.join(sorted(known))}, all or none")
    return sorted(name for name in known if name in wanted or name.partition("-")[0] in wanted)


@click.command()
@click.option(
    "--quick", is_flag=True, help="About three minutes: that all of it works. The numbers are rough."
)
@click.option(
    "--only", default=",".join(PARTS), help="Parts, comma-separated: a, b, c, d, e.", show_default=True
)
@click.option(
    "--peers", default="all", help="Peers of part b, comma-separated; all or none.", show_default=True
)
@click.option("--strict", is_flag=True, help="Exit with 1 when a goal is missed.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="The JSON [default: latest.json, or quick.json with --quick, in bench/results].",
)  # fmt: skip
def main(quick: bool, only: str, peers: str, strict: bool, output: Path | None) -> None:
    """Measure coord beside other queues, on this machine, in one run.

    Exit code 0: everything was measured (missed goals are shown); 1: a part failed, or with --strict a goal
    was missed.
    """
    names, rivals = _parts(only), _peers(peers)
    target = output or RESULTS / ("quick.json" if quick else "latest.json")
    for variable in [name for name in os.environ if name.startswith(("COORD_", "CLAUDE", "WORKER_ID"))]:
        del os.environ[variable]  # what is measured is the default
    sizes = run.QUICK if quick else run.FULL
    found = _known(target, quick)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that all is ended
    failed = []
    for name in names:
        found["parts"].pop(name, None)
        try:
            found["parts"][name] = _measure(name, run.Run(sizes), rivals)
        except Exception as error:
            failed.append(name)
            traceback.print_exc()
            click.echo(f"part {name} failed, the others go on: {error}", err=True)
        found["goals"] = goals.judge(found["parts"])
        _write(target, found)
    terminal.show(found)
    click.echo(f"\nwritten: {target}")
    if not quick and output is None:
        for path in report.write(found):
            click.echo(f"written: {path}")
    missed = [goal for goal in found["goals"] if not goal["met"]]
    if failed:
        click.echo(f"failed: {', '.join(f'{name} ({PARTS[name]})' for name in failed)}", err=True)
    sys.exit(1 if failed or (strict and missed) else 0)


def _known(target: Path, quick: bool) -> dict[str, Any]:
    """What a run of other parts left there, else nothing."""
    if target.exists():
        try:
            known: dict[str, Any] = json.loads(target.read_text())
            if known["format"] == report.FORMAT and known["quick"] == quick:
                return known
        except (ValueError, KeyError):
            click.echo(f"{target} cannot be read and is written anew", err=True)
    return {"format": report.FORMAT, "quick": quick, "parts": {}, "goals": []}


def _measure(name: str, one: run.Run, rivals: list[str]) -> dict[str, Any]:
    one.console.print(f"[bold]{name}  {PARTS[name]}[/]")
    facts, began = machine.facts(), time.monotonic()
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name == "a":
        part = processes.measure(one, catalogue.RQ_SIMPLE in rivals)
    elif name == "b":
        part = throughput.measure(one, rivals)
    else:
        part = {"c": latency, "d": growth, "e": idle}[name].measure(one)
    took = round(time.monotonic() - began, 1)
    one.console.print(f"   {took:.0f} s")
    return {**part, "measured": at, "took_s": took, "machine": facts, "notes": one.notes,
            "sizes": dataclasses.asdict(one.sizes)}  # fmt: skip


def _write(target: Path, found: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps(found, indent=1) + "\n")
    temporary.replace(target)


if __name__ == "__main__":
    main()
