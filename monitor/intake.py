"""`POST /hook/...`: what sessions' hooks report, one route for each of the client's lifecycle events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from monitor import signals
from monitor.observer import Busy
from pool import clock

router = APIRouter(prefix="/hook", tags=["hooks"])

#: A session waits for its hook: it is told that Redis is away rather than kept (seconds).
PATIENCE = 1.5
#: Bytes of a hook's JSON.
LIMIT = 8 * 2**20


class Taken(BaseModel):
    """The answer to a hook."""

    status: str = "ok"
    agent_id: str
    state: str


class Refused(BaseModel):
    """The answer to what is wrong."""

    status: str = "error"
    message: str


def error(status: int, message: str) -> JSONResponse:
    """One clear line."""
    return JSONResponse({"status": "error", "message": message}, status)


@router.get("/status")
def status(request: Request) -> dict[str, Any]:
    """Whether hooks are heard or polling stands in, and how many sessions are in which state."""
    monitor = request.app.state.monitor
    sessions = monitor.hub.mirror.all()
    heard = max((each.hooks_at for each in sessions), default=0.0)
    alive = bool(heard) and clock.wall() - heard < monitor.settings.monitor_session_timeout
    states: dict[str, int] = {}
    for each in sessions:
        states[each.state] = states.get(each.state, 0) + 1
    return {
        "status": "ok" if not monitor.hub.away else "error",
        "hooks": alive,
        "polling": not alive and monitor.settings.monitor_fallback_polling,
        "last_hook_at": heard or None,
        "last_event": monitor.hub.last,
        "sessions": states,
        "since": monitor.since,
        "redis": monitor.hub.away or "ok",
    }


async def _take(request: Request, event: str) -> JSONResponse:
    try:
        body = json.loads(await request.body())
        signal = _signal(body, event)
    except (ValueError, RecursionError) as wrong:
        return error(422, str(wrong))
    hub = request.app.state.monitor.hub
    try:
        session = await asyncio.wait_for(asyncio.wrap_future(hub.observer.take(signal)), PATIENCE)
    except (redis.RedisError, TimeoutError):
        return error(503, "Redis is away: the session goes on, its state is found out later")
    except Busy as busy:
        return error(503, str(busy))
    return JSONResponse({"status": "ok", "agent_id": session.id, "state": session.state})


def _signal(body: object, event: str) -> signals.Signal:
    at = clock.wall()
    if isinstance(body, dict) and "hook_event_name" not in body:
        return signals.from_short({"event": event, **body}, at)
    found = signals.from_hook(body, at)
    if found.kind != event:
        raise ValueError(f"hook_event_name is {found.kind}, and this is the address for {event}")
    return found


def _add(event: str) -> None:
    async def take(request: Request) -> JSONResponse:
        return await _take(request, event)

    router.add_api_route(
        f"/{signals.route(event)}", take, methods=["POST"], name=f"hook_{event}", summary=event,
        response_model=Taken, responses={422: {"model": Refused}, 503: {"model": Refused}},
    )  # fmt: skip


for _event in signals.EVENTS:
    _add(_event)
