"""What the monitor stores and shows, without secrets: by their form, and those that this process knows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from monitor.signals import Signal
from pool import redact, wire
from pool import settings as settings_module
from pool.errors import CoordError
from pool.settings import Settings

#: Characters of a line of evidence, of a text (a result, a log's entry) that is shown.
LINE, TEXT = 300, 2**18


class Redactor:
    """Hides secrets; it knows those of this process' environment and settings, and what it is told."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str] = os.environ,
        more: Iterable[str] = (), fresh: Callable[[], Iterable[str]] = tuple,
    ) -> None:  # fmt: skip
        secrets = [*redact.of_environment(environ), *more]
        secrets += [
            str(value) for name, value in settings.model_dump().items()
            if redact.is_secret(name) and not name.endswith("_file")
        ]  # fmt: skip
        with contextlib.suppress(CoordError):  # Redis is away; who asks it will hear of that
            secrets.append(wire.Address(settings_module.redis_url(settings)).password)
        self._secrets, self._fresh = secrets, fresh
        self._now: tuple[str, ...] = ()
        self._known = redact.Known(secrets)

    @property
    def known(self) -> redact.Known:
        """All that it knows, and those that change in place (``fresh``) as they are now."""
        now = tuple(self._fresh())
        if now != self._now:
            self._known, self._now = redact.Known([*self._secrets, *now]), now
        return self._known

    def signal(self, signal: Signal) -> Signal:
        """What was heard, without what it knows. (Secrets of the usual forms are hidden already.)"""
        known = self.known
        return replace(
            signal, message=known.text(signal.message), title=known.text(signal.title),
            reason=known.text(signal.reason), detail=known.text(signal.detail), cwd=known.text(signal.cwd),
        )  # fmt: skip

    def line(self, found: str, limit: int = LINE) -> str:
        """One line, without secrets and without what would steer a terminal."""
        plain = redact.cut(found, limit * 4, self.known)
        plain = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
        return plain if len(plain) <= limit else plain[: limit - 1] + "…"

    def text(self, found: str, limit: int = TEXT) -> str:
        """A text of several lines."""
        return redact.cut(found, limit, self.known)

    def value(self, found: Any, limit: int = TEXT) -> Any:
        """A value out of JSON, with all texts in it."""
        return redact.value(found, self.known, limit)
