"""`coord-worker`: the helper scripts a session calls. They start in milliseconds (docs/internals.md)."""

from __future__ import annotations

import io
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pool import (
    brief,
    compiled,
    errors,
    jsonlite,
    outbox,
    payload,
    scripts,
    units,
    usage,
    wire,
    words,
    worktree,
)
from pool.claim import Caller, Claim, HandOver
from pool.git import GitError
from workers import desks
from workers import identity as identity_module
from workers.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = """\
coord-worker: what a worker session says to its pool

  coord-worker claim                      take the next task (exit 3: there is none)
  coord-worker complete [CLAIM] [--result TEXT | --result-file FILE | --result-json JSON]
                        [--artifact FILE ...]
  coord-worker fail [CLAIM] --reason TEXT [--no-retry]
  coord-worker release [CLAIM] [--reason TEXT] [--delay 10m]      hand it back, no attempt spent
  coord-worker park [--for 1h | --until TIME] [--reason TEXT]     wait for a quota or a person
  coord-worker unpark
  coord-worker heartbeat [CLAIM]
  coord-worker progress TEXT              what is being done, for `coord workers` and `coord task`
  coord-worker context [CLAIM]            the whole task again, with the results it builds on
  coord-worker status [--id]              who am I, what do I hold (--id: just the task's id)

CLAIM is TASK.TOKEN as it was handed over; left out, it is the task this worker holds.
Everywhere: --worker ID (for programs without a session; or COORD_WORKER_ID), --json.
A task with a check is complete when that passes: `complete` runs it, and says what it printed if it does not
(exit 1: mend it and complete again); one that takes long is waited for when you end your turn.
Exit codes: 0 done; 1 failed; 2 bad usage; 3 no task; 4 the claim is not yours any more; 5 Redis away
(a `complete` is kept on disk then, and sent later).
"""

COMMON = {"--worker": "value", "--json": "flag"}
OPTIONS = {
    "claim": {},
    "complete": {
        "--result": "value", "--result-file": "value", "--result-json": "value", "--artifact": "many",
    },
    "fail": {"--reason": "value", "--error": "value", "--no-retry": "flag"},
    "release": {"--reason": "value", "--delay": "value", "--no-count": "flag"},
    "park": {"--for": "value", "--until": "value", "--reason": "value"},
    "unpark": {},
    "heartbeat": {},
    "progress": {},
    "context": {},
    "status": {"--id": "flag"},
}  # fmt: skip
#: They act on the worker, not on a task.
WORDLESS = frozenset(("claim", "park", "unpark", "status"))


class Helper:
    """One call of coord-worker."""

    def __init__(self, settings: compiled.Compiled, command: str, options: Options) -> None:
        self.settings = settings
        self.command = command
        self.options = options
        self.pool = scripts.Pool(wire.Connection(settings.url), settings.values, settings.templates)
        self.me = identity_module.whoami(settings, options.get("--worker"))
        if options.words and command in WORDLESS:
            raise errors.UsageError(f"coord-worker {command} takes no {options.words[0][:60]!r}")

    def run(self) -> int:
        """Do it; the exit code."""
        code: int = getattr(self, "do_" + self.command)()
        return code

    # -- the task's life -------------------------------------------------------------------------------

    def do_claim(self) -> int:
        """Print the next task."""
        caller = self._caller()
        look, fields = self._look(caller)
        if look.verdict == "gone":
            raise errors.NotRegistered
        handed = look.handed
        if handed is None:
            why = {"parked": f"this worker is parked: {look.reason}"}.get(
                look.verdict, "this worker is draining" if look.draining else "no task is waiting"
            )
            self._print(f"No task: {why}.", {"task": None, "reason": why})
            return errors.EXIT_NO_TASK
        if handed.provisional:
            self.pool.confirm(caller, handed.claim)
        if self.me.session is not None:
            self.me.session.told()  # a word about an earlier task would only confuse
            self.me.session.hand(handed.claim.task_id, usage.moment(time.time()))
        self._print(
            brief.whole(handed, fields),
            {"claim": str(handed.claim), "id": handed.claim.task_id, "attempt": handed.attempts, **fields},
        )
        return 0

    def _look(self, caller: Caller) -> tuple[scripts.Look, dict[str, Any]]:
        """The next task, and what it says; one whose worktree cannot be made is passed over."""
        while True:
            look = self.pool.claim(caller)
            if look.handed is None:
                return look, {}
            fields = worktree.fields(
                self.pool, self.settings.values, caller, look.handed,
                self.me.session.key if self.me.session is not None else "",
                desks.directory(self.me),
            )  # fmt: skip
            if fields is not None:
                return look, fields

    def do_complete(self) -> int:
        """Commit the result; kept on disk while Redis is away."""
        result = self._result()
        artifacts = self._artifacts()
        claim = self._claim()
        desk = desks.of(self.settings, self.pool, self.me)
        try:
            if not claim.task_id:
                claim = self._held()
            self._flush()
            settled = desk.settle(claim, result, artifacts, desks.patience(self.settings, self.me))
        except errors.RedisAway as error:
            return self._keep(claim, result, artifacts, error, desk.kept)
        except OSError as error:
            raise errors.CoordError(
                f"its check cannot be run: {error.filename or ''}: {error.strerror}"
            ) from None
        if settled.verdict in ("again", "failed"):
            data = {"id": claim.task_id, "status": settled.verdict, "already": False}
            return self._refuse(settled.text, data, errors.EXIT_FAILED)
        if settled.verdict == "running":
            text = (
                f"{settled.text}. End your turn now: it is waited for there, and then the task is complete."
            )
            self._print(text, {"id": claim.task_id, "status": "checking", "already": False})
            return 0
        self._print(
            settled.text,
            {"id": claim.task_id, "status": "finished", "already": settled.verdict == "already"},
        )
        return 0

    def do_fail(self) -> int:
        """Report a failure."""
        reason = self.options.get("--reason") or self.options.get("--error")
        if not reason:
            raise errors.UsageError("say why it failed: --reason TEXT")
        claim = self._claim() if self.options.words else self._held()
        reply = self.pool.fail(
            self.me.caller, claim, reason[:100_000], "--no-retry" not in self.options.flags
        )
        said = {
            "queued": "failed and will be tried again", "scheduled": "failed and will be tried again later",
            "failed": "failed for good", "already": "was reported already",
        }[reply[0]]  # fmt: skip
        self._print(
            f"Task {claim.task_id} {said}. End your turn now.", {"id": claim.task_id, "status": reply[0]}
        )
        return 0

    def do_release(self) -> int:
        """Hand the task back."""
        delay = self.options.get("--delay")
        claim = self._claim() if self.options.words else self._held()
        self._commit_work(claim)
        reply = self.pool.release(
            self.me.caller, claim, self.options.get("--reason", "released by its worker"),
            _duration(delay) if delay else None, "--no-count" not in self.options.flags,
        )  # fmt: skip
        said = "has been handed back too often and failed" if reply[0] == "failed" else "is handed back"
        self._print(
            f"Task {claim.task_id} {said}. End your turn now.", {"id": claim.task_id, "status": reply[0]}
        )
        return 0

    # -- the worker's life -----------------------------------------------------------------------------

    def do_park(self) -> int:
        """Wait for a quota or a person, keeping the task."""
        until = 0.0
        if self.options.get("--for"):
            seconds = _duration(self.options.get("--for"))
            if not seconds:
                raise errors.UsageError("--for 0 would not park it; leave it out to park without an end")
            until = time.time() + seconds
        elif self.options.get("--until"):
            until = _moment(self.options.get("--until"))
        task = self.pool.park(self.me.caller, until, self.options.get("--reason", "parked by its worker"))
        self._print("Parked.", {"parked": True, "task": task or None, "until": until or None})
        return 0

    def do_unpark(self) -> int:
        """Go on."""
        was = self.pool.unpark(self.me.caller)
        self._print("Unparked." if was else "It was not parked.", {"parked": False, "was_parked": was})
        return 0

    def do_heartbeat(self) -> int:
        """Say that the worker lives, and hear whether the task is still its own."""
        claim = self._claim()
        answer = self.pool.beat(self._caller(), claim if claim.task_id else None)
        return self._answer(answer)

    def do_progress(self) -> int:
        """Say what is being done."""
        text = self.options.word("text")
        if not text:
            raise errors.UsageError("say what is being done: coord-worker progress TEXT")
        return self._answer(self.pool.beat(self._caller(), None, text[:1000]))

    def do_context(self) -> int:
        """The whole task again, with the results it builds on."""
        claim = self._claim() if self.options.words else self._held()
        execute = self.pool.connection.execute_command
        key = self.settings.templates["job"].format(claim.task_id)
        data, title, attempts, token = execute(
            "HMGET", key, "data", "description", "pool_attempts", "pool_token"
        )
        if data is None:
            raise errors.UnknownTask(f"there is no task {claim.task_id!r} (it may have expired)")
        token = claim.token.encode() or token or b""
        handed = HandOver(
            [b"", b"", claim.task_id.encode(), token, b"", data, attempts or b"0", b"", b"", title or b""]
        )
        fields = worktree.placed(handed.fields, worktree.of(self.settings.values, handed.claim))
        parents = {parent: self._result_of(parent) for parent in brief.parents(fields)}
        text = brief.whole(handed, fields)
        for parent, result in parents.items():
            shown = result if isinstance(result, str) else jsonlite.dumps(result)
            text += f"\n\n## Result of {parent}\n{shown}"
        self._print(text, {"id": claim.task_id, **fields, "results": parents})
        return 0

    def do_status(self) -> int:
        """Who am I, what do I hold."""
        self._flush()
        answer = self.pool.beat(self.me.caller)  # asking makes nobody a worker
        task = answer.claim.task_id if answer.verdict == "ok" and answer.claim else ""
        if "--id" in self.options.flags:
            if task:
                print(task)
            return 0 if task else errors.EXIT_NO_TASK
        if answer.verdict == "gone":
            if self.me.session is not None:
                raise errors.NotRegistered
            who = self.me.caller.worker
            self._print(
                f"Worker {who} is not registered: its first claim or heartbeat does that.",
                {"worker": who, "state": None, "task": None, "claim": None, "idle_left": None, "lost": None},
            )
            return 0
        state = answer.state or "working"
        idle = f"holds no task; {units.span(answer.idle_left)} idle time left"
        self._print(
            f"Worker {self.me.caller.worker} is {state}, {f'holds task {answer.claim}' if task else idle}.",
            {
                "worker": self.me.caller.worker, "state": state, "task": task or None,
                "claim": str(answer.claim) if task else None,
                "idle_left": None if task else max(0.0, answer.idle_left), "lost": answer.why or None,
            },
        )  # fmt: skip
        return 0

    # -- parts -----------------------------------------------------------------------------------------

    def _caller(self) -> Caller:
        self._flush()
        return identity_module.attend(self.settings, self.pool, self.me)

    def _commit_work(self, claim: Claim) -> None:
        """What its worktree holds is committed before the task is handed back, and the pool told."""
        try:
            note = worktree.hand_back(self.settings.values, claim)
        except (GitError, OSError) as error:
            print(f"coord-worker: what is in its worktree is left uncommitted: {error}", file=sys.stderr)
            return
        if note is not None:
            self.pool.place(self.me.caller, claim, jsonlite.dumps(worktree.public(note)))

    def _claim(self) -> Claim:
        word = self.options.word("claim") if self.command != "progress" else ""
        return Claim.parse(word) if word else Claim("")

    def _held(self) -> Claim:
        answer = self.pool.beat(self.me.caller)
        if answer.verdict == "lost":
            raise _lost(answer)
        if answer.verdict == "gone":
            raise errors.NotRegistered
        if answer.claim is None:
            raise errors.StaleClaim(f"worker {self.me.caller.worker} holds no task: name it, TASK.TOKEN")
        return answer.claim

    def _answer(self, answer: scripts.Beat) -> int:
        if answer.verdict == "gone":
            raise errors.NotRegistered
        if answer.verdict == "lost":
            raise _lost(answer)
        task = answer.claim.task_id if answer.claim else None
        left = f"holds {task}" if task else f"{units.span(answer.idle_left)} idle time left"
        # A session's hooks bring it an operator's messages; a program has them here.
        found = words.take(self.pool, self.me.caller) if answer.words and self.me.session is None else None
        said = f"\n\n{found.text}" if found is not None else ""
        self._print(
            f"OK: {self.me.caller.worker} is {answer.state}, {left}.{said}",
            {"worker": self.me.caller.worker, "state": answer.state, "task": task,
             "idle_left": None if task else max(0.0, answer.idle_left),
             "messages": found.text if found is not None else None},
        )  # fmt: skip
        if found is not None:
            sys.stdout.flush()
            found.done()
        return 0

    def _result(self) -> str:
        """The result as JSON text, within its bound."""
        given = [
            name for name in ("--result", "--result-file", "--result-json") if name in self.options.values
        ]
        if len(given) > 1:
            raise errors.UsageError(f"give one of {', '.join(given)}")
        text = self.options.get(given[0]) if given else ""
        if given and given[0] == "--result-file":
            text = _read(text).decode("utf-8", "replace")
        elif text == "-":
            text = sys.stdin.buffer.read().decode("utf-8", "replace")
        else:  # a command line that is no UTF-8
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if given and (given[0] == "--result-json" or self.options.get("--result-file").endswith(".json")):
            try:
                result = jsonlite.dumps(jsonlite.loads(text))
            except (ValueError, TypeError) as error:
                raise errors.UsageError(f"the result is {error}; pass a text with --result") from None
        else:
            result = jsonlite.dumps(text) if given else "null"
        limit = self.settings["result_limit"]
        if len(result.encode()) > limit:
            raise errors.UsageError(
                f"the result has {len(result.encode()):,} bytes, the limit is {limit:,} "
                "(setting result_limit): keep it in a file and pass it with --artifact, or shorten it"
            )
        return result

    def _artifacts(self) -> list[tuple[str, bytes]]:
        paths = self.options.lists.get("--artifact", [])
        limit, count = self.settings["artifact_limit"], self.settings["artifact_count"]
        if len(paths) > count:
            raise errors.UsageError(f"{len(paths)} artifacts, the limit is {count} (setting artifact_count)")
        found: dict[str, bytes] = {}
        for path in paths:
            data = _read(path)
            if len(data) > limit:
                raise errors.UsageError(
                    f"artifact {path} has {len(data):,} bytes, the limit is {limit:,} "
                    "(setting artifact_limit)"
                )
            name = os.path.basename(path)
            if name in found:
                raise errors.UsageError(f"two artifacts are called {name}: rename one")
            found[name] = data
        return list(found.items())

    def _keep(
        self,
        claim: Claim,
        result: str,
        artifacts: list[tuple[str, bytes]],
        error: errors.RedisAway,
        path: str,
    ) -> int:
        """Redis is away: the commit is kept on disk, and sent by the keeper (or the next helper)."""
        if not claim.task_id:
            raise errors.RedisAway(f"{error}. Which task is not known without it: name the claim, TASK.TOKEN")
        try:
            path = path or outbox.keep(
                self.me.outbox(self.settings.home), self.me.caller, claim, result, artifacts
            )
        except OSError as problem:
            raise errors.RedisAway(
                f"{error}; and the result could not be kept on disk: {problem.strerror}"
            ) from None
        if self.me.session is not None:
            self.me.session.ensure_keeper(self.settings.path)
            who = "the keeper sends it"
        else:
            who = "the next coord-worker call sends it"
        text = f"{error}. The result is kept in {path}; {who} when Redis is back."
        return self._refuse(text, {}, errors.EXIT_REDIS)

    def _flush(self) -> None:
        """Send what waits on disk, for a worker that has no keeper."""
        if self.me.session is None:
            folder = self.me.outbox(self.settings.home)
            if os.path.isdir(folder):
                outbox.flush(folder, self.pool)

    def _result_of(self, task_id: str) -> Any:
        import binascii

        key = self.settings.templates["results"].format(task_id)
        entries = self.pool.connection.execute_command("XREVRANGE", key, "+", "-", "COUNT", 1)
        for _, raw in entries or []:
            pairs = dict(zip(raw[::2], raw[1::2], strict=True))
            if pairs.get(b"return_value"):
                return jsonlite.loads(binascii.a2b_base64(pairs[b"return_value"]))
        return None

    def _refuse(self, text: str, data: dict[str, Any], code: int) -> int:
        """Say that it is not done (yet), and why; the exit code."""
        print(f"coord-worker: {text}", file=sys.stderr)
        if data and "--json" in self.options.flags:
            print(jsonlite.dumps(data))
        return code

    def _print(self, text: str, data: dict[str, Any]) -> None:
        print(jsonlite.dumps(data) if "--json" in self.options.flags else text)


def _lost(answer: scripts.Beat) -> errors.StaleClaim:
    task = answer.claim.task_id if answer.claim else ""
    return errors.StaleClaim(
        f"task {task} is not yours any more ({answer.why}): drop it, do not commit its work, and go on"
    )


def _duration(text: str) -> float:
    try:
        return units.duration(text)
    except ValueError as error:
        raise errors.UsageError(str(error)) from None


def _moment(text: str) -> float:
    from datetime import datetime

    try:
        at = float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        at = -1.0
    if not 0 <= at <= time.time() + units.LONGEST:
        wrong = f"{text[:40]!r} is not a time: write 2026-01-31T12:00 or seconds since 1970"
        raise errors.UsageError(wrong)
    return at


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from None


def main(argv: list[str] | None = None, compiled_path: str = "") -> None:
    """The command line; ends the process with a documented exit code."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help") or "--help" in args:
        print(USAGE, end="")
        sys.exit(errors.EXIT_DONE if args else errors.EXIT_USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that lacks a letter is no reason to fail
    try:
        while args[0].startswith("--") and len(args) > 1:  # `--worker ID` may stand in front as well
            front = 1 if "=" in args[0] or args[0] == "--json" else 2
            args = [*args[front:], *args[:front]]
        command = args[0]
        if command not in OPTIONS:
            raise errors.UsageError(f"there is no command {command!r}: {', '.join(OPTIONS)}")
        options = Options(command, args[1:], OPTIONS[command] | COMMON)
        settings = compiled.load(os.environ.get("COORD_COMPILED", "") or compiled_path)
        code = Helper(settings, command, options).run()
        sys.stdout.flush()
    except errors.CoordError as error:
        print(f"coord-worker: {error}", file=sys.stderr)
        code = error.exit_code
    except payload.NotATask as error:
        print(f"coord-worker: this is not a task of coord's: {error}", file=sys.stderr)
        code = errors.EXIT_USAGE
    except wire.ReplyError as error:
        print(f"coord-worker: Redis refused: {error}", file=sys.stderr)
        code = errors.EXIT_FAILED
    except BrokenPipeError:
        code = errors.EXIT_FAILED
    sys.exit(code)


if __name__ == "__main__":
    main()
