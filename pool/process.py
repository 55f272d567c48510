"""Which process is which: boot, pid namespace, pid and start time. Standard library only.

A pid alone means nothing (they are used again, and each container has its own 1). The four together
name one process of one machine for ever: this is how a hook finds its worker (design section 5).
"""

from __future__ import annotations

import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_LINUX = sys.platform.startswith("linux")
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ash", "busybox"))


def boot_id() -> str:
    """A name for this boot of this machine."""
    if _LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip().replace("-", "")[:12]
    return "".join(c for c in _ask("sysctl", "-n", "kern.boottime") if c.isdigit())[:12]


def namespace() -> str:
    """A name for this pid namespace ('0' where there is but one)."""
    return os.readlink("/proc/self/ns/pid").strip("pid:[]") if _LINUX else "0"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (comm may hold spaces and brackets)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return text[text.rindex(")") + 2 :].split()


def start_time(pid: int) -> str:
    """When the process began, as the system counts it; '' when there is no such process."""
    try:
        if _LINUX:
            fields = _stat(pid)
            return "" if fields[0] in "ZX" else fields[19]
        return "".join(c for c in _ask("ps", "-o", "lstart=", "-p", str(pid)) if c.isalnum())
    except OSError:
        return ""


def parent(pid: int) -> int:
    """The parent's pid; 0 when there is none."""
    try:
        return int(_stat(pid)[1]) if _LINUX else int(_ask("ps", "-o", "ppid=", "-p", str(pid)) or 0)
    except (OSError, ValueError):
        return 0


def command(pid: int) -> str:
    """The name of the program; '' when there is no such process."""
    try:
        if _LINUX:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        return os.path.basename(_ask("ps", "-o", "comm=", "-p", str(pid)))
    except OSError:
        return ""


def ancestors(pid: int) -> Iterator[int]:
    """The parents of a process, nearest first, up to the first process of the namespace."""
    for _ in range(64):
        pid = parent(pid)
        if pid <= 1:
            return
        yield pid


def key(pid: int) -> str:
    """The name of a process for ever; '' when there is no such process."""
    start = start_time(pid)
    return f"{boot_id()}-{namespace()}-{pid}-{start}" if start else ""


def same(process_key: str) -> bool:
    """Whether the process of that name lives (in this namespace)."""
    try:
        return key(int(process_key.split("-")[2])) == process_key
    except (IndexError, ValueError):
        return False


def session_pid(environ: dict[str, str] | None = None) -> int:
    """The Claude Code process a hook or a Bash call belongs to.

    The client says it in CLAUDE_PID (since 2.1.214); before that it is the nearest parent that is
    no shell.
    """
    env = os.environ if environ is None else environ
    given = env.get("CLAUDE_PID", "")
    if given.isdigit():
        return int(given)
    pid = os.getppid()
    while pid > 1 and command(pid) in _SHELLS:
        pid = parent(pid)
    return pid


class Watch:
    """Notices the death of a process: a pidfd on Linux, kqueue on macOS, else a look a second."""

    def __init__(self, pid: int, process_key: str = "") -> None:
        self.pid = pid
        self.key = process_key or key(pid)
        self.fd = -1
        self._queue: Any = None
        try:
            if hasattr(os, "pidfd_open"):
                self.fd = os.pidfd_open(pid)
            elif sys.platform != "linux" and hasattr(select, "kqueue"):
                self._queue = select.kqueue()
                event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
                self._queue.control([event], 0)
                self.fd = self._queue.fileno()
        except OSError:
            self.fd = -1  # gone already, or not allowed: alive() finds out by looking

    def alive(self) -> bool:
        """Whether the process lives still, and is the one that was meant."""
        if self.fd >= 0 and select.select([self.fd], [], [], 0)[0]:
            return False
        return bool(self.key) and same(self.key)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._queue is not None:
            self._queue.close()
        elif self.fd >= 0:
            os.close(self.fd)
        self.fd, self._queue = -1, None


def spawn(argv: list[str], environ: Mapping[str, str] | None = None) -> int:
    """Start a process of its own session, its standard streams closed to ours; its pid.

    (`subprocess` would cost a hook 8 ms.)
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, 256)
        os.execve(argv[0], argv, os.environ if environ is None else environ)
    finally:
        os._exit(127)


def _ask(*argv: str) -> str:
    import subprocess

    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
