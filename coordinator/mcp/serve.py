"""The server itself, on the official `mcp` package: its tools, its errors, and standard output kept clean.

It runs on mcp 1.23 or newer, and on mcp 2. Only this package and what it calls import it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import util
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import ValidationError

from pool import __version__, payload, wire
from pool.errors import CoordError

_TWO = util.find_spec("mcp.server.mcpserver") is not None

if TYPE_CHECKING or _TWO:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
else:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer
    from mcp.server.fastmcp.exceptions import ToolError


class Server(MCPServer[Any]):
    """The package's server, whose errors are one line; an argument that a tool does not know is one."""

    async def list_tools(self) -> list[Any]:
        """The tools. Their schemas say that there are no other arguments: the package drops them unsaid."""
        found = list(await super().list_tools())
        for tool in found:
            _schema(tool)["additionalProperties"] = False
        return found

    async def call_tool(self, name: str, arguments: dict[str, Any], *args: Any, **more: Any) -> Any:
        """Call a tool.

        Raises:
            ToolError: It failed; or there is no such tool, or its arguments do not fit.
        """
        known = {tool.name: list(_schema(tool).get("properties", {})) for tool in await self.list_tools()}
        unknown = [repr(each[:60]) for each in arguments if each not in known.get(name, arguments)]
        if unknown:
            has = f"it takes {', '.join(known[name])}" if known[name] else "it takes none"
            raise ToolError(f"{name}: unknown argument {', '.join(unknown[:10])} ({has}); nothing was done")
        try:
            return await super().call_tool(name, arguments, *args, **more)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                first = cause.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ToolError(f"{name}: {where}: {_line(first['msg'])}") from None
            raise ToolError(str(cause if isinstance(cause, ToolError) else error)) from None


def _schema(tool: Any) -> dict[str, Any]:
    """What a tool takes; mcp 2 has another name for it than mcp 1."""
    found: dict[str, Any] = tool.input_schema if _TWO else tool.inputSchema
    return found


def make(instructions: str) -> Server:
    """A server without tools."""
    more: dict[str, Any] = {"version": __version__} if _TWO else {}
    return Server("coord", instructions=instructions, log_level="CRITICAL", **more)


def run(server: Server) -> None:
    """Serve until the client has gone. Standard output carries the protocol and nothing else."""
    sys.stdin, sys.stdout = _own(0, "rb"), _own(1, "wb")
    try:
        anyio.run(server.run_stdio_async)
    except KeyboardInterrupt:
        pass
    finally:
        # A tool that still runs (a task's check) is left to its own end, and the client has gone.
        os._exit(0)


def _own(fd: int, mode: str) -> io.TextIOWrapper:
    """Keep a standard stream for the protocol; what prints, or is started, from now on has another."""
    kept = os.dup(fd)
    other = os.open(os.devnull, os.O_RDONLY) if fd == 0 else os.dup(2)
    os.dup2(other, fd)
    os.close(other)
    return io.TextIOWrapper(os.fdopen(kept, mode), encoding="utf-8", newline="\n")


def reads(title: str) -> dict[str, Any]:
    """A tool that changes nothing."""
    return _hints(title, True, False, True)


def changes(title: str, destroys: bool = False, again: bool = False) -> dict[str, Any]:
    """A tool that changes something: for good (``destroys``), and nothing more when called ``again``."""
    return _hints(title, False, destroys, again)


def _hints(title: str, read_only: bool, destroys: bool, again: bool) -> dict[str, Any]:
    hints = {
        "title": title, "readOnlyHint": read_only, "destructiveHint": destroys, "idempotentHint": again,
        "openWorldHint": False,
    }  # fmt: skip
    return {"title": title, "annotations": ToolAnnotations.model_validate(hints), "structured_output": True}


def answer(text: str, data: dict[str, Any]) -> CallToolResult:
    """A tool's answer: text for the model, and the same as data."""
    return CallToolResult.model_validate(
        {"content": [{"type": "text", "text": text}], "structuredContent": data}
    )


def call(function: Callable[..., CallToolResult], *args: Any) -> Awaitable[CallToolResult]:
    """Run what blocks in a thread; an error becomes the tool's, in one line."""
    return anyio.to_thread.run_sync(partial(_told, function, *args), abandon_on_cancel=True)


def _told(function: Callable[..., CallToolResult], *args: Any) -> CallToolResult:
    try:
        return function(*args)
    except CoordError as error:
        raise ToolError(str(error)) from None
    except payload.NotATask as error:
        raise ToolError(f"this is not a task of coord's: {_line(error)}") from None
    except wire.ReplyError as error:
        raise ToolError(f"Redis refused: {_line(error)}") from None
    except Exception as error:
        raise ToolError(f"coord {__version__} failed: {type(error).__name__}: {_line(error)}") from None


def _line(error: object) -> str:
    return " ".join(str(error).split())[:500]
