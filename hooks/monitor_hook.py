"""Tell the monitor what the client told this hook, and hold up nobody.

``python -I -S monitor_hook.py EVENT --monitor URL [--token FILE]``: EVENT is the name of the monitor's route
(``session-start``). The client waits only until its JSON is read: a child of its own process session sends
it, within ``BOUND`` seconds or not at all. It prints nothing and leaves with 0 whatever happens.

Whose process it is goes with the JSON (``"coord"``). Prompts, what tools printed and what the model said stay
here; long texts are cut. Standard library only.
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pool import jsonlite, process, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds in which a child is done, or ended by the system: names are looked up, a monitor does not answer.
BOUND = 2
#: Bytes of the client's JSON that are read at most.
LIMIT = 64 * 2**20
#: What no state depends on, and nobody else needs to read.
PRIVATE = frozenset(("prompt", "tool_response", "tool_calls", "last_assistant_message", "delta",
                     "compact_summary", "custom_instructions", "task_description"))  # fmt: skip
#: Which of them say what processes are above: by these a session is heard of first.
BEGINNINGS = ("session-start", "user-prompt-submit")
#: Characters of a text, and members of a list or an object, that are sent.
TEXT, MEMBERS = 1024, 50


def main(argv: list[str]) -> None:
    """Read, let a child send, leave."""
    at = time.time()
    event, url, token = argv[0] if argv else "", option(argv, "--monitor"), option(argv, "--token")
    url = os.environ.get("COORD_MONITOR_URL") or url
    data = read()
    if not (event and url and data) or switched_off(os.environ.get("COORD_MONITOR_ENABLED", "")):
        return
    # The client may be gone when the child looks.
    sender = who(at, above=event in BEGINNINGS)
    if os.fork():
        return
    alone()
    payload = jsonlite.loads(data)
    if isinstance(payload, dict):
        kept = {name: short(value) for name, value in payload.items() if name not in PRIVATE}
        send(url, event, jsonlite.dumps({**kept, "coord": sender}).encode(), secret(token))


def who(at: float, above: bool) -> dict[str, Any]:
    """Whose hook this is, and when it began; with the processes above it where a session begins."""
    pid = process.session_pid()
    said: dict[str, Any] = {
        "at": at, "pid": pid, "process": process.key(pid), "host": os.uname().nodename.split(".")[0]
    }  # fmt: skip
    if above:
        said["ancestors"] = [key for key in map(process.key, process.ancestors(pid)) if key]
    return said


def short(value: Any) -> Any:
    """The value with its long texts and lists cut."""
    if isinstance(value, str):
        return value if len(value) <= TEXT else value[: TEXT - 1] + "…"
    if isinstance(value, dict):
        return {name[:TEXT]: short(value[name]) for name in list(value)[:MEMBERS]}
    return [short(each) for each in value[:MEMBERS]] if isinstance(value, list) else value


def alone() -> None:
    """Be a process that no terminal, no group and no pipe of the client's holds; end in time."""
    import _signal  # `signal` itself costs 4 ms

    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.alarm(BOUND)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 256)


def send(url: str, event: str, body: bytes, token: str) -> None:
    """Post it. The answer is waited for only so that the monitor does not see the line break.

    Raises:
        OSError: Nobody is there.
        ValueError: The URL is none.
    """
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    path = f"/{path}".rstrip("/") + f"/hook/{event}"
    head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    if scheme != "http":
        from http.client import HTTPSConnection

        HTTPSConnection(place, timeout=BOUND).request("POST", path, body, head)
        return
    import _socket

    host, _, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "80")
    lines = [f"POST {path} HTTP/1.1", f"Host: {place}", f"Content-Length: {len(body)}", "Connection: close",
             *(f"{name}: {value}" for name, value in head.items())]  # fmt: skip
    found = _socket.getaddrinfo(host.strip("[]").encode(), int(port), 0, _socket.SOCK_STREAM)
    for number, (family, kind, proto, _, where) in enumerate(found, 1):
        line = _socket.socket(family, kind, proto)
        line.settimeout(BOUND)
        try:
            line.connect(where)
        except OSError:
            if number == len(found):
                raise
            continue
        line.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        line.recv(4096)
        return


def secret(path: str) -> str:
    """The token: of the environment, or in a file. '': none."""
    token = os.environ.get("COORD_MONITOR_HOOK_TOKEN", "")
    if not token and path:
        with open(path, encoding="utf-8") as file:
            token = file.read(4096)
    return token.strip()


def read() -> bytes:
    """The client's JSON."""
    chunks, size = [], 0
    while chunk := os.read(0, 1 << 16):
        size += len(chunk)
        if size > LIMIT:
            return b""
        chunks.append(chunk)
    return b"".join(chunks)


def switched_off(text: str) -> bool:
    """Whether that value of COORD_MONITOR_ENABLED says no."""
    try:
        return bool(text) and not units.truth(text)
    except ValueError:
        return False


def option(argv: list[str], name: str) -> str:
    """The word after that one; '' when there is none."""
    return argv[argv.index(name) + 1] if name in argv[:-1] else ""


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        os._exit(0)  # also after an exception: whatever it is, it is no trouble of the session's
