"""`POST /hook/...`: what sessions' hooks report, one route for each of the client's lifecycle events."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, NoReturn

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor import signals
from monitor.observer import Busy
from pool import clock

router = APIRouter(prefix="/hook", tags=["hooks"])

#: A session waits for its hook: it is told that Redis is away rather than kept (seconds).
PATIENCE = 1.5

#: A text of the client's, or null; how much of it is kept, `monitor.signals` says.
Text = Annotated[str | None, Field(description="Clipped where it is kept.")]


class Fields(BaseModel):
    """What of a hook's JSON is read. The client sends more with each release: that is ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    session_id: str = Field(
        min_length=1,
        max_length=200,
        pattern="^[A-Za-z0-9][A-Za-z0-9_.:-]*$",
        description="The client's id of the session.",
    )
    cwd: Text = None


class Sender(BaseModel):
    """The client's process, where who reports knows it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    process: Text = None
    pid: int | None = Field(None, ge=1, lt=2**31)
    host: Text = None
    ancestors: list[str] | None = Field(None, description="Processes above it, nearest first.")
    at: float | None = Field(None, description="When the hook began, seconds since 1970.")


class HookJson(Fields):
    """A hook's own JSON, as the client gives it to any handler."""

    hook_event_name: str = Field(description="The event, as the client writes it; that of the path.")
    transcript_path: Text = None
    permission_mode: Text = None
    prompt_id: Text = None
    agent_id: Text = None
    tool_name: Text = None
    tool_use_id: Text = None
    tool_input: dict[str, Any] | None = Field(
        None, description="A line of it is kept where a person is asked."
    )
    notification_type: Text = None
    message: Text = None
    source: Text = None
    trigger: Text = None
    session_title: Text = None
    stop_hook_active: bool | None = None
    is_interrupt: bool | None = None
    background_tasks: list[Any] | None = Field(None, description="They are counted.")
    coord: Sender | None = None


class Short(Fields):
    """The short form, for those who have no hook's JSON."""

    event: Annotated[str | None, Field(description="The event of the path: `Stop`, `session-start` ...")] = (
        None
    )
    timestamp: Annotated[
        float | str | None, Field(description="Seconds since 1970, or ISO 8601; believed for a minute.")
    ] = None


class Taken(BaseModel):
    """The answer to a hook."""

    status: str = Field("ok", description="Always `ok`.")
    agent_id: str = Field(description="The session's name here: it stays over /clear, /compact and resume.")
    state: str = Field(description="What it does now.")


class LastHook(BaseModel):
    """The hook that was heard last."""

    at: str
    event: str
    session: str


class Status(BaseModel):
    """How the monitor knows what it knows."""

    status: str = Field(description="`ok`, or `error` while Redis is away.")
    hooks: bool = Field(description="Whether hooks are heard (one within `monitor_session_timeout`).")
    polling: bool = Field(description="Whether looking at processes and files stands in for them.")
    mode_since: float | None = Field(description="Since when that is so; null: since ever.")
    last_hook_at: float | None = Field(description="When one was heard last, seconds since 1970.")
    last_hook: LastHook | None = Field(description="The last one since the monitor has been started.")
    last_event: str = Field(description="The newest entry of pool:events that was handed on.")
    sessions: dict[str, int] = Field(description="How many are in which state.")
    since: float = Field(description="When this monitor was started.")
    redis: str = Field(description="`ok`, or why Redis does not answer.")


class Refused(BaseModel):
    """The answer to what is wrong."""

    status: str = Field("error", description="Always `error`.")
    message: str = Field(description="One line: what was wrong, and what to do.")


_REFUSALS = {400: "Not JSON.", 422: "Wrong; nothing was taken.", 503: "Redis is away."}


def error(status: int, message: str, retry: bool = False) -> JSONResponse:
    """One clear line."""
    line = "".join(c if c.isprintable() else " " for c in message)[:500]
    headers = {"Retry-After": "1"} if retry else None
    return JSONResponse({"status": "error", "message": line}, status, headers)


@router.get("/status", summary="Whether hooks are heard", response_model=Status)
def status(request: Request) -> dict[str, Any]:
    """Whether hooks are heard or polling stands in, since when, and how many sessions are in which state."""
    monitor = request.app.state.monitor
    hub, settings = monitor.hub, monitor.settings
    states: dict[str, int] = {}
    for each in hub.mirror.all():
        states[each.state] = states.get(each.state, 0) + 1
    heard = hub.heard(clock.wall())
    return {
        "status": "error" if hub.away else "ok",
        "hooks": heard.alive,
        "polling": not heard.alive and settings.monitor_fallback_polling,
        "mode_since": heard.since or None,
        "last_hook_at": heard.last or None,
        "last_hook": hub.last_hook,
        "last_event": hub.last,
        "sessions": states,
        "since": monitor.since,
        "redis": hub.away or "ok",
    }  # fmt: skip


async def _take(request: Request, event: str) -> JSONResponse:
    data = await request.body()
    try:
        body = _parsed(data)
    except ValueError as wrong:
        return error(400, str(wrong))
    try:
        signal = _signal(body, event)
    except ValueError as wrong:
        return error(422, str(wrong))
    hub = request.app.state.monitor.hub
    try:
        session = await asyncio.wait_for(asyncio.wrap_future(hub.observer.take(signal)), PATIENCE)
    except (redis.RedisError, TimeoutError):
        return error(503, "Redis is away: go on; what this session does is found out later", retry=True)
    except Busy as busy:
        return error(503, str(busy), retry=True)
    return JSONResponse({"status": "ok", "agent_id": session.id, "state": session.state})


def _parsed(data: bytes) -> object:
    """The JSON.

    Raises:
        ValueError: It is none; one line says so.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except json.JSONDecodeError as wrong:
        raise ValueError(f"the body is not JSON: {wrong.msg} (character {wrong.pos})") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the body is not JSON: {name} is no number of JSON's")


def _signal(body: object, event: str) -> signals.Signal:
    """The signal in a hook's JSON, or in the short form.

    Raises:
        ValueError: It is neither; one line says what is wrong.
    """
    if not isinstance(body, dict):
        raise ValueError("the body is no JSON object: send a hook's JSON as it came, or the short form")
    at = clock.wall()
    if "hook_event_name" in body:
        _check(HookJson, body)
        found = signals.from_hook(body, at)
    else:
        _check(Short, body)
        found = signals.from_short({**body, "event": body.get("event") or event}, at)
    if found.kind != event:
        raise ValueError(f"this is the path of {event}, and the body is of {found.kind}: mend one of them")
    return found


def _check(form: type[Fields], body: dict[str, Any]) -> None:
    try:
        form.model_validate(body)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{signals.line(place, 100)}: {first['msg']}") from None


def _add(event: str) -> None:
    """The route of one event; what it takes is in the OpenAPI description."""

    async def take(request: Request) -> JSONResponse:
        return await _take(request, event)

    forms = {
        "anyOf": [{"$ref": f"#/components/schemas/{form.__name__}"} for form in (HookJson, Short)],
        "example": {"session_id": "0ab1c2d3", "hook_event_name": event, "cwd": "/work"},
    }
    router.add_api_route(
        f"/{signals.route(event)}", take, methods=["POST"], name=f"hook_{event}", summary=event,
        description=f"A session's {event} hook: its JSON as the client sends it, or the short form.",
        response_model=Taken,
        responses={
            code: {"model": Refused, "description": text}
            for code, text in _REFUSALS.items()
        },
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": forms}}}},
    )  # fmt: skip


for _event in signals.EVENTS:
    _add(_event)


def schemas() -> dict[str, Any]:
    """The forms of a hook's body, for the OpenAPI description (they are read by hand, for speed)."""
    found: dict[str, Any] = {}
    for form in (HookJson, Short):
        made = form.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= made.pop("$defs", {})
        found[form.__name__] = made
    return found
