"""`coord monitor`: the web page, and where hooks report."""

from __future__ import annotations

import click

from coordinator.commands import common
from pool import connect, monitors
from pool import settings as settings_module


@click.command()
@click.option("--host", help="Address to listen at (default: the setting monitor_host).")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port (default: the setting monitor_port; else where it was last, else 5050).",
)
@click.option("--elsewhere", is_flag=True, help="Take any free port where that one is in use.")
def monitor(host: str | None, port: int | None, elsewhere: bool) -> None:
    """Run the monitor: every session's state, in a browser and for programs.

    It prints its URL. Several may run on one Redis. SIGTERM or Ctrl-C ends it; nothing is lost by that.
    """
    from monitor import serve  # (FastAPI takes a while to import)

    given = {name: value for name, value in (("monitor_host", host), ("monitor_port", port)) if value}
    settings = settings_module.load(**given)
    settings = settings.model_copy(update={"monitor_port": monitors.port(settings)})
    with connect.reachable(settings):
        serve.serve(settings, common.log, lambda url: click.echo(f"monitor at {url}"), elsewhere)
