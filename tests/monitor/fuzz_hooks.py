"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): some of the data it makes names what there really is."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import schemathesis

#: Names by kind: tasks, workers, sessions, queues.
KNOWN: dict[str, list[str]] = json.loads(os.environ.get("FUZZ_KNOWN", "{}"))
#: Fields of bodies, and what they name.
_FIELDS = {"ids": "tasks", "after": "tasks", "workers": "workers", "target": "workers", "queue": "queues",
           "session_id": "sessions"}  # fmt: skip


def _chosen(kind: str, by: object) -> str | None:
    """One of that kind for two in three, always the same for the same data."""
    number = zlib.crc32(repr(by).encode("utf-8", "backslashreplace"))
    names = KNOWN.get(kind)
    return names[number // 3 % len(names)] if names and number % 3 else None


@schemathesis.hook
def map_body(ctx: Any, body: Any) -> Any:
    """Bodies: the fields that name something."""
    if not isinstance(body, dict):
        return body
    for field, kind in _FIELDS.items():
        if field in body and (name := _chosen(kind, body)) is not None:
            body[field] = [name] if isinstance(body[field], list) else name
    return body


@schemathesis.hook
def map_path_parameters(ctx: Any, path_parameters: Any) -> Any:
    """Addresses: the id of a task or a session."""
    if isinstance(path_parameters, dict) and "id" in path_parameters:
        kind = "tasks" if "/tasks/" in ctx.operation.path else "sessions"
        path_parameters["id"] = _chosen(kind, path_parameters) or path_parameters["id"]
    return path_parameters
