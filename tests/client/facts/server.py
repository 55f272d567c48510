"""An MCP server over stdio with one tool, `look`, which tells what it was called with."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "observed", "version": "1"},
        }
    if method == "tools/list":
        schema = {"type": "object", "properties": {"word": {"type": "string"}}}
        return {"tools": [{"name": "look", "description": "Look.", "inputSchema": schema}]}
    if method == "tools/call":
        env = {name: value for name, value in os.environ.items() if name.startswith("CLAUDE")}
        said = {"word": params["arguments"]["word"], "parent": os.getppid(), "environment": env}
        return {"content": [{"type": "text", "text": json.dumps(said)}]}
    return {}


def main() -> None:
    """Answer each request until the end of input."""
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = answer(request["method"], request.get("params") or {})
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
