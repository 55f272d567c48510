"""`coord import`: a file of exported tasks into this pool. First all of it is checked, then it is made."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any

import redis

from pool import archive, keys, scripts, view
from pool.errors import UsageError
from pool.settings import Settings

#: One script makes so many tasks, or so many bytes of them, at most.
_BATCH = 200
_BATCH_BYTES = 1024 * 1024
_PAGE = 500
_NOTHING = "nothing was imported"
_REFUSED = {
    "unique": "a live task has its unique key by now",
    "nodep": "it waits for a task that is not there any more",
}


@dataclass
class Imported:
    """What became of the tasks of a file; ``refused`` names those that could not be made after all."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


@dataclass
class _Checked:
    """What earlier lines hold, as far as later ones are compared with it."""

    lines: dict[str, int] = field(default_factory=dict)
    uniques: dict[str, int] = field(default_factory=dict)
    existing: int = 0


@contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """A file ('-': standard input) that can be read twice, unpacked if it is gzip.

    Raises:
        UsageError: It cannot be read.
    """
    name = "standard input" if source == "-" else source
    try:
        with tempfile.TemporaryFile() if source == "-" else open(source, "rb") as file:
            if source == "-":
                shutil.copyfileobj(sys.stdin.buffer, file)
                file.seek(0)
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, redis.RedisError):
            raise
        raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}; {_NOTHING}") from None


class Importer:
    """One import; ``check`` before ``run``."""

    def __init__(self, connection: redis.Redis, pool: scripts.Pool, settings: Settings, name: str) -> None:
        self.connection: Any = connection
        self.pool = pool
        self.settings = settings
        self.name = name

    def check(self, file: IO[bytes], partial: bool, advance: Callable[[int], None]) -> tuple[int, int]:
        """Look at every line; how many tasks there are, and how many of them this pool has already.

        Raises:
            UsageError: A line is wrong, or does not go with others or with what is here.
        """
        seen = _Checked()
        page: list[tuple[int, archive.Record]] = []
        for number, each in self._records(file, partial):
            if each.id in seen.lines:
                raise self._wrong(number, f"the id {each.id!r} is on line {seen.lines[each.id]} already")
            seen.lines[each.id] = number
            if each.unique and each.live and seen.uniques.setdefault(each.unique, number) != number:
                other = seen.uniques[each.unique]
                raise self._wrong(number, f"the task on line {other} has the same unique key")
            page.append((number, replace(each, data=b"")))  # a page of them may be large
            if len(page) == _PAGE:
                self._compare(page, seen)
                advance(len(page))
                page = []
        self._compare(page, seen)
        advance(len(page))
        return len(seen.lines), seen.existing

    def _compare(self, page: list[tuple[int, archive.Record]], seen: _Checked) -> None:
        """Compare lines with what is in this pool."""
        pipe = self.connection.pipeline(transaction=False)
        for _, each in page:
            pipe.exists(keys.key("job", each.id))
            pipe.get(f"pool:unique:{each.unique}")
        replies = pipe.execute()
        missing: dict[str, int] = {}
        owners: dict[str, tuple[int, str]] = {}
        for (number, each), there, owner in zip(page, replies[::2], replies[1::2], strict=True):
            seen.existing += there
            if there:
                continue
            if each.unique and each.live and owner and owner.decode() != each.id:
                owners[owner.decode()] = (number, each.unique)
            if each.status == "deferred":
                missing |= {
                    parent: number for parent in each.parents if seen.lines.get(parent, number) >= number
                }
        for owner in view.tasks(self.connection, list(owners)):
            number, unique = owners[owner.id]
            if owner.unique == unique and owner.status not in ("finished", "failed", "canceled"):
                raise self._wrong(number, f"the live task {owner.id} here has its unique key {unique[:60]!r}")
        pipe = self.connection.pipeline(transaction=False)
        for parent in missing:
            pipe.exists(keys.key("job", parent))
        for (parent, number), there in zip(missing.items(), pipe.execute(), strict=True):
            if not there:
                raise self._wrong(number, f"it waits for {parent!r}, which is on no earlier line, nor here")

    def run(self, file: IO[bytes], partial: bool, advance: Callable[[int], None]) -> Imported:
        """Make the tasks, a batch by one script each. What is there already is left alone.

        Raises:
            redis.RedisError: In the midst of it; what was made stays, and the same import goes on from there.
        """
        done = Imported()
        batch: list[tuple[int, archive.Record]] = []
        size = 0
        for number, each in self._records(file, partial):
            if batch and (len(batch) == _BATCH or size + len(each.data) > _BATCH_BYTES):
                self._restore(batch, done, advance)
                batch, size = [], 0
            batch.append((number, each))
            size += len(each.data)
        self._restore(batch, done, advance)
        return done

    def _restore(
        self, batch: list[tuple[int, archive.Record]], done: Imported, advance: Callable[[int], None]
    ) -> None:
        verdicts = self.pool.restore([each.data for _, each in batch]) if batch else []
        for (number, each), verdict in zip(batch, verdicts, strict=True):
            done.counts[verdict] += 1
            if verdict in _REFUSED:
                done.refused.append(f"line {number}: {each.id} was not made: {_REFUSED[verdict]}")
        advance(len(batch))

    def _records(self, file: IO[bytes], partial: bool) -> Iterator[tuple[int, archive.Record]]:
        """Each task with the number of its line. A whole file ends with the number of its tasks.

        Raises:
            UsageError: A line is no task, or the end is missing.
        """
        file.seek(0)
        count, end, number = 0, None, 0
        while raw := self._read_line(file, partial):
            number += 1
            if len(raw) > archive.LINE_LIMIT:
                raise self._wrong(number, f"longer than {archive.LINE_LIMIT >> 20} MiB")
            if not raw.strip():
                continue
            if end is not None:
                raise self._wrong(number, "something stands behind the last line")
            try:
                line = archive.parse(raw)
                end = archive.end(line)
                each = archive.record(line, self.settings) if end is None else None
            except UsageError as error:
                if partial and not raw.endswith(b"\n"):
                    return  # it was cut off within this line
                raise self._wrong(number, str(error)) from None
            if each is not None:
                count += 1
                yield number, each
        if count == 0:
            raise UsageError(f"{self.name}: there is no task in it")
        if end != count and not partial:
            what = (
                "its last line is missing: it was cut off"
                if end is None
                else f"{end} tasks were written into it"
            )
            raise UsageError(f"{self.name}: {what}, {count} are there (--partial imports those); {_NOTHING}")

    def _read_line(self, file: IO[bytes], partial: bool) -> bytes:
        try:
            return file.readline(archive.LINE_LIMIT + 1)
        except EOFError:  # the end of a packed file is missing
            if partial:
                return b""
            raise

    def _wrong(self, number: int, what: str) -> UsageError:
        return UsageError(f"{self.name} line {number}: {what}; {_NOTHING}")
