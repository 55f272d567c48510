"""A log's entries in lines for people: what was said, which tools were called and what came of it. No I/O."""

from __future__ import annotations

import json
from typing import Any

#: Lines of a tool's result, and characters of a line, that are shown.
_LINES, _WIDTH = 12, 400

#: Which of a tool's arguments says most.
_TELLING = ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt")


def lines(entry: dict[str, Any]) -> list[str]:
    """The lines of an entry; [] for what only programs want to know."""
    if "event" in entry:
        return [f"-- {entry['event']}"]
    if "text" in entry:
        return [str(entry["text"])]
    frame = entry.get("frame")
    if not isinstance(frame, dict):
        return []
    kind = frame.get("type")
    indent = "   " if frame.get("parent_tool_use_id") else ""
    if kind == "assistant":
        found = [line for block in _blocks(frame) for line in _said(block)]
    elif kind == "user":
        found = [line for block in _blocks(frame) for line in _heard(block)]
    elif kind == "result":
        found = [_ended(frame)]
    elif kind == "system":
        found = _system(frame)
    elif kind == "rate_limit_event":
        found = _limit(frame.get("rate_limit_info"))
    else:
        found = []
    return [indent + line for line in found]


def _blocks(frame: dict[str, Any]) -> list[dict[str, Any]]:
    message = frame.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _said(block: dict[str, Any]) -> list[str]:
    """What the model says or does."""
    if block.get("type") == "text":
        return _cut(str(block.get("text", "")), 1000)
    if block.get("type") != "tool_use":
        return []
    given = block.get("input")
    given = given if isinstance(given, dict) else {}
    told = next((given[name] for name in _TELLING if isinstance(given.get(name), str)), None)
    first, *more = _cut(told if told is not None else json.dumps(given, ensure_ascii=False)) or [""]
    return [f"> {block.get('name')}: {first}", *(f">   {line}" for line in more)]


def _heard(block: dict[str, Any]) -> list[str]:
    """What comes back to the model: a tool's result, a hook's hand-over, a message."""
    if block.get("type") == "text":
        return [f"» {line}" for line in _cut(str(block.get("text", "")))]
    if block.get("type") != "tool_result":
        return []
    content = block.get("content")
    if isinstance(content, list):
        texts = [str(part.get("text", "")) for part in content if isinstance(part, dict)]
        content = "\n".join(texts)
    mark = "! " if block.get("is_error") else "< "
    return [mark + line for line in _cut(str(content or ""))]


def _ended(frame: dict[str, Any]) -> str:
    usage = frame.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    tokens = sum(usage[name] for name in names if isinstance(usage.get(name), int))
    cost = frame.get("total_cost_usd")
    what = "the turn ended"
    if frame.get("is_error") or frame.get("subtype") != "success":
        what += f" with {frame.get('subtype')}: {str(frame.get('result') or '')[:_WIDTH]}".rstrip(": ")
    price = f", {cost:.4f} USD so far" if isinstance(cost, (int, float)) else ""
    return f"-- {what} ({frame.get('num_turns')} steps, {tokens:,} tokens{price})"


def _system(frame: dict[str, Any]) -> list[str]:
    subtype = frame.get("subtype")
    if subtype == "api_retry":
        times = f"attempt {frame.get('attempt')} of {frame.get('max_retries')}"
        return [f"-- the API answers {frame.get('error_status')} ({frame.get('error')}): {times}"]
    if subtype == "informational":
        return [f"-- {line}" for line in _cut(str(frame.get("content", "")))]
    if subtype == "compact_boundary":
        return ["-- the conversation was compacted"]
    return []


def _limit(info: Any) -> list[str]:
    if not isinstance(info, dict) or info.get("status") == "allowed":
        return []
    return [f"-- quota {info.get('rateLimitType')}: {info.get('status')}, resets at {info.get('resetsAt')}"]


def _cut(text: str, most: int = _LINES) -> list[str]:
    found = [line[:_WIDTH] + ("…" if len(line) > _WIDTH else "") for line in text.strip("\n").split("\n")]
    rest = len(found) - most
    return [*found[:most], f"... and {rest} more lines"] if rest > 0 else found
