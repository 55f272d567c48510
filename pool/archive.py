"""A task as one line of JSON, with all of its state: for moving between servers, and as a backup.

What a line holds: ``version``, ``id``, ``status``, ``queue`` (RQ's name: the priority with it), ``task``
(prompt, title, context ...), ``made`` (seconds since 1970), ``fields`` (the other fields of the job's hash,
see FIELDS), ``parents``, ``at`` (when a scheduled or deferred task is due, when one was cancelled), ``ttl``
(seconds that an ended task has left; none: for ever), ``results`` (RQ's stream: id and fields of each),
``artifacts`` (name: base64) and ``evidence`` (pool/evidence.py). A file ends with
``{"version": 1, "end": NUMBER OF TASKS}``. Nothing of a claim is in it (token, lease, worker): a run is not
moved.

A line that comes from elsewhere is untrusted: JSON only, each field known by name, and checked by type and
size; ``record`` turns it into what restore.lua takes, or says what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pool import costs, evidence, model, payload, units
from pool.errors import UsageError
from pool.settings import Settings

VERSION = 1
#: A line may have so many bytes.
LINE_LIMIT = 64 * 1024 * 1024
#: A field of the job's hash, and a failure's text when it is unpacked (bytes).
_TEXT_LIMIT = 1024 * 1024
#: Entries in a task's stream of results; RQ itself keeps about 10.
_RESULTS = 1000
_RESULT_FIELDS = 50
#: What is not the prompt or context of a task (title, directory, check ...): so many bytes besides.
_BESIDES = 64 * 1024

_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z)?")
_WHOLE = re.compile(r"-?\d{1,15}")
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?")
_ENTRY = re.compile(r"\d{1,15}-\d{1,10}")
_FIELD = re.compile(r"[a-z_]{1,40}")


def _text(value: str) -> bool:
    return len(value) <= _TEXT_LIMIT


def _list_of(check: Callable[[Any], bool]) -> Callable[[str], bool]:
    def checked(value: str) -> bool:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, list) and len(found) <= 10_000 and all(map(check, found))

    return checked


def _iso(value: str) -> bool:
    return bool(_ISO.fullmatch(value))


def _whole(value: str) -> bool:
    return bool(_WHOLE.fullmatch(value))


def _seconds(value: str) -> bool:
    return bool(_SECONDS.fullmatch(value))


def _name(value: Any) -> bool:
    return isinstance(value, str) and units.is_name(value)


#: Fields of a job's hash that are moved, and how each is checked.
FIELDS: dict[str, Callable[[str], bool]] = {
    "created_at": _iso, "enqueued_at": _iso, "started_at": _iso, "ended_at": _iso, "last_heartbeat": _iso,
    "worker_name": _text, "description": _text, "pool_error": _text,
    "timeout": _whole, "result_ttl": _whole, "failure_ttl": _whole, "retries_left": _whole,
    "retry_intervals": _list_of(lambda each: isinstance(each, int) and 0 <= each <= units.LONGEST),
    "enqueue_at_front": _whole, "enqueue_at_front_on_retry": _whole,
    "dependency_id": _name, "dependency_ids": _list_of(_name), "allow_dependency_failures": _whole,
    "pool_retries": _whole, "pool_left": _whole, "pool_losses": _whole, "pool_releases": _whole,
    "pool_attempts": _whole, "pool_not_before": _seconds, "pool_unique": lambda value: len(value) <= 4096,
    "pool_needs": _text, "pool_shun": _text, "pool_shun_until": _seconds,
    "pool_done": _text, "pool_done_by": _text, "pool_outcome": _text, "pool_budget": _text, "pool_ran": _text,
    **dict.fromkeys((f"pool_cost_{measure}" for measure in (*costs.MEASURES, "nano")), _whole),
}  # fmt: skip

#: Fields that stay behind: a claim's, an upload's, and what a line says elsewhere or RQ leaves empty.
#: RQ would import and run what its callbacks name; a task of coord's has none.
LEFT_OUT = frozenset(
    (
        "data", "status", "origin", "pool_kind", "pool_token", "pool_worker", "pool_epoch",
        "pool_provisional", "pool_parked", "pool_timeout_at", "pool_progress", "pool_upload",
        "pool_checks", "pool_checked", "pool_worktree",
        "group_id", "ttl", "meta",
        "success_callback_name", "failure_callback_name", "stopped_callback_name",
    )
)  # fmt: skip

#: What RQ's own code expects of every job.
_EMPTY = dict.fromkeys(
    ("started_at", "ended_at", "last_heartbeat", "worker_name", "group_id", "success_callback_name",
     "failure_callback_name", "stopped_callback_name"), ""
)  # fmt: skip

STATUSES = frozenset(model.Status) - {model.Status.STARTED}
_KEYS = frozenset(
    (
        "version",
        "id",
        "status",
        "queue",
        "task",
        "made",
        "fields",
        "parents",
        "at",
        "ttl",
        "results",
        "artifacts",
        "evidence",
    )
)


@dataclass(frozen=True)
class Record:
    """A line that was found good: what restore.lua takes, and what its neighbours must be compared with."""

    id: str
    status: str
    queue: str
    unique: str
    parents: list[str]
    data: bytes

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.status not in model.TERMINAL


class _Wrong(ValueError):
    """A line is not a task; the message says what is wrong with it."""


def parse(line: bytes | str) -> Any:
    """The JSON of a line.

    Raises:
        UsageError: It is none.
    """
    try:
        return json.loads(line, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise UsageError("not text (UTF-8)") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError):
        raise UsageError("nested too deeply, or a number that is none") from None


def _no_number(text: str) -> None:
    raise ValueError(text)


def record(line: Any, settings: Settings) -> Record:
    """What restore.lua takes for a line.

    Raises:
        UsageError: It is not a task; the message names the field.
    """
    try:
        return _record(line, settings)
    except _Wrong as error:
        raise UsageError(str(error)) from None
    except UnicodeEncodeError:
        raise UsageError("it is not valid text (UTF-8)") from None


def _record(line: Any, settings: Settings) -> Record:
    _demand(isinstance(line, dict), "a task is a JSON object")
    if "version" not in line and ("prompt" in line or "file" in line):
        raise _Wrong(
            "it describes a task, which `coord submit --from` takes; an import is what `coord export` wrote"
        )
    _demand(line.get("version") == VERSION, f"its version is {str(line.get('version'))[:20]}, not {VERSION}")
    for name in line:
        _demand(name in _KEYS, f"{name[:60]!r} is not known in this version")
    task_id, status, queue = (line.get(name) for name in ("id", "status", "queue"))
    _demand(_name(task_id), "id: letters, digits, '_' and '-', 200 at most")
    _demand(isinstance(status, str) and status in STATUSES, f"status: one of {', '.join(sorted(STATUSES))}")
    _demand(_is_rq_queue(queue), "queue: NAME, NAME:high or NAME:low")
    parents = line.get("parents", [])
    _demand(
        isinstance(parents, list) and len(parents) <= 10_000 and all(map(_name, parents)),
        "parents: ids",
    )
    _demand(task_id not in parents, "parents: a task cannot wait for itself")
    _demand(bool(parents) or status != model.Status.DEFERRED, "parents: a deferred task waits for some")
    made = _number(line, "made", 1e11)
    _demand(made is not None, "made: when it was made, in seconds since 1970")
    at = _number(line, "at", 253_370_764_800.0)
    _demand(at is not None or status != model.Status.SCHEDULED, "at: a scheduled task is due some time")
    ttl = _number(line, "ttl", units.LONGEST)
    data, title = _task(line.get("task"), settings)
    fields = {**_EMPTY, "description": title, **_fields(line.get("fields")), "origin": queue, "data": data}
    artifacts = _artifacts(line.get("artifacts", {}), settings)
    shown = _evidence(line.get("evidence", {}), settings)
    unique = str(fields.get("pool_unique", ""))
    head = [
        task_id, status, queue, f"{made:.6f}", "" if ttl is None else str(max(1, math.ceil(ttl))),
        "" if at is None else f"{at:.6f}", unique, ",".join(dict.fromkeys(parents)),
        2 * len(fields), 2 * len(artifacts), 2 * len(shown),
    ]  # fmt: skip
    flat = [part for pair in (*fields.items(), *artifacts.items(), *shown.items()) for part in pair]
    packed = model.prefixed([*head, *flat, *_results(line.get("results", []))])
    return Record(str(task_id), str(status), str(queue), unique, list(parents), packed)


def _demand(good: object, wrong: str) -> None:
    if not good:
        raise _Wrong(wrong)


def _is_rq_queue(name: Any) -> bool:
    if not isinstance(name, str):
        return False
    base, colon, priority = name.partition(":")
    return units.is_queue(base) and (not colon or priority in (model.Priority.HIGH, model.Priority.LOW))


def _number(line: dict[str, Any], name: str, most: float) -> float | None:
    value = line.get(name)
    if value is None:
        return None
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
    _demand(good, f"{name}: a number between 0 and {most:g}")
    return float(value)


def _task(task: Any, settings: Settings) -> tuple[bytes, str]:
    """The job's data and its title."""
    good = isinstance(task, dict) and isinstance(task.get("prompt"), str) and task["prompt"].strip()
    _demand(good, "task: an object with a prompt")
    size = len(json.dumps(task, ensure_ascii=False).encode())
    limit = settings.prompt_limit + settings.context_limit + _BESIDES
    _demand(size <= limit, f"task: {size:,} bytes, the limit is {limit:,} (prompt_limit and context_limit)")
    return payload.encode(task), str(task.get("title") or "")[:4096]


def _fields(fields: Any) -> dict[str, str]:
    _demand(isinstance(fields, dict), "fields: an object")
    for name, value in fields.items():
        _demand(name in FIELDS, f"fields: {name[:60]!r} is not known in this version")
        _demand(
            isinstance(value, str) and FIELDS[name](value),
            f"fields: the value of {name} is not what it must be",
        )
    json.dumps(fields, ensure_ascii=False).encode()  # a lone surrogate is no text
    return dict(fields)


def _artifacts(artifacts: Any, settings: Settings) -> dict[str, bytes]:
    _demand(isinstance(artifacts, dict), "artifacts: an object")
    _demand(
        len(artifacts) <= settings.artifact_count,
        f"artifacts: {settings.artifact_count} at most (artifact_count)",
    )
    found = {}
    for name, value in artifacts.items():
        _demand(0 < len(name.encode()) <= 255, "artifacts: a name has 255 bytes at most")
        data = _unpacked(value)
        _demand(data is not None, f"artifacts: {name[:60]!r} is not base64")
        limit = settings.artifact_limit
        _demand(
            len(data or b"") <= limit,
            f"artifacts: {name[:60]!r} has more than {limit:,} bytes (artifact_limit)",
        )
        found[name] = data or b""
    return found


def _evidence(given: Any, settings: Settings) -> dict[str, str]:
    _demand(isinstance(given, dict) and len(given) <= len(evidence.NAMES), "evidence: an object")
    # (A byte of a check's output may take six in JSON.)
    limit = settings.artifact_limit + 6 * settings.check_output + _BESIDES
    for name, text in given.items():
        _demand(name in evidence.NAMES, f"evidence: {name[:60]!r} is not known in this version")
        _demand(isinstance(text, str) and len(text.encode()) <= limit, f"evidence: {name} is a text")
    return dict(given)


def _unpacked(value: Any) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (ValueError, binascii.Error):
        return None


def _results(results: Any) -> list[Any]:
    """The stream of results, flat: the id of each, how many texts, the texts."""
    _demand(isinstance(results, list) and len(results) <= _RESULTS, f"results: a list of {_RESULTS} at most")
    json.dumps(results, ensure_ascii=False).encode()
    flat: list[Any] = []
    last = (0, 0)
    for entry in results:
        _demand(
            isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict),
            "results: pairs of id and fields",
        )
        name, fields = entry
        _demand(isinstance(name, str) and _ENTRY.fullmatch(name), "results: an id is MILLISECONDS-NUMBER")
        place = (int(name.partition("-")[0]), int(name.partition("-")[2]))
        _demand(place > last, "results: the ids must grow")
        last = place
        _demand(fields.get("type") in ("1", "2", "3", "4"), "results: a type is 1 to 4")
        _demand(len(fields) <= _RESULT_FIELDS, f"results: {_RESULT_FIELDS} fields at most")
        for key, value in fields.items():
            _demand(_FIELD.fullmatch(key) and isinstance(value, str), "results: fields are texts")
        _demand(_is_result(fields), "results: what it holds cannot be read")
        flat += [name, 2 * len(fields), *(part for pair in fields.items() for part in pair)]
    return flat


def _is_result(fields: Mapping[str, str]) -> bool:
    """Whether RQ could read it: a value is base64 of JSON, a failure base64 of zlib, of a bounded size."""
    try:
        if "return_value" in fields:
            json.loads(base64.b64decode(fields["return_value"], validate=True))
        if "exc_string" in fields:
            unpacker = zlib.decompressobj()
            unpacker.decompress(base64.b64decode(fields["exc_string"], validate=True), _TEXT_LIMIT)
            return unpacker.eof
    except (ValueError, RecursionError, zlib.error):
        return False
    return True


def end(line: Any) -> int | None:
    """The number of tasks in a file's last line; None when it is another line."""
    if isinstance(line, dict) and line.keys() == {"version", "end"} and line["version"] == VERSION:
        count = line["end"]
        return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    return None
