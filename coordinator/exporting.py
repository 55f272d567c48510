"""`coord export`: every task asked for as a line of JSON, in the order in which they will be claimed."""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import redis

from pool import archive, keys, model, snapshot, view
from pool.errors import UsageError, WrongState
from pool.settings import Settings

#: How many ids are looked at together.
_PAGE = 500


@dataclass
class Exported:
    """What was written. ``ran`` names the tasks that ran, ``left_out`` says why others were left out."""

    counts: Counter[str] = field(default_factory=Counter)
    ran: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many tasks were written."""
        return self.counts.total()


@dataclass(frozen=True)
class Wanted:
    """Which tasks are exported; ``running`` says what becomes of those that run."""

    statuses: Sequence[str]
    queue: str
    running: str


def export(
    connection: redis.Redis, settings: Settings, wanted: Wanted, write: Callable[[str], None],
    advance: Callable[[int], None],
) -> Exported:  # fmt: skip
    """Write a line for each task that is wanted, and the last line.

    Running ones come first, then what waits, in the order of the lists, then the others by age: a file that
    is read in this order makes the same lists, and no child before its parents.

    Raises:
        WrongState: One runs, and that is to be refused.
    """
    done = Exported()
    for page in _pages(connection, wanted):
        for start in range(0, len(page), snapshot.PAGE):
            part = page[start : start + snapshot.PAGE]
            for line in snapshot.lines(connection, [name for name, _ in part], [queue for _, queue in part]):
                _take(line, settings, wanted, done, write)
        advance(len(page))
    write(_text({"version": archive.VERSION, "end": done.total}))
    return done


def _take(
    line: dict[str, Any] | snapshot.NotExported, settings: Settings, wanted: Wanted, done: Exported,
    write: Callable[[str], None],
) -> None:  # fmt: skip
    if isinstance(line, snapshot.NotExported):
        done.left_out.append(str(line))
        return
    ran = line.pop("ran", None)
    if (model.Status.STARTED if ran else line["status"]) not in wanted.statuses:
        return  # it has moved on since it was looked for
    if ran:
        if wanted.running == "refuse":
            raise running([line["id"]])
        done.ran.append(line["id"])
        if wanted.running == "skip":
            return
    try:
        archive.record(line, settings)  # one line that an import would refuse would spoil the whole file
    except UsageError as error:
        done.left_out.append(f"{line['id']}: {error}")
        return
    done.counts[line["status"]] += 1
    write(_text(line))


def running(ids: Sequence[str]) -> WrongState:
    """What is said of tasks that run where that is refused."""
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return WrongState(
        f"{', '.join(ids[:5])}{more}: running, and a run cannot be moved. `coord pause --all`, wait for "
        "their end, and export then; or give --running queue (to be done again, there) or --running skip"
    )


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def started(connection: redis.Redis, queue: str) -> list[str]:
    """The ids of what runs in a queue ('': in all)."""
    found = []
    for name in _names(connection, queue):
        raw: Any = connection.zrange(keys.key("started", name), 0, -1)
        found += [member.decode().partition(":")[0] for member in raw]
    return list(dict.fromkeys(found))


def _names(connection: redis.Redis, queue: str) -> list[str]:
    found = [name for name in view.queue_names(connection) if queue in ("", model.split_queue(name)[0])]
    return [name for name in found if _is_ours(name)]


def _is_ours(name: str) -> bool:
    return model.split_queue(name)[1] in tuple(model.Priority)


def _pages(connection: redis.Redis, wanted: Wanted) -> Iterator[list[tuple[str, str]]]:
    """Pages of (id, RQ queue) of what is wanted by its status now, each task once."""
    # The ids of what runs and waits are remembered: a task that waits may be met again among all.
    seen: set[str] = set()
    for ids, first in _walk(connection, wanted):
        fresh = list(dict.fromkeys(each for each in ids if each not in seen))
        if first:
            seen.update(fresh)
        found = zip(fresh, snapshot.statuses(connection, fresh), strict=True)
        yield [
            (task_id, name) for task_id, (status, name) in found
            if ("failed" if status == "stopped" else status) in wanted.statuses
            and wanted.queue in ("", model.split_queue(name)[0])
        ]  # fmt: skip


def _walk(connection: redis.Redis, wanted: Wanted) -> Iterator[tuple[list[str], bool]]:
    """Pages of ids, and whether they come from the lists of what runs and waits."""
    if model.Status.STARTED in wanted.statuses:
        yield started(connection, wanted.queue), True
    if model.Status.QUEUED in wanted.statuses:
        for name in _names(connection, wanted.queue):
            first, page = 0, [b""]
            while page:
                raw: Any = connection.lrange(keys.key("queue", name), first, first + _PAGE - 1)
                page, first = raw, first + _PAGE
                yield [each.decode() for each in page], True
    for ids in view.ids_by_age(connection, float("inf")):
        yield ids, False


@contextmanager
def opened(target: str) -> Iterator[Callable[[str], None]]:
    """Write text to a file ('-': standard output), gzip if its name ends so: the whole of it or no file.

    Raises:
        UsageError: It cannot be written.
    """
    if target == "-":
        yield lambda text: _write(sys.stdout.buffer, text)
        sys.stdout.flush()
        return
    path = Path(target)
    temporary = ""
    try:
        path = Path(os.path.realpath(path))  # what a link leads to is written, and the link stays
        if path.exists() and not path.is_file():  # a device or a pipe: written to, never replaced
            with path.open("wb") as file, _packed(file, path) as packed:
                yield lambda text: _write(packed, text)
            return
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}-"
        )  # 0600: it holds prompts
        with os.fdopen(handle, "wb") as file:
            with _packed(file, path) as packed:
                yield lambda text: _write(packed, text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        if isinstance(error, redis.RedisError):
            raise
        raise UsageError(f"{target}: {error.strerror or error}; nothing was exported") from None
    finally:
        if temporary:
            os.unlink(temporary)


def _packed(file: IO[bytes], path: Path) -> AbstractContextManager[IO[bytes] | gzip.GzipFile]:
    """The file, with gzip before it where its name says so."""
    if path.suffix == ".gz":
        return gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6)
    return nullcontext(file)


def _write(file: IO[bytes] | gzip.GzipFile, text: str) -> None:
    file.write(text.encode())
