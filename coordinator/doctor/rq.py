"""RQ beside us: plain workers, schedulers and jobs on our queues."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from coordinator.doctor.finding import Finding, note, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient
from pool import keys, model, payload, view

_SERIALIZER = "rq worker -S rq.serializers.JSONSerializer"
_NAMED = 3
#: So many jobs of each list are looked at.
_HEAD = 100


def version(patient: Patient) -> Iterator[Finding]:
    """RQ within the range that the tests cover."""
    here = metadata.version("rq")
    wanted = next((each for each in metadata.requires("coord") or [] if re.match(r"rq\b", each)), "")
    if _within(here, wanted):
        yield ok(f"RQ {here} ({wanted} is supported)")
    else:
        yield wrong(f"RQ {here} is installed, supported is {wanted}", f"pip install '{wanted}'")


def _within(version: str, wanted: str) -> bool:
    """Whether a version lies within ``rq<4,>=2.8``."""

    def numbers(text: str) -> tuple[int, ...]:
        found = [int(part) for part in re.findall(r"\d+", text)[:3]]
        return tuple(found + [0] * (3 - len(found)))

    at = numbers(version)
    for sign, bound in re.findall(r"(<=|>=|==|<|>)\s*([\d.]+)", wanted):
        to = numbers(bound)
        if not {"<": at < to, "<=": at <= to, "==": at == to, ">": at > to, ">=": at >= to}[sign]:
            return False
    return True


def ours(patient: Patient) -> set[str]:
    """Names of the queues that are the pool's: of the settings, and those that live workers serve."""
    connection = patient.redis
    found = {patient.settings.queue, *patient.settings.queues}
    live: Any = connection.zrange("pool:workers", 0, -1)
    pipe = connection.pipeline(transaction=False)
    for raw in live:
        pipe.hget(f"pool:worker:{raw.decode()}", "queues")
    for served in pipe.execute():
        found.update((served or b"").decode("utf-8", "replace").split(","))
    return found - {""}


def workers(patient: Patient) -> Iterator[Finding]:
    """Plain RQ workers on our queues: one without the JSON serializer fails every task unread."""
    connection, mine = patient.redis, ours(patient)
    members: Any = connection.smembers(keys.templates()["workers"])
    prefix = len(keys.key("worker", ""))
    names = sorted(raw.decode("utf-8", "replace")[prefix:] for raw in members)
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.exists(f"pool:worker:{name}")
        pipe.hmget(keys.key("worker", name), ["queues", "hostname", "pid"])
    replies = pipe.execute()
    fine = True
    for name, known, (queues, host, pid) in zip(names, replies[::2], replies[1::2], strict=True):
        served = {
            model.split_queue(each)[0] for each in (queues or b"").decode("utf-8", "replace").split(",")
        }
        if known or not served & mine:
            continue  # a worker of the pool; gone already; or somebody else's
        fine = False
        where = f"{(host or b'?').decode('utf-8', 'replace')}:{(pid or b'?').decode('utf-8', 'replace')}"
        seen = f"a plain RQ worker, {name} ({where}), serves {', '.join(sorted(served & mine))}"
        words = _command_line(
            (host or b"").decode("utf-8", "replace"), (pid or b"").decode("utf-8", "replace")
        )
        if words is None:
            yield unknown(
                f"{seen}; whether it reads JSON cannot be seen from here",
                f"see that it was started with: {_SERIALIZER}",
            )
        elif _reads_json(words):
            yield note(f"{seen}, with the JSON serializer: its tasks have RQ's own, weaker guarantees")
        else:
            yield wrong(
                f"{seen} without the JSON serializer: it fails every task that it takes, unread",
                f"end it, or start it with: {_SERIALIZER}",
            )
    if fine:
        yield ok("no plain RQ worker on our queues")


def _command_line(host: str, pid: str) -> list[str] | None:
    """The words of a process of this machine; None where they cannot be seen."""
    if host != socket.gethostname() or not pid.isdigit():
        return None
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    return words if any("rq" in word for word in words) else None


def _reads_json(words: list[str]) -> bool:
    return any("JSONSerializer" in word for word in words)


def schedulers(patient: Patient) -> Iterator[Finding]:
    """RQ schedulers that hold the lock of one of our queues, which a coordinator should hold."""
    connection, mine = patient.redis, ours(patient)
    names = [name for name in view.queue_names(connection) if model.split_queue(name)[0] in mine]
    names = sorted({*names, *mine})
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.get(keys.key("scheduler_lock", name))
    held: dict[str, list[str]] = {}
    for name, holder in zip(names, pipe.execute(), strict=True):
        if holder and not holder.startswith(b"coord-"):
            held.setdefault(holder.decode("utf-8", "replace"), []).append(name)
    for holder, queues in held.items():
        yield wrong(
            f"an RQ scheduler ({holder}) holds the lock of {', '.join(queues)}: it moves due tasks in "
            "several steps, and undoes a cancel in between",
            "end it: start that `rq worker` without --with-scheduler",
        )
    if not held:
        yield ok("no RQ scheduler beside the coordinator")


def jobs(patient: Patient) -> Iterator[Finding]:
    """Jobs in our queues that are no tasks: pickles, other functions."""
    connection, mine = patient.redis, ours(patient)
    foreign: dict[str, list[str]] = {}
    adopted = 0
    for queue in view.queue_names(connection):
        if model.split_queue(queue)[0] not in mine:
            continue
        ids: Any = connection.lrange(keys.key("queue", queue), 0, _HEAD - 1)
        pipe = connection.pipeline(transaction=False)
        for raw in ids:
            pipe.hmget(keys.key("job", raw.decode("utf-8", "replace")), ["pool_kind", "data"])
        for raw, (kind, data) in zip(ids, pipe.execute(), strict=True):
            if kind == b"task" or data is None:
                continue
            try:
                payload.decode(data)
                adopted += 1
            except payload.NotATask as error:
                foreign.setdefault(str(error), []).append(raw.decode("utf-8", "replace"))
    for reason, ids in foreign.items():
        shown = ", ".join(ids[:_NAMED]) + (" ..." if len(ids) > _NAMED else "")
        yield warning(
            f"{len(ids)} job(s) in our queues that are no tasks ({shown}): {reason}; a worker that meets one "
            "puts it among the dead letters",
            "let that program use another queue; afterwards: coord dead-letters",
        )
    if not foreign:
        yield ok("no foreign job" + (f"; {adopted} task(s) sent by RQ's own API" if adopted else ""))
