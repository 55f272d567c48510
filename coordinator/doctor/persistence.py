"""What Redis would lose: its append-only file, its memory, its disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from coordinator.doctor.finding import Finding, note, ok, unknown, warning, wrong
from coordinator.doctor.patient import Patient

#: So much of maxmemory in use is soon all of it.
_NEARLY = 0.9
#: A disk with less left (bytes, or of the whole) is nearly full.
_DISK, _SHARE = 512 * 1024**2, 0.03


def _set(patient: Patient, name: str, value: str) -> str:
    command = f"{patient.cli} config set {name} {value}"
    # The project's own Redis has no redis.conf: `coord up` gives it its settings.
    return command if patient.embedded else f"{command} && {patient.cli} config rewrite"


def aof(patient: Patient) -> Iterator[Finding]:
    """An acknowledged submit or commit must be on disk."""
    info = patient.info
    on = patient.config("appendonly")
    if info is not None and "aof_enabled" in info:
        on = "yes" if int(info["aof_enabled"]) else "no"
    if on is None:
        yield unknown("whether the append-only file is on could not be read", patient.elsewhere)
    elif on == "yes":
        yield ok("the append-only file is on")
    else:
        yield wrong(
            "the append-only file is off: a restart loses tasks and results that were acknowledged",
            _set(patient, "appendonly", "yes"),
        )


def fsync(patient: Patient) -> Iterator[Finding]:
    """`always` keeps what was acknowledged; the others lose the last second, or more."""
    how = patient.config("appendfsync")
    if how is None:
        yield unknown("appendfsync could not be read", patient.elsewhere)
    elif how == "always":
        yield ok("appendfsync always")
    elif how == "everysec":
        yield warning(
            "appendfsync everysec: a crash of the server loses the submits and commits of the last second, "
            "although they were acknowledged",
            _set(patient, "appendfsync", "always"),
        )
    else:
        yield wrong(
            f"appendfsync {how}: a crash of the machine loses what its system had not written yet, often "
            "half a minute of acknowledged submits and commits",
            _set(patient, "appendfsync", "always"),
        )


def writes(patient: Patient) -> Iterator[Finding]:
    """Whether the last write to disk went well."""
    info = patient.info
    if info is None:
        yield unknown("how its last writes to disk went could not be read", patient.elsewhere)
        return
    names = {
        "aof_last_write_status": "write to the append-only file",
        "aof_last_bgrewrite_status": "rewrite of the append-only file", "rdb_last_bgsave_status": "snapshot",
    }  # fmt: skip
    failed = [words for name, words in names.items() if info.get(name, "ok") != "ok"]
    if failed:
        yield wrong(
            f"its last {' and its last '.join(failed)} failed: it may refuse to write at all",
            "look into its log and at its disk (full, or not writable?)",
        )
    elif str(info.get("loading", 0)) != "0":
        yield warning("it still reads its data, and refuses commands meanwhile", "wait, then look again")
    else:
        yield ok("its last writes to disk went well")


def memory(patient: Patient) -> Iterator[Finding]:
    """A Redis that may evict would throw tasks away."""
    info = patient.info or {}
    if "maxmemory" in info:
        limit, policy = int(info["maxmemory"]), str(info.get("maxmemory_policy", ""))
    else:
        said, policy = patient.config("maxmemory"), patient.config("maxmemory-policy") or ""
        if said is None or not policy:
            yield unknown("maxmemory and its policy could not be read", patient.elsewhere)
            return
        limit = int(said)
    used = int(info.get("used_memory", 0))
    if not limit:
        word = "" if policy == "noeviction" else f" (the policy {policy} would matter only with one)"
        yield ok(f"no memory limit{word}")
    elif policy != "noeviction":
        yield wrong(
            f"maxmemory {_mib(limit)} with {policy}: once it is reached, tasks are thrown away",
            _set(patient, "maxmemory-policy", "noeviction"),
        )
    elif used > _NEARLY * limit:
        yield warning(
            f"{_mib(used)} of {_mib(limit)} are used ({used / limit:.0%}): when all is, every submit and "
            "claim is refused",
            _set(patient, "maxmemory", str(2 * limit)),
        )
    else:
        yield ok(f"noeviction, {_mib(used)} of {_mib(limit)} used ({used / limit:.0%})")


def disk(patient: Patient) -> Iterator[Finding]:
    """The disk under the project's own Redis. (Another's is not to be seen from here.)"""
    folder = patient.home / "redis"
    if not patient.embedded or not folder.is_dir():
        yield note("its disk cannot be seen from here: have its free space watched where it runs")
        return
    usage = shutil.disk_usage(folder)
    if usage.free < _DISK or usage.free < _SHARE * usage.total:
        yield warning(
            f"{_mib(usage.free)} are left on the disk of {folder}: a full one makes Redis refuse to write",
            "make room there",
        )
    else:
        yield ok(f"{_mib(usage.free)} are left on the disk of {folder}")


def _mib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / 1024**2:.1f} MiB"
