"""`coord-worker` on the session's PATH, by the interpreter's absolute path. Standard library only."""

from __future__ import annotations

import os
import sys

from pool import local
from pool.compiled import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hooks.runtime import Hook
    from pool.local import Session


def script(python: str, root: str, compiled_path: str, copy: str = "") -> str:
    """The text of the launcher: a Python file run isolated, or sh where the path cannot stand in a #! line.

    ``copy`` is the single-file copy that it is to run, if any.
    """
    if copy:
        helper = f"{_quote(python)} -I -S {_quote(copy)} --helper {_quote(compiled_path)}"
        return f'#!/bin/sh\nexec {helper} "$@"\n'
    code = (
        f"import sys\nsys.path.insert(0, {root!r})\nfrom workers.helper import main\n"
        f"main(compiled_path={compiled_path!r})\n"
    )
    if " " not in python and len(python) < 120:
        return f"#!{python} -IS\n{code}"
    return f'#!/bin/sh\nexec {_quote(python)} -I -S -c {_quote(code)} "$@"\n'


def write(home: str, compiled_path: str, python: str = "") -> str:
    """Write HOME/bin/coord-worker unless it stands there already; the folder.

    Raises:
        OSError: The disk cannot be written.
    """
    folder = os.path.join(home, "bin")
    path = os.path.join(folder, "coord-worker")
    text = script(python or sys.executable, ROOT, compiled_path, local.COPY)
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return folder
    except OSError:
        pass  # it is not there yet
    os.makedirs(folder, mode=0o755, exist_ok=True)
    local.ignore(home)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o755)
    os.replace(temporary, path)
    return folder


def export(hook: Hook, session: Session) -> None:
    """Give the session's Bash the helper and the worker's name, through CLAUDE_ENV_FILE."""
    target = os.environ.get("CLAUDE_ENV_FILE", "")
    if not target:
        return
    lines = [
        f"export COORD_WORKER_ID={_quote(session.caller.worker)}",
        f"export COORD_SESSION={_quote(session.key)}",
        f"export COORD_COMPILED={_quote(hook.settings.path)}",
    ]
    try:
        lines.append(f'export PATH={_quote(write(hook.settings.home, hook.settings.path))}:"$PATH"')
    except OSError as error:
        hook.log(f"coord-worker could not be put on the session's PATH: {error}")
    try:
        with open(target, "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:
        hook.log(f"CLAUDE_ENV_FILE could not be written: {error}")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
