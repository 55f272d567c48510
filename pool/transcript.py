"""A session's transcript: lines of JSON that Claude Code appends, a little late. Standard library only.

What it holds was seen with Claude Code 2.1.329: a line of type ``assistant`` for each block of a model's
answer, with the usage of the whole request on each of them; the sub-agents' in files of their own, beside
it in ``SESSION/subagents``. The format is the client's own and may change: what is not as expected is
skipped.
"""

from __future__ import annotations

import os

from pool import apierror, jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: The model of answers that the client made up itself, to tell of an error.
SYNTHETIC = "<synthetic>"

#: Bytes at the end of a transcript in which an error of just now is looked for.
_TAIL = 256 * 1024
#: Bytes that are read at once.
_CHUNK = 1 << 20


def reset(path: str, now: float) -> float | None:
    """When the quota resets that ended the last turn (seconds since 1970, after ``now``), if it is told."""
    try:
        size = os.stat(path).st_size
    except OSError:
        return None
    found = None
    for _, line in lines(path, max(0, size - _TAIL)):
        if b'"resetsAt"' in line:
            at = apierror.reset_in(_object(line))
            found = at if at is not None and at > now else found
    return found


def last_error(path: str) -> str:
    """The API error with which a session's last turn has ended; '' when it ended otherwise."""
    try:
        size = os.stat(path).st_size
    except OSError:
        return ""
    found = ""
    for _, line in lines(path, max(0, size - _TAIL)):
        if b'"assistant"' in line:
            record = _object(line)
            if record.get("type") == "assistant" and not record.get("isSidechain"):
                error = record.get("error")
                found = error if record.get("isApiErrorMessage") and isinstance(error, str) else ""
    return found


def lines(path: str, offset: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines after an offset, each with the offset after it; nothing of a file that is not there."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            rest = b""
            while chunk := file.read(_CHUNK):
                parts = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
                rest = parts.pop()  # a line that is not whole yet is read the next time
                for part in parts:
                    offset += len(part) + 1
                    yield offset, part
    except OSError:
        return


class Answer:
    """A model's answer: when it was written, which request's it is, and what that has used.

    ``tokens``: input, output, cache read, cache write for five minutes, cache write for an hour.
    """

    __slots__ = ("at", "fast", "key", "model", "tokens")

    def __init__(self, at: str, key: str, model: str, tokens: tuple[int, ...], fast: bool) -> None:
        self.at = at
        self.key = key
        self.model = model
        self.tokens = tokens
        self.fast = fast


def answer(line: bytes) -> Answer | None:
    """The model's answer in a line of a transcript; None if it holds none."""
    if b'"usage"' not in line or b'"assistant"' not in line:
        return None
    record = _object(line)
    message = record.get("message")
    usage = message.get("usage") if isinstance(message, dict) else None
    if record.get("type") != "assistant" or not isinstance(message, dict) or not isinstance(usage, dict):
        return None
    model = str(message.get("model") or "")
    if model == SYNTHETIC or record.get("isApiErrorMessage"):
        return None
    created = usage.get("cache_creation")
    hour = _count(created, "ephemeral_1h_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    plain = [_count(usage, name) for name in ("input_tokens", "output_tokens", "cache_read_input_tokens")]
    tokens = (*plain, max(0, written - hour), min(hour, written))
    request = record.get("requestRef") or record.get("requestId") or ""
    key = f"{message.get('id')} {request}"[:200]
    return Answer(str(record.get("timestamp") or ""), key, model, tokens, usage.get("speed") == "fast")


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = jsonlite.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
