"""What a session has used: read from its transcript where it was left off, booked once.

Each look reads what has been appended since the last one, the sub-agents' files included, and books it by
task: each request belongs to the task that the session had been handed before it (``Session.hand`` notes
when). The client writes a little late; what comes later is booked at the next look, and still on the right
task. Where a look ends is kept in the session's folder together with what it has found, before that is
sent: a report whose answer was lost is sent again under the same number, and booked once (charge.lua).
Standard library only: hooks import it.
"""

from __future__ import annotations

import fcntl
import os
import time

from pool import jsonlite, prices, transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from pool.local import Session
    from pool.scripts import Pool

#: Answers that are remembered of each file: the client repeats one for each of its blocks.
_REMEMBERED = 32
_FILE = "usage.json"
_LOCK = "usage.lock"


class Used:
    """Requests of one model for one task ('': none), their tokens, and the cost in nanodollars if known."""

    __slots__ = ("cache_read", "cache_write", "input", "model", "nano", "output", "requests", "task")

    def __init__(
        self, task: str, model: str, requests: int = 0, input: int = 0, output: int = 0, cache_read: int = 0,
        cache_write: int = 0, nano: int | None = None,
    ) -> None:  # fmt: skip
        self.task = task
        self.model = model
        self.requests = requests
        self.input = input
        self.output = output
        self.cache_read = cache_read
        self.cache_write = cache_write
        self.nano = nano

    def row(self) -> list[Any]:
        """As charge.lua takes it."""
        amounts = [self.requests, self.input, self.output, self.cache_read, self.cache_write]
        return [self.task, self.model[:200] or "unknown", *amounts, "" if self.nano is None else self.nano]


def look(session: Session, pool: Pool, values: dict[str, Any], path: str = "") -> bool:
    """Book what a session has used since the last look; whether a task failed for its budget.

    ``path`` is its main transcript, if that is known better than by the last look. A disk that cannot be
    written books nothing: what cannot be noted would be booked twice.

    Raises:
        RedisAway: Redis does not answer; it is booked at the next look.
    """
    try:
        fd = os.open(os.path.join(session.folder, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return _look(session, pool, values, path)
    except OSError:
        return False
    finally:
        os.close(fd)


def _look(session: Session, pool: Pool, values: dict[str, Any], path: str) -> bool:
    state = _load(session)
    failed = False
    if state["pending"]:  # its answer was lost
        failed = _send(session, pool, values, state)
    if path and path not in state["mains"]:
        state["mains"].append(path)
    rows, moved = _read(state, session.handed(), values)
    if moved:
        if rows:
            state["number"] += 1
            state["pending"] = rows
        _save(session, state)
        if rows:
            failed = _send(session, pool, values, state) or failed
    return failed


def _send(session: Session, pool: Pool, values: dict[str, Any], state: dict[str, Any]) -> bool:
    failed = pool.charge(session.caller, session.key, state["number"], state["pending"], values)
    state["pending"] = []
    _save(session, state)
    return failed


def _load(session: Session) -> dict[str, Any]:
    try:
        with open(os.path.join(session.folder, _FILE), encoding="utf-8") as file:
            found = jsonlite.loads(file.read())
        state = {name: kind(found[name]) for name, kind in _STATE.items()}
    except (OSError, ValueError, KeyError, TypeError):
        state = {name: kind() for name, kind in _STATE.items()}
    return state


#: mains: transcripts; files: path -> [offset, [[answer, row as booked] ...]]; number: of the last report;
#: pending: that report, until its answer has come.
_STATE: dict[str, Any] = {"mains": list, "files": dict, "number": int, "pending": list}


def _save(session: Session, state: dict[str, Any]) -> None:
    """Raise OSError if the disk cannot be written."""
    temporary = os.path.join(session.folder, f".usage.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(jsonlite.dumps(state))
    os.replace(temporary, os.path.join(session.folder, _FILE))


def _read(
    state: dict[str, Any], handed: Sequence[tuple[str, str]], values: dict[str, Any]
) -> tuple[list[list[Any]], bool]:
    """The report on what was appended since, and whether there was anything."""
    sums: dict[tuple[str, str], Used] = {}
    moved = False
    began = handed[0][0] if handed else ""
    for path in [each for main in state["mains"] for each in _files(main)]:
        try:
            size = os.stat(path).st_size
        except OSError:
            continue
        offset, recent = state["files"].get(path, [0, []])
        if size <= offset:
            continue
        known = {answer: row for answer, row in recent}
        end = offset
        for after, line in transcript.lines(path, offset):
            end = after
            found = transcript.answer(line)
            if found is None or found.at < began:  # of a session that was resumed or forked: paid before
                continue
            before = known.pop(found.key, None)
            known[found.key] = list(found.tokens)
            _add(sums, _task(handed, found.at), found, before, values)
        state["files"][path] = [end, list(known.items())[-_REMEMBERED:]]
        moved = True
    return [used.row() for used in sums.values() if any(used.row()[2:7])], moved


def _add(
    sums: dict[tuple[str, str], Used], task: str, found: transcript.Answer, before: list[int] | None,
    values: dict[str, Any],
) -> None:  # fmt: skip
    """Count an answer, or what has come to it since it was counted."""
    tokens = [now - then for now, then in zip(found.tokens, before or [0] * 5, strict=True)]
    used = sums.setdefault((task, found.model), Used(task, found.model, nano=0))
    used.requests += before is None
    used.input += tokens[0]
    used.output += tokens[1]
    used.cache_read += tokens[2]
    used.cache_write += tokens[3] + tokens[4]
    price = None if found.fast else prices.of(found.model, values["prices"])
    used.nano = None if price is None or used.nano is None else used.nano + prices.nano(price, tokens)


def _files(main: str) -> list[str]:
    """A transcript, and those of its sub-agents."""
    folder = os.path.join(main.removesuffix(".jsonl"), "subagents")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return [main, *(os.path.join(folder, name) for name in names if name.endswith(".jsonl"))]


def _task(handed: Sequence[tuple[str, str]], at: str) -> str:
    """The task that the session had been handed before that moment."""
    task = ""
    for since, name in handed:
        if since > at:
            break
        task = name
    return task


def moment(at: float) -> str:
    """A moment as transcripts write it (to be compared as text): ``2026-01-31T12:00:00.000Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


# -- from frames ----------------------------------------------------------------------------------------


#: The client's names of tokens: input, output, cache read, cache write.
_TOKENS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")


class Meter:
    """Follows a session's stream-json frames, for whoever holds its pipes: what each turn has used.

    The client's own figures are taken: tokens and USD by model, as the ``result`` frame has them.
    """

    __slots__ = ("_answers", "_before")

    def __init__(self) -> None:
        self._before: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, set[str]] = {}

    def feed(self, frame: dict[str, Any], task: str = "") -> list[Used]:
        """Take a frame; with a ``result``, what was used since the last one, for this task."""
        if frame.get("type") == "assistant":
            message = frame.get("message")
            if isinstance(message, dict) and message.get("model") != transcript.SYNTHETIC:
                self._answers.setdefault(str(message.get("model")), set()).add(str(message.get("id")))
        elif frame.get("type") == "system" and frame.get("subtype") == "conversation_reset":
            self._before = {}  # the client's totals begin anew
        elif frame.get("type") == "result" and isinstance(frame.get("modelUsage"), dict):
            return list(self._turn(frame["modelUsage"], task))
        return []

    def _turn(self, usage: dict[str, Any], task: str) -> Iterable[Used]:
        answers, self._answers = self._answers, {}
        for model, now in usage.items():
            if not isinstance(now, dict):
                continue
            before = self._before.get(model, {})

            def since(name: str, now: dict[str, Any] = now, before: dict[str, Any] = before) -> float:
                return max(0.0, _number(now.get(name)) - _number(before.get(name)))

            self._before[model] = now
            tokens = [int(since(name)) for name in _TOKENS]
            cost = since("costUSD")
            requests = len(answers.get(model, ())) or int(any(tokens))
            if requests:
                unknown = not cost and any(tokens)
                nano = None if unknown else round(cost * 1e9)
                yield Used(task, model, requests, tokens[0], tokens[1], tokens[2], tokens[3], nano)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


# -- budgets --------------------------------------------------------------------------------------------


def day_budgets(given: Sequence[str], account: str) -> tuple[str, str]:
    """What a day may cost in nanodollars: that account, and all together; '' where there is no limit.

    Raises:
        ValueError: An entry is neither ``USD`` nor ``ACCOUNT=USD``.
    """
    own = total = ""
    for text in given:
        name, mark, amount = text.rpartition("=")
        try:
            usd = float(amount)
        except ValueError:
            usd = -1.0
        if not 0 < usd < 1e9 or (mark and not name):
            raise ValueError(f"{text[:60]!r} is not a budget: write USD, or ACCOUNT=USD")
        if not mark:
            total = str(round(usd * 1e9))
        elif name == account:
            own = str(round(usd * 1e9))
    return own, total
