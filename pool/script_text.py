"""The text of a Lua script as Redis gets it: generated header, the parts it includes, the script.

A script is one file in pool/lua; its first line names the parts (pool/lua/lib) it needs:
``-- include: base worker task``. The header holds RQ's key names (``K``), the limits from the settings
(``L``) and the scripts' version. Standard library only: hooks import it.
"""

from __future__ import annotations

import binascii
import os
import zlib

try:
    from _sha1 import sha1
except ImportError:
    from hashlib import sha1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lua")

#: The scripts by file name, where there is no folder of them (the single-file copy of the hooks).
EMBEDDED: dict[str, str] = {}

#: Version of the scripts' contract with the keyspace. Raise it with each change of what the keys mean: the
#: scripts of version N work beside those of N - 1 (docs/operations.md, "Upgrading while it runs").
VERSION = 3

#: The settings that scripts need.
LIMITS = (
    "lease", "provisional", "loss_limit", "release_limit", "release_delay", "release_delay_max",
    "reminders", "task_timeout", "result_ttl", "failure_ttl", "event_limit", "monitor_event_limit",
    "worker_memory", "backstop",
    "stats_ttl", "check_limit", "quota_wait", "quota_jitter", "quota_grace", "error_wait", "cost_ttl",
)  # fmt: skip


def exc_string(text: str) -> str:
    """A failure's text as RQ's results stream holds it: base64 of zlib."""
    return binascii.b2a_base64(zlib.compress(text.encode()), newline=False).decode()


def texts(values: dict[str, Any]) -> dict[str, str]:
    """Why the scripts themselves let a task fail, by name."""
    return {
        "poison": f"poison: {values['loss_limit']} workers died while they held this task",
        "releases": f"handed back more than {values['release_limit']} times",
        "timeout": "the task ran past its timeout",
        "budget": "the task has cost more than its budget (`coord task` shows both)",
        "reminders": f"the session wanted to stop {values['reminders']} times without a tool call "
        "and without completing the task",
    }


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def header(values: dict[str, Any], templates: dict[str, str]) -> str:
    """The Lua tables K and L, and VERSION."""
    lines = []
    for name, template in templates.items():
        parts = [_quote(part) for part in template.split("{}")]
        if len(parts) == 1:
            lines.append(f"{name} = {parts[0]}")
        elif len(parts) == 2:
            tail = "" if parts[1] == "''" else f" .. {parts[1]}"
            lines.append(f"{name} = function(a) return {parts[0]} .. a{tail} end")
        else:
            lines.append(f"{name} = function(a, b) return {parts[0]} .. a .. {parts[1]} .. b end")
    limits = [f"{name} = {float(values[name]):.15g}" for name in LIMITS]
    for name, text in texts(values).items():
        limits.append(f"{name}_text = {_quote(text)}")
        limits.append(f"{name}_b64 = {_quote(exc_string(text))}")
    keys, bounds = ",\n  ".join(lines), ",\n  ".join(limits)
    return f"local VERSION = {VERSION}\nlocal K = {{\n  {keys}}}\nlocal L = {{\n  {bounds}}}\n"


class ScriptTexts:
    """The scripts of one installation: ``text(name)`` and its ``sha(name)``."""

    def __init__(self, values: dict[str, Any], templates: dict[str, str]) -> None:
        self._header = header(values, templates)
        self._texts: dict[str, str] = {}
        self._shas: dict[str, str] = {}

    def text(self, name: str) -> str:
        """The whole text of a script.

        Raises:
            FileNotFoundError: There is no such script.
        """
        if name not in self._texts:
            body = _read(f"{name}.lua")
            first = body.split("\n", 1)[0]
            parts = first.removeprefix("-- include:").split() if first.startswith("-- include:") else []
            libs = [_read(os.path.join("lib", f"{part}.lua")) for part in parts]
            self._texts[name] = self._header + "".join(libs) + body
        return self._texts[name]

    def sha(self, name: str) -> str:
        """What EVALSHA calls it by."""
        if name not in self._shas:
            self._shas[name] = sha1(self.text(name).encode()).hexdigest()
        return self._shas[name]


def names() -> list[str]:
    """Every script there is."""
    return sorted(name[:-4] for name in os.listdir(FOLDER) if name.endswith(".lua"))


def _read(name: str) -> str:
    if EMBEDDED:
        return EMBEDDED[name]
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()
