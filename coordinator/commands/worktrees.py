"""`coord worktrees`: the git worktrees of tasks on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import click

from coordinator.commands import common
from pool import local, model, view, worktree
from pool.errors import UsageError, WrongState
from pool.git import Git, GitError


@dataclass
class Row:
    """One worktree as it stands."""

    name: str
    task: str
    #: The task's state; None when it is gone from Redis.
    status: str | None
    branch: str
    #: Commits beyond its base, and files that are not committed; None when git cannot say.
    commits: int | None
    uncommitted: int | None
    #: Whether all that was committed is in the repository's own HEAD.
    merged: bool
    path: str
    repository: str
    #: What keeps it from being looked at ('': nothing).
    problem: str = ""


@click.command()
@click.option("--remove", metavar="NAME", help="Remove this one, with its branch: merged and clean.")
@click.option("--force", is_flag=True, help="With --remove: though it is not merged, or not clean.")
@common.as_json
def worktrees(remove: str | None, force: bool, as_json: bool) -> None:
    """List the git worktrees of tasks on this machine, with what was changed there.

    They are kept until you remove them: merge the branch, then --remove. One of a running task stays.
    """
    if force and not remove:
        raise UsageError("--force goes with --remove")
    with common.opened() as ctx:
        folder = worktree.root(ctx.settings.model_dump())
        found = list(worktree.notes(folder))
        if remove:
            found = [note for note in found if note["name"] == remove]
            if not found:
                raise UsageError(
                    f"there is no worktree {remove[:200]!r} in {folder}: `coord worktrees` lists them"
                )
        states = {
            each.id: each.status for each in view.tasks(ctx.connection, {str(n["task"]) for n in found})
        }
    rows = [_look(note, states.get(str(note["task"]))) for note in found]
    if remove:
        _remove(folder, found[0], rows[0], force)
    if as_json:
        common.dump(rows[0] if remove else rows)
    elif remove:
        click.echo(common.clean(f"removed {rows[0].path} and the branch {rows[0].branch}"))
    elif rows:
        common.show(["name", "status", "branch", "changed", "path"], [_shown(row) for row in rows], "path")
    else:
        click.echo("no worktrees")


def _look(note: dict[str, Any], status: str | None) -> Row:
    row = Row(
        str(note["name"]), str(note["task"]), status, str(note.get("branch")), None, None, False,
        str(note.get("path")), str(note.get("repository")),
    )  # fmt: skip
    git = Git(row.path)
    try:
        if not os.path.isdir(row.path):
            raise GitError("its directory is gone")
        row.uncommitted = len(git.ask("status", "--porcelain", "--untracked-files=all").splitlines())
        row.commits = int(git.ask("rev-list", "--count", f"{note.get('base')}..HEAD"))
        row.merged = Git(row.repository).has("merge-base", "--is-ancestor", row.branch, "HEAD")
    except GitError as error:
        row.problem = str(error)
    return row


def _shown(row: Row) -> dict[str, Any]:
    changed = [
        f"{row.commits} commits" if row.commits else "",
        "merged" if row.commits and row.merged else "",
    ]
    changed.append(f"{row.uncommitted} files not committed" if row.uncommitted else "")
    said = row.problem or ", ".join(each for each in changed if each) or "unchanged"
    status = common.state(row.status) if row.status else "gone"
    return {"name": row.name, "status": status, "branch": row.branch, "changed": said, "path": row.path}


def _remove(folder: str, note: dict[str, Any], row: Row, force: bool) -> None:
    """Remove a worktree, its branch and its note.

    Raises:
        WrongState: It is worked on, or something would be lost by it; nothing was changed.
    """
    last = next(worktree.notes(folder, row.task))["name"] == row.name
    if row.status == model.Status.STARTED and last:
        raise WrongState(f"task {row.task} runs there; nothing was removed")
    hindrance = row.problem or (f"{row.uncommitted} files are not committed" if row.uncommitted else "")
    if row.commits and not row.merged:
        hindrance = hindrance or f"the branch {row.branch} is not merged"
    if hindrance and not force:
        raise WrongState(f"{row.name}: {hindrance}; nothing was removed (--force removes it all the same)")
    try:
        git = Git(row.repository)
        if os.path.isdir(row.path):
            git.ask("worktree", "remove", *(["--force"] if force else []), row.path)
        else:
            git.ask("worktree", "prune")
        if git.has("show-ref", "--verify", "--quiet", f"refs/heads/{row.branch}"):
            git.ask("branch", "--quiet", "-D", row.branch)  # it is merged, or was forced
    except GitError as error:
        raise WrongState(f"{row.name}: {error}") from None
    local.forget(os.path.join(folder, f"{row.name}.json"))
