"""The door: who may ask for what, how often and how much; and what every answer says to a browser.

Plain ASGI around the whole application (docs/monitor.md, "Security"). What it refuses is answered with one
line of JSON, and reaches no other code.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from monitor import limits
from monitor.tokens import Role, Tokens, is_loopback
from pool.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "coord_login"
#: What needs no role: there is nothing to be learnt from it.
_OPEN = ("/login", "/logout", "/static/")
#: In place of a token that is wrong: so long (seconds) the answer waits, and so many may wait at once.
_FAILED, _WAITING = 1.0, 64
#: All bodies that are being read, in bytes.
_BODIES = 64 * 2**20
#: What a proxy adds: such a request does not come from this machine, whoever hands it on.
_HANDED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_FORM = "application/x-www-form-urlencoded"

#: What every answer says to a browser.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # (with no-referrer a browser sends `Origin: null` when one logs in)
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class Caller:
    """Who asks (``scope["caller"]``): the role, how it was proved, and the client's address."""

    role: Role
    #: `token`, `login` (a browser's cookie) or `here` (this machine, without either).
    by: str
    address: str


class Refused(Exception):
    """An answer in place of the application's."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response: Response = JSONResponse({"status": "error", "message": message}, status, named)


class Failures:
    """Wrong tokens: noted (``failed`` is told the address, and may block), and answered late."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed, self._late = failed, 0

    async def wrong_token(self, address: str) -> None:
        """Somebody came with a token that is none.

        Raises:
            Refused: Always.
        """
        if self._late >= _WAITING:
            raise Refused(429, "too many wrong tokens: try again in a moment", retry_after="5")
        self._late += 1
        try:
            await asyncio.gather(asyncio.sleep(_FAILED), asyncio.to_thread(self._failed, address))
        finally:
            self._late -= 1
        raise Refused(401, "this token is none of the monitor's", www_authenticate="Bearer")


class Guard:
    """The application behind the door."""

    def __init__(self, app: App, settings: Settings, tokens: Tokens, failures: Failures) -> None:
        self._app, self._settings, self._tokens, self._failures = app, settings, tokens, failures
        self._local = is_loopback(settings.monitor_host)
        self._names = {name.lower().rstrip(".") for name in settings.monitor_hosts}
        rate = float(settings.monitor_rate)
        self._each, self._all = limits.Rates(rate, 2 * rate), limits.Rates(4 * rate, 8 * rate)
        self._streams = self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _dressed(scope, send)
        streams = scope["path"] == "/events"
        self._streams += streams
        try:
            await self._answer(_Request(scope), receive, send)
        except Refused as refused:
            await refused.response(scope, receive, send)
        finally:
            self._streams -= streams

    async def _answer(self, request: _Request, receive: Receive, send: Send) -> None:
        scope = request.scope
        self._check_rate(request)
        self._check_host(request)
        self._check_origin(request)
        if request.method == "OPTIONS":
            await _options(self._app, scope, receive, send)
            return
        scope["caller"] = await self._caller(request)
        if scope["path"] == "/events" and self._streams > self._settings.monitor_streams:
            raise Refused(
                503, "too many clients follow the events (setting monitor_streams)", retry_after="5"
            )
        if request.method == "HEAD":
            await _head(self._app, scope, receive, send)
        elif request.method in ("POST", "PUT", "PATCH", "DELETE"):
            _check_type(request)
            size = 0
            try:
                body = bytearray()
                async for chunk in self._body(request, receive):
                    size += len(chunk)
                    body += chunk
                await self._app(scope, _replay(bytes(body), receive), send)
            finally:
                self._reading -= size
        else:
            await self._app(scope, receive, send)

    # -- who it is ------------------------------------------------------------------------------------------

    def _check_rate(self, request: _Request) -> None:
        now = time.monotonic()
        wait = self._each.take(request.address, now) or self._all.take("", now)
        if wait:
            message = "too many requests (setting monitor_rate): ask again in a moment"
            raise Refused(429, message, retry_after=str(int(wait) + 1))

    def _check_host(self, request: _Request) -> None:
        """A page elsewhere whose name is made to mean this machine asks under that name (DNS rebinding)."""
        name = request.host
        if name is not None and (
            is_loopback(name) or name in self._names or name == self._settings.monitor_host
        ):
            return
        if name is not None and not self._local and _is_address(name):
            return
        raise Refused(
            421, "the monitor does not answer to this Host (setting monitor_hosts)", connection="close"
        )

    def _check_origin(self, request: _Request) -> None:
        """A browser says which page asks: another site's may follow a link to us, and do nothing else."""
        origins, site = request.all("origin"), request.one("sec-fetch-site")
        same = len(origins) < 2 and all(_authority(each) == request.authority for each in origins)
        navigates = request.one("sec-fetch-mode") == "navigate" and request.method in ("GET", "HEAD")
        if not same or (site in ("cross-site", "same-site") and not navigates):
            raise Refused(
                403, "another site's page may not ask this monitor for anything", connection="close"
            )

    async def _caller(self, request: _Request) -> Caller:
        path = request.scope["path"]
        found = await self._known(request)
        needed = _needed(path)
        if found.role >= needed:
            return found
        if found.by != "nothing":
            what = {Role.OPERATOR: "act", Role.VIEWER: "look", Role.REPORTER: "report"}[needed]
            if found.by == "login" or found.by == "here":
                message = f"to {what} takes the {needed.name.lower()}'s token: Authorization: Bearer TOKEN"
                raise Refused(401, message, www_authenticate="Bearer")
            raise Refused(403, f"this token does not let you {what}")
        refused = Refused(401, "no token: Authorization: Bearer TOKEN", www_authenticate="Bearer")
        if request.method == "GET" and "text/html" in request.one("accept"):
            refused.response = RedirectResponse(f"/login?next={quote(path)}", 303)
        raise refused

    async def _known(self, request: _Request) -> Caller:
        given = request.all("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            role = (
                self._tokens.role(token.strip())
                if len(given) == 1 and scheme.lower() == "bearer"
                else Role.NOBODY
            )
            if role is Role.NOBODY:
                await self._failures.wrong_token(request.address)
            return Caller(role, "token", request.address)
        cookie = request.cookie()
        if cookie and self._tokens.of_cookie(cookie):
            return Caller(Role.VIEWER, "login", request.address)
        near = is_loopback(request.address) and is_loopback(request.host or "")
        if self._local and near and not any(request.all(name) for name in _HANDED_ON):
            return Caller(Role.VIEWER, "here", request.address)
        return Caller(Role.NOBODY, "nothing", request.address)

    # -- what is sent ---------------------------------------------------------------------------------------

    async def _body(self, request: _Request, receive: Receive) -> Any:
        most = self._settings.monitor_body_limit
        too_large = Refused(
            413, f"the body has more than {most:,} bytes (setting monitor_body_limit)", connection="close"
        )
        length = request.one("content-length")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise too_large
        size, deadline = 0, asyncio.get_running_loop().time() + limits.BODY
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "the body did not come in time", connection="close") from None
            if message["type"] == "http.disconnect":
                raise Refused(400, "the connection ended before the body did", connection="close")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > most:
                raise too_large
            if self._reading + len(chunk) > _BODIES:
                raise Refused(503, "too much is being sent at once", retry_after="1", connection="close")
            self._reading += len(chunk)
            yield chunk
            if not message.get("more_body", False):
                return


class _Request:
    """What the door looks at."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        client = scope.get("client")
        self.address = str(client[0]) if client else "127.0.0.1"
        hosts = self.all("host")
        self.authority = _clean_authority(hosts[0]) if len(hosts) == 1 else None
        self.host = _name(self.authority) if self.authority else None

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        wanted = name.encode()
        return [
            value.decode("latin-1").strip() for key, value in self.scope["headers"] if key.lower() == wanted
        ]

    def one(self, name: str) -> str:
        """Its first value, lower case; '' if there is none."""
        return (self.all(name) or [""])[0].lower()

    def cookie(self) -> str:
        """The login that a browser keeps."""
        for line in self.all("cookie"):
            for part in line.split(";"):
                name, _, value = part.strip().partition("=")
                if name == COOKIE:
                    return value
        return ""


def _needed(path: str) -> Role:
    """The role that a path takes."""
    if path in _OPEN or path.startswith("/static/"):
        return Role.NOBODY
    if path == "/hook" or path.startswith("/hook/"):
        return Role.REPORTER
    return Role.OPERATOR if path == "/action" or path.startswith("/action/") else Role.VIEWER


def _check_type(request: _Request) -> None:
    """Bodies are JSON; what curl says of one by itself will do for a hook, and from no browser."""
    path, kinds = request.scope["path"], request.all("content-type")
    kind = kinds[0].partition(";")[0].strip().lower() if kinds else ""
    if path in ("/login", "/logout"):
        good = kind in (_FORM, "")
    elif path.startswith("/hook/"):
        browser = request.all("origin") or request.all("sec-fetch-site")
        good = kind == "application/json" or (kind in (_FORM, "") and not browser)
    else:
        good = kind == "application/json"
    if not good or len(kinds) > 1:
        raise Refused(415, "send JSON: Content-Type: application/json", connection="close")


def _clean_authority(text: str) -> str | None:
    """A Host's value in one form, without the usual ports; None if it is none."""
    text = text.lower()
    if not text or len(text) > 260 or any(c in text for c in "/\\@?# ,") or not text.isprintable():
        return None
    name, colon, port = text.rpartition(":")
    if colon and not text.endswith("]"):
        if not (port.isascii() and port.isdigit()) or (":" in name and not name.startswith("[")):
            return None
        if port in ("80", "443"):
            text = name
    return text.rstrip(".") or None


def _name(authority: str) -> str:
    """A Host without its port."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].rstrip(".")


def _authority(origin: str) -> str | None:
    """The host and port of an Origin; None of one that is opaque (`null`)."""
    scheme, sep, rest = origin.lower().partition("://")
    return _clean_authority(rest) if sep and scheme in ("http", "https") else None


def _is_address(name: str) -> bool:
    """Whether it is a number: nobody can make another site's name mean that."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then what comes."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


def _dressed(scope: Scope, send: Send) -> Send:
    """Answers with what they say to a browser."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            more = dict(HEADERS)
            if not scope["path"].startswith("/static/"):
                more["cache-control"] = "no-store"
            headers += [
                (name.encode(), value.encode()) for name, value in more.items() if name.encode() not in there
            ]
            message = {**message, "headers": headers}
        await send(message)

    return with_headers


async def _options(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Say what may be asked, and nothing about other origins: they may not ask."""
    status, allowed = 404, ""

    async def look(message: Message) -> None:
        nonlocal status, allowed
        if message["type"] == "http.response.start":
            status = message["status"]
            for name, value in message.get("headers", []):
                if name.lower() == b"allow":
                    allowed = value.decode("latin-1")

    await app(scope, _replay(b"", receive), look)
    if status == 405:
        methods = {each.strip() for each in allowed.split(",") if each.strip()} | {"OPTIONS"}
        methods |= {"HEAD"} if "GET" in methods else set()
        await Response(status_code=204, headers={"Allow": ", ".join(sorted(methods))})(scope, receive, send)
    else:
        await Refused(404, "there is nothing here").response(scope, receive, send)


async def _head(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """What a GET would answer, without its body (that of a stream would never end)."""
    started = asyncio.Event()

    async def head_only(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            started.set()

    work = asyncio.ensure_future(app({**scope, "method": "GET"}, _replay(b"", receive), head_only))
    done = asyncio.ensure_future(started.wait())
    await asyncio.wait((work, done), return_when=asyncio.FIRST_COMPLETED)
    done.cancel()
    if work.done():
        await work
    else:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
