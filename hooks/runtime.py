"""What every hook does first and last: read its payload, find its worker, never fail.

A hook of an ordinary session says nothing and exits 0 within milliseconds. Nothing here raises to
the client: a problem is written to HOME/hooks.log, and the exit code is 0 (design section 6).
Standard library only.
"""

from __future__ import annotations

import os
import sys
import time

from pool import compiled, jsonlite, local, process, scripts, units, usage, wire, worktree
from pool.enroll import enroll
from pool.errors import RedisAway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pool import words
    from pool.claim import Caller, Claim, HandOver

#: Bytes of a payload that are read at most.
PAYLOAD_LIMIT = 16 * 1024 * 1024


class Hook:
    """One call of a hook: its payload, the settings, and (when it is a worker's) its session."""

    def __init__(self, payload: dict[str, Any], settings: compiled.Compiled, by_choice: bool) -> None:
        self.payload = payload
        self.settings = settings
        self.pid = process.session_pid()
        #: The scope was installed with --worker (COORD_WORKER=0 opts a session out again).
        self.by_choice = by_choice
        self.connection = wire.Connection(settings.url)
        self.pool = scripts.Pool(self.connection, settings.values, settings.templates)
        self.session: local.Session | None = None

    def text(self, name: str) -> str:
        """A text field of the payload; '' when it is missing or something else."""
        value = self.payload.get(name)
        return value if isinstance(value, str) else ""

    @property
    def chosen(self) -> bool:
        """Whether this session is to be a worker: only by choice."""
        given = os.environ.get("COORD_WORKER", "")
        try:
            return units.truth(given) if given else self.by_choice
        except ValueError:
            return False

    def find(self) -> local.Session | None:
        """The worker that this hook belongs to, registered now if SessionStart could not; else None.

        None, too, where another installation of the hooks acts for the session.
        """
        if self.payload.get("agent_id"):
            return None  # a sub-agent's stop is not the worker's
        self.session = local.of_process(self.settings, self.pid)
        if (
            self.session is None
            and self.chosen
            and not local.nested(self.settings, self.pid, dict(os.environ))
        ):
            self.enroll()
        if self.session is not None and not self.session.acts():
            self.session = None
        return self.session

    def enroll(self) -> local.Session | None:
        """Register the session's process (anew) as a worker and start its keeper; None if it is gone.

        Raises:
            RedisAway: Redis did not answer.
        """
        self.session = enroll(
            self.settings, self.pool, self.pid, self.text("session_id"), self.text("cwd") or os.getcwd()
        )
        return self.session

    def messages(self, session: local.Session, room: int = 0) -> words.Words | None:
        """The operator's messages for the session; Redis is asked only if the keeper has said there are."""
        if not session.words_wait():
            return None
        from pool import words

        try:
            verdict, found = words.ask(self.pool, session.caller, room or words.ROOM)
        except RedisAway as error:
            self.log(f"messages wait: {error}")
            return None
        if verdict == "none":
            session.mark_words(False)
        return found

    def told(self, session: local.Session, found: words.Words) -> None:
        """The session has them."""
        try:
            session.mark_words(found.done() > 0)
        except RedisAway as error:
            self.log(f"messages {', '.join(found.ids)} may be told twice: {error}")

    def book(self, session: local.Session) -> None:
        """Book what the session has used up to here. Redis away: at the next look."""
        try:
            usage.look(session, self.pool, self.settings.values, self.text("transcript_path"))
        except (RedisAway, wire.ReplyError) as error:
            self.log(f"what {session.caller.worker} has used is booked later: {error}")

    def fields(self, session: local.Session, handed: HandOver) -> dict[str, Any] | None:
        """What a task says that is handed over; None when its worktree cannot be made, and it is not held.

        Raises:
            RedisAway: Redis did not answer.
        """
        cwd = os.environ.get("CLAUDE_PROJECT_DIR") or str(session.data.get("cwd") or self.text("cwd"))
        return worktree.fields(self.pool, self.settings.values, session.caller, handed, session.key, cwd)

    def confirm(self, caller: Caller, claim: Claim) -> None:
        """Say that a hand-over has reached the session. A line that breaks just now is no reason to lose it.

        Raises:
            RedisAway: Redis does not answer for longer.
        """
        for pause in (0.1, 0.4, 1.0):
            try:
                self.pool.confirm(caller, claim)
                return
            except RedisAway:
                time.sleep(pause)
        self.pool.confirm(caller, claim)

    def log(self, message: str) -> None:
        """A line in HOME/hooks.log, which is cut when it grows over 1 MiB."""
        local.log(self.settings.home, message)


def say(output: dict[str, Any]) -> bool:
    """Print a hook's answer and flush it; whether somebody read it."""
    data = jsonlite.dumps(output).encode()
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return False
    return True


def context(event: str, text: str) -> dict[str, Any]:
    """An answer that adds text to the session's context."""
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}


def read_payload() -> dict[str, Any]:
    """The JSON object on standard input; {} when it is anything else."""
    chunks, size = [], 0
    try:
        while size < PAYLOAD_LIMIT:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
        value = jsonlite.loads(b"".join(chunks))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def run(handler: Callable[[Hook], None], argv: list[str] | None = None) -> None:
    """Run a hook's handler and leave with exit code 0, whatever happens."""
    if os.environ.get("COORD_MODE") == "stream":
        sys.exit(0)  # its supervisor does what the hooks do; they are there for other sessions
    args = sys.argv[1:] if argv is None else argv
    payload = read_payload()
    home = ""
    try:
        path = _option(args, "--compiled")
        settings = compiled.load(path)
        local.SOURCE = local.SOURCE or path
        home = settings.home
        handler(Hook(payload, settings, "--worker" in args))
    except RedisAway as error:
        local.log(home, f"{payload.get('hook_event_name', '?')}: {error}")
    except Exception as error:
        local.log(
            home, f"{payload.get('hook_event_name', '?')}: {type(error).__name__}: {error}{_where(error)}"
        )
    sys.exit(0)


def _option(args: list[str], name: str) -> str:
    return args[args.index(name) + 1] if name in args[:-1] else ""


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
