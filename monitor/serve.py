"""Runs the monitor until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from monitor import limits, tokens
from monitor.app import create_app
from monitor.presence import Presence
from pool import monitors
from pool.errors import UsageError
from pool.settings import Settings


class InUse(UsageError):
    """Raised when somebody else listens at an address."""


class Server(uvicorn.Server):
    """uvicorn's, with signals handled by `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there: who connects from now on is served.

    Raises:
        InUse: Somebody else listens there.
        UsageError: It is no address, or may not be used.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1024)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InUse(f"{host}:{port} is in use: a monitor may run already (else: --port)") from None
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror}") from None
    return sock


def near(host: str, port: int) -> socket.socket:
    """A socket that listens at one of the next few ports, or else at any.

    Raises:
        UsageError: There is none.
    """
    for other in range(port + 1, min(port + 20, 65535)):
        with contextlib.suppress(InUse):
            return bound(host, other)
    return bound(host, 0)


def serve(
    settings: Settings, log: Callable[[str], None], ready: Callable[[str], None], elsewhere: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is given the URL.

    ``elsewhere``: take any port that is free, if the one in the settings is in use.

    Raises:
        UsageError: It cannot listen there, or the tokens are not in order.
        redis.RedisError: Redis does not answer, at the start.
    """
    tokens.prepare(settings)
    limits.room(settings)
    host, port = settings.monitor_host, settings.monitor_port
    try:
        sock = bound(host, port)
    except InUse:
        if not elsewhere:
            raise
        sock = near(host, port)
    try:
        asyncio.run(_serve(settings, log, ready, sock))
    finally:
        sock.close()


async def _serve(
    settings: Settings, log: Callable[[str], None], ready: Callable[[str], None], sock: socket.socket
) -> None:
    app = create_app(settings, log)
    hub = app.state.monitor.hub
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        timeout_graceful_shutdown=1, timeout_keep_alive=75, proxy_headers=False,
        http=limits.protocol(settings), h11_max_incomplete_event_size=limits.HEAD_SIZE,
    )  # fmt: skip
    server = Server(config)

    def stop() -> None:
        server.should_exit = True
        hub.close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # (Not left to uvicorn, which would make a traceback of a Redis that does not answer.)
    async with app.router.lifespan_context(app):
        name = f"[{settings.monitor_host}]" if ":" in settings.monitor_host else settings.monitor_host
        port = sock.getsockname()[1]
        url = f"http://{name}:{port}"
        with present(settings, log, url, port):
            ready(url)
            if app.state.monitor.tokens.made:
                log(f"actions take the operator's token, which is in {app.state.monitor.tokens.made}")
            await server.serve(sockets=[sock])


@contextlib.contextmanager
def present(settings: Settings, log: Callable[[str], None], url: str, port: int) -> Iterator[None]:
    """Let others know of this monitor: those of this HOME, and all that use this Redis."""
    try:
        monitors.note(settings.home, url, port)
    except OSError as error:
        log(f"{settings.home} cannot be written ({error.strerror}): hooks will not find this port there")
    presence = Presence(settings, url)
    presence.begin()
    try:
        yield
    finally:
        presence.end()
