"""What the plugin's MCP server is for an ordinary session: a server without a tool, at no cost of tokens.

The real one (`coord mcp`, the official package) takes a second to start; a session that is no worker
should not wait for it, nor read about tools that are of no use to it. Standard library only.
"""

from __future__ import annotations

import os
import sys

from pool import __version__, jsonlite, plugged, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes of a line that are read at most.
_LONGEST = 1024 * 1024


def become(home: str, redis_url: str) -> None:
    """Become `coord mcp`, where it is there; else serve no tool.

    ``home`` and ``redis_url`` are the session's: `coord` knows no option of the plugin.
    """
    coord = _coord()
    if coord:
        os.environ.setdefault("COORD_HOME", home)
        if redis_url:
            os.environ.setdefault("COORD_REDIS_URL", redis_url)
        os.execv(coord, [coord, "mcp", "--role", role()])
    print("coord: no MCP tools: `coord mcp` is not on PATH (pip install 'coord[mcp]')", file=sys.stderr)
    serve()


def serve() -> None:
    """Answer until the client has gone."""
    for line in sys.stdin.buffer:
        answer = reply(line[:_LONGEST])
        if answer is not None:
            sys.stdout.write(jsonlite.dumps(answer) + "\n")
            sys.stdout.flush()


def reply(line: bytes) -> dict[str, Any] | None:
    """The answer to one message; None to a notification, or to what is no message."""
    try:
        message = jsonlite.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or "id" not in message or "method" not in message:
        return None
    base = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        params = message.get("params")
        version = params.get("protocolVersion") if isinstance(params, dict) else None
        server = {"name": "coord", "version": __version__}
        return {**base, "result": {"protocolVersion": version, "capabilities": {}, "serverInfo": server}}
    if message["method"] == "ping":
        return {**base, "result": {}}
    return {**base, "error": {"code": -32601, "message": "this session is no worker: there is nothing here"}}


def role() -> str:
    """Whose tools this session wants: ``worker``, ``operator`` or ''."""
    try:
        if units.truth(os.environ.get("COORD_WORKER", "") or _option("worker")):
            return "worker"
        return "operator" if units.truth(_option("operator")) else ""
    except ValueError:
        return ""


def _option(name: str) -> str:
    return os.environ.get(plugged.OPTION + name.upper(), "")


def _coord() -> str:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, "coord")
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return ""
