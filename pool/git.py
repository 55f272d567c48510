"""git, as the pool asks it: no hooks, no prompts, nothing pushed; a slow call can keep a claim alive.

Standard library only; what costs a hook time is imported when git is called.
"""

from __future__ import annotations

import os

from pool.errors import CoordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Who commits what a task has left uncommitted.
_IDENTITY = ("-c", "user.name=coord", "-c", "user.email=coord@localhost", "-c", "commit.gpgSign=false")
_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
#: Between two looks at a call that takes long (seconds).
_TICK = 2.0


class GitError(CoordError):
    """git refused."""


class Git:
    """git in a directory. ``tick`` is called every few seconds while a call runs; it may raise."""

    def __init__(self, folder: str, tick: Callable[[], object] | None = None) -> None:
        self.folder = folder
        self.tick = tick

    def ask(self, *words: str, limit: int = 0, **environ: str) -> str:
        """What git prints, without the last newline (``limit``: at most so many bytes of it).

        Raises:
            GitError: It refused, in its own words, on one line.
        """
        import subprocess
        import tempfile

        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", **environ}
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
            try:
                process = subprocess.Popen(
                    ["git", *_QUIET, *_IDENTITY, *words], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                    stdout=said, stderr=wrong,
                )  # fmt: skip
            except FileNotFoundError:
                what = "git is not installed" if os.path.isdir(self.folder) else f"there is no {self.folder}"
                raise GitError(what) from None
            except OSError as error:
                raise GitError(f"{self.folder}: {error.strerror}") from None
            try:
                while True:
                    try:
                        code = process.wait(_TICK)
                        break
                    except subprocess.TimeoutExpired:
                        if self.tick is not None:
                            self.tick()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            said.seek(0)
            wrong.seek(0)
            if code:
                why = wrong.read().decode("utf-8", "replace").strip() or f"git {words[0]} ended with {code}"
                raise GitError(" ".join(why.split())[:500])
            text = said.read(limit or -1).decode("utf-8", "replace")
            return text if limit else text.rstrip("\n")

    def has(self, *words: str) -> bool:
        """Whether git says yes."""
        try:
            self.ask(*words)
        except GitError:
            return False
        return True

    def tree(self) -> str:
        """What the working tree holds, as a tree: ignored files left out, the index left alone.

        Raises:
            GitError: It refused.
        """
        import shutil
        import tempfile

        index = os.path.join(self.folder, self.ask("rev-parse", "--git-path", "index"))
        with tempfile.TemporaryDirectory(prefix="coord-index-") as folder:
            copy = os.path.join(folder, "index")
            if os.path.exists(index):
                shutil.copyfile(index, copy)  # with it, git need not read each file again
            self.ask("add", "--all", ":/", GIT_INDEX_FILE=copy)
            return self.ask("write-tree", GIT_INDEX_FILE=copy)

    def snapshot(self, message: str) -> str:
        """A commit of all there is, uncommitted changes included; HEAD itself when there are none.

        Nothing is moved: neither the branch nor the index.

        Raises:
            GitError: It refused.
        """
        head, tree = self.ask("rev-parse", "HEAD"), self.tree()
        if tree == self.ask("rev-parse", "HEAD^{tree}"):
            return head
        return self.ask("commit-tree", tree, "-p", head, "-m", message)

    def commit_all(self, message: str) -> str:
        """Commit all there is on the branch, whatever state the session has left it in; the commit.

        Raises:
            GitError: It refused.
        """
        head, commit = self.ask("rev-parse", "HEAD"), self.snapshot(message)
        if commit != head:
            self.ask("update-ref", "-m", message, "HEAD", commit, head)
            self.ask("read-tree", commit)
        return commit
