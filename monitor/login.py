"""Logging in with a browser: an event stream can send no token, so a cookie stands for it, to look only."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from monitor.pages.templating import render
from monitor.security import COOKIE, Refused
from monitor.tokens import LOGIN, Role

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, next: str = "/") -> HTMLResponse:
    """The page that asks for a token."""
    return _page(request, next)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """A cookie for a token that may look."""
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=8)
    except ValueError:
        return _page(request, "/", "This was not understood.", 400)
    monitor = request.app.state.monitor
    token, target = (fields.get("token") or [""])[0].strip(), (fields.get("next") or ["/"])[0]
    role = monitor.tokens.role(token)
    if role is Role.NOBODY:
        try:
            await monitor.failures.wrong_token(request.scope["caller"].address)
        except Refused as refused:
            if "text/html" not in request.headers.get("accept", ""):
                raise
            line = str(refused)
            return _page(request, target, f"{line[0].upper()}{line[1:]}.", refused.response.status_code)
    if role < Role.VIEWER:
        return _page(request, target, "This token does not let you look.", 403)
    answer = RedirectResponse(_safe(target), 303)
    answer.set_cookie(
        COOKIE, monitor.tokens.cookie(token), max_age=LOGIN, httponly=True, samesite="strict", path="/",
        secure=_encrypted(request),
    )  # fmt: skip
    return answer


@router.post("/logout")
def log_out(request: Request) -> Response:
    """Forget the login of this browser. (All of them end when the token is changed.)"""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/", secure=_encrypted(request))
    return answer


def _encrypted(request: Request) -> bool:
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _page(request: Request, target: str, problem: str = "", status: int = 200) -> HTMLResponse:
    return render(request, "login.html", {"next": _safe(target), "problem": problem}, status)


def _safe(target: str) -> str:
    """Where to go on: a path of ours, whatever the link said."""
    plain = target.isascii() and target.isprintable() and "\\" not in target and len(target) < 1000
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"
