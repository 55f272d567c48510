"""Edits of a JSON text that leave the rest of it as it stands: its order, its spaces, its line ends.

Claude Code's settings files are written by people and by several programs. Each edit takes the text and
returns another; what is added takes on the manner of what stands beside it (indented, or on one line).
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

#: The way from the root to a value: keys of objects and indices of arrays.
Path = tuple[str | int, ...]

_SPACE = " \t\n\r"


class Entry(NamedTuple):
    """One entry of an object or array, as offsets into the text."""

    key: str | int
    start: int
    value: int
    end: int


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def loads(text: str) -> Any:
    """The value of a text (which may begin with a byte order mark).

    Raises:
        ValueError: The text is not JSON; the message says where.
    """
    try:
        start = _skip(text, 0)
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text[end:].strip(_SPACE):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def insert(text: str, path: Path, key: str, value: Any) -> str:
    """Add a member at the end of the object, or (``key`` is '') an item at the end of the array."""
    at = _find(text, path)
    entries, close = _entries(text, at)
    member = text[at] == "{"
    if entries:
        # What parts the last two entries parts the new one from them.
        single = len(entries) == 1
        gap = "," + text[at + 1 : entries[0].start] if single else text[entries[-2].end : entries[-1].start]
        new = _written(text, key, value, member, gap)
        return text[: entries[-1].end] + gap + new + text[entries[-1].end :]
    line = text[text.rfind("\n", 0, at) + 1 : at]
    own = line[: len(line) - len(line.lstrip())]
    if "\n" not in text[:at] and path:
        new = _written(text, key, value, member, "")  # a text on one line stays on it
        return text[: at + 1] + new + text[close:]
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = newline + own + _unit(text)
    return text[: at + 1] + gap + _written(text, key, value, member, gap) + newline + own + text[close:]


def remove(text: str, path: Path) -> str:
    """Take the member or item out, with its comma."""
    at = _find(text, path[:-1])
    entries, close = _entries(text, at)
    index = _index(entries, path[-1])
    if len(entries) == 1:
        return text[: at + 1] + text[close:]
    if index == len(entries) - 1:
        return text[: entries[index - 1].end] + text[entries[index].end :]
    return text[: entries[index].start] + text[entries[index + 1].start :]


def _skip(text: str, at: int) -> int:
    while at < len(text) and (text[at] in _SPACE or (at == 0 and text[at] == "\ufeff")):
        at += 1
    return at


def _find(text: str, path: Path) -> int:
    """Where the value at a path begins."""
    at = _skip(text, 0)
    for key in path:
        entries, _ = _entries(text, at)
        at = entries[_index(entries, key)].value
    return at


def _index(entries: list[Entry], key: str | int) -> int:
    # Of a key that is there twice the last one counts, as for every reader of JSON.
    return max(index for index, entry in enumerate(entries) if entry.key == key)


def _entries(text: str, at: int) -> tuple[list[Entry], int]:
    """The entries of the object or array that begins there, and where its closing bracket is."""
    closing = "}" if text[at] == "{" else "]"
    found: list[Entry] = []
    at = _skip(text, at + 1)
    while text[at] != closing:
        start = at
        key: str | int = len(found)
        if closing == "}":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        found.append(Entry(key, start, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found, at


def _unit(text: str) -> str:
    """One step of the text's indentation; two blanks where it has none."""
    first = re.search(r"\n([ \t]+)[^ \t\r\n]", text)
    return first[1] if first else "  "


def _written(text: str, key: str, value: Any, member: bool, gap: str) -> str:
    tight = gap == "," or (gap == "" and '": ' not in text)
    if "\n" in gap:
        margin = gap[gap.rindex("\n") :]
        lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
        body = ("\r" + margin if "\r\n" in gap else margin).join(lines)
    else:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":") if tight else None)
    return json.dumps(key, ensure_ascii=False) + (":" if tight else ": ") + body if member else body
