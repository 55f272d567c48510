"""A session as a child process: it leads a process group of its own, and ends when its parent does."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pool import bundled, local, process
from pool.errors import UsageError

#: Time (seconds) in which a session that is told to end can end its own commands.
GRACE = 5.0

#: Who the parent itself is must not reach a session: it is another one, or no worker at all.
IDENTITY = frozenset(
    (
        "CLAUDECODE", "COORD_MODE", "COORD_PROFILE", "COORD_SUPERVISED", "COORD_WORKER_ID", "WORKER_ID",
        local.SESSION_VARIABLE,
    )
)  # fmt: skip

#: prctl(2): orphans below this process become its children, so that it can end them.
_SUBREAPER = 36

#: Outlives the parent: whoever is ended by SIGKILL cannot end the session, which must not work on alone.
_WATCHER = """
import os, signal, sys, time
if not os.read(0, 1):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(int(sys.argv[1]), number)
        except OSError:
            break
        time.sleep(float(sys.argv[2]))
"""


def program(given: str) -> list[str]:
    """How Claude Code is started here, by the setting `claude`: a program, with options or without.

    Without the setting it is the one on PATH, else the one that the wheel of the Agent SDK carries.

    Raises:
        UsageError: There is no such program.
    """
    words = [given] if os.path.isfile(given) else shlex.split(given) or ["claude"]
    found = shutil.which(words[0]) or ("" if given else bundled.claude())
    if not found:
        raise UsageError(f"there is no program {words[0]!r}: install Claude Code, or name it in COORD_CLAUDE")
    return [found, *words[1:]]


@contextmanager
def started(
    argv: Sequence[str], environ: Mapping[str, str], cwd: str | None, **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A session in a process group of its own, that ends when this block or this process does.

    Raises:
        UsageError: It could not be started.
    """
    try:
        session = subprocess.Popen(argv, cwd=cwd, env=dict(environ), start_new_session=True, **streams)
    except OSError as error:
        raise UsageError(f"Claude Code did not start: {error}") from None
    ours, theirs = os.pipe()
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCHER, str(session.pid), str(GRACE)],
        stdin=ours, start_new_session=True,
    )  # fmt: skip
    os.close(ours)
    try:
        yield session
    finally:
        if session.poll() is None:
            end(session)
        os.write(theirs, b".")
        os.close(theirs)
        watcher.wait()


def end(session: subprocess.Popen[bytes]) -> None:
    """SIGTERM, on which the client ends its own commands too; SIGKILL for what is left of the group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(session.pid, number)
        with suppress(subprocess.TimeoutExpired):
            session.wait(GRACE)


def adopt_orphans() -> None:
    """Become the parent of what a session leaves running (Linux; elsewhere it is the group that is ended)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def end_orphans(group: int, name: str = "", spare: Collection[int] = ()) -> int:
    """End what a session (whose process group that was) has left running; how many processes that were.

    ``spare`` are children that are none of it. With a ``name``, other sessions run, and may leave processes
    as well: only those are ended that say (COORD_WORKER_ID) that they are this worker's. Keepers end by
    themselves, and have something to say first.
    """
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    ended = 0
    for pid in _children():  # the children of one that is ended come to us, too: at the next call
        if pid in spare or (name and not _says(pid, name)):
            continue
        with suppress(ChildProcessError, ProcessLookupError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0 and not _stays(pid):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                ended += 1
    return ended + (end_orphans(group, name, spare) if ended else 0)


def _children() -> list[int]:
    if sys.platform != "linux":
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if process.parent(pid) == os.getpid()]


def _says(pid: int, name: str) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return f"COORD_WORKER_ID={name}".encode() in file.read().split(b"\0")
    return False


def _stays(pid: int) -> bool:
    """A keeper, or the server of a terminal's windows, which are others' too."""
    return _is_keeper(pid) or process.command(pid).startswith("tmux")


def _is_keeper(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().split(b"\0")
        return local.KEEPER.encode() in words or b"--keeper" in words
    return False
