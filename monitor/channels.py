"""How a notification goes out: to the desktop, to a webhook, to the pages that are open.

Texts are arguments and JSON, never a shell's. A webhook's URL is a secret: nothing here names more than its
host.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import json
import queue
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monitor.message import Message, slack
from pool import __version__, clock
from pool.errors import SettingsError
from pool.settings import Settings

#: The whole of one call of a webhook, or of a program, takes so long (seconds) at most.
TIMEOUT = 10.0
_REDIRECTS = 3
#: No Retry-After is believed beyond this (seconds).
_LONGEST = 3600.0
#: Characters of a desktop's title and text.
_TITLE, _TEXT = 100, 400
#: What osascript runs; the texts are its arguments.
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


class Undelivered(Exception):
    """It did not go out; the text is one line, without secrets."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        #: Do not try again before so long (seconds).
        self.after = after


Send = Callable[[Message], str]


def senders(settings: Settings, names: list[str]) -> dict[str, Send]:
    """How to send by each of these channels but the pages (those hear it as an event).

    Raises:
        SettingsError: A webhook is asked for and its settings do not name one.
    """
    found: dict[str, Send] = {}
    if "desktop" in names:
        found["desktop"] = desktop
    if "webhook" in names:
        found["webhook"] = Webhook(settings)
    return found


# -- the desktop -----------------------------------------------------------------------------------------


def program() -> str:
    """What shows notifications here; '' nothing does."""
    name = "osascript" if sys.platform == "darwin" else "notify-send"
    return shutil.which(name) or ""


def arguments(path: str, message: Message) -> list[str]:
    """How to call it. (A server of notifications reads tags in the text: it must not find any.)"""
    title, text = _clip(message.title, _TITLE), _clip(f"{message.text}\n{message.url}".strip(), _TEXT)
    if Path(path).name == "osascript":
        return [path, *(part for line in _SCRIPT for part in ("-e", line)), title, text]
    urgency = "critical" if message.kind == "needs-you" else "normal"
    given = [f"--urgency={urgency}", "--app-name=coord", "--category=im.received", "--"]
    return [path, *given, title, html.escape(text, quote=False)]


def desktop(message: Message) -> str:
    """Show it.

    Raises:
        Undelivered: There is no such program, or no desktop.
    """
    path = program()
    if not path:
        raise Undelivered("there is no notify-send here (or, on macOS, osascript)")
    try:
        done = subprocess.run(
            arguments(path, message), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise Undelivered(f"{Path(path).name} did not end within {TIMEOUT:g} s") from None
    except OSError as error:
        raise Undelivered(f"{Path(path).name}: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
        raise Undelivered(f"{Path(path).name} ended with {done.returncode}: {_clip(said[0], 200)}")
    return f"shown by {Path(path).name}"


def _clip(text: str, limit: int) -> str:
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


# -- a webhook -------------------------------------------------------------------------------------------


class Webhook:
    """POSTs a notification as JSON, signed where there is a secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        address(settings)  # (a wrong one is said at once)

    def __call__(self, message: Message) -> str:
        """Send it; what was answered.

        Raises:
            Undelivered: Anything but 2xx, in time.
        """
        try:
            url, key = address(self._settings), secret(self._settings)
        except SettingsError as error:
            raise Undelivered(str(error)) from None
        host = urlsplit(url).hostname or ""
        body = payload(message)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"coord/{__version__}",
            "Idempotency-Key": message.key,
        }
        if key:
            headers["Coord-Signature"] = signature(key, body, int(clock.wall()))
        request = urllib.request.Request(url, body, headers, method="POST")
        return _within(TIMEOUT, lambda: _post(request, host), host)


def payload(message: Message) -> bytes:
    """What is POSTed: JSON with `text` (as Slack and its like want it), and the parts for programs."""
    text = slack(f"{message.title}\n{message.text}\n{message.url}")
    found = {"text": text, "id": message.key, "kind": message.kind, "title": message.title,
             "url": message.url, "items": message.items}  # fmt: skip
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")


def signature(key: str, body: bytes, at: int) -> str:
    """`t=MOMENT,v1=HEX`: HMAC-SHA256 of the moment (seconds since 1970), a dot and the body."""
    made = hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={made.hexdigest()}"


def address(settings: Settings) -> str:
    """The webhook's URL, out of its setting or its file.

    Raises:
        SettingsError: There is none, it cannot be read, or it is not one of http; the URL is not in it.
    """
    url = settings.monitor_notify_webhook or _read(settings.monitor_notify_webhook_file)
    if not url:
        raise SettingsError(
            "monitor_notify names webhook: set monitor_notify_webhook, or _file with the file that holds it"
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or parts.username or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError("monitor_notify_webhook is no URL of http or https without a user's name")
    return url


def secret(settings: Settings) -> str:
    """What a webhook's bodies are signed with; '' nothing.

    Raises:
        SettingsError: Its file cannot be read.
    """
    return settings.monitor_notify_secret or _read(settings.monitor_notify_secret_file)


def _read(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: {why}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows what keeps the POST and its host; anything else is the receiver's failure."""

    max_redirections = _REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request; None: the redirect is an answer, and no 2xx."""
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if code not in (307, 308) or before[:2] != after[:2]:
            return None
        return urllib.request.Request(newurl, req.data, dict(req.header_items()), method="POST")


def _post(request: urllib.request.Request, host: str) -> str:
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT) as answer:
            return f"{host} answered {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        moved = " (redirects to elsewhere are not followed)" if 300 <= error.code < 400 else ""
        raise Undelivered(f"{host} answered {error.code}{moved}", _after(error)) from None
    except urllib.error.URLError as error:
        why = error.reason.strerror if isinstance(error.reason, OSError) else None
        raise Undelivered(f"{host} cannot be reached: {why or type(error.reason).__name__}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Undelivered(f"{host}: {type(error).__name__}") from None


def _after(error: urllib.error.HTTPError) -> float:
    """Retry-After in seconds, where it is said so; a date is not read."""
    text = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(text), _LONGEST) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def _within(seconds: float, call: Callable[[], str], host: str) -> str:
    """The answer of a call, in time. (A socket's timeout is begun anew by each byte that drips.)"""
    done: queue.SimpleQueue[str | Undelivered] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(call())
        except Undelivered as error:
            done.put(error)

    threading.Thread(target=run, name="webhook", daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise Undelivered(f"{host} did not answer within {seconds:g} s") from None
    if isinstance(found, Undelivered):
        raise found
    return found
