"""Which worker a helper's caller is. Standard library only."""

from __future__ import annotations

import os
import sys

from pool import __version__, local, needs, process, units
from pool.claim import Caller
from pool.enroll import given_name, host_name, named_in_environment
from pool.errors import NotRegistered, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pool.compiled import Compiled
    from pool.scripts import Pool


_LETTERS = "letters, digits, '.', '_' and '-'"


class Identity:
    """A caller, with its session where it has one."""

    def __init__(self, caller: Caller, session: local.Session | None) -> None:
        self.caller = caller
        self.session = session

    def outbox(self, home: str) -> str:
        """Where its commits wait for Redis."""
        if self.session is not None:
            return os.path.join(self.session.folder, "outbox")
        return os.path.join(home, "outbox", self.caller.worker)


def whoami(settings: Compiled, named: str = "", environ: dict[str, str] | None = None) -> Identity:
    """The worker that calls: the session's process first, then --worker and COORD_WORKER_ID.

    Raises:
        UsageError: Nobody that could be known.
        NotRegistered: A session inside a worker's session, which is nobody (design section 5).
    """
    env = dict(os.environ) if environ is None else environ
    if named and not units.is_worker_id(named):
        raise UsageError(f"{named[:60]!r} is not a worker id: {_LETTERS}")
    session = _session(settings, env)
    if session is not None and named in ("", session.caller.worker):
        return Identity(session.caller, session)
    if named:
        return Identity(Caller(named), None)
    if env.get("CLAUDE_PID") and env.get(local.SESSION_VARIABLE):
        raise NotRegistered("this session runs inside a worker's session and is no worker itself")
    name = given_name()
    if not name and named_in_environment():
        raise UsageError(f"COORD_WORKER_ID={named_in_environment()[:60]!r} is not a worker id: {_LETTERS}")
    if not name:
        raise UsageError("which worker? This is no worker's session: give --worker ID or set COORD_WORKER_ID")
    return Identity(Caller(name), None)


def _session(settings: Compiled, env: dict[str, str]) -> local.Session | None:
    given = env.get("CLAUDE_PID", "")
    if given.isdigit():
        return local.of_process(settings, int(given))
    for pid in process.ancestors(os.getpid()):
        session = local.of_process(settings, pid)
        if session is not None:
            return session
    return None


def attend(settings: Compiled, pool: Pool, identity: Identity) -> Caller:
    """The caller as a registered worker: a program without a session is registered under its name.

    Raises:
        RedisAway: Redis did not answer.
    """
    if identity.session is not None:
        identity.session.ensure_keeper(settings.path)
        return identity.caller
    values = settings.values
    _, caller = pool.register(
        identity.caller.worker, "", "", host_name(), os.getppid(), values["queues"], values["idle_limit"], 0,
        os.getcwd(), (settings.rq_version, sys.version.split()[0], __version__),
        needs.offered(values, os.environ), str(values["account"]),
    )  # fmt: skip
    return Caller(caller.worker, "") if caller.worker == identity.caller.worker else caller
