"""A task's check: a command of its own, run by a process that outlives who asked for it.

``coord-worker complete`` may wait for it for as long as the client lets a command run, and the Stop hook then
goes on waiting for the very same run (docs/adr/0010). A run has a folder: ``job.json`` (what to run),
``runner`` and ``group`` (process keys), ``lock`` (held while it runs) and ``done.json`` (what came of it).
The command is a task's: it runs where the operator allows checks (setting ``checks``), without the secrets
of the environment. Standard library only; nothing here knows Redis.
"""

from __future__ import annotations

import _signal
import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pool import jsonlite, local, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Time (seconds) that a command has between SIGTERM and SIGKILL.
GRACE = 2.0
#: Variables that a check does not get: what begins so, or has one of these words in its name.
_OURS = ("ANTHROPIC_", "CLAUDE", "COORD_")
SECRET_NAMES = (
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
)


def environment(environ: dict[str, str]) -> dict[str, str]:
    """The environment of a check: without logins, the pool's address, and who the session is."""
    return {
        name: value for name, value in environ.items()
        if not name.upper().startswith(_OURS) and not any(word in name.upper() for word in SECRET_NAMES)
    }  # fmt: skip


class Outcome:
    """What came of a run. ``code`` is None when it was ended or could not be started; ``why`` tells."""

    __slots__ = ("code", "cut", "output", "seconds", "why")

    def __init__(self, found: dict[str, Any]) -> None:
        code = found.get("code")
        self.code = code if isinstance(code, int) else None
        self.seconds = float(found.get("seconds") or 0.0)
        self.output = str(found.get("output") or "")
        #: Bytes of the output that were left out at its beginning.
        self.cut = int(found.get("cut") or 0)
        self.why = str(found.get("why") or "")

    @property
    def passed(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.code == 0

    @property
    def said(self) -> str:
        """How it ended, in a few words."""
        return self.why or f"exit code {self.code}"


class Run:
    """A run, in its folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _read(self, name: str) -> str:
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    def job(self) -> dict[str, Any]:
        """What is to be run; {} when there is nothing."""
        return _object(self._read("job.json"))

    def begin(self, command: str, cwd: str, limit: float, keep: int, session: str) -> None:
        """Begin anew: what ran before is ended. ``session`` is the process key with which the run ends, too.

        Raises:
            OSError: The disk cannot be written.
        """
        self.end()
        job = {
            "id": os.urandom(8).hex(), "command": command, "cwd": cwd, "limit": limit, "keep": keep,
            "session": session,
        }  # fmt: skip
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for name in ("done.json", "runner", "group"):
            _remove(self._path(name))
        write(self._path("job.json"), jsonlite.dumps(job))

    def outcome(self) -> Outcome | None:
        """What came of it; None while nothing has."""
        found = _object(self._read("done.json"))
        return Outcome(found) if found else None

    def start(self) -> int:
        """Start the run unless it runs or has ended; its process, 0 when that is another's.

        Raises:
            OSError: Its folder is gone (with its session), or cannot be written.
        """
        if self.running() or self.outcome() is not None:
            return 0
        return process.spawn([sys.executable, *runner_argv(), self.folder])

    def runner(self) -> int:
        """The pid of the process that runs it; 0 when there is none."""
        key = self._read("runner")
        return int(key.split("-")[2]) if process.same(key) else 0

    def running(self) -> bool:
        """Whether somebody runs it.

        Raises:
            OSError: Its folder is gone (with its session), or cannot be written.
        """
        fd = self._lock(shared=True)
        if fd >= 0:
            os.close(fd)
        return fd < 0

    def end(self) -> None:
        """End what runs, all of it."""
        if not os.path.isdir(self.folder):
            return
        runner = self.runner()
        if runner:
            _kill(runner, _signal.SIGKILL)
        stop = time.monotonic() + 5.0  # from fork to exec the command itself holds the lock
        while self.running() and time.monotonic() < stop:
            time.sleep(0.01)
        self.end_group()

    def end_group(self) -> None:
        """End the command of a runner that was killed."""
        key = self._read("group")
        if process.same(key):
            _kill(-int(key.split("-")[2]), _signal.SIGKILL)

    def remove(self) -> None:
        """End it and forget it."""
        self.end()
        for name in ("job.json", "done.json", "runner", "group", "lock"):
            _remove(self._path(name))

    def _lock(self, shared: bool = False) -> int:
        """The lock as an open descriptor; -1 when somebody holds it. (Who but looks shares it.)"""
        import fcntl

        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return -1
        return fd

    # -- the process that runs it ----------------------------------------------------------------------

    def perform(self) -> None:
        """Run the command to its end, here and now, unless another does; note what came of it."""
        end = time.monotonic() + 1.0  # somebody may be looking just now
        while (fd := self._lock()) < 0 and time.monotonic() < end:
            time.sleep(0.01)
        job = self.job()
        if fd < 0 or self.outcome() is not None or not job:
            return
        self.end_group()
        write(self._path("runner"), process.key(os.getpid()))
        began = time.monotonic()
        try:
            found = _Command(self, job).run()
        except OSError as error:
            found = {"why": f"it could not be started: {error.strerror or error}"}
        if found:
            found["seconds"] = round(time.monotonic() - began, 3)
            write(self._path("done.json"), jsonlite.dumps(found))
        os.close(fd)


class _Command:
    """The command as a process group of its own: standard input closed, output read, time limited."""

    def __init__(self, run: Run, job: dict[str, Any]) -> None:
        self.run_ = run
        self.job = job
        self.tail = bytearray()
        self.total = 0
        self.keep = int(job["keep"])

    def run(self) -> dict[str, Any]:
        """What came of it; {} when its session has died, and nobody wants to know."""
        cwd = str(self.job["cwd"])
        if cwd and not os.path.isdir(cwd):
            return {"why": f"there is no directory {cwd}"}
        session = str(self.job["session"])
        watch = process.Watch(int(session.split("-")[2]), session) if session else None
        if watch is not None and not watch.alive():
            return {}
        reader, writer = os.pipe()
        pid = self._fork(writer, cwd)
        os.close(writer)
        ended = process.Watch(pid)
        limit = float(self.job["limit"])
        end = time.monotonic() + limit
        why, fds = "", [reader]
        while True:
            left = end - time.monotonic()
            if left <= 0:
                why = f"it ran longer than {limit:g} s"
            elif watch is not None and not watch.alive():
                why = "its session is gone"
            if why or not ended.alive():
                break
            watched = [each.fd for each in (ended, watch) if each is not None and each.fd >= 0]
            ready = select.select(fds + watched, [], [], min(left, 1.0))[0]
            if reader in ready and not self._read(reader):
                fds = []  # closed, though the command lives on
        code = self._end(pid, hurry=not why)
        os.set_blocking(reader, False)
        while self._read(reader):
            pass
        os.close(reader)
        if why == "its session is gone":
            return {}
        output = bytes(self.tail).decode("utf-8", "replace")
        return {
            "code": None if why else code,
            "why": why,
            "output": output,
            "cut": self.total - len(self.tail),
        }

    def _fork(self, writer: int, cwd: str) -> int:
        env = environment(dict(os.environ))
        runner = os.getpid()
        pid = os.fork()
        if pid:
            while os.getpgid(pid) != pid:  # from now on all of it can be ended
                time.sleep(0.001)
            return pid
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for source, fd in ((null, 0), (writer, 1), (writer, 2)):
                os.dup2(source, fd)
            if cwd:
                os.chdir(cwd)
            write(self.run_._path("group"), process.key(os.getpid()))
            if os.getppid() == runner:  # else it was killed just now, and may not know of this one
                os.execve("/bin/sh", ["sh", "-c", str(self.job["command"])], env)
        except OSError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(126)

    def _read(self, reader: int) -> bool:
        try:
            data = os.read(reader, 1 << 16)
        except BlockingIOError:
            return False
        self.total += len(data)
        self.tail += data
        del self.tail[: max(0, len(self.tail) - self.keep)]
        return bool(data)

    def _end(self, pid: int, hurry: bool) -> int:
        """End what is left of the group, and take the command's exit code."""
        if not hurry:
            _kill(-pid, _signal.SIGTERM)
            end, watch = time.monotonic() + GRACE, process.Watch(pid)
            while watch.alive() and time.monotonic() < end:
                time.sleep(0.02)
        _kill(-pid, _signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def runner_argv() -> list[str]:
    """How the interpreter runs this."""
    return ["-I", "-S", local.COPY, "--check"] if local.COPY else ["-I", "-S", os.path.abspath(__file__)]


def write(path: str, text: str) -> None:
    """Write a file whole, readable by its owner.

    Raises:
        OSError: The disk cannot be written.
    """
    fd = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.part", path)


def _object(text: str) -> dict[str, Any]:
    try:
        value = jsonlite.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def main(argv: list[str]) -> int:
    """``check FOLDER``: run what the folder asks for."""
    Run(argv[0]).perform()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
