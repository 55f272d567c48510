"""`coord mcp`."""

from __future__ import annotations

import click

from pool import units
from pool.errors import UsageError


@click.command()
@click.option(
    "--role", type=click.Choice(["worker", "operator"]), default="operator", show_default=True,
    help="Whose tools: those of a worker's session, or of whoever looks after the pool.",
)  # fmt: skip
@click.option("--worker", metavar="ID", help="With --role worker, outside of a worker's session: which one.")
def mcp(role: str, worker: str | None) -> None:
    """Serve the pool's tools to an MCP client, on standard input and output, until the client has gone.

    A worker's tools act for the session whose client started the server.
    """
    if worker and role != "worker":
        raise UsageError("--worker goes with --role worker")
    if worker and not units.is_worker_id(worker):
        raise UsageError(f"{worker[:60]!r} is not a worker id: letters, digits, '.', '_' and '-'")
    try:
        import mcp.types  # noqa: F401
    except ImportError:
        raise UsageError("the package mcp is not installed: pip install 'coord[mcp]'") from None
    from coordinator.mcp import operator, serve
    from coordinator.mcp import worker as worker_module

    if role == "worker":
        server = serve.make(worker_module.INSTRUCTIONS)
        worker_module.tools(server, worker or "")
    else:
        server = serve.make(operator.INSTRUCTIONS)
        operator.tools(server)
    serve.run(server)
