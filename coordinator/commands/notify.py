"""`coord notify`."""

from __future__ import annotations

import click

from coordinator.commands import common
from pool.errors import EXIT_FAILED, UsageError

_WAYS = ("desktop", "browser", "webhook")


@click.command()
@click.option("--by", "ways", type=click.Choice(_WAYS), multiple=True, help="Only by this way, on or not.")
@common.as_json
def notify(ways: tuple[str, ...], as_json: bool) -> None:
    """Send a test by each way in which you are notified (setting monitor_notify), and say how that went.

    You are notified when a session waits for a person, and when a task has failed for good; the monitor does
    that while it runs. Exit code 1: a way did not work.
    """
    from monitor import notify as notify_module

    with common.opened() as ctx:
        names = common.each(ways) or notify_module.chosen(ctx.settings)
        if not names:
            raise UsageError("no way is on: the setting monitor_notify names desktop, browser or webhook")
        found = notify_module.tried(ctx.settings, names, ctx.pool)
    if as_json:
        common.dump([{"way": name, "sent": sent, "detail": how} for name, sent, how in found])
    else:
        rows = [{"way": name, "sent": "yes" if sent else "no", "detail": how} for name, sent, how in found]
        common.show(("way", "sent", "detail"), rows, "detail")
    if not all(sent for _, sent, _ in found):
        raise SystemExit(EXIT_FAILED)
