"""`GET /events`: what happens, as server-sent events. An event's id is the entry's in pool:events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import redis
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from monitor.hub import RESET, Hub, encode
from monitor.mirror import entry

router = APIRouter()

#: A comment is sent after so long (seconds) without an event: proxies and clients see that the line lives.
HEARTBEAT = 15.0


@router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request,
    last_event_id: str = Header("", alias="Last-Event-ID"),
    last: str = Query("", description="The same as the header, for a first request"),
    session: str = Query("", description="Only what is about this session"),
    types: str = Query("", description="Only these: `session`, `pool`, or types of the pool's events"),
) -> Any:
    """Follow what happens: `session`, `pool` or `reset` (some are not there any more: load anew) events.

    The data of each is JSON: an entry of pool:events, and with one about a session its `record`.
    """
    hub: Hub = request.app.state.monitor.hub
    if last and entry(last) is None:
        return JSONResponse({"status": "error", "message": "last is no event's id: 1700000000000-0"}, 422)
    wanted = _filter(session, frozenset(each.strip() for each in types.split(",") if each.strip()))
    frames = _frames(hub, last_event_id or last or None, wanted)
    first = await anext(frames)  # (it listens from now on, before the client is told that it does)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_with(first, frames), media_type="text/event-stream", headers=headers)


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in rest:
        yield each


async def _frames(
    hub: Hub, last: str | None, wanted: Callable[[dict[str, Any]], bool]
) -> AsyncIterator[bytes]:
    """The bytes of the stream, rows and heartbeats. The first says where it begins."""
    with hub.listening() as live:  # (before anything is said: what happens from now on is not missed)
        begin = last if last is not None and entry(last) is not None else "{}-{}".format(*live.begin)
        pages = hub.pages(live, last)
        coming: asyncio.Future[list[dict[str, Any]] | None] = asyncio.ensure_future(anext(pages, None))
        try:
            yield f"retry: 1000\nid: {begin}\n\n".encode()
            while True:
                done, _ = await asyncio.wait((coming,), timeout=HEARTBEAT)
                if not done:
                    yield b": still here\n\n"
                    continue
                rows = coming.result()
                if rows is None:
                    return
                coming = asyncio.ensure_future(anext(pages, None))
                found = b"".join([frame(row) for row in rows if row["type"] == RESET or wanted(row)])
                if found:
                    yield found
        except redis.RedisError:
            return  # (it comes again, and is told then)
        finally:
            coming.cancel()


def _filter(session: str, types: frozenset[str]) -> Callable[[dict[str, Any]], bool]:
    def wanted(row: dict[str, Any]) -> bool:
        of_session = row["type"] == "session"
        if types and row["type"] not in types and not ("pool" in types and not of_session):
            return False
        return not session or session in (row.get("session"), row.get("worker"))

    return wanted


def frame(row: dict[str, Any]) -> bytes:
    """A row as an event."""
    name = row["type"] if row["type"] in ("session", RESET) else "pool"
    return f"id: {row['id']}\nevent: {name}\ndata: {encode(row)}\n\n".encode()
