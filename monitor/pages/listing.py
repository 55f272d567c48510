"""Which sessions are shown, in which order: pure, and fast with ten thousand of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pool.sessions import Session, State

#: Rows of a page; of the ended ones, the latest so many.
PAGE, ENDED = 100, 25
#: One that died is shown among the living for so long (seconds): somebody may want to know.
FRESH = 600.0

#: In the order in which a person wants to look at them; those of one rank change into each other often.
_RANKS = (
    (State.NEEDS_YOU,),
    (State.STUCK, State.INTERRUPTED, State.DEAD),
    (State.WORKING, State.TOOL, State.COMPACTING, State.STARTING),
    (State.PARKED, State.DRAINING),
    (State.WAITING,),
    (State.STOPPED,),
)
_RANK = {state: place for place, states in enumerate(_RANKS) for state in states}
#: Every state, in that order.
STATES = tuple(state for states in _RANKS for state in states)
#: What each means, in a line.
MEANING = {
    State.NEEDS_YOU: "waits for a person: a permission, or a question",
    State.STUCK: "holds a task and does nothing",
    State.INTERRUPTED: "a person stopped it; it waits at its prompt",
    State.DEAD: "its process is gone, and it did not say goodbye",
    State.WORKING: "the model is at work",
    State.TOOL: "a tool runs",
    State.COMPACTING: "it sums up its conversation",
    State.STARTING: "it has begun, and done nothing yet",
    State.PARKED: "keeps its task until a quota resets, or a person comes",
    State.DRAINING: "finishes what it does, then stops",
    State.WAITING: "idle: waits for its next task or prompt",
    State.STOPPED: "has done what it was asked: it is at its prompt, or has ended",
}

SORTS: dict[str, Callable[[Session], Any]] = {
    "": lambda each: (_RANK[each.state], _natural(each.id)),
    "session": lambda each: _natural(each.id),
    "state": lambda each: (_RANK[each.state], each.state, each.since),
    "since": lambda each: -each.since,
    "seen": lambda each: -each.evidence_at,
    "task": lambda each: (not each.task, each.title.casefold(), each.task),
    "where": lambda each: (each.host, each.cwd, _natural(each.id)),
}


def _natural(name: str) -> tuple[str, int, str]:
    """w2 before w10."""
    found = re.search(r"\d+", name)
    if not found or len(found[0]) > 18:
        return name, 0, ""
    return name[: found.start()], int(found[0]), name[found.end() :]


@dataclass(frozen=True)
class Wanted:
    """What the reader asked for: words, one state, an order (``-name``: the other way round), a page."""

    q: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1

    @property
    def query(self) -> dict[str, Any]:
        """As it stands in the address; what is usual is left out."""
        return {
            "q": self.q,
            "state": self.state,
            "sort": self.sort,
            "page": self.page if self.page > 1 else "",
        }


@dataclass(frozen=True)
class Found:
    """One page of the sessions asked for, and how many there are."""

    rows: list[Session]
    #: The latest of those that have ended, and how many have; () where they are among the rows.
    ended: list[Session]
    ended_count: int
    #: How many rows there are on all pages; the first of this page's, from 1.
    total: int
    first: int
    page: int
    pages: int
    #: How many there are in each state, whatever is asked for.
    states: dict[State, int]


def needy(sessions: Iterable[Session]) -> list[Session]:
    """Those that wait for a person, the longest first."""
    return sorted(
        (each for each in sessions if each.state is State.NEEDS_YOU), key=lambda each: (each.since, each.id)
    )


def is_ended(session: Session, now: float) -> bool:
    """Whether it is folded away."""
    return bool(session.ended_at) and not (session.state is State.DEAD and now - session.since <= FRESH)


def find(sessions: list[Session], wanted: Wanted, now: float) -> Found:
    """The page that is wanted. An unknown order or state is as if it were not given."""
    states = Counter(each.state for each in sessions)
    state = State(wanted.state) if wanted.state in _RANK else None
    words = wanted.q.casefold().split()
    chosen = [each for each in sessions if matches(each, words)] if words else sessions
    if state is not None:
        rows, ended = [each for each in chosen if each.state is state], []
    else:
        rows = [each for each in chosen if not is_ended(each, now)]
        ended = [each for each in chosen if is_ended(each, now)]
    name = wanted.sort.removeprefix("-")
    rows.sort(key=SORTS.get(name, SORTS[""]), reverse=wanted.sort.startswith("-"))
    ended.sort(key=lambda each: -each.since)
    pages = max(1, -(-len(rows) // PAGE))
    page = min(max(1, wanted.page), pages)
    first = (page - 1) * PAGE
    return Found(
        rows[first : first + PAGE], ended[:ENDED], len(ended), len(rows), first + 1, page, pages,
        {each: states[each] for each in STATES if states[each]},
    )  # fmt: skip


def matches(session: Session, words: list[str]) -> bool:
    """Whether all words (in lower case) occur in what is known of it."""
    known = "\n".join(
        (
            session.id, session.session, session.worker, session.task, session.title, session.tool,
            session.host, session.cwd, session.evidence, session.needs, session.model, session.state,
        )
    ).casefold()  # fmt: skip
    return all(word in known for word in words)
