"""What can go wrong, with the exit code that the command line gives it.

The docstring of a class is its message to the user, with the remedy; an instance may say it more
precisely. Exit codes (documented in docs/internals.md): 0 done, 1 failed, 2 bad usage or input,
3 no task, 4 the claim is not yours any more, 5 Redis cannot be reached.
"""

from __future__ import annotations

EXIT_DONE = 0
#: The command ran and its answer is "no": a task failed, a wait ended without a result.
EXIT_FAILED = 1
#: The input was wrong; nothing was changed.
EXIT_USAGE = 2
#: There is no task to hand out.
EXIT_NO_TASK = 3
#: The claim is not (or no longer) the caller's.
EXIT_STALE = 4
#: Redis did not answer.
EXIT_REDIS = 5
#: The command did what it was asked to; what it had to say could not be written (a full disk).
EXIT_OUTPUT = 6
#: Ctrl-C, as shells have it.
EXIT_INTERRUPTED = 130


class CoordError(Exception):
    """Something went wrong in coord."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n\n")[0])


class UsageError(CoordError):
    """The input was not understood; nothing was changed."""

    exit_code = EXIT_USAGE


class SettingsError(UsageError):
    """A setting is wrong: check coord.toml and the COORD_* variables."""


class UnknownTask(UsageError):
    """There is no such task (it may have expired): `coord tasks` lists them."""


class UnknownWorker(UsageError):
    """There is no such worker: `coord workers` lists them."""


class TaskExists(UsageError):
    """A task with this id exists already; nothing was submitted."""


class UnknownDependency(UsageError):
    """A task to wait for does not exist; nothing was submitted."""


class WrongState(UsageError):
    """The task is in a state from which this cannot be done."""


class StaleClaim(CoordError):
    """This claim is not yours any more: drop the task, do not commit its work, and go on."""

    exit_code = EXIT_STALE


class Unchecked(CoordError):
    """The task has a check, which must pass before it is complete."""

    def __init__(self, token: str = "", data: bytes = b"", attempts: int = 0) -> None:
        super().__init__()
        self.token = token
        self.data = data
        self.attempts = attempts


class CheckFailed(CoordError):
    """The task's check did not pass: mend what it says, and complete again."""


class ChecksOff(CoordError):
    """This task has a check, and this worker may run none (setting checks): release it for another."""


class NotRegistered(CoordError):
    """This worker is not registered (or was given up on): start a new session, or claim again."""

    exit_code = EXIT_STALE


class RedisAway(CoordError):
    """Redis cannot be reached: is it running? `coord up` starts one, COORD_REDIS_URL names another."""

    exit_code = EXIT_REDIS


class Outdated(RedisAway):
    """This coord is too old for its pool: upgrade it and start a new session. Nothing was changed."""
