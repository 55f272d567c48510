"""What a task says, as an RQ job holds it: zlib(JSON [function, null, [], {fields}]).

JSON only, never pickle; the function's name is compared, never imported (design section 4).
Standard library only: hooks import it.
"""

from __future__ import annotations

import zlib

from pool import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What a plain `rq worker` runs for a task of ours.
FUNCTION = "workers.headless.run"

#: A payload may not unpack to more than this (bytes): a small zlib bomb would fill the memory.
UNPACKED_LIMIT = 64 * 1024 * 1024


class NotATask(ValueError):
    """The job is not a task: another function, another serializer, or no prompt."""


def encode(fields: dict[str, Any]) -> bytes:
    """The job's data for these task fields (prompt, title, context, cwd, check ...)."""
    return zlib.compress(jsonlite.dumps([FUNCTION, None, [], fields]).encode())


def decode(data: bytes) -> dict[str, Any]:
    """The task's fields.

    Raises:
        NotATask: With the reason, in words for the dead letters.
    """
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(data, UNPACKED_LIMIT)
        if unpacker.unconsumed_tail:
            raise NotATask("its payload unpacks to more than 64 MiB")
    except zlib.error:
        raw = data  # RQ itself reads payloads that are not compressed
    try:
        value = jsonlite.loads(raw)
    except (ValueError, UnicodeDecodeError):
        kind = "a pickle" if raw[:1] == b"\x80" else "not JSON"
        raise NotATask(f"its payload is {kind}; coord reads JSON only") from None
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[3], dict):
        raise NotATask("its payload is not an RQ job's")
    if value[0] != FUNCTION:
        raise NotATask(f"it asks for the function {str(value[0])[:100]!r}, not {FUNCTION!r}")
    if value[2] or value[1] is not None or not isinstance(value[3].get("prompt"), str):
        raise NotATask("it has no prompt (pass it as a keyword)")
    return value[3]
