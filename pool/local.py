"""What a session's hooks, helpers and keeper share on disk, and how each finds its worker.

HOME/sessions/<process key>/ holds ``session.json`` (worker, epoch, session id), ``tools`` (a byte per
tool call), ``lost`` (what the session must be told at its next tool call), ``words`` (there is one when
an operator's messages wait in Redis), ``acts`` (which installation of the hooks does), ``keeper.lock`` and
``outbox/`` (commits that Redis has not taken yet). Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from pool import jsonlite, process
from pool.claim import Caller
from pool.compiled import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pool.compiled import Compiled

KEEPER = os.path.join(ROOT, "workers", "keeper.py")

#: The single-file copy of the hooks, when it is that which runs; else ''.
COPY = ""

#: Which installation of the hooks runs: the path of its compiled settings, of its copy, or ``plugin``.
SOURCE = ""

#: An installation that was silent for so long (seconds) while another was called is gone.
SILENT = 10.0

#: hooks.log is cut when it grows over so many bytes.
LOG_LIMIT = 1024 * 1024

#: Set in a session's Bash: which process is the worker there (a nested session is another one).
SESSION_VARIABLE = "COORD_SESSION"


class Session:
    """One session's folder. Every method survives a disk that cannot be written."""

    def __init__(self, home: str, process_key: str) -> None:
        self.home = home
        self.key = process_key
        self.folder = os.path.join(home, "sessions", process_key)
        self.data: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """The session's process."""
        return int(self.key.split("-")[2])

    @property
    def caller(self) -> Caller:
        """The registration that the session was given."""
        return Caller(str(self.data.get("worker", "")), str(self.data.get("epoch", "")))

    def load(self) -> bool:
        """Read session.json; whether the session is a worker."""
        try:
            with open(os.path.join(self.folder, "session.json"), encoding="utf-8") as file:
                data = jsonlite.loads(file.read())
            self.data = data if isinstance(data, dict) else {}
        except (OSError, ValueError):
            self.data = {}  # no worker, or a damaged file: Redis is asked (identify)
        return bool(self.data.get("worker"))

    def save(self, **changes: Any) -> bool:
        """Write session.json whole; whether the disk took it."""
        self.data.update(changes)
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            temporary = os.path.join(self.folder, f".session.{os.getpid()}")
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(jsonlite.dumps(self.data))
            os.replace(temporary, os.path.join(self.folder, "session.json"))
        except OSError:
            return False
        return True

    # -- of two installations of the hooks, one acts ---------------------------------------------------

    def acts(self) -> bool:
        """Whether this installation of the hooks acts for the session; another one says nothing.

        The client runs the hooks of a plugin and those of a settings file both, at once. The first that comes
        acts, until it is gone: until it has missed an event of which the other has heard.
        """
        owner, other = os.path.join(self.folder, "acts"), os.path.join(self.folder, "acts-not")
        try:
            if not os.path.exists(owner):
                self._take(owner)
            with open(owner, encoding="utf-8", errors="surrogateescape") as file:
                if file.read() == SOURCE:
                    os.utime(owner)
                    return True
            heard = os.stat(other).st_mtime if os.path.exists(other) else 0.0
            if heard and os.stat(owner).st_mtime < heard - SILENT:
                os.unlink(owner)
                os.unlink(other)
                return self.acts()
            with open(other, "w", encoding="utf-8"):
                os.utime(other)
        except OSError:
            return True  # a disk that cannot be written: what is said twice is better than not at all
        return False

    def _take(self, owner: str) -> None:
        """Write who acts, whole and only if nobody else has."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        own = f"{owner}.{os.getpid()}"
        with open(own, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(SOURCE)
        try:
            os.link(own, owner)
        except FileExistsError:
            pass  # the other one was first
        finally:
            os.unlink(own)

    # -- tool calls ----------------------------------------------------------------------------------

    def count_tool(self) -> None:
        """One more tool call was made."""
        self._append("tools", b".")

    def tools(self) -> str:
        """How many tool calls were made; '' when that cannot be known."""
        try:
            return str(os.stat(os.path.join(self.folder, "tools")).st_size)
        except FileNotFoundError:
            return "0" if os.path.isdir(self.folder) else ""
        except OSError:
            return ""

    # -- whose request it is ---------------------------------------------------------------------------

    def hand(self, task: str, at: str) -> None:
        """From that moment (as transcripts write it) on, what it uses is this task's ('': nobody's)."""
        self._append("handed", f"{at} {task}\n".encode())

    def handed(self) -> list[tuple[str, str]]:
        """Since when it has had which task, in order; the first is the session's beginning."""
        try:
            with open(os.path.join(self.folder, "handed"), encoding="utf-8", errors="replace") as file:
                rows = [line.rstrip("\n").partition(" ") for line in file]
        except OSError:
            return []
        return [(at, task) for at, _, task in rows]

    # -- the task was taken away -----------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Leave a word for the session's next tool call."""
        self._append("lost", text.encode() + b"\n")

    def told(self) -> str:
        """Take the word that was left, if any."""
        path = os.path.join(self.folder, "lost")
        try:
            taken = f"{path}.{os.getpid()}"
            os.rename(path, taken)
            with open(taken, encoding="utf-8", errors="replace") as file:
                text = file.read().strip()
            os.unlink(taken)
        except OSError:
            return ""
        return text

    # -- an operator's messages -------------------------------------------------------------------------

    def mark_words(self, waiting: bool) -> None:
        """Note whether messages wait: a hook asks Redis for them only then."""
        if waiting != self.words_wait():
            if waiting:
                self._append("words", b"")
            else:
                try:
                    os.unlink(os.path.join(self.folder, "words"))
                except OSError:
                    return  # the other hook was first, or the disk cannot be written: one question too many

    def words_wait(self) -> bool:
        """Whether messages wait, as far as the keeper has said."""
        return os.path.exists(os.path.join(self.folder, "words"))

    def _append(self, name: str, data: bytes) -> None:
        try:
            fd = os.open(os.path.join(self.folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(fd, data)
            os.close(fd)
        except OSError:
            return  # a disk that cannot be written: the tally and the word are a courtesy

    # -- the keeper ------------------------------------------------------------------------------------

    def lock_keeper(self) -> int:
        """The keeper's lock as an open descriptor, or -1 when another process is the keeper.

        Raises:
            OSError: The disk cannot be written.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(self.folder, "keeper.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return -1
        return fd

    def ensure_keeper(self, compiled_path: str, environ: Mapping[str, str] | None = None) -> int:
        """Start the keeper if there is none, in the session's environment (default: ours); its pid, or 0."""
        if not self.data.get("worker"):
            return 0
        try:
            fd = self.lock_keeper()
        except OSError:
            fd = -2  # no lock without a disk: SessionStart starts one keeper, and only it
        if fd == -1 or (fd == -2 and self.data.get("keeper")):
            return 0
        if fd >= 0:
            os.close(fd)
        caller = self.caller
        return process.spawn(
            [sys.executable, *keeper_argv(), compiled_path, self.key, caller.worker, caller.epoch], environ
        )


def commits(folder: str) -> list[str]:
    """Paths of the commits in an outbox that Redis has not taken yet, oldest name first."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []


def forget(path: str) -> None:
    """Remove a file that may be gone already, or on a disk that cannot be written."""
    try:
        os.unlink(path)
    except OSError:
        return


def keeper_argv() -> list[str]:
    """How the interpreter runs the keeper."""
    return ["-I", "-S", COPY, "--keeper"] if COPY else ["-I", "-S", KEEPER]


def save_commit(folder: str, name: str, commit: dict[str, Any]) -> str:
    """Keep a commit on disk until Redis takes it; the path.

    Raises:
        OSError: The disk cannot be written.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{name}.json")
    fd = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(jsonlite.dumps(commit))
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)
    return path


def of_process(compiled: Compiled, pid: int) -> Session | None:
    """The worker's session of that very process, or None."""
    process_key = process.key(pid)
    if not process_key:
        return None
    session = Session(compiled.home, process_key)
    return session if session.load() else None


def nested(compiled: Compiled, pid: int, environ: dict[str, str]) -> bool:
    """Whether the session runs inside another worker's session (then it is nobody)."""
    own = process.key(pid)
    outer = environ.get(SESSION_VARIABLE, "")
    if outer and outer != own:
        return True
    return any(
        os.path.isfile(os.path.join(compiled.home, "sessions", process.key(up), "session.json"))
        for up in process.ancestors(pid)
    )


def ignore(home: str) -> None:
    """Keep HOME, which may lie in a project, out of version control: it holds prompts, and passwords."""
    path = os.path.join(home, ".gitignore")
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("*\n")


def log(home: str, message: str) -> None:
    """A line in HOME/hooks.log; a disk that cannot be written loses it, the session goes on."""
    if not home:
        return
    path = os.path.join(home, "hooks.log")
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        if os.path.exists(path) and os.stat(path).st_size > LOG_LIMIT:
            os.replace(path, path + ".1")
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} [{os.getpid()}] {' '.join(message.split())}\n")
    except OSError:
        return
