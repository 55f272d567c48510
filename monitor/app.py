"""The ASGI application: its state, and the list of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis
from fastapi import APIRouter, FastAPI

from monitor import actions, api, errors, intake, login, metrics, notify, reference, stream
from monitor.audit import Audit
from monitor.hub import Hub
from monitor.pages import routes as pages
from monitor.pages import templating
from monitor.reconcile import Reconciler
from monitor.recorder import Recorder
from monitor.redact import Redactor
from monitor.security import Failures, Guard
from monitor.store import Store
from monitor.tokens import Tokens
from pool import __version__, clock, connect
from pool.settings import Settings

#: Every part of the service, in the order in which paths are looked up.
ROUTERS: list[APIRouter] = [
    intake.router, stream.router, api.router, actions.router, reference.router, login.router, pages.router,
    metrics.router,
]  # fmt: skip


class Monitor:
    """What the endpoints share (``request.app.state.monitor``)."""

    def __init__(self, settings: Settings, log: Callable[[str], None]) -> None:
        self.settings = settings
        self.log = log
        self.since = clock.wall()
        #: For endpoints that read (plain `def`: they run in threads).
        self.redis: redis.Redis = connect.client(settings)
        self.store = Store(settings)
        self.hub = Hub(settings, self.store, log)
        self.reconciler = Reconciler(settings, self.hub, self.store, log)
        self.recorder = Recorder(settings, self.hub, log)
        self.tokens = Tokens(settings, log)
        self.redactor = Redactor(settings, fresh=self.tokens.secrets)
        self.hub.observer.hide = self.redactor.signal
        self.audit = Audit(settings, self.redactor, log)
        self.failures = Failures(self.audit.failed)
        hub = self.hub
        self.metrics = metrics.registry(
            settings, metrics.Sources(hub.mirror.all, hub.followers, lambda: hub.heard(0.0).last)
        )
        self.notifier = notify.Notifier(settings, self.hub.mirror.all, log, self.tokens.secrets())


def create_app(settings: Settings, log: Callable[[str], None] = print) -> FastAPI:
    """The application. It begins to listen to the pool when it is started, and raises RedisError then."""
    monitor = Monitor(settings, log)
    templating.prepare()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        monitor.hub.start()
        monitor.reconciler.start()
        monitor.recorder.start()
        monitor.notifier.start()
        try:
            yield
        finally:
            monitor.notifier.stop()
            monitor.recorder.stop()
            monitor.reconciler.stop()
            monitor.hub.stop()

    # (/docs is a page of our own: FastAPI's loads code from elsewhere.)
    app = FastAPI(
        title="coord", version=__version__, description=reference.DESCRIPTION, docs_url=None, redoc_url=None,
        redirect_slashes=False, responses=errors.REFUSALS, lifespan=lifespan,
    )  # fmt: skip
    app.state.monitor = monitor
    app.add_middleware(Guard, settings=settings, tokens=monitor.tokens, failures=monitor.failures)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Add to the OpenAPI description what FastAPI does not see: the forms of a hook's body."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        found = made()
        found.setdefault("components", {}).setdefault("schemas", {}).update(intake.schemas())
        return found

    app.openapi = openapi  # type: ignore[method-assign]
