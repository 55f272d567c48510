"""A git worktree of its own for a task that asks for one: made when it is handed over, kept at its end.

Under ROOT (setting ``worktrees``, else HOME/worktrees) a worktree NAME (the task's id; ID.2 and so on for
later attempts) lies on the branch ``coord/NAME``, with a note beside it (NAME.json) of whose it is. Nothing
here deletes one. A given-up worker may still live: after a loss the next attempt works in a worktree of its
own, which begins with all that was changed in the one before. Standard library only.
"""

from __future__ import annotations

import os

from pool import check, jsonlite, process
from pool.claim import Claim
from pool.errors import CoordError, StaleClaim
from pool.git import Git, GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from pool.claim import Caller, HandOver
    from pool.scripts import Pool

    Note = dict[str, Any]

#: Characters of `git diff --stat` that are kept.
_STAT = 8000
#: Worktrees of one task on one machine, at most.
_MOST = 1000


class NoWorktree(CoordError):
    """The task asks for a git worktree, and none can be made where it says."""


def root(values: Mapping[str, Any]) -> str:
    """The folder of all worktrees."""
    return str(values["worktrees"] or os.path.join(values["home"], "worktrees"))


# -- at the hand-over --------------------------------------------------------------------------------------


def fields(
    pool: Pool, values: Mapping[str, Any], caller: Caller, handed: HandOver, session: str, cwd: str
) -> dict[str, Any] | None:
    """What a task says, with its worktree as the directory if it asks for one: made now, unless it is there.

    ``session`` is the process key of who works there, ``cwd`` where a task without a directory is worked on.
    None: none could be made, and the task has failed with the reason or was handed back.

    Raises:
        RedisAway: Redis did not answer.
    """
    found = handed.fields
    if not found.get("worktree"):
        return found
    claim = handed.claim
    try:
        note = _Maker(pool, values, caller, handed, session, cwd).make()
    except NoWorktree as error:
        _drop(pool.fail, caller, claim, str(error))
        return None
    except (GitError, OSError) as error:
        _drop(pool.release, caller, claim, f"its git worktree could not be made: {error}")
        return None
    except StaleClaim:
        return None
    return placed(found, note)


def _drop(end: Callable[[Caller, Claim, str], object], caller: Caller, claim: Claim, why: str) -> None:
    try:
        end(caller, claim, why)
    except StaleClaim:
        return  # it was taken away just now


def placed(found: dict[str, Any], note: Note | None) -> dict[str, Any]:
    """A task's fields for who works on it in this worktree."""
    return {**found, "cwd": note["directory"], "place": note} if note else found


class _Maker:
    """Makes the worktree of one claim."""

    def __init__(
        self, pool: Pool, values: Mapping[str, Any], caller: Caller, handed: HandOver, session: str, cwd: str
    ) -> None:
        self.pool = pool
        self.caller = caller
        self.claim = handed.claim
        self.attempt = handed.attempts
        self.session = session
        self.root = root(values)
        self.asked = handed.fields["worktree"]
        self.folder = str(handed.fields.get("cwd") or "") or cwd

    def _renew(self) -> None:
        self.pool.place(self.caller, self.claim)

    def make(self) -> Note:
        """Its note. A worktree that this very claim has is used on; one that was handed back goes on.

        Raises:
            NoWorktree: The task asks for what there is not.
            GitError: git could not do it.
            StaleClaim: The claim was lost meanwhile.
        """
        told = _object(self.pool.place(self.caller, self.claim))
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        with _locked(os.path.join(self.root, f"{self.claim.task_id}.lock"), self._renew):
            last = next(iter(notes(self.root, self.claim.task_id)), None)
            if last is None and told.get("host") == _host() and os.path.isdir(str(told.get("path"))):
                last = told  # another HOME on this machine
            if last is not None and os.path.isdir(str(last.get("path"))):
                if last.get("claim") == str(self.claim) or last.get("state") == "released":
                    return self._keep({**last, **self._mine()})
                return self._add(last, _rescued(last, self._renew))
            elsewhere = (
                {name: told.get(name) for name in ("host", "path", "branch", "commit")} if told else {}
            )
            return self._add({"earlier": elsewhere} if elsewhere else {}, "")

    def _mine(self) -> Note:
        return {
            "task": self.claim.task_id, "claim": str(self.claim), "attempt": self.attempt,
            "session": self.session, "host": _host(), "state": "held",
        }  # fmt: skip

    def _keep(self, note: Note) -> Note:
        write(self.root, note)
        self.pool.place(self.caller, self.claim, jsonlite.dumps(public(note)))
        return note

    def _add(self, before: Note, start: str) -> Note:
        """A new worktree, from where the one before has ended, or from the base that was asked for."""
        git = Git(self.folder, self._renew)
        top, prefix, base = self._look(git)
        earlier = before.get("earlier") or {}
        if start:
            earlier = {name: before.get(name) for name in ("host", "path", "branch")} | {"commit": start}
        elif earlier.get("commit") and git.has("cat-file", "-e", f"{earlier['commit']}^{{commit}}"):
            start = str(earlier["commit"])
        name, branch = self._free(git)
        path = os.path.join(self.root, name)
        note = {
            **self._mine(), "name": name, "path": path, "branch": branch, "repository": top,
            "directory": os.path.join(path, prefix) if prefix else path,
            "base": before.get("base") or base, "state": "making",
        }  # fmt: skip
        if earlier:
            note["earlier"] = earlier
        self._keep(note)  # before it is made: the next worker must know of it, whatever happens
        git.ask("worktree", "add", "--quiet", "-b", branch, path, start or base)
        note["state"] = "held"
        write(self.root, note)
        return note

    def _look(self, git: Git) -> tuple[str, str, str]:
        """The repository's folder, where in it the task's directory is, and the commit to begin with."""
        if not os.path.isdir(self.folder):
            raise NoWorktree(f"it asks for a git worktree, and there is no directory {self.folder}")
        try:
            top = git.ask("rev-parse", "--show-toplevel")
            prefix = git.ask("rev-parse", "--show-prefix").rstrip("/")
        except GitError as error:
            raise NoWorktree(
                f"it asks for a git worktree, and {self.folder} is in no repository: {error}"
            ) from None
        wanted = self.asked if isinstance(self.asked, str) else "HEAD"
        try:
            base = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}")
        except GitError:
            what = "no commit yet" if wanted == "HEAD" else f"no commit {wanted[:100]!r}"
            raise NoWorktree(f"it asks for a git worktree, and {top} has {what}") from None
        return top, prefix, base

    def _free(self, git: Git) -> tuple[str, str]:
        """A name that neither a worktree nor a branch has: a branch may be there from long ago."""
        task = self.claim.task_id
        for number in range(1, _MOST):
            name = task if number == 1 else f"{task}.{number}"
            taken = os.path.lexists(os.path.join(self.root, name)) or os.path.exists(_file(self.root, name))
            if not taken and not git.has("show-ref", "--verify", "--quiet", f"refs/heads/coord/{name}"):
                return name, f"coord/{name}"
        raise NoWorktree(f"it has {_MOST} worktrees already: `coord worktrees --remove` removes them")


# -- its notes ---------------------------------------------------------------------------------------------


def notes(folder: str, task_id: str = "") -> Iterator[Note]:
    """The notes of a task's worktrees, the latest first; without a task those of all."""
    try:
        names = [name[:-5] for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return
    if task_id:
        names = [name for name in names if name.partition(".")[0] == task_id]
    for name in sorted(names, key=lambda each: (each.partition(".")[0], -_number(each))):
        note = _read(_file(folder, name))
        if note.get("name") == name:
            yield note


def of(values: Mapping[str, Any], claim: Claim) -> Note | None:
    """The worktree of a claim (without a token: of the task's last one); None when it has none here."""
    for note in notes(root(values), claim.task_id):
        if note.get("claim") == str(claim) or not claim.token:
            return note
        return None
    return None


def write(folder: str, note: Note) -> None:
    """Write a note.

    Raises:
        OSError: The disk cannot be written.
    """
    check.write(_file(folder, str(note["name"])), jsonlite.dumps(note))


def public(note: Note) -> Note:
    """What the pool is told of it."""
    names = (
        "name",
        "path",
        "directory",
        "branch",
        "host",
        "base",
        "commit",
        "attempt",
        "session",
        "repository",
    )
    return {name: note[name] for name in names if note.get(name)}


# -- at the end of an attempt --------------------------------------------------------------------------------


def hand_back(values: Mapping[str, Any], claim: Claim) -> Note | None:
    """Commit what a claim's worktree holds: its worker hands the task back. Its note; None without one.

    Raises:
        GitError: git could not do it: the next worker tries again.
    """
    note = of(values, claim)
    if note is None or note.get("state") != "held":
        return None
    note["commit"] = Git(str(note["path"])).commit_all(_message(note))
    note["state"] = "released"
    write(root(values), note)
    return note


def ended(values: Mapping[str, Any], claim: Claim) -> None:
    """The task is settled: nothing is committed there any more."""
    note = of(values, claim)
    if note is not None and note.get("state") == "held":
        note["state"] = "ended"
        write(root(values), note)


def rescue(values: Mapping[str, Any], session: str) -> list[str]:
    """Commit what a dead session has left in its worktrees; what went wrong, a line each."""
    wrong = []
    folder = root(values)
    for note in list(notes(folder)):
        if note.get("session") == session and note.get("state") == "held":
            try:
                with _locked(os.path.join(folder, f"{note['task']}.lock")):
                    note = _read(_file(folder, str(note["name"])))
                    if note.get("state") == "held":
                        note["commit"], note["state"] = _rescued(note), "lost"
                        write(folder, note)
            except (CoordError, OSError) as error:
                wrong.append(f"worktree {note.get('name')}: {error}")
    return wrong


def _rescued(note: Note, tick: Any = None) -> str:
    """A commit of all that was changed there: on its branch, unless its session lives and may work on."""
    if note.get("state") == "making":
        return ""
    git, message = Git(str(note["path"]), tick), _message(note)
    session = str(note.get("session") or "")
    return git.snapshot(message) if session and process.same(session) else git.commit_all(message)


def _message(note: Note) -> str:
    return f"coord: work in progress of task {note['task']}, attempt {note.get('attempt')}"


def evidence(values: Mapping[str, Any], claim: Claim) -> dict[str, str]:
    """What was changed in a claim's worktree: ``work`` (JSON) and ``patch``; {} when it has none."""
    note = of(values, claim)
    if note is None:
        return {}
    work = {name: note.get(name) for name in ("path", "branch", "host", "base", "attempt")}
    found: dict[str, str] = {}
    git, limit = Git(str(note["path"])), int(values["artifact_limit"])
    try:
        tree, base = git.tree(), str(note["base"])
        work["commit"] = git.ask("rev-parse", "HEAD")
        work["uncommitted"] = tree != git.ask("rev-parse", "HEAD^{tree}")
        work["stat"] = git.ask(
            "diff", "--no-ext-diff", "--no-textconv", "--stat=100", base, tree, limit=_STAT
        )
        patch = git.ask("diff", "--no-ext-diff", "--no-textconv", base, tree, limit=limit + 1)
        if len(patch.encode()) > limit:
            patch = patch.encode()[:limit].decode("utf-8", "ignore") + f"\n[cut: more than {limit:,} bytes]\n"
        if patch:
            found["patch"] = patch
    except GitError as error:
        work["error"] = str(error)
    return {"work": jsonlite.dumps(work), **found}


# -- parts -------------------------------------------------------------------------------------------------


def _file(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.json")


def _number(name: str) -> int:
    number = name.partition(".")[2]
    return int(number) if number.isdigit() else 1


def _read(path: str) -> Note:
    try:
        with open(path, encoding="utf-8") as file:
            return _object(file.read())
    except OSError:
        return {}


def _object(text: str) -> Note:
    try:
        value = jsonlite.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _host() -> str:
    return os.uname().nodename


def _locked(path: str, tick: Any = None) -> AbstractContextManager[None]:
    """One at a time works on a task's worktrees on this machine; ``tick`` keeps who waits alive."""
    import contextlib
    import fcntl
    import time

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            looked = 0
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
                    looked += 1
                    if tick is not None and looked % 40 == 0:
                        tick()
            yield
        finally:
            os.close(fd)

    return locked()
