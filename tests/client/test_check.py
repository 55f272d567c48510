"""A session that says it is done and is not: the check sends it back, then passes. A task in a worktree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import redis

from pool import view
from tests.client import replies, story
from tests.client.api import Api, Request, flat
from tests.client.client import Home
from tests.client.replies import Reply

_CLAIM = re.compile(r"coord-worker (?:complete|fail) ([\w-]+)\.(\d+-[0-9a-f]+)")
_PLACE = re.compile(r"Work in the directory (\S+)")


class Model:
    """Says that it is done at once; does the work only when a check has told it so."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, request: Request) -> Reply:
        whole = "\n".join(flat(each["content"]) for each in request.messages)
        claims, new = _CLAIM.findall(whole), request.new()
        if not claims:
            return replies.text("There is no task.")
        task, token = claims[-1]
        claim = f"{task}.{token}"
        if "The check of task" in new:
            self.told.append(task)
            return replies.bash(f"touch {task}.done")
        if task == "by-command":
            if "is completed" in new:
                return replies.text("Done.")
            return replies.bash(f"coord-worker complete {claim} --result 'all done'")
        if task == "in-worktree":
            if "is completed" in new:
                return replies.text("Done.")
            place = _PLACE.findall(whole)[-1]
            work = f"cd {place} && echo two > a.txt && git -c user.name=m -c user.email=m@m commit -qam two"
            return replies.bash(f"{work} && coord-worker complete {claim} --result 'committed'")
        return replies.text("All of it is done.")  # by-message


def test_what_says_that_it_is_done_and_is_not_is_sent_back(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    for words in (("init", "-q"), ("add", "a.txt"), ("commit", "-q", "-m", "one")):
        (home.project / "a.txt").write_text("one\n")
        mine = ["git", "-c", "user.name=me", "-c", "user.email=me@here"]
        subprocess.run([*mine, *words], cwd=home.project, check=True, capture_output=True)
    model = Model()
    api.script(model)
    story.install(home, "--worker")
    project = str(home.project)
    failing = "test -e {0}.done || { echo there is no {0}.done; false; }"
    submit(id="by-command", check=failing.replace("{0}", "by-command"), cwd=project)
    submit(id="by-message", check=failing.replace("{0}", "by-message"), cwd=project, finish="message")
    submit(id="in-worktree", check="grep -q two a.txt", cwd=project, worktree=True)
    session = home.headless(
        "Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="2s", COORD_CHECKS="1"
    )
    story.finished(conn, "by-command", "by-message", "in-worktree")
    assert session.end() == 0
    assert model.told == ["by-command", "by-message"], "each was sent back once"
    for task, said in (("by-command", "all done"), ("by-message", "All of it is done.")):
        found = view.task(conn, task)
        assert (found.result, found.attempts, found.evidence["failed_checks"]) == (said, 1, 1)
        assert found.evidence["check"]["passed"] is True
    helped = [request.new() for request in api.seen() if "by-message" in request.new()]
    assert not any("coord-worker complete by-message" in each for each in helped), "it costs no helper call"
    found = view.task(conn, "in-worktree")
    assert "+two" in found.evidence["patch"] and found.evidence["check"]["passed"] is True
    assert (home.project / "a.txt").read_text() == "one\n"
    branch = subprocess.run(
        ["git", "show", "coord/in-worktree:a.txt"],
        cwd=home.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert branch.stdout == "two\n"
