"""The options that describe a task, which `coord submit` and `coord schedule add` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from coordinator import completing
from coordinator.commands import common
from pool import model, profile
from pool.errors import UsageError
from pool.operate import submission

_F = TypeVar("_F", bound=Callable[..., Any])

#: Options for which an empty value would quietly mean "none".
_NEVER_EMPTY = ("check", "model", "unique", "worktree_base")

_OPTIONS = (
    click.option("-f", "--file", "file", metavar="FILE", help="Read the prompt from a file."),
    click.option("--title", help="The title (default: the prompt's first line)."),
    click.option(
        "--context", multiple=True, metavar="FILE", help="A file to be inlined (bounded by context_limit)."
    ),
    click.option("--read", multiple=True, metavar="PATH", help="A path that the session is told to read."),
    click.option("--cwd", metavar="DIR", help="The directory to work in (default: this one; '' for none)."),
    click.option(
        "-q",
        "--queue",
        metavar="NAME",
        shell_complete=completing.queues,
        help="The queue (a queue is also how a task asks for a capability).",
    ),
    click.option(
        "-p", "--priority", type=click.Choice([p.value for p in model.Priority]), help="Default: normal."
    ),
    click.option("--retries", type=int, help="How often it is tried again after a failure (default 0)."),
    click.option("--backoff", metavar="DURATIONS", help="Waits before the retries: 10s,1m,10m."),
    click.option(
        "--timeout",
        metavar="DURATION",
        help="It may run for so long (default: the setting task_timeout, 2h).",
    ),
    click.option("--unique", metavar="KEY", help="Do nothing if a live task has this key."),
    click.option(
        "--check",
        metavar="COMMAND",
        help="A command that must pass before it is done, run where the setting `checks` allows it.",
    ),
    click.option(
        "--worktree", is_flag=True, help="In a git worktree of its own, on the branch coord/ID; you merge it."
    ),
    click.option(
        "--worktree-base", metavar="COMMIT", help="With --worktree: begin with this, instead of HEAD."
    ),
    click.option(
        "--finish",
        type=click.Choice(["command", "message"]),
        help="What ends it: `coord-worker complete` (default), or its session's last message, the result.",
    ),
    click.option("--model", metavar="NAME", help="The model of the session that does it."),
    click.option("--effort", type=click.Choice(profile.EFFORTS), help="How hard that model thinks."),
    click.option(
        "--permission-mode",
        type=click.Choice(profile.PERMISSION_MODES),
        help="How its session asks for permission (bypassPermissions: see the setting allow_bypass).",
    ),
    click.option(
        "--allowed-tools",
        multiple=True,
        metavar="RULE",
        help="A tool that it may use unasked: 'Bash(git *)'.",
    ),
    click.option("--disallowed-tools", multiple=True, metavar="RULE", help="A tool that it may not use."),
    click.option("--max-turns", type=click.IntRange(1), metavar="N", help="Turns that it may take."),
    click.option("--budget", type=float, metavar="USD", help="What it may cost, in US dollars."),
)


def options(command: _F) -> _F:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a task that the options set.

    Raises:
        UsageError: They do not fit together, or one is empty that must not be.
    """
    found: dict[str, Any] = {}
    for name in _NEVER_EMPTY:
        if given.get(name) == "":  # most likely a variable that was never set: without its check a
            # task would be believed, not checked
            raise UsageError(f"--{name.replace('_', '-')} is empty: give it a value, or leave it out")
    for name, value in given.items():
        if value is None or value is False or value == ():
            continue
        found["id" if name == "task_id" else name] = list(value) if isinstance(value, tuple) else value
    base = found.pop("worktree_base", None)
    if base is not None:
        if not found.get("worktree"):
            raise UsageError("--worktree-base needs --worktree")
        found["worktree"] = base
    if "backoff" in found:
        found["backoff"] = [part for part in str(found["backoff"]).split(",") if part]
    if found.get("cwd"):
        found["cwd"] = os.path.abspath(found["cwd"])
    return found


def here() -> str:
    """The directory to work in when none is named.

    Raises:
        UsageError: It is gone.
    """
    try:
        return os.getcwd()
    except OSError:
        raise UsageError(
            "the current directory is gone: name another with --cwd, or none with --cwd ''"
        ) from None


def prompt(given: str | None, file: str | None) -> str:
    """The prompt: as given, of standard input ('-'), or of a file.

    Raises:
        UsageError: It cannot be read, or is not text.
    """
    if given is None:
        return submission.read_prompt(str(file))
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is not text (UTF-8)") from None


#: What a task waits for where nobody offers what it needs.
_LACKING = {
    "check": "runs checks now (setting checks); a task with a check",
    "bypass": "allows bypassPermissions now (setting allow_bypass); a task that asks for it",
    "profile": "starts sessions now (`coord worker run`); a task that asks for a model, tools or limits",
}


def hindrances(ctx: common.Context, specs: Sequence[model.TaskSpec]) -> list[str]:
    """What keeps these tasks from being done now, in lines to warn with."""
    wanted = {spec.queue or ctx.settings.queue for spec in specs}
    found = [
        f"no worker serves the queue {queue!r} now; what waits there waits for one"
        for queue in submission.unserved(ctx.connection, wanted)
    ]
    lacking = submission.unoffered(ctx.connection, ctx.settings, specs)
    found += [f"no worker {_LACKING[token]} waits for one" for token in lacking]
    paused: Any = ctx.connection.smembers("pool:paused")
    held = sorted(wanted & {name.decode() for name in paused})
    return found + [f"the queue {queue!r} is paused: `coord resume {queue}`" for queue in held]
