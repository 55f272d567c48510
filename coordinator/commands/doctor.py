"""The command that looks whether an installation is well: doctor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click
from rich.table import Table

from coordinator.commands import common
from coordinator.doctor import examine
from coordinator.doctor.finding import Finding, Level
from coordinator.doctor.patient import PARTS, Patient, Scope
from hooks import files, merge, template
from hooks import install as installer
from hooks import status as status_module
from pool import compiled
from pool import settings as settings_module
from pool.errors import EXIT_FAILED, RedisAway, UsageError
from pool.settings import Settings

_STYLES = {
    Level.OK: "green", Level.NOTE: "cyan", Level.UNKNOWN: "magenta", Level.WARNING: "yellow",
    Level.WRONG: "bold red",
}  # fmt: skip
_COUNTED = {
    Level.WRONG: "wrong", Level.WARNING: "warning(s)", Level.UNKNOWN: "could not be looked at",
    Level.NOTE: "to know", Level.OK: "ok",
}  # fmt: skip


@click.command()
@click.option("--only", metavar="GROUP,...", help=f"Look at these alone: {', '.join(examine.GROUPS)}.")
@click.option("--skip", metavar="GROUP,...", help="Leave these out.")
@click.option("--no-fire", is_flag=True, help="Do not fire the hooks, only look at how they are wired.")
@click.option(
    "--as", "part", type=click.Choice(PARTS), default="coordinator", show_default=True,
    help="What the user in COORD_REDIS_URL is meant to be allowed to do.",
)  # fmt: skip
@click.option(
    "--slow", type=common.DURATION, default="0.5", show_default=True, help="A hook that takes longer is slow."
)
@click.option(
    "--fail-on", type=click.Choice(("unknown", "warning", "wrong")), default="warning",
    show_default=True, help="Exit with 1 from this on.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Show what is not ok.")
@common.as_json
@click.pass_context
def doctor(
    ctx: click.Context, only: str | None, skip: str | None, no_fire: bool, part: str, slow: float,
    fail_on: str, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Look whether this installation is well, and say how to mend what is not. Nothing is changed.

    Each line is ok, a note, unknown (it could not be looked at), a warning or wrong, with what to do.
    Exit code 0 when there is neither a warning nor anything wrong (see --fail-on), else 1.
    """
    groups = _groups(only, skip)
    settings = settings_module.load()
    patient = Patient(settings, [_scope(name, settings) for name in installer.SCOPES], part, slow)
    try:
        with suppress(RedisAway):
            patient.connect()  # a URL that is none is a wrong setting, not a finding
        found = _examine(patient, groups, fire=not no_fire, quietly=as_json)
    finally:
        patient.close()
    shown = [each for each in found if not (quiet and each.level == Level.OK)]
    bad = [each for each in found if each.level.weight >= Level(fail_on).weight]
    if as_json:
        counts = Counter(each.level for each in found)
        common.dump(
            {"fine": not bad, "counts": {level.value: counts[level] for level in Level},
             "findings": [{"check": each.check, "level": each.level.value, "seen": each.seen,
                           "remedy": each.remedy or None} for each in shown]}
        )  # fmt: skip
    else:
        _show(shown, found)
    if bad:
        ctx.exit(EXIT_FAILED)


def _groups(only: str | None, skip: str | None) -> list[str]:
    def named(text: str | None) -> list[str]:
        names = [each.strip() for each in (text or "").split(",") if each.strip()]
        for name in names:
            if name not in examine.GROUPS:
                raise UsageError(f"{name[:60]!r} is no group of checks: {', '.join(examine.GROUPS)}")
        return names

    wanted, left_out = named(only) or list(examine.GROUPS), named(skip)
    groups = [name for name in wanted if name not in left_out]
    if not groups:
        raise UsageError("nothing is left to look at: --skip names all of it")
    return groups


def _examine(patient: Patient, groups: Sequence[str], fire: bool, quietly: bool) -> list[Finding]:
    """Run the checks; on a terminal the one that runs is shown meanwhile."""
    if quietly or not common.errors.is_terminal:
        return list(examine.examine(patient, groups, fire))
    with common.errors.status("looking ...") as spinner:
        return list(
            examine.examine(patient, groups, fire, lambda name: spinner.update(f"looking at {name} ..."))
        )


def _scope(name: str, settings: Settings) -> Scope:
    """One settings file of Claude Code, as the checks look at it."""
    seen = status_module.look(name, settings)
    problems = tuple(
        f"{each} ({_differing(seen.compiled)})" if each.endswith("are stale") else each
        for each in seen.problems
        if not each.startswith("disableAllHooks")
    )
    try:
        text = files.read(Path(seen.path))
        value = merge.parse(text, Path(seen.path)) if text is not None else {}
    except UsageError:
        return Scope(name, seen.path, problems=problems)  # that it is no settings file is among them
    here = merge.found(value)
    commands = {
        event: tuple(
            handler["command"]
            for group in groups
            for handler in group["hooks"]
            if isinstance(handler, dict) and template.is_ours(handler)
        )
        for event, groups in here.groups.items()
    }
    whole = seen.interpreter_there and seen.files_there and (here.copy or _readable(seen.compiled))
    return Scope(
        name, seen.path, value, seen.installed, seen.worker, seen.copy, seen.interpreter, whole, problems,
        commands, ", ".join(seen.monitor.urls), tuple(seen.monitor.problems),
    )  # fmt: skip


def _readable(path: str) -> bool:
    """Whether hooks would take these compiled settings as they are (else they write new ones)."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("format") == compiled.FORMAT


def _differing(path: str) -> str:
    """In what compiled settings differ from those in force: names, for a value may be a secret."""
    try:
        made = json.loads(Path(path).read_text(encoding="utf-8"))
        now = settings_module.compile_values(settings_module.load(home=str(Path(path).parent)))
        names = [name for name, value in json.loads(json.dumps(now["values"])).items()
                 if made["values"].get(name) != value]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "they are from another version"
    return f"other than in force: {', '.join(names)}" if names else "they are from another version"


# -- the report ------------------------------------------------------------------------------------------


def _show(shown: Sequence[Finding], found: Sequence[Finding]) -> None:
    if common.layout() == "flat":
        for each in shown:
            click.echo(common.cell(f"{each.level.value:8} {each.check:24} {each.seen}").plain)
            if each.remedy:
                click.echo(common.cell(f"{'':8} {'':24} -> {each.remedy}").plain)
        click.echo(_summary(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("seen, and what to do", overflow="fold")
    for each in shown:
        text = common.cell(each.seen, "" if each.level.weight >= Level.WARNING.weight else "dim")
        if each.remedy:
            text.append("\n").append_text(common.cell(f"-> {each.remedy}", "bold"))
        table.add_row(common.cell(each.level.value, _STYLES[each.level]), common.cell(each.check), text)
    common.console.print(table)
    worst = max((each.level for each in found), key=lambda level: level.weight, default=Level.OK)
    common.console.print(common.cell(f"\n{_summary(found)}".strip(), _STYLES[worst]))


def _summary(found: Sequence[Finding]) -> str:
    counts = Counter(each.level for each in found)
    parts = [f"{counts[level]} {words}" for level, words in _COUNTED.items() if counts[level]]
    return ", ".join(parts) or "nothing was looked at"
