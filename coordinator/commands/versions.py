"""`coord versions`: who runs which version of coord, and which is the oldest that the pool lets act."""

from __future__ import annotations

from typing import Any

import click

from coordinator.commands import common
from pool import __version__, script_text, view
from pool.errors import UsageError


@click.command()
@click.option(
    "--require", type=click.IntRange(0), metavar="N",
    help="From now on let only scripts of version N or newer change anything (0: any).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="With --require, even if live workers or coordinators are older.")
@common.as_json
def versions(require: int | None, force: bool, as_json: bool) -> None:
    """Show which version of coord each live worker and coordinator runs.

    Old and new ones work side by side during an upgrade; of the coordinators one of the newest leads. When
    the last old one has ended, --require keeps any that is forgotten somewhere from coming back.
    """
    if force and require is None:
        raise UsageError("--force goes with --require")
    with common.opened() as ctx:
        if require is not None:
            _require(ctx, require, force)
        raw: Any = ctx.connection.get("pool:floor")
        floor = int(raw or 0)
        rows: list[dict[str, Any]] = [
            {"what": "coordinator", "id": each.id, "coord": each.coord or None, "scripts": each.scripts,
             "note": "leads" if each.leads else "follows"}
            for each in view.coordinators(ctx.connection)
        ]  # fmt: skip
        rows += [
            {"what": "worker", "id": each.id, "coord": each.coord or None, "scripts": each.scripts,
             "note": each.state}
            for each in view.workers(ctx.connection, departed=False)
        ]  # fmt: skip
    if as_json:
        mine = {"coord": __version__, "scripts": script_text.VERSION}
        common.dump({"own": mine, "required": floor, "running": rows})
        return
    own = f"this coord is {__version__} with scripts {script_text.VERSION}"
    click.echo(f"{own}; the pool asks for {floor or 'any'}")
    if rows:
        common.show(["what", "coord", "scripts", "id"], rows, "note")
    if len({row["scripts"] for row in rows}) > 1:
        common.warn("versions are mixed: that is fine while an upgrade goes on (docs/operations.md)")


def _require(ctx: common.Context, version: int, force: bool) -> None:
    if version > script_text.VERSION:
        raise UsageError(f"this coord has scripts of version {script_text.VERSION}: upgrade it first")
    older = ctx.pool.floor(version, force)
    if older:
        named = ", ".join(older[:5]) + (" ..." if len(older) > 5 else "")
        raise UsageError(f"older than {version}: {named}; end them, or give --force; nothing was changed")
