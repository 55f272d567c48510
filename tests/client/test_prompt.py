"""A session in a terminal: a person types while the pool's hook waits, clears, interrupts, comes back."""

from __future__ import annotations

import re
from collections.abc import Callable

import redis

from tests.client import models, replies, story
from tests.client.api import Api, Request
from tests.client.client import Home
from tests.client.terminal import Terminal
from tests.session import eventually

WAITS = "coord: waiting for tasks"


def waiting(terminal: Terminal) -> None:
    terminal.wait(re.escape(WAITS))


def freed(terminal: Terminal) -> None:
    """Esc: the waiting hook is given up, the prompt is free."""
    terminal.key("Escape")
    eventually(lambda: WAITS not in terminal.visible(), 15, "Esc frees the prompt")


def ids(conn: redis.Redis) -> tuple[str, str]:
    """The worker's epoch and session."""
    return story.field(conn, "w1", "epoch"), story.field(conn, "w1", "session")


def test_esc_a_prompt_clear_and_a_prompt_after_an_allowed_stop(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    api.script(
        models.by_words(
            [("What is two and two", replies.text("It is four.")), ("Go on", replies.text("I go on."))],
            otherwise=models.worker(),
        )
    )
    story.install(home, "--worker")
    terminal = home.terminal("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="25s")
    waiting(terminal)
    first = ids(conn)

    # Esc ends the hook's wait, not the worker; a question is answered, and it waits again.
    freed(terminal)
    terminal.type("What is two and two?")
    terminal.wait("It is four")
    waiting(terminal)
    story.until(conn, "w1", "waiting")
    story.finished(conn, submit("run: echo one >> done.txt"))
    assert ids(conn) == first

    # /clear: another session id, the same worker, which knows nothing and waits again.
    waiting(terminal)
    freed(terminal)
    terminal.type("/clear")
    eventually(lambda: ids(conn)[1] != first[1], 20, "/clear binds the worker anew")
    assert ids(conn)[0] == first[0]
    terminal.type("Go on.")
    terminal.wait("I go on")
    waiting(terminal)
    story.finished(conn, submit("run: echo two >> done.txt"))

    # Its idle clock runs out: it may stop, and the process stays at its prompt.
    home.run("coord", "idle", "1s", "w1")
    story.until(conn, "w1", "stopped")
    eventually(lambda: WAITS not in terminal.visible(), 15, "the prompt is free")
    assert not terminal.dead
    task = submit("run: echo three >> done.txt")
    terminal.type("Go on.")
    story.finished(conn, task)
    assert story.field(conn, "w1", "epoch") == "2"
    assert (home.project / "done.txt").read_text() == "one\ntwo\nthree\n"
    assert story.events(conn, "reminded") == 0 and story.complaints(home) == ""


def test_a_task_outlives_an_interrupt_and_clear(
    api: Api, home: Home, conn: redis.Redis, submit: Callable[..., str]
) -> None:
    """Esc amid a tool call, then /clear: the worker still holds the task, is told so and does it."""

    def after_clear(request: Request) -> replies.Reply:
        told = re.search(r"You hold task [^:]+: run `(coord-worker context [^`]+)`", request.conversation())
        if told and models.task(request) is None:
            return replies.bash(told[1])
        return models.worker()(request)

    long = replies.bash("touch began; sleep 300")
    api.script(models.in_order(replies.text("Ready."), long, then=after_clear))
    story.install(home, "--worker")
    terminal = home.terminal("Work for the pool.", COORD_WORKER_ID="w1", COORD_IDLE_LIMIT="20s")
    task = submit("run: echo done >> done.txt")
    eventually(lambda: (home.project / "began").exists(), 30, "its call of Bash")
    session = ids(conn)
    terminal.key("Escape")
    terminal.wait("Interrupted|interrupted")
    assert story.field(conn, "w1", "claim") == task  # it lives, and holds what it holds
    terminal.type("/clear")
    eventually(lambda: ids(conn)[1] != session[1], 20, "/clear binds the worker anew")
    assert ids(conn)[0] == session[0] and story.field(conn, "w1", "claim") == task
    terminal.type("Go on.")
    story.finished(conn, task)
    assert story.job(conn, task, "pool_attempts") == "1"
    assert (home.project / "done.txt").read_text() == "done\n"
    eventually(lambda: not home.processes("sleep 300"), what="the end of the call")
