"""Who may do what: roles, and the tokens that prove them (docs/adr/0014)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from pool import local
from pool.errors import SettingsError, UsageError
from pool.settings import Settings

#: Characters of a token: fewer could be guessed, more are a mistake.
SHORTEST, LONGEST = 16, 512
#: The operator's token that is made where none is set, in HOME.
NAME = "monitor.token"
#: A login in a browser lasts so long (seconds).
LOGIN = 12 * 3600
_VERSION = "1"


class Role(IntEnum):
    """Each may do what those below it may."""

    NOBODY = 0
    #: Tell what a session does (`/hook/...`).
    REPORTER = 1
    #: Look at everything.
    VIEWER = 2
    #: Act.
    OPERATOR = 3


#: The settings that give a role: `monitor_X_token` and `monitor_X_token_file`.
_SETTINGS = {Role.OPERATOR: "operator", Role.VIEWER: "viewer", Role.REPORTER: "hook"}


class Tokens:
    """The tokens in force. Those in files are read anew when their file was changed."""

    def __init__(self, settings: Settings, log: Callable[[str], None]) -> None:
        self._sources: list[tuple[Role, _Source]] = []
        for role, name in _SETTINGS.items():
            text = getattr(settings, f"monitor_{name}_token")
            path = getattr(settings, f"monitor_{name}_token_file")
            if text or path:
                self._sources.append((role, _Source(f"monitor_{name}_token", text, path, log)))
        self.made: Path | None = None
        if not any(role is Role.OPERATOR for role, _ in self._sources):
            self.made = Path(settings.home) / NAME
            source = _Source("the operator's token", "", str(self.made), log)
            self._sources.append((Role.OPERATOR, source))

    def role(self, token: str) -> Role:
        """The role that a token gives. Every token is compared, each in the same time."""
        given, found = _digest(token), Role.NOBODY
        for role, source in self._sources:
            text = source.text()
            if hmac.compare_digest(_digest(text), given) and text:
                found = max(found, role)
        return found

    def cookie(self, token: str) -> str:
        """What a browser keeps of a token that may look: it ends by itself, and with that token."""
        return _cookie(token, int(time.time()) + LOGIN)

    def of_cookie(self, value: str) -> Role:
        """VIEWER for a cookie that was made of a token in force, else NOBODY. It never lets anybody act."""
        version, _, rest = value.partition(".")
        expires = rest.partition(".")[0]
        if version != _VERSION or not (expires.isascii() and expires.isdigit() and len(expires) < 13):
            return Role.NOBODY
        found = Role.NOBODY
        for role, source in self._sources:
            text = source.text()
            good = hmac.compare_digest(_cookie(text, int(expires)).encode(), value.encode("utf-8", "replace"))
            if good and text and role >= Role.VIEWER and int(expires) > time.time():
                found = Role.VIEWER
        return found

    def secrets(self) -> list[str]:
        """Every token in force: what is never to be shown."""
        return [text for _, source in self._sources if (text := source.text())]


class _Source:
    """Where one token is: a text, or a file."""

    def __init__(self, name: str, text: str, path: str, log: Callable[[str], None]) -> None:
        self._name, self._path, self._log = name, path, log
        self._text, self._seen, self._problem = text, (0, 0, 0), ""

    def text(self) -> str:
        """The token; '' while there is none: then it gives no role to anybody."""
        if not self._path:
            return self._text
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._text, self._seen = read(self._path), seen
            problem = ""
        except (OSError, UsageError) as error:
            self._text, self._seen = "", (0, 0, 0)
            problem = str(getattr(error, "strerror", None) or error)
        if problem != self._problem:
            self._problem = problem
            self._log(f"{self._name}: {self._path}: {problem or 'is there again'}")
        return self._text


def read(path: str) -> str:
    """The token in a file.

    Raises:
        OSError: It cannot be read.
        UsageError: It holds no token. (The message says nothing of what it holds.)
    """
    with open(path, "rb") as file:
        text = file.read(4096).decode("ascii", "replace").strip()
    problem = wrong(text)
    if problem:
        raise UsageError(problem)
    return text


def wrong(text: str) -> str:
    """What is wrong with a token; '' if nothing."""
    if not SHORTEST <= len(text) <= LONGEST:
        return f"a token has {SHORTEST} to {LONGEST} characters"
    if not (text.isascii() and text.isprintable() and " " not in text):
        return "a token consists of ASCII letters, digits and signs, without spaces"
    return ""


def prepare(settings: Settings) -> Path | None:
    """Look at the tokens before the service starts. Where the operator's is not set, it is made: its file.

    Raises:
        SettingsError: A token is wrong, or there is none and the service would listen beyond this machine.
    """
    for name in _SETTINGS.values():
        text = getattr(settings, f"monitor_{name}_token")
        path = getattr(settings, f"monitor_{name}_token_file")
        if text and path:
            raise SettingsError(f"monitor_{name}_token and monitor_{name}_token_file exclude each other")
        try:
            problem = wrong(text) if text else wrong(read(path)) if path else ""
        except OSError as error:
            problem = f"{path}: {error.strerror}"
        except UsageError as error:
            problem = f"{path}: {error}"
        if problem:
            raise SettingsError(f"monitor_{name}_token{'_file' if path else ''}: {problem}")
    if settings.monitor_operator_token or settings.monitor_operator_token_file:
        return None
    if not is_loopback(settings.monitor_host):
        raise SettingsError(
            f"the monitor listens beyond this machine ({settings.monitor_host}) only with tokens: set "
            "monitor_operator_token_file (and monitor_viewer_token_file, monitor_hook_token_file)"
        )
    return _made(Path(settings.home))


def _made(home: Path) -> Path:
    """The operator's token in HOME, made if it is not there: of several monitors that start, one makes it."""
    path = home / NAME
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        local.ignore(str(home))
        if not path.exists():
            new = path.with_name(f".{NAME}-{os.getpid()}-{secrets.token_hex(4)}")
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
            try:
                os.link(new, path)  # unlike a rename, it replaces nothing
            except FileExistsError:
                pass
            finally:
                os.unlink(new)
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} can be read by others: `chmod 600` it, or delete it for a new one")
        read(str(path))
    except UsageError as error:
        raise SettingsError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except OSError as error:
        raise SettingsError(f"the operator's token cannot be kept in {path}: {error.strerror}") from None
    return path


def is_loopback(host: str) -> bool:
    """Whether an address or a name means this machine alone."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or bool(mapped and mapped.is_loopback)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cookie(token: str, expires: int) -> str:
    said = f"coord monitor login {_VERSION} {expires}".encode()
    return f"{_VERSION}.{expires}.{hmac.new(token.encode(), said, 'sha256').hexdigest()}"
