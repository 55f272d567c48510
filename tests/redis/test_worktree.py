"""A task in a git worktree of its own: made at the hand-over, kept, and what was changed never lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from pool import model, view
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.redis.test_hooks import claim_in
from tests.session import Session, eventually

Start = Callable[..., Session]


def git(folder: Path, *words: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    mine = ("-c", "user.name=me", "-c", "user.email=me@here")
    done = subprocess.run(
        ["git", *mine, *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit, a hook that refuses every commit, and something uncommitted."""
    made = tmp_path / "project"
    (made / "part").mkdir(parents=True)
    git(made, "init", "-q", "-b", "main")
    (made / "part" / "a.txt").write_text("one\n")
    git(made, "add", ".")
    git(made, "commit", "-q", "-m", "first")
    for hook in ("pre-commit", "post-checkout"):
        (made / ".git" / "hooks" / hook).write_text("#!/bin/sh\nexit 1\n")
        (made / ".git" / "hooks" / hook).chmod(0o755)
    (made / "part" / "a.txt").write_text("not committed\n")
    return made


@pytest.fixture
def ask(pool: Pool, settings: Settings, project: Path) -> Callable[..., str]:
    """Submit a task in a worktree of the project."""

    def run(**fields: Any) -> str:
        spec = model.parse_spec({"prompt": "do it", "worktree": True, "cwd": str(project), **fields})
        task_id, record = model.record(spec, settings, time.time())
        assert pool.submit([record])[0] == "ok"
        return task_id

    return run


def directory(answer: dict[str, Any]) -> Path:
    """Where a hand-over says to work."""
    text = answer["hookSpecificOutput"]["additionalContext"]
    found = re.search(r"Work in the directory (\S+)", text)
    assert found is not None, text
    return Path(found[1])


def handed(answer: dict[str, Any]) -> tuple[str, Path, str]:
    """The claim, the directory and the whole text of a hand-over."""
    return claim_in(answer), directory(answer), answer["hookSpecificOutput"]["additionalContext"]


def slow_git(folder: Path, before: str) -> str:
    """A PATH on which `git worktree add` does this first."""
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True)
    (folder / "bin").mkdir()
    script = f'#!/bin/sh\ncase "$*" in *"worktree add"*) {before};; esac\nexec {real.stdout.strip()} "$@"\n'
    (folder / "bin" / "git").write_text(script)
    (folder / "bin" / "git").chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


def started(session: Start, name: str, **env: str) -> Session:
    one = session(name, **env)
    one.start()
    return one


def test_it_is_made_at_the_hand_over_and_kept_with_evidence(
    session: Start,
    ask: Callable[..., str],
    project: Path,
    conn: redis.Redis,
    settings: Settings,
    coord: Coord,
) -> None:
    one = started(session, "w1")
    ask(id="t", cwd=str(project / "part"))
    claim, folder, text = handed(one.hook("Stop"))
    assert folder == Path(settings.home) / "worktrees" / "t" / "part", "the same directory in it"
    assert "coord/t" in text and "commit your work" in text
    assert (folder / "a.txt").read_text() == "one\n", "from HEAD, whatever lies in the project's own tree"
    assert git(folder, "branch", "--show-current") == "coord/t"
    assert "coord/t" in one.bash("coord-worker context").stdout
    (folder / "a.txt").write_text("two\n")
    git(folder, "commit", "-q", "--no-verify", "-am", "second")
    (folder / "new.txt").write_text("untracked\n")
    done = one.bash(f"coord-worker complete {claim} --result done")
    assert done.returncode == 0, done.stderr
    kept = view.task(conn, "t").evidence
    assert (kept["work"]["branch"], kept["work"]["uncommitted"]) == ("coord/t", True)
    assert (
        "+two" in kept["patch"]
        and "+untracked" in kept["patch"]
        and "2 files changed" in kept["work"]["stat"]
    )
    assert (folder / "new.txt").exists()
    assert "+untracked" in coord("result", "t", "--evidence").out
    coord("result", "t", "--artifacts", "got")
    subprocess.run(
        ["git", "apply", "--check", str(Path("got/task.patch").absolute())], cwd=folder, check=False
    )
    assert (project / "part" / "a.txt").read_text() == "not committed\n", "the project itself is left alone"
    one.kill()
    eventually(lambda: not one.home.exists())
    assert git(folder, "log", "--format=%s", "-1") == "second", "nothing is committed once it is settled"


def test_a_check_runs_in_it(session: Start, ask: Callable[..., str], conn: redis.Redis) -> None:
    one = started(session, "w1", COORD_CHECKS="1", COORD_IDLE_LIMIT="0s")
    ask(id="t", check="grep -q two part/a.txt", finish="message")
    folder = directory(one.hook("Stop"))
    assert "failed" in one.hook("Stop", last_assistant_message="done")["reason"]
    (folder / "part" / "a.txt").write_text("two")
    one.hook("Stop", last_assistant_message="done")
    assert view.task(conn, "t").status == "finished"


def test_what_was_changed_is_committed_on_release_and_the_next_goes_on_there(
    session: Start, ask: Callable[..., str], conn: redis.Redis
) -> None:
    one = started(session, "w1", COORD_IDLE_LIMIT="1s")
    ask(id="t")
    claim, folder, _ = handed(one.hook("Stop"))
    (folder / "half.txt").write_text("half of it")
    assert one.bash(f"coord-worker release {claim} --delay 0").returncode == 0
    assert git(folder, "log", "--format=%s|%an", "-1") == "coord: work in progress of task t, attempt 1|coord"
    assert git(folder, "status", "--porcelain") == ""
    two = started(session, "w2")
    _, again, text = handed(two.hook("Stop"))
    assert again == folder and git(folder, "rev-parse", "HEAD")[:12] in text
    assert (again / "half.txt").read_text() == "half of it"


def test_after_a_death_the_next_attempt_begins_with_what_was_left(
    session: Start, ask: Callable[..., str], conn: redis.Redis, settings: Settings
) -> None:
    one = started(session, "w1")
    ask(id="t")
    _, folder, _ = handed(one.hook("Stop"))
    (folder / "half.txt").write_text("half of it")
    one.kill()
    eventually(lambda: view.task(conn, "t").status == "queued")
    eventually(lambda: "work in progress" in git(folder, "log", "--format=%s", "-1"))
    two = started(session, "w2")
    _, again, text = handed(two.hook("Stop"))
    assert again == Path(settings.home) / "worktrees" / "t.2"
    assert git(again, "branch", "--show-current") == "coord/t.2"
    assert (again / "half.txt").read_text() == "half of it"
    assert "earlier attempt" in text and git(folder, "rev-parse", "HEAD")[:12] in text
    assert git(folder, "status", "--porcelain") == ""


def test_a_given_up_worker_that_lives_shares_no_tree_with_its_successor(
    session: Start, ask: Callable[..., str], conn: redis.Redis, pool: Pool, settings: Settings
) -> None:
    one = started(session, "w1")
    ask(id="t")
    claim, folder, _ = handed(one.hook("Stop"))
    (folder / "half.txt").write_text("half of it")
    head = git(folder, "rev-parse", "HEAD")
    pool.requeue("t", "requeue", "taken away")
    two = started(session, "w2")
    second, again, _ = handed(two.hook("Stop"))
    assert again != folder and (again / "half.txt").read_text() == "half of it"
    assert git(folder, "rev-parse", "HEAD") == head and "half.txt" in git(folder, "status", "--porcelain")
    (folder / "half.txt").write_text("it goes on")  # the first knows nothing of it yet
    assert one.bash(f"coord-worker complete {claim} --result late").returncode == 4
    assert two.bash(f"coord-worker complete {second} --result ok").returncode == 0
    assert (again / "half.txt").read_text() == "half of it"


def test_an_attempt_on_another_machine_is_told_where_the_work_is(
    session: Start, ask: Callable[..., str], conn: redis.Redis, settings: Settings
) -> None:
    ask(id="t")
    place = {"name": "t", "host": "far-away", "path": "/there/t", "branch": "coord/t", "commit": "0" * 40}
    conn.hset("rq:job:t", "pool_worktree", json.dumps(place))
    _, _, text = handed(started(session, "w1").hook("Stop"))
    assert "far-away in /there/t (branch coord/t, commit 000000000000)" in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cwd": "/"}, "is in no repository"),
        ({"cwd": "/nowhere/at/all"}, "there is no directory /nowhere/at/all"),
        ({"worktree": "no-such-branch"}, "has no commit 'no-such-branch'"),
    ],
)
def test_what_cannot_be_made_fails_the_task_in_one_line(
    session: Start, ask: Callable[..., str], conn: redis.Redis, wrong: dict[str, Any], said: str
) -> None:
    ask(id="t", **wrong)
    ask(id="next", worktree=False)
    answer = started(session, "w1").hook("Stop")
    found = view.task(conn, "t")
    assert found.status == "failed" and said in (found.error or "") and "\n" not in (found.error or "")
    assert answer["reason"].startswith("Task next"), "and the next is handed over by the same call"


def test_no_commit_yet(session: Start, ask: Callable[..., str], conn: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    ask(id="t", cwd=str(tmp_path / "empty"))
    one = started(session, "w1")
    assert one.bash("coord-worker claim").returncode == 3
    assert "has no commit yet" in (view.task(conn, "t").error or "")


def test_a_branch_of_that_name_is_left_alone_and_a_base_is_taken(
    session: Start, ask: Callable[..., str], project: Path
) -> None:
    git(project, "branch", "coord/t")
    git(project, "tag", "old")
    ask(id="t", worktree="old")
    one = started(session, "w1")
    found = one.bash("coord-worker claim")
    assert "on the branch coord/t.2" in found.stdout, found
    assert git(project, "rev-parse", "coord/t") == git(project, "rev-parse", "main")


def test_a_slow_git_does_not_cost_the_claim(
    session: Start, ask: Callable[..., str], conn: redis.Redis, tmp_path: Path, pool: Pool
) -> None:
    """The hand-over is provisional all the while: it must not lapse."""
    one = session("w1", COORD_PROVISIONAL="3s", PATH=slow_git(tmp_path, "sleep 5"))
    one.start()
    ask(id="t")
    stop = one.start_hook("Stop")
    end = time.monotonic() + 60
    while stop.running() and time.monotonic() < end:
        pool.reap("", True)
        time.sleep(0.05)
    claim, folder, _ = handed(stop.end())
    assert view.task(conn, "t").status == "started" and folder.exists()
    assert one.bash(f"coord-worker heartbeat {claim}").returncode == 0


def test_a_hook_killed_while_it_makes_one_loses_nothing(
    session: Start, ask: Callable[..., str], conn: redis.Redis, pool: Pool, tmp_path: Path
) -> None:
    until = f"until test -e {tmp_path}/on; do sleep 0.1; done"
    before = f"test -e {tmp_path}/on || {{ touch {tmp_path}/in; {until}; exit 1; }}"
    one = session("w1", COORD_PROVISIONAL="1s", PATH=slow_git(tmp_path, before))
    one.start()
    ask(id="t")
    stop = one.start_hook("Stop")
    eventually((tmp_path / "in").exists)
    stop.kill()
    (tmp_path / "on").touch()

    def back() -> bool:
        pool.reap("", True)
        return view.task(conn, "t").status == "queued"

    eventually(back)
    _, folder, _ = handed(one.hook("Stop"))
    assert folder.name == "t.2" and (folder / "part" / "a.txt").read_text() == "one\n"


def test_the_command_lists_them_and_removes_what_is_merged(
    session: Start, ask: Callable[..., str], project: Path, coord: Coord
) -> None:
    assert coord("worktrees").out == "no worktrees\n"
    one = started(session, "w1")
    ask(id="t")
    claim, folder, _ = handed(one.hook("Stop"))
    assert "runs there" in coord("worktrees", "--remove", "t", code=2).line()
    (folder / "new.txt").write_text("new")
    assert one.bash(f"coord-worker complete {claim} --result done").returncode == 0
    (row,) = coord.json("worktrees")
    assert (row["name"], row["status"], row["commits"], row["uncommitted"]) == ("t", "finished", 0, 1)
    assert "1 files not committed" in coord("worktrees").out
    assert "1 files are not committed" in coord("worktrees", "--remove", "t", code=2).line()
    git(folder, "add", ".")
    git(folder, "commit", "-q", "--no-verify", "-m", "new")
    assert "coord/t is not merged" in coord("worktrees", "--remove", "t", code=2).line()
    git(project, "merge", "-q", "--no-verify", "coord/t")
    assert coord.json("worktrees")[0]["merged"] is True
    assert "removed" in coord("worktrees", "--remove", "t").out
    assert not folder.exists() and git(project, "branch", "--list", "coord/*") == ""
    assert coord.json("worktrees") == []
    assert "there is no worktree 't'" in coord("worktrees", "--remove", "t", code=2).line()
    assert "--force goes with" in coord("worktrees", "--force", code=2).line()


def test_force_removes_what_is_not_merged(
    session: Start, ask: Callable[..., str], project: Path, coord: Coord
) -> None:
    one = started(session, "w1")
    ask(id="t")
    claim, folder, _ = handed(one.hook("Stop"))
    (folder / "new.txt").write_text("new")
    one.bash(f"coord-worker complete {claim}")
    assert coord.json("worktrees", "--remove", "t", "--force")["name"] == "t"
    assert not folder.exists() and git(project, "worktree", "list").count("\n") == 0
