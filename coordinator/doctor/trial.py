"""Fire hooks as the client does, without disturbing the pool.

The session is a process of the doctor's own; its HOME is a temporary folder; its worker, queue and task
live in a database of the same Redis in which there is no pool, so that login, rights, scripts and network
are the real ones. A guardian cleans all of it up when the trial is over, or when the doctor is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import redis

from coordinator.doctor import guardian
from coordinator.doctor.patient import Patient, Scope
from pool import clock, connect, keys, model, process
from pool.errors import CoordError
from pool.operate import submission

#: Databases that are tried, the last first; Redis has 16 unless told otherwise.
_DATABASES = range(15, -1, -1)
#: The database is the trial's own for so long (seconds) at most.
_LONGEST = 120
#: A hook must be over within so long (seconds).
PATIENCE = 15.0
_CLAIM = re.compile(r"coord-worker complete ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
#: Ends when whoever holds its standard input ends.
_SESSION = "import sys; sys.stdin.buffer.read()"
#: Variables that tell hooks and helpers who they are: not the doctor's own, if it runs inside a session.
_IDENTITY = ("COORD_", "CLAUDE", "WORKER_ID")


class NoRoom(CoordError):
    """There is no database for a trial."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        #: What makes room.
        self.remedy = remedy


class Shot(NamedTuple):
    """One hook that was fired: how long it took (seconds), and what was not as it should be."""

    event: str
    seconds: float
    problem: str = ""


class Trial:
    """One session of one scope's hooks, from SessionStart to SessionEnd."""

    def __init__(self, patient: Patient, scope: Scope) -> None:
        self.patient = patient
        self.scope = scope
        self.name = f"doctor-{uuid.uuid4().hex[:12]}"
        #: What the hooks wrote into their log, for people.
        self.log = ""
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Trial:
        try:
            self._begin()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    # -- before and after --------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.session = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SESSION], stdin=subprocess.PIPE, start_new_session=True
        )
        self._cleanup.callback(self._end_session)
        self.key = process.key(self.session.pid)
        self._guard()
        (self.folder / "home").mkdir(mode=0o700)
        self.url, self.client = self._take()
        self._cleanup.callback(self.client.close)
        self.pool = connect.pool(self.patient.settings, self.client)
        self.environ = self._environment()

    def _guard(self) -> None:
        """Start the guardian before there is anything to clean up; the folder is of its making."""
        self.guardian = subprocess.Popen(
            [sys.executable, "-P", "-m", "coordinator.doctor.guardian"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        self._cleanup.callback(self._let_go)
        self._tell(name=self.name, session=self.key, names=_names())
        assert self.guardian.stdout is not None
        folder = self.guardian.stdout.readline().strip()
        if not folder:
            raise CoordError("the trial's guardian did not start")
        self.folder = Path(folder)

    def _take(self) -> tuple[str, redis.Redis]:
        """A database of the trial's own: its URL and a client.

        Raises:
            NoRoom: There is none.
        """
        mark = "&" if "?" in self.patient.url else "?"
        for database in _DATABASES:
            if database == self.patient.address.db:
                continue
            url = f"{self.patient.url}{mark}db={database}"
            client = self.patient.client(db=database)
            self._tell(url=url)
            try:
                said: Any = client.eval(
                    guardian.SCRIPT, 0, "take", self.name, self.key, str(_LONGEST), _names()
                )
                if said == b"ok":
                    return url, client
            except redis.ResponseError as error:
                trouble = str(error)
                if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in trouble:
                    client.close()
                    who = self.patient.user
                    raise NoRoom(
                        f"user {who} may not use another database for it ({trouble})",
                        f"{self.patient.cli} acl setuser {who} +select (and what redis.rights names)",
                    ) from None
                # There are fewer databases.
            client.close()
        raise NoRoom("this Redis has no other database without a pool or an RQ in it")

    def _tell(self, **what: Any) -> None:
        assert self.guardian.stdin is not None
        self.guardian.stdin.write(json.dumps(what) + "\n")
        self.guardian.stdin.flush()

    def _let_go(self) -> None:
        """The guardian cleans up, and ends."""
        self._end_session()  # first, and by its parent: a zombie would be no corpse to its keeper
        try:
            self.guardian.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            raise CoordError(
                f"the trial is not cleaned up yet (process {self.guardian.pid} does it)"
            ) from None

    def _end_session(self) -> None:
        self.session.communicate()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_IDENTITY)}
        return ours | {
            "CLAUDE_PID": str(self.session.pid), "CLAUDE_CODE_SESSION_ID": self.name, "CLAUDECODE": "1",
            "CLAUDE_PROJECT_DIR": os.getcwd(), "CLAUDE_CODE_ENTRYPOINT": "cli",
            "COORD_HOME": str(self.folder / "home"), "COORD_REDIS_URL": self.url, "COORD_WORKER": "1",
            "COORD_WORKER_ID": self.name, "COORD_QUEUES": self.name, "COORD_IDLE_LIMIT": f"{2 * PATIENCE:g}",
        }  # fmt: skip

    # -- the tour ----------------------------------------------------------------------------------------

    def tour(self) -> list[Shot]:
        """Fire what is wired, in the order of a session's life; what each did is looked up in Redis."""
        shots: list[Shot] = []
        claim = ""
        for event, fields in (
            ("SessionStart", {"source": "startup"}),
            ("UserPromptSubmit", {"prompt": "Work for the pool."}),
            ("Stop", {"stop_hook_active": False, "background_tasks": []}),
            ("PostToolUse", {"tool_name": "Bash", "tool_input": {}, "tool_response": ""}),
            ("coord-worker", {}),
            ("StopFailure", {"error": "server_error"}),
            ("SessionEnd", {"reason": "other"}),
        ):
            if event == "coord-worker":
                if claim:
                    shots.append(self._complete(claim))
                continue
            for command in self.scope.commands.get(event, ()):
                if event == "Stop":
                    self._submit()
                shot, answer = self._fire(event, command, fields)
                if not shot.problem:
                    shot = shot._replace(problem=self._effect(event, answer))
                if event == "Stop" and not shot.problem:
                    found = _CLAIM.search(answer.get("hookSpecificOutput", {}).get("additionalContext", ""))
                    claim = found[1] if found else ""
                shots.append(shot)
        self.log = self._read_log()
        return shots

    def _fire(self, event: str, command: str, fields: dict[str, Any]) -> tuple[Shot, dict[str, Any]]:
        payload = {"session_id": self.name, "hook_event_name": event, "cwd": os.getcwd(), **fields}
        env = dict(self.environ)
        if event == "SessionStart":
            env["CLAUDE_ENV_FILE"] = str(self.folder / "env.sh")
        began = clock.mono()
        code, out, err = self._run(command, json.dumps(payload), env)
        took = clock.mono() - began
        if code is None:
            return Shot(event, took, f"did not end within {PATIENCE:g} s"), {}
        if code:
            words = f", and said: {_line(err)}" if err.strip() else ""
            return Shot(event, took, f"ended with exit code {code}{words}"), {}
        try:
            answer = json.loads(out) if out.strip() else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            return Shot(event, took, f"its answer is not JSON: {_line(out)}"), {}
        return Shot(event, took), answer

    def _run(self, command: str, given: str, env: dict[str, str]) -> tuple[int | None, str, str]:
        """Exit code (None: it was ended), standard output and standard error of a command line."""
        child = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=env, cwd=os.getcwd(), start_new_session=True, text=True, errors="replace",
        )  # fmt: skip
        self._tell(group=child.pid)
        try:
            out, err = child.communicate(given, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return None, "", ""
        finally:
            self._tell(ended=child.pid)
        return child.returncode, out, err

    def _submit(self) -> None:
        """A task for the Stop hook to hand over."""
        spec = model.parse_spec({"prompt": "Nothing: this is a trial.", "id": self.name, "queue": self.name})
        submission.submit(self.pool, self.patient.settings, [spec])

    def _complete(self, claim: str) -> Shot:
        """What the session's Bash would do: commit a result with the helper that SessionStart put there."""
        began = clock.mono()
        script = f'. "{self.folder / "env.sh"}"\ncoord-worker complete {claim} --result tried'
        code, out, err = self._run(script, "", self.environ)
        if code is None:
            return Shot("coord-worker", 0.0, f"did not end within {PATIENCE:g} s")
        problem = f"ended with exit code {code}: {_line(err or out)}" if code else ""
        return Shot("coord-worker", clock.mono() - began, problem)

    def _effect(self, event: str, answer: dict[str, Any]) -> str:
        """What Redis should show after a hook, and does not; '' when all is well."""
        worker = f"pool:worker:{self.name}"
        raw: Any = self.client.hmget(worker, ["epoch", "state", "claim", "park_until"])
        epoch, state, claim, parked = raw
        if not epoch:
            return "registered no worker"
        if event == "SessionStart" and self.name not in str(answer.get("hookSpecificOutput")):
            return "did not tell the session what it is"
        if event == "UserPromptSubmit" and state != b"working":
            return f"the worker is {(state or b'nothing').decode()}, not working"
        if event == "Stop":
            if answer.get("decision") != "block" or not claim:
                return "handed over no task, though one waited"
            if self.client.hget(keys.key("job", self.name), "pool_provisional"):
                return "did not confirm the task that it handed over"
        if event == "StopFailure" and not parked:
            return "did not park the worker after a rate limit"
        if event == "SessionEnd" and state != b"stopped":
            return "did not end the registration"
        return ""

    def _read_log(self) -> str:
        try:
            lines = (self.folder / "home" / "hooks.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return _line(lines.strip().splitlines()[-1].partition("] ")[2]) if lines.strip() else ""


def _names() -> str:
    """The keys that a trial makes, for trial.lua. (A test sees that nothing is left.)"""
    known = {name: template.replace("{}", "{name}") for name, template in keys.templates().items()}
    by_priority = (
        "queue",
        "workers_of",
        "started",
        "finished",
        "failed",
        "scheduled",
        "deferred",
        "canceled",
    )
    own = [known[name] for name in ("job", "dependents", "dependencies", "results", "executions", "worker")]
    own += [
        known[name].replace("{name}", "{name}" + end) for name in by_priority for end in ("", ":high", ":low")
    ]
    kinds = ("worker", "waiters", "artifacts", "evidence", "stats", "call", "words")
    own += [f"pool:{what}:{{name}}" for what in kinds]
    return json.dumps(
        {"scores": ["pool:tasks", "pool:workers", "pool:departed", "pool:due", "pool:leases",
                    "pool:coordinators"],
         "sets": [known["queues"], known["workers"]],
         "counters": ["pool:epoch", "pool:fence", "pool:events", "pool:totals", "pool:failures"],
         "own": [*own, "pool:process:{process}"], "job": known["job"], "bell": "pool:bell:{name}:",
         "execution": keys.templates()["execution"].replace("{}", "{name}", 1).replace("{}", "")}
    )  # fmt: skip


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
