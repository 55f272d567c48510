"""What should not lie about on this machine: ended sessions, commits never sent, keepers, stale notes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from coordinator import embedded
from coordinator.doctor.finding import Finding, note, ok, warning
from coordinator.doctor.patient import Patient
from pool import local, process

_NAMED = 3


def _folders(patient: Patient) -> list[Path]:
    top = patient.home / "sessions"
    return sorted(each for each in top.iterdir() if each.is_dir()) if top.is_dir() else []


def _machine() -> str:
    return f"{process.boot_id()}-{process.namespace()}-"


def _ended(folder: Path) -> bool:
    """Whether that session's process is gone, as far as can be told from here."""
    return folder.name.startswith(_machine()) and not process.same(folder.name)


def commits(patient: Patient) -> Iterator[Finding]:
    """Results that Redis has never taken, though nobody is left to send them."""
    fine = True
    for folder in _folders(patient):
        elsewhere = not folder.name.startswith(_machine())
        if not elsewhere and not _ended(folder):
            continue  # its keeper sends them
        kept = local.commits(str(folder / "outbox"))
        if kept:
            fine = False
            who = _worker(Path(kept[0]))
            box = patient.home / "outbox" / who
            where = "a session of an earlier boot, or another container" if elsewhere else "an ended session"
            yield warning(
                f"{len(kept)} result(s) of {where} were never delivered: {folder / 'outbox'}",
                f"mkdir -p {_q(box)} && mv {_q(folder)}/outbox/*.json {_q(box)}/ && "
                f"COORD_HOME={_q(patient.home)} coord-worker status --worker {who}",
            )
    top = patient.home / "outbox"
    for folder in sorted(top.iterdir()) if top.is_dir() else []:
        kept = local.commits(str(folder))
        if kept:
            fine = False
            yield warning(
                f"{len(kept)} result(s) of worker {folder.name} were not delivered yet: {folder}",
                f"COORD_HOME={_q(patient.home)} coord-worker status --worker {folder.name}",
            )
    refused = sorted(patient.home.glob("sessions/*/outbox/*.refused")) + sorted(top.glob("*/*.refused"))
    if refused:
        fine = False
        yield note(
            f"{len(refused)} result(s) came too late (their task was another's by then) and are kept to be "
            f"read: {refused[0]}",
            f"read it, then: rm {_q(refused[0])}",
        )
    if fine:
        yield ok("every result was delivered")


def sessions(patient: Patient) -> Iterator[Finding]:
    """Folders of sessions whose process is gone."""
    dead = [each for each in _folders(patient) if _ended(each) and not local.commits(str(each / "outbox"))]
    dead = [each for each in dead if not list(each.glob("outbox/*.refused"))]
    foreign = [each for each in _folders(patient) if not each.name.startswith(_machine())]
    if dead:
        shown = ", ".join(each.name for each in dead[:_NAMED]) + (" ..." if len(dead) > _NAMED else "")
        yield warning(
            f"{len(dead)} folder(s) of sessions that have ended: {shown} (the next session here tidies them)",
            "rm -r " + " ".join(_q(each) for each in dead[:_NAMED]),
        )
    if foreign:
        yield note(
            f"{len(foreign)} session folder(s) of an earlier boot, or of another machine or container "
            f"that shares {patient.home}",
        )
    if not dead:
        yield ok(f"{len(_folders(patient)) - len(foreign)} session(s) here, each with a live process")


def keepers(patient: Patient) -> Iterator[Finding]:
    """Keepers of sessions that are gone. (They try for some minutes to report the death.)"""
    if not sys.platform.startswith("linux"):
        yield note("keepers cannot be listed on this system")
        return
    left = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile, or is not ours to look at
        names = [word for word in words if word.endswith("/workers/keeper.py") or word == "--keeper"]
        keys = [word for word in words if word.startswith(_machine())]
        ours = any(word.startswith(f"{patient.home}/") for word in words)
        if names and keys and ours and not process.same(keys[0]):
            left.append(entry.name)
    if left:
        yield warning(
            f"keeper(s) of sessions that have ended: process {', '.join(left)} (they could not tell Redis "
            "of it yet, and give up after 10 minutes)",
            f"let Redis answer; or: kill {' '.join(left)}",
        )
    else:
        yield ok("no keeper without a session")


def notes(patient: Patient) -> Iterator[Finding]:
    """HOME/redis.json and HOME/serve.pid of processes that are gone."""
    fine = True
    noted = patient.home / "redis.json"
    if noted.is_file() and embedded.running(patient.home) is None and not patient.embedded:
        fine = False
        yield warning(
            f"{noted} names an embedded Redis that does not run (COORD_REDIS_URL names another)",
            f"rm {_q(noted)}",
        )
    elif not patient.embedded and noted.is_file():
        fine = False
        yield note("the project's own Redis runs beside the one that COORD_REDIS_URL names", "coord down")
    served = patient.home / "serve.pid"
    if served.is_file() and not process.same(served.read_text(encoding="utf-8").strip()):
        fine = False
        remedy = "coord up -d" if patient.embedded else "coord down"
        yield warning(f"the coordinator that `coord up -d` started has ended ({served})", remedy)
    if fine:
        yield ok("none is stale")


def _worker(path: Path) -> str:
    try:
        name = str(json.loads(path.read_text(encoding="utf-8"))["worker"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
    return name if all(c.isalnum() or c in "._-" for c in name) and name.strip(".") else "unknown"


def _q(path: Path) -> str:
    return shlex.quote(str(path))
