"""Models for workers' sessions: scripts that read what the pool hands over and do it, or do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tests.client import replies
from tests.client.api import Request, Script, flat
from tests.client.replies import Reply, Usage

_CLAIM = re.compile(r"coord-worker complete ([\w-]+\.\d+-[0-9a-f]+)")
_COMMAND = re.compile(r"^\s*run:\s*(.+)$", re.MULTILINE)


class Task(NamedTuple):
    """A task as the model reads it."""

    #: TASK.TOKEN
    claim: str
    #: What the prompt says after `run:` ('' nothing).
    command: str
    #: How many replies the model has given since it was handed over.
    replied: int

    @property
    def id(self) -> str:
        return self.claim.partition(".")[0]


def task(request: Request) -> Task | None:
    """The task that was handed over (or reminded of) last in this conversation."""
    replied = 0
    for each in reversed(request.messages):
        if each["role"] == "assistant":
            replied += 1
            continue
        words = flat(each["content"])
        claims = _CLAIM.findall(words)
        if claims:
            commands = _COMMAND.findall(words)
            return Task(claims[-1], commands[-1] if commands else "", replied)
    return None


def worker(
    joined: bool = False, complete: str = "coord-worker complete {claim} --result 'did {id}'",
    usage: Usage | None = None,
) -> Script:  # fmt: skip
    """Do each task: run its command by Bash, report, end the turn.

    ``joined`` does both in one Bash call; ``complete`` is how it reports ('' not at all).
    """

    def answer(request: Request) -> Reply:
        given = task(request)
        if given is None:
            return replies.text("There is no task.")
        report = complete.format(claim=given.claim, id=given.id)
        commands = [each for each in (given.command, report) if each]
        if joined:
            commands = [" && ".join(commands)]
        if given.replied < len(commands):
            return replies.bash(commands[given.replied])
        return replies.text(f"{given.id} is done.")

    def script(request: Request) -> Reply:
        reply = answer(request)
        return reply if usage is None else reply.with_(usage=usage)

    return script


def claims_to_be_done(request: Request) -> Reply:
    """Say that the task is done, and do nothing."""
    given = task(request)
    return replies.text(f"{given.id} is done." if given else "There is no task.")


def in_order(*given: Reply | Callable[[Request], Reply], then: Script | None = None) -> Script:
    """These replies one after another (retries of the client count), then those of another script."""
    rest: Iterator[Reply | Script] = iter(given)

    def script(request: Request) -> Reply:
        for each in rest:
            return each if isinstance(each, Reply) else each(request)
        return then(request) if then is not None else replies.text("That is all.")

    return script


def by_words(table: Iterable[tuple[str, Script | Reply]], otherwise: Script) -> Script:
    """The script (or the reply) for which the newest message holds the words, first match wins."""
    listed = list(table)

    def script(request: Request) -> Reply:
        for words, each in listed:
            if words in request.new():
                return each if isinstance(each, Reply) else each(request)
        return otherwise(request)

    return script
