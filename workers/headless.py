"""What a plain `rq worker` runs for a task: one `claude -p`, there and then.

    rq worker -S rq.serializers.JSONSerializer -u redis://... tasks

from the environment coord is installed in (elsewhere, with `--path` of the folder that holds its
packages). Such a worker has RQ's guarantees, not the pool's: no fence, no lease, and no check that
nobody else took the task meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from pool import brief, settings, units, view
from pool import check as checks
from pool.errors import CoordError
from workers import child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

#: An error is one line of at most so many characters.
_LINE = 500


def run(
    prompt: str, title: str = "", context: Sequence[dict[str, str]] | None = None, cwd: str = "",
    timeout: float | None = None, check: str = "", parents: Sequence[str] | None = None,
    worktree: bool | str = False, **ignored: Any,
) -> str:  # fmt: skip
    """Do a task with a Claude Code session of its own; what the session says at the end.

    Raises:
        RuntimeError: The session could not be started, failed, ran out of time or did not pass its check.
    """
    try:
        values = settings.load()
    except CoordError as error:
        raise RuntimeError(str(error)) from None
    if worktree:
        raise RuntimeError("it asks for a git worktree, which only a worker of the pool makes")
    if check and not values.checks:
        raise RuntimeError("it has a check, and this worker may run none (setting checks)")
    if cwd and not os.path.isdir(cwd):
        raise RuntimeError(f"there is no directory {cwd} on this machine")
    fields = {"prompt": prompt, "cwd": cwd, "context": context}
    text = "\n".join(brief.task(fields) + _results(parents or ()))
    file = tempfile.TemporaryFile  # no pipes: what a session leaves running may hold one open for ever
    with file() as given, file() as said, file() as wrong:
        given.write(text.encode())
        given.seek(0)
        try:
            with _session(cwd, given, said, wrong) as session:
                code = session.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the session ran past its timeout of {units.span(timeout or 0)}") from None
        except CoordError as error:
            raise RuntimeError(str(error)) from None
        said.seek(0)
        wrong.seek(0)
        answer = _answer(code, said.read(), wrong.read())
    if check:
        _check(check, cwd, values)
    return answer


def _check(command: str, cwd: str, values: settings.Settings) -> None:
    """Run a task's check, once.

    Raises:
        RuntimeError: It did not pass; with the end of its output.
    """
    with tempfile.TemporaryDirectory(prefix="coord-check-") as folder:
        run = checks.Run(folder)
        run.begin(command, cwd, values.check_timeout, values.check_output, "")
        run.perform()
        outcome = run.outcome()
    if outcome is None or not outcome.passed:
        said = f"{outcome.said}: {_line(outcome.output[-_LINE:])}" if outcome else "it was not run"
        raise RuntimeError(f"its check failed ({said})")


def command() -> list[str]:
    """How Claude Code is started here.

    Raises:
        UsageError: There is none.
    """
    return [*child.program(settings.load().claude), "-p", "--output-format", "json"]


def _session(cwd: str, given: Any, said: Any, wrong: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
    environ = {name: value for name, value in os.environ.items() if name not in child.IDENTITY}
    environ["COORD_WORKER"] = "0"  # it must be no worker of the pool
    return child.started(command(), environ, cwd or None, stdin=given, stdout=said, stderr=wrong)


def _answer(code: int, said: bytes, wrong: bytes) -> str:
    """The session's result.

    Raises:
        RuntimeError: It failed.
    """
    answer = _result(said)
    text = said.decode("utf-8", "replace")
    if answer and (code or answer.get("is_error")):
        why = _line(answer.get("result") or answer.get("subtype") or "it gave no reason")
        raise RuntimeError(f"the session failed: {why}")
    if code:
        lines = (wrong.decode("utf-8", "replace").strip() or text.strip() or "it said nothing").splitlines()
        raise RuntimeError(f"Claude Code exited with {code}: {_line(lines[-1])}")
    if not isinstance(answer.get("result"), str):
        raise RuntimeError(f"Claude Code's answer is not understood: {_line(text) or 'it said nothing'}")
    return str(answer["result"])


def _result(said: bytes) -> dict[str, Any]:
    """The client's `result` message; with its setting `verbose` it prints a list of all messages."""
    try:
        answer = json.loads(said)
    except ValueError:
        return {}
    messages = answer if isinstance(answer, list) else [answer]
    found = [each for each in messages if isinstance(each, dict) and each.get("type") == "result"]
    return found[-1] if found else {}


def _results(parents: Sequence[str]) -> list[str]:
    """The results of the tasks that this one builds on."""
    from rq import get_current_job

    job = get_current_job()
    if job is None:
        return []
    lines: list[str] = []
    for parent in parents:
        result = view.result(job.connection, parent)
        if result is not None:
            text = result if isinstance(result, str) else json.dumps(result)
            lines += [f"## Result of task {parent}", text, ""]
    return lines


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_LINE]
