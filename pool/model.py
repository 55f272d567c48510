"""What a task is before it is submitted: its fields, their bounds, and the record Redis is given."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator, model_validator

from pool import needs, payload, profile, units
from pool.errors import UsageError
from pool.settings import Duration, Settings


class Status(StrEnum):
    """A task's state: RQ's names."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    SCHEDULED = "scheduled"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"


#: States from which a task does not move by itself.
TERMINAL = frozenset((Status.FINISHED, Status.FAILED, Status.CANCELED))


class Priority(StrEnum):
    """Each is an RQ list of its own: NAME:high, NAME, NAME:low."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def rq_queue(queue: str, priority: str) -> str:
    """The RQ queue of a queue's priority."""
    return queue if priority == Priority.NORMAL else f"{queue}:{priority}"


def split_queue(rq_name: str) -> tuple[str, str]:
    """Queue and priority of an RQ queue's name."""
    base, _, priority = rq_name.partition(":")
    return base, priority or Priority.NORMAL.value


#: The end of the year 9998 (seconds since 1970), the last that every time zone can write.
_LAST_MOMENT = 253_370_764_800.0


def _moment(value: Any) -> float | None:
    """Seconds since 1970 in a number, ``2026-01-31T12:00`` (local time) or ``...Z``/``+02:00``."""
    if value is None:
        return None
    text = str(value).strip() if not isinstance(value, bool) else "a boolean"
    try:
        if isinstance(value, (int, float)) or re.fullmatch(r"\d{9,30}(\.\d{1,9})?", text):
            at = float(text)
        else:
            when = datetime.fromisoformat(text)
            at = (when if when.tzinfo else when.astimezone()).timestamp()
    except (ValueError, OverflowError):
        wrong = f"{text[:40]!r} is not a time: write 2026-01-31T12:00 or 2026-01-31T12:00Z"
        raise ValueError(wrong) from None
    if not 0 <= at <= _LAST_MOMENT:
        raise ValueError(f"{text[:40]!r} is not between 1970 and 9998")
    return at


def _is_text(text: str) -> bool:
    """Whether it is text: what a terminal passes that is no UTF-8 becomes lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Moment = Annotated[float | None, BeforeValidator(_moment)]


class TaskSpec(profile.Profile, BaseModel):
    """A task as an operator, a file or a trigger describes it. Unknown fields are refused.

    What it asks of its session (model, effort, permission_mode ...) is its profile's: pool/profile.py.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    prompt: str
    id: str = ""
    title: str = ""
    #: Files to be inlined (bounded by `context_limit`), read where the task is submitted.
    context: list[str] = []
    #: Paths that the session is told to read where it works.
    read: list[str] = []
    cwd: str = ""
    queue: str = ""
    priority: Priority = Priority.NORMAL
    retries: int = 0
    #: Seconds before each retry; the first is used again when there are more retries.
    backoff: list[Duration] = []
    timeout: Duration | None = None
    run_at: Moment = None
    run_in: Duration | None = None
    after: list[str] = []
    allow_failure: bool = False
    unique: str = ""
    #: A command that must pass before the task is done, run where the operator allows it (setting `checks`).
    check: str = ""
    #: What ends it: `coord-worker complete`, or the end of a turn, whose last message is the result then.
    finish: Literal["command", "message"] = "command"
    #: A git worktree of its own: true, or what it begins with (a branch, a tag, a commit) instead of HEAD.
    worktree: bool | str = False

    def asks(self) -> profile.Profile:
        """What it asks of its session."""
        given = {name: getattr(self, name) for name in profile.FIELDS}
        return profile.Profile(**{name: value for name, value in given.items() if value})

    def needs(self) -> list[str]:
        """What its worker must offer (pool/needs.py)."""
        return [*([needs.CHECK] if self.check else []), *self.asks().tokens]

    @field_validator("worktree", mode="before")
    @classmethod
    def _worktree(cls, value: Any) -> Any:
        if isinstance(value, str):
            low = value.strip().lower()
            if low in ("", "false", "no", "0", "true", "yes", "1"):
                return low in ("true", "yes", "1")  # (a stream's fields are all texts)
            if len(value) > 200 or value.startswith("-") or not value.isprintable():
                raise ValueError(f"{value[:40]!r} is not the name of a commit")
        return value

    @field_validator("*")
    @classmethod
    def _text(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not _is_text(text):
                raise ValueError("it is not valid text (UTF-8)")
        return value

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("it is empty")
        return value

    @field_validator("id", "after")
    @classmethod
    def _ids(cls, value: str | list[str]) -> str | list[str]:
        for name in [value] if isinstance(value, str) else value:
            if name and not units.is_name(name):
                raise ValueError(f"{name[:60]!r} is not a task id: letters, digits, '_' and '-', 200 at most")
        return value

    @field_validator("queue")
    @classmethod
    def _queue(cls, value: str) -> str:
        if value and not units.is_queue(value):
            raise ValueError(f"{value[:60]!r} is not a queue name: letters, digits, '.', '_' and '-'")
        return value

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("it must be more than 0")
        return value

    @field_validator("retries")
    @classmethod
    def _retries(cls, value: int) -> int:
        if not 0 <= value <= 1000:
            raise ValueError("it must be between 0 and 1000")
        return value

    @field_validator("unique", "check", "cwd")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 4096:
            raise ValueError("it has more than 4096 characters")
        return value

    @model_validator(mode="after")
    def _together(self) -> TaskSpec:
        if self.run_at is not None and self.run_in is not None:
            raise ValueError("run_at and run_in exclude each other")
        if self.backoff and not self.retries:
            raise ValueError("a backoff needs retries")
        if self.id and self.id in self.after:
            raise ValueError("a task cannot come after itself")
        return self


def parse_spec(fields: dict[str, Any], where: str = "") -> TaskSpec:
    """A task's description, checked.

    Raises:
        UsageError: One line that names the field and what is wrong with it (and ``where``).
    """
    try:
        return TaskSpec(**fields)
    except (ValidationError, TypeError) as error:
        prefix = f"{where}: " if where else ""
        if isinstance(error, TypeError):
            raise UsageError(f"{prefix}its keys must be text") from None
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            known = ", ".join(TaskSpec.model_fields)
            raise UsageError(f"{prefix}{name!r} is not a field of a task (they are: {known})") from None
        raise UsageError(f"{prefix}{name + ': ' if name else ''}{message[:1].lower()}{message[1:]}") from None


def new_id() -> str:
    """An id for a task without one: time-ordered, 12 characters, unique enough for one Redis."""
    return uuid.uuid4().hex[:12]


def _bounded(what: str, size: int, limit: int, setting: str) -> None:
    if size > limit:
        raise UsageError(f"{what} has {size:,} bytes, the limit is {limit:,} (setting {setting})")


def read_context(spec: TaskSpec, settings: Settings) -> list[dict[str, str]]:
    """The files of ``context``, inlined, and the paths of ``read``.

    Raises:
        UsageError: A file cannot be read, is not text, or all of them are too large.
    """
    items: list[dict[str, str]] = []
    total = sum(len(name.encode()) for name in spec.read)
    _bounded("the list of paths to read", total, settings.context_limit, "context_limit")
    for name in spec.context:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"context file {name} is not text: pass it with --read instead") from None
        except OSError as error:
            raise UsageError(f"context file {name}: {error.strerror}") from None
        total += len(text.encode())
        _bounded(f"the context (up to {name})", total, settings.context_limit, "context_limit")
        items.append({"path": name, "text": text})
    return items + [{"path": name} for name in spec.read]


def record(
    spec: TaskSpec, settings: Settings, now: float, cwd: str = "", upload: str = "",
    context: list[dict[str, str]] | None = None,
) -> tuple[str, bytes]:  # fmt: skip
    """The task's id and its record for submit.lua: length-prefixed text. ``upload`` names the submission.

    ``context`` is what read_context() gave before; without it the files are read now.

    Raises:
        UsageError: A bound is hit; the message names the setting.
    """
    _bounded("the prompt", len(spec.prompt.encode()), settings.prompt_limit, "prompt_limit")
    task_id = spec.id or new_id()
    title = spec.title or next((line.strip() for line in spec.prompt.splitlines() if line.strip()), task_id)
    title = " ".join("".join(c if c.isprintable() else " " for c in title).split()) or task_id
    if len(title) > settings.title_limit:
        if spec.title:
            limit = f"the limit is {settings.title_limit} (setting title_limit)"
            raise UsageError(f"the title has {len(title)} characters, {limit}")
        title = title[: settings.title_limit - 1] + "…"
    queue = rq_queue(spec.queue or settings.queue, spec.priority)
    timeout = math.ceil(spec.timeout if spec.timeout is not None else settings.task_timeout)
    fields: dict[str, Any] = {"prompt": spec.prompt, "title": title, "timeout": timeout}
    inlined = read_context(spec, settings) if context is None else context
    if spec.permission_mode == profile.BYPASS and not settings.allow_bypass:
        raise UsageError(
            f"permission_mode: {profile.BYPASS} lets a task do anything: the setting allow_bypass allows it"
        )
    given = {"context": inlined, "cwd": spec.cwd or cwd, "check": spec.check,
             "worktree": spec.worktree, "finish": spec.finish if spec.finish != "command" else "",
             "parents": spec.after, "profile": spec.asks().asked()}  # fmt: skip
    fields |= {name: value for name, value in given.items() if value}
    not_before = spec.run_at if spec.run_at is not None else now + spec.run_in if spec.run_in else None
    head = [
        task_id, queue, "" if not_before is None else f"{not_before:.6f}",
        ",".join(dict.fromkeys(spec.after)), "1" if spec.allow_failure else "", "", spec.unique,
    ]  # fmt: skip
    body: dict[str, Any] = {
        # What RQ itself writes for every job, so that its own code finds what it expects.
        "data": payload.encode(fields), "description": title, "origin": queue, "timeout": timeout,
        "result_ttl": int(settings.result_ttl), "failure_ttl": int(settings.failure_ttl),
        "started_at": "", "ended_at": "", "last_heartbeat": "", "worker_name": "", "group_id": "",
        "success_callback_name": "", "failure_callback_name": "", "stopped_callback_name": "",
        "pool_retries": spec.retries,
    }  # fmt: skip
    if spec.needs():
        body["pool_needs"] = " ".join(spec.needs())
    if upload:
        body["pool_upload"] = upload
    if spec.budget:
        body["pool_budget"] = f"{spec.budget:g}"
    if spec.retries:
        body["retries_left"] = spec.retries
        body["retry_intervals"] = json.dumps([math.ceil(seconds) for seconds in spec.backoff] or [0])
    if spec.after:
        body["dependency_id"] = spec.after[0]
        body["dependency_ids"] = json.dumps(list(dict.fromkeys(spec.after)))
        body["allow_dependency_failures"] = int(spec.allow_failure)
    flat = [*head, *(part for pair in body.items() for part in pair)]
    return task_id, prefixed(flat)


def prefixed(parts: Iterable[Any]) -> bytes:
    """A record as the scripts read it: each part with its length before it (lib/enqueue.lua)."""
    found = []
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        found += [len(data).to_bytes(4, "big"), data]
    return b"".join(found)


def utc(at: float | None) -> str | None:
    """A moment for JSON output: ``2026-01-31T12:00:00Z``; None when there is none that can be written."""
    if at is None or not 0 <= at <= _LAST_MOMENT:
        return None
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
