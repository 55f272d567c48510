"""`coord`: the operator's command line."""

from __future__ import annotations

import sys

try:
    import errno
    import importlib
    import io
    import os
    from typing import Any

    import click
    from click.shell_completion import CompletionItem

    from pool.errors import EXIT_INTERRUPTED, EXIT_OUTPUT, EXIT_USAGE, CoordError
except KeyboardInterrupt:  # before main(), which sees to it from then on
    sys.stderr.write("coord: interrupted\n")
    sys.exit(130)

#: Command -> (module that holds it, what it does). Imported late: `coord --help` takes 60 ms instead of 600.
COMMANDS = {
    "accounts": ("accounts", "Show accounts and their quota; park, stop or resume one."),
    "cancel": ("tasks", "Cancel tasks that have not ended."),
    "completion": ("completion", "Print the completion script of a shell."),
    "cost": ("cost", "Show what sessions have used, and what that cost."),
    "dead-letters": ("service", "Show what could not become a task, with the reason."),
    "doctor": ("doctor", "See what is wrong here, and how to mend it."),
    "down": ("service", "End the embedded Redis of this project."),
    "drain": ("workers", "Let workers finish their task and stop."),
    "events": ("service", "Show what happened (-f: as it happens)."),
    "export": ("archive", "Write tasks with their state to a file."),
    "hooks": ("hooks", "Install, inspect or remove the Claude Code hooks."),
    "idle": ("workers", "Change how long a worker may idle."),
    "import": ("archive", "Make the tasks of an exported file."),
    "logs": ("logs", "Show what was said and done, by a worker or for a task."),
    "mcp": ("mcp", "Serve the pool's tools to an MCP client."),
    "monitor": ("monitor", "Run the monitor: every session, in a browser."),
    "notify": ("notify", "Send a test notification by each way that is on."),
    "pause": ("workers", "Pause a queue, or all."),
    "purge": ("purge", "Delete tasks that ended long ago."),
    "queues": ("workers", "Show queues with their depths."),
    "reap": ("workers", "Take back what dead workers hold, now."),
    "requeue": ("tasks", "Put running or scheduled tasks back into their queue."),
    "result": ("tasks", "Print a task's result."),
    "resume": ("workers", "Resume a paused queue, or all."),
    "retry": ("tasks", "Run failed or cancelled tasks again."),
    "schedule": ("schedule", "Make tasks by the clock: cron expressions, intervals."),
    "serve": ("service", "Run the coordinator."),
    "settings": ("service", "Show the settings in force."),
    "stats": ("stats", "Show throughput, waiting and running times by queue."),
    "submit": ("submit", "Enqueue a task, or a file of them."),
    "task": ("tasks", "Show one task."),
    "tasks": ("tasks", "List tasks."),
    "tell": ("tell", "Send a message to a working session."),
    "top": ("top", "Show live what every session does, who needs you first."),
    "trigger": ("service", "Send a trigger: a message becomes a task."),
    "up": ("service", "Start the embedded Redis, the coordinator and the monitor."),
    "versions": ("versions", "Show who runs which version; require a newer one."),
    "wait": ("tasks", "Wait until tasks have ended."),
    "worker": ("worker", "Supervise a worker: sessions are started when there is work."),
    "workers": ("workers", "List workers (--watch: live)."),
    "worktrees": ("worktrees", "List the git worktrees of tasks; remove one."),
}

#: Python names of commands that are not the command's own.
_NAMES = {"dead-letters": "dead_letters", "events": "events_", "import": "import_"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"coordinator.commands.{COMMANDS[name][0]}")
        command = getattr(module, _NAMES.get(name, name))
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, without importing them; options, as click has it."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=COMMANDS[name][1])
            for name in sorted(COMMANDS)
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="coord", prog_name="coord")
def group() -> None:
    """A pool of Claude Code sessions fed from Redis.

    Durations are written 90, 90s, 10m or 2h. With --json, a command prints one object or a list.

    Exit codes: 0 done; 1 the answer is no (a task failed, time ran out); 2 wrong usage or input, nothing
    was changed; 5 Redis cannot be reached, or refuses; 6 what was done stands, but its answer could not be
    written; 130 interrupted.
    """


def main(argv: list[str] | None = None) -> None:
    """Run a command; ends the process with a documented exit code and, if it failed, one clear line."""
    args = sys.argv[1:] if argv is None else argv
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`), which wants to hear nothing
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that lacks a letter is no reason to fail
    code: Any = 0
    try:
        code = group.main(args=args or ["--help"], prog_name="coord", standalone_mode=False)
        code = code if args else EXIT_USAGE
        sys.stdout.flush()
    except CoordError as error:
        code = _fail(str(error), error.exit_code)
    except click.ClickException as error:
        code = _fail(_usage(error), EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except SystemExit as end:
        # click itself ends with 1 when the reader has gone (`coord tasks | head`), which is no error.
        code = 0 if type(sys.stdout).__name__.endswith("PacifyFlushWrapper") else end.code
    except BrokenPipeError:
        # The reader has gone (`coord tasks | head`): nothing to say, nobody to hear it, at exit neither.
        _hush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT, errno.EBADF):
            raise
        _hush()
        code = _fail(
            f"standard output cannot be written: {error.strerror}; what was done stands", EXIT_OUTPUT
        )
    sys.exit(code if isinstance(code, int) else 0)


def _hush() -> None:
    """Write no more to standard output, at the end of the process neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    """Say what went wrong: one line, without what would steer a terminal."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(message.split()))
    print(f"coord: {line}", file=sys.stderr)
    return code


def _usage(error: click.ClickException) -> str:
    """click's words, and where to read on."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "coord"
    message = error.format_message().rstrip(".")
    return f"{message}{'' if message.endswith('?') else ':'} `{path} --help` shows how"


if __name__ == "__main__":
    main()
