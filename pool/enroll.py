"""Make a session's process a worker of the pool, or bring it back as a new owner. Standard library only."""

from __future__ import annotations

import os
import sys
import time

from pool import __version__, local, needs, process, units, usage
from pool.errors import CoordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pool.compiled import Compiled
    from pool.scripts import Pool


#: How a supervisor runs a session.
MODES = ("hook", "stream", "terminal")


def enroll(
    settings: Compiled, pool: Pool, pid: int, session_id: str, cwd: str,
    environ: Mapping[str, str] | None = None, again: bool = False,
) -> local.Session | None:  # fmt: skip
    """Register a process as a worker, note it on disk and start its keeper; None if the process is gone.

    A name that belongs to another live process gets a suffix. ``environ`` is the session's environment
    (default: this process has the same). With ``again`` it is registered as it was before, if it was: whoever
    keeps a session need not know its environment.

    Raises:
        RedisAway: Redis did not answer.
        CoordError: No free name was found.
    """
    process_key = process.key(pid)
    if not process_key:
        return None
    session = local.Session(settings.home, process_key)
    session.load()
    env = os.environ if environ is None else environ
    host = host_name()
    name = str(session.data.get("worker") or "") or given_name(env) or f"{host}-{pid}"
    before = session.data.get("terms") if again else None
    terms = before if isinstance(before, dict) else _terms(settings.values, env)
    if again:
        cwd = str(session.data.get("cwd") or cwd)
    versions = (settings.rq_version, sys.version.split()[0], __version__)
    for _ in range(5):
        verdict, caller = pool.register(
            name, process_key, session_id, host, pid, terms["queues"], terms["idle_limit"],
            terms["max_tasks"], cwd, versions, terms["offers"], terms["account"], terms["mode"],
            terms["supervisor"],
        )  # fmt: skip
        if verdict != "taken":
            break
        name = f"{name[:190]}-{os.urandom(2).hex()}"
    else:
        raise CoordError(f"no free name like {name} for this worker")
    session.save(
        worker=caller.worker, epoch=caller.epoch, session_id=session_id or session.data.get("session_id", ""),
        stopped=False, verdict=verdict, terms=terms, cwd=session.data.get("cwd") or cwd,
    )  # fmt: skip
    if not session.handed():
        session.hand("", usage.moment(time.time()))  # what a transcript has from before is not this session's
    session.data["keeper"] = session.ensure_keeper(settings.path, environ)
    return session


def _terms(values: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """What a session with these settings and this environment is registered with."""
    return {
        "queues": values["queues"], "idle_limit": values["idle_limit"], "max_tasks": values["max_tasks"],
        "offers": needs.offered(values, env), "account": str(values["account"]), "mode": mode(env),
        "supervisor": supervisor(env),
    }  # fmt: skip


def given_name(environ: Mapping[str, str] | None = None) -> str:
    """The worker id that the environment gives ('' when there is none, or it cannot be one)."""
    name = named_in_environment(environ)
    return name if units.is_worker_id(name) else ""


def named_in_environment(environ: Mapping[str, str] | None = None) -> str:
    """COORD_WORKER_ID or WORKER_ID, as it stands."""
    env = os.environ if environ is None else environ
    return env.get("COORD_WORKER_ID") or env.get("WORKER_ID") or ""


def mode(environ: Mapping[str, str] | None = None) -> str:
    """How this session is run by its supervisor; '' when it has none."""
    given = (os.environ if environ is None else environ).get("COORD_MODE", "")
    return given if given in MODES else ""


def supervisor(environ: Mapping[str, str] | None = None) -> str:
    """The supervisor's name; '' when there is none."""
    given = (os.environ if environ is None else environ).get("COORD_SUPERVISED", "")
    return given if units.is_worker_id(given) else ""


def host_name() -> str:
    """This machine's short name."""
    name = os.uname().nodename.split(".")[0]
    return name if units.is_worker_id(name) else "worker"
