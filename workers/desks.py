"""Where a helper's caller settles its tasks, and how long it waits for a check. Standard library only."""

from __future__ import annotations

import os

from pool import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.compiled import Compiled
    from pool.scripts import Pool
    from workers.identity import Identity

#: The client's own limit of a Bash call (ms), where its environment sets one; 2 min without.
_BASH_LIMIT = "BASH_DEFAULT_TIMEOUT_MS"


def of(settings: Compiled, pool: Pool, me: Identity) -> settle.Desk:
    """The desk of this caller."""
    session = me.session
    folder = session.folder if session is not None else os.path.join(settings.home, "desks", me.caller.worker)
    return settle.Desk(
        pool,
        settings.values,
        me.caller,
        os.path.join(folder, "check"),
        me.outbox(settings.home),
        session=session.key if session is not None else "",
        cwd=directory(me),
    )


def directory(me: Identity) -> str:
    """Where a task without a directory is worked on."""
    return str(me.session.data.get("cwd") or "") if me.session is not None else os.getcwd()


def patience(settings: Compiled, me: Identity) -> float:
    """How long (s) a helper waits for a check: in a session not longer than its Bash call may take."""
    if me.session is None:
        return float("inf")
    given = os.environ.get(_BASH_LIMIT, "")
    limit = int(given) / 1000 if given.isdigit() and len(given) < 12 else 120.0
    return float(min(settings["check_wait"], max(limit - 20.0, limit / 2)))
