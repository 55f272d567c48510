"""A small RESP client on the standard library, for programs that must start in milliseconds.

Measured (docs/adr/0003-wire-client.md): ``import redis`` costs 110 ms and ``import socket`` 6 ms; this
module uses the C module under ``socket`` and costs less than one. It speaks TCP, TLS and Unix
sockets, logs in (ACL user or password), selects a database, and can wait for a reply while it
watches other file descriptors. The handshake travels with the first command: one round trip.
"""

from __future__ import annotations

import _socket
import select
import time

from pool.errors import RedisAway, SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Seconds to connect and to wait for an ordinary reply.
TIMEOUT = 5.0
_CHUNK = 65536
NOT_REDIS = "what answers there does not speak Redis' protocol"

#: What an URL may say after its question mark.
OPTIONS = frozenset(
    ("db", "password", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "username")
)

_UNREAD = ", named in COORD_REDIS_URL, cannot be read"
_LOGIN = "check the user and password in COORD_REDIS_URL"
_RIGHTS = (
    "log in as one who may (a viewer only looks), or give this user the keys rq:* pool:* claude-trigger*, "
    "the channel claude-trigger and the commands"
)
#: How an error begins by which Redis says that it cannot serve us now, or not us (nothing was changed),
#: and what to do about it. In a script's error, Redis 6 puts such words after a dash.
REFUSALS = {
    "NOAUTH": _LOGIN, "WRONGPASS": _LOGIN, "ERR AUTH": _LOGIN, "ERR Client sent AUTH": _LOGIN,
    "ERR Protocol error: unauthenticated": _LOGIN,  # Redis 7 reads no long command before the login
    "NOPERM": _RIGHTS, "ERR ACL failure": _RIGHTS, "ERR The user executing the script": _RIGHTS,
    "ERR DB index": "it has fewer databases than COORD_REDIS_URL asks for",
    "ERR invalid DB index": "COORD_REDIS_URL names no database of its",
    "ERR SELECT": "it has no database but 0: name that in COORD_REDIS_URL",
    "ERR max number of clients": "it has too many clients: raise its maxclients",
    "DENIED": "it serves its own machine only (protected mode)",
    "OOM": "it has used up its maxmemory: raise that, nothing was changed",
    "MISCONF": "it cannot write to its disk: its log says why",
    "READONLY": "it is a replica: COORD_REDIS_URL must name the primary",
    "MASTERDOWN": "it is a replica without its primary",
    "NOREPLICAS": "it has too few replicas to accept writes",
    "CLUSTERDOWN": "its cluster is down",
    "LOADING": "it still reads its data: try again in a moment",
    "BUSY ": "a script keeps it busy: try again in a moment",
}  # fmt: skip


class ReplyError(Exception):
    """Redis answered a command with an error."""


class Cancelled(Exception):
    """A watched file descriptor became ready while a reply was awaited."""


class Address:
    """Where Redis listens: the parts of a ``redis://``, ``rediss://`` or ``unix://`` URL."""

    __slots__ = (
        "db", "host", "password", "path", "port",
        "tls", "tls_ca", "tls_cert", "tls_key", "tls_verify", "username",
    )  # fmt: skip

    def __init__(self, url: str) -> None:
        # No message repeats a part of the URL: any of it may be the password of one written wrongly.
        scheme, mark, rest = url.partition("://")
        if not mark or scheme not in ("redis", "rediss", "unix"):
            raise SettingsError("redis_url must start with redis://, rediss:// or unix://")
        rest, _, query = rest.partition("?")
        userinfo, at, rest = rest.rpartition("@")
        options = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        if not OPTIONS.issuperset(options):
            known = ", ".join(sorted(OPTIONS))
            raise SettingsError(f"redis_url has an option that is none of {known} (a ? in a password is %3F)")
        user, _, secret = userinfo.partition(":") if at else ("", "", "")
        self.username = _unquote(options.get("username", user))
        self.password = _unquote(options.get("password", secret))
        self.tls = scheme == "rediss"
        self.tls_ca = _unquote(options.get("ssl_ca_certs", ""))
        self.tls_cert = _unquote(options.get("ssl_certfile", ""))
        self.tls_key = _unquote(options.get("ssl_keyfile", ""))
        self.tls_verify = options.get("ssl_cert_reqs", "required") != "none"
        self.path, self.host, self.port = "", "127.0.0.1", 6379
        database, port = options.get("db", ""), ""
        if scheme == "unix":
            self.path = _unquote(rest)
            if not self.path:
                raise SettingsError("redis_url has no path: write unix:///run/redis.sock")
        else:
            where, _, tail = rest.partition("/")
            database = database or tail
            host = where
            if ":" in where.rpartition("]")[2]:
                host, _, port = where.rpartition(":")
            self.host = _unquote(host).strip("[]") or "127.0.0.1"
            if any(not 0 < len(label) < 64 for label in self.host.removesuffix(".").split(".")):
                raise SettingsError("redis_url has no possible host name")
        for text in (database, port):
            if text and not (text.isascii() and text.isdigit() and len(text) < 10):
                raise SettingsError("redis_url has a port or a database that is not a number")
        self.port, self.db = int(port or 6379), int(database or 0)
        if not 0 < self.port < 65536:
            raise SettingsError("redis_url has a port that is not between 1 and 65535")

    @property
    def shown(self) -> str:
        """The URL without its password."""
        scheme = "unix" if self.path else "rediss" if self.tls else "redis"
        secret = ":***" if self.password else ""
        user = f"{self.username}{secret}@" if self.username or secret else ""
        return f"{scheme}://{user}{self.where}" + (f"?db={self.db}" if self.path else f"/{self.db}")

    @property
    def where(self) -> str:
        """For messages: a path, or host and port."""
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    def unread_file(self) -> str:
        """What to say of a certificate or key that the URL names and that cannot be read; '' if all can."""
        import os

        for path in (self.tls_ca, self.tls_cert, self.tls_key):
            if path and not os.access(path, os.R_OK):
                return path + _UNREAD
        return ""


def refusal(at: Address, text: str) -> str:
    """What to say of an error reply by which Redis cannot serve us now, or not us; '' of any other."""
    for words, remedy in REFUSALS.items():
        within = text.find(f"-{words} ") + 1
        if text.startswith(words) or within:
            said = text[within:].partition(" script: ")[0].rstrip(". ")
            return f"Redis at {at.where} refuses ({said}): {remedy}"
    return ""


def away(at: Address, what: str) -> str:
    """What to say when Redis cannot be reached, and what to do about it."""
    remedy = "`coord up` starts one, COORD_REDIS_URL names another"
    if "CERTIFICATE_VERIFY_FAILED" in what:
        remedy = "name its certificate authority in COORD_REDIS_URL: ?ssl_ca_certs=FILE"
    elif _UNREAD in what:
        remedy = "name a file that can be read"
    elif at.tls and "time" in what.lower():
        remedy = "a rediss:// URL needs a Redis that speaks TLS there"
    return f"Redis at {at.where} cannot be reached ({what}); {remedy}"


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


class Connection:
    """One connection to Redis, opened at the first command and again after a failure."""

    def __init__(self, url: str | Callable[[], str], timeout: float = TIMEOUT) -> None:
        """``url`` may be asked for anew at each connection: an embedded Redis may have moved."""
        self._url = url
        self.address = Address(url) if isinstance(url, str) else Address("redis://127.0.0.1")
        self.timeout = timeout
        self._sock: Any = None
        self._buffer = bytearray()
        self._pos = 0

    # -- public ---------------------------------------------------------------------------------

    def execute_command(self, *args: Any) -> Any:
        """Send one command and return its reply (bytes, int, list or None).

        Raises:
            ReplyError: Redis refused the command.
            RedisAway: Redis could not be reached, or did not answer in time.
        """
        deadline = time.monotonic() + self.timeout
        try:
            self._send(_pack(args), deadline)
            return self._reply(lambda: self._fill(deadline))
        except OSError as error:
            self.close()
            raise RedisAway(away(self.address, _reason(error))) from None
        except RedisAway:
            self.close()
            raise

    def wait_command(self, seconds: float, watch: Callable[[float], bool], *args: Any) -> Any:
        """Send a blocking command (BLPOP and its like) and wait at most ``seconds`` for the reply.

        ``watch(seconds)`` waits until the socket is readable (True), or the time has passed
        (False); it may raise Cancelled. The connection is closed when no reply came, so that a
        late one cannot be taken for the next command's.
        """
        deadline = time.monotonic() + seconds
        try:
            self._send(_pack(args), time.monotonic() + self.timeout)

            def fill() -> None:
                left = deadline - time.monotonic()
                if left <= 0 or not watch(left):
                    raise TimeoutError("no reply")
                self._receive()

            return self._reply(fill)
        except TimeoutError:
            self.close()
            return None
        except OSError as error:
            self.close()
            raise RedisAway(away(self.address, _reason(error))) from None
        except (Cancelled, RedisAway):
            self.close()
            raise

    def begin(self, *args: Any) -> None:
        """Send a command whose reply is fetched later with ``finish``, when ``fileno()`` is readable.

        Until then no other command may be sent.

        Raises:
            RedisAway: Redis could not be reached.
        """
        try:
            self._send(_pack(args), time.monotonic() + self.timeout)
        except OSError as error:
            self.close()
            raise RedisAway(away(self.address, _reason(error))) from None

    def finish(self) -> Any:
        """The reply to what was begun.

        Raises:
            ReplyError: Redis refused the command.
            RedisAway: The line broke, or the reply did not come whole.
        """
        deadline = time.monotonic() + self.timeout
        try:
            return self._reply(lambda: self._fill(deadline))
        except OSError as error:
            self.close()
            raise RedisAway(away(self.address, _reason(error))) from None

    def fileno(self) -> int:
        """The socket's descriptor, for select(); -1 when there is no connection."""
        return -1 if self._sock is None else int(self._sock.fileno())

    def pending(self) -> bool:
        """Whether bytes wait inside the TLS layer, where select() cannot see them."""
        return self.address.tls and self._sock is not None and self._sock.pending() > 0

    def close(self) -> None:
        """Drop the connection; the next command opens another."""
        if self._sock is not None:
            self._sock.close()
        self._sock = None
        self._buffer.clear()
        self._pos = 0

    # -- the line -------------------------------------------------------------------------------

    def _send(self, command: bytes, deadline: float) -> None:
        hello: list[tuple[str, ...]] = []
        if self._sock is None:
            self._open()
            at = self.address
            if at.password or at.username:
                hello.append(("AUTH", at.username, at.password) if at.username else ("AUTH", at.password))
            if at.db:
                hello.append(("SELECT", str(at.db)))
        self._sock.settimeout(max(0.001, deadline - time.monotonic()))
        self._sock.sendall(b"".join([*(_pack(each) for each in hello), command]))
        for _ in hello:
            try:
                self._reply(lambda: self._fill(deadline))
            except ReplyError as error:
                where = self.address.where
                raise RedisAway(f"Redis at {where} refuses the login or the database ({error})") from None

    def _open(self) -> None:
        if not isinstance(self._url, str):
            self.address = Address(self._url())
        at = self.address
        if at.path:
            sock: Any = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            sock.settimeout(self.timeout)
            sock.connect(at.path)
        elif at.tls:
            import socket
            import ssl

            unread = at.unread_file()
            if unread:
                raise OSError(unread)
            context = ssl.create_default_context(cafile=at.tls_ca or None)
            if not at.tls_verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if at.tls_cert:
                context.load_cert_chain(at.tls_cert, at.tls_key or None)
            raw = socket.create_connection((at.host, at.port), self.timeout)
            sock = context.wrap_socket(raw, server_hostname=at.host)
        else:
            problem: OSError = OSError(f"{at.host} has no address")
            # As bytes: a str host would import the whole idna codec (4 ms).
            name = at.host.encode() if at.host.isascii() else at.host
            for family, kind, proto, _, where in _socket.getaddrinfo(name, at.port, 0, _socket.SOCK_STREAM):
                sock = _socket.socket(family, kind, proto)
                sock.settimeout(self.timeout)
                try:
                    sock.connect(where)
                    break
                except OSError as error:
                    sock.close()
                    problem = error
            else:
                raise problem
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._sock = sock

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no reply in time")
        self._sock.settimeout(left)
        self._receive()

    def _receive(self) -> None:
        data = self._sock.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("Redis closed the connection")
        self._buffer += data

    # -- RESP -----------------------------------------------------------------------------------

    def _reply(self, fill: Callable[[], None]) -> Any:
        value = self._parse(fill)
        del self._buffer[: self._pos]
        self._pos = 0
        if isinstance(value, ReplyError):
            refused = refusal(self.address, str(value))
            raise RedisAway(refused) if refused else value
        return value

    def _line(self, fill: Callable[[], None]) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n", self._pos)
            if end >= 0:
                line = bytes(self._buffer[self._pos : end])
                self._pos = end + 2
                return line
            fill()

    def _parse(self, fill: Callable[[], None]) -> Any:
        line = self._line(fill)
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return _number(rest)
        if kind == b"$":
            size = _number(rest)
            if size < 0:
                return None
            while len(self._buffer) < self._pos + size + 2:
                fill()
            data = bytes(self._buffer[self._pos : self._pos + size])
            self._pos += size + 2
            return data
        if kind == b"*":
            count = _number(rest)
            return None if count < 0 else [self._parse(fill) for _ in range(count)]
        if kind == b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        raise ConnectionResetError(NOT_REDIS)


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConnectionResetError(NOT_REDIS) from None


def _pack(args: tuple[Any, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else _bytes(str(arg))
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # the bytes of a command line, as they were
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _reason(error: OSError) -> str:
    return " ".join(str(error.strerror or error or type(error).__name__).split())


def readable(fd: int, seconds: float) -> bool:
    """Wait until a descriptor is readable (True) or the time has passed (False)."""
    return bool(select.select([fd], [], [], seconds)[0])
