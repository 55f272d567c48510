"""Every error as one line of JSON, ``{"status": "error", "message": ...}``, and a status that says whose."""

from __future__ import annotations

from typing import Any

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from monitor.pages import shell
from monitor.security import HEADERS, Refused
from pool import connect
from pool.errors import CoordError, RedisAway, TaskExists, UnknownTask, UnknownWorker, UsageError, WrongState

#: The HTTP status of an error of the pool's.
_STATUS: dict[type[CoordError], int] = {
    RedisAway: 503, UnknownTask: 404, UnknownWorker: 404, WrongState: 409, TaskExists: 409, UsageError: 422,
}  # fmt: skip


class Problem(BaseModel):
    """What went wrong."""

    status: str = Field("error", description="Always `error`.")
    message: str = Field(description="One line: what was wrong, and what to do.")


#: For OpenAPI: how any request may be refused.
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not understood."},
    401: {"model": Problem, "description": "No token, or none of the monitor's."},
    403: {"model": Problem, "description": "This token does not allow it, or another site's page asks."},
    413: {"model": Problem, "description": "Too large (setting `monitor_body_limit`)."},
    415: {"model": Problem, "description": "Not JSON."},
    421: {"model": Problem, "description": "Asked under another name (setting `monitor_hosts`)."},
    422: {"model": Problem, "description": "Wrong; the message names what. Nothing was changed."},
    429: {"model": Problem, "description": "Too many requests (setting `monitor_rate`)."},
    503: {"model": Problem, "description": "Redis cannot be reached; try again."},
}


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error's answer."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(message.split()))
    return JSONResponse({"status": "error", "message": line}, status, headers)


def install(app: FastAPI) -> None:
    """Answer errors so."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(CoordError, _ours)
    app.add_exception_handler(redis.RedisError, _redis)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Exception, _unknown)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
    message = str(first["msg"]).removeprefix("Value error, ")
    return problem(422, f"{place}: {message}" if place else message)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
        return shell.missing(
            request, "There is no such page", "It may have another address.", ("/", "Sessions")
        )
    known = {404: "there is nothing here", 405: "not with this method"}
    default = error.detail in ("Not Found", "Method Not Allowed")
    message = known.get(error.status_code, str(error.detail)) if default else str(error.detail)
    return problem(error.status_code, message, dict(error.headers) if error.headers else None)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return problem(status, str(error), {"Retry-After": "1"} if status == 503 else None)


async def _redis(request: Request, error: Exception) -> JSONResponse:
    return await _ours(request, connect.trouble(request.app.state.monitor.settings, error))


async def _refused(request: Request, error: Exception) -> Any:
    assert isinstance(error, Refused)
    return error.response


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    # (The traceback is in the log; what it says is nobody's business here.)
    return problem(500, "something went wrong in the monitor; its log says what", HEADERS)
