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


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = jsonlite.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
