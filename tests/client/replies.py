"""What a scripted model answers: text, tool calls, errors, silence. Values, and how they look on the wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Tokens that a reply costs, as the API counts them."""

    input: int = 10
    output: int = 5
    cache_read: int = 0
    cache_write: int = 0

    def wire(self) -> dict[str, int]:
        return {
            "input_tokens": self.input, "output_tokens": self.output,
            "cache_read_input_tokens": self.cache_read, "cache_creation_input_tokens": self.cache_write,
        }  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """One answer of the model. Made by the functions below, changed by ``with_`` (a copy)."""

    #: Content blocks: {'type': 'text', 'text'} or {'type': 'tool_use', 'name', 'input'} (ids come later).
    blocks: tuple[dict[str, Any], ...] = ()
    usage: Usage = field(default_factory=Usage)
    #: HTTP status; other than 200: an error of this type and message.
    status: int = 200
    error: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds before the first byte.
    delay: float = 0.0
    #: Not a byte before this is set (or the API closes): a model that thinks as long as a test wants.
    gate: threading.Event | None = None
    #: 'before': the connection is reset without an answer; 'within': in the middle of the stream.
    drop: str = ""

    def with_(self, **changes: Any) -> Reply:
        return replace(self, **changes)

    @property
    def stop_reason(self) -> str:
        return "tool_use" if any(block["type"] == "tool_use" for block in self.blocks) else "end_turn"


def text(words: str) -> Reply:
    """Words, and the end of the turn."""
    return Reply(({"type": "text", "text": words},))


def tool(name: str, words: str = "", **arguments: Any) -> Reply:
    """A tool call (an MCP tool by its whole name), after some words if any."""
    said = ({"type": "text", "text": words},) if words else ()
    return Reply((*said, {"type": "tool_use", "name": name, "input": arguments}))


def bash(command: str, **arguments: Any) -> Reply:
    """A call of the Bash tool."""
    return tool("Bash", command=command, description="as the test says", **arguments)


def agent(prompt: str, **arguments: Any) -> Reply:
    """A call of the Agent tool: a sub-agent with that prompt, in the foreground unless told otherwise."""
    given: dict[str, Any] = {"run_in_background": False, "subagent_type": "general-purpose", **arguments}
    return tool("Agent", description="a part of it", prompt=prompt, **given)


def error(status: int, kind: str, message: str = "", **headers: str) -> Reply:
    """An error as the API words it; ``retry_after="1"`` becomes the header retry-after."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, error=kind, message=message or kind, headers=named)


def rate_limited(message: str = "This request would exceed your rate limit.", **headers: str) -> Reply:
    """HTTP 429."""
    return error(429, "rate_limit_error", message, **headers)


def unified(status: str = "rejected", reset: float = 0.0, kind: str = "five_hour") -> dict[str, str]:
    """The headers by which a subscription's limit is told; ``reset`` is a Unix time."""
    name = "anthropic-ratelimit-unified"
    return {
        f"{name}-status": status, f"{name}-reset": str(int(reset)),
        f"{name}-representative-claim": kind, f"{name}-fallback": "",
    }  # fmt: skip


# -- the wire ----------------------------------------------------------------------------------------


def message(reply: Reply, model: str, number: int) -> dict[str, Any]:
    """The message as JSON, with ids of its own."""
    blocks = [
        {**block, "id": f"toolu_{number:06}_{index}"} if block["type"] == "tool_use" else block
        for index, block in enumerate(reply.blocks)
    ]
    return {
        "id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": model, "content": blocks,
        "stop_reason": reply.stop_reason, "stop_sequence": None, "usage": reply.usage.wire(),
    }  # fmt: skip


def events(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same message as the events of a stream."""
    usage = {**whole["usage"], "output_tokens": 1}
    yield "message_start", {"message": {**whole, "content": [], "stop_reason": None, "usage": usage}}
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"index": index, "content_block": empty}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    final = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": final, "usage": whole["usage"]}
    yield "message_stop", {}
