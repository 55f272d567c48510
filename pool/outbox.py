"""Commits that Redis has not taken yet: kept on disk, sent when it is back. Standard library only."""

from __future__ import annotations

import binascii
import os

from pool import jsonlite, local
from pool.claim import Caller, Claim
from pool.errors import StaleClaim, Unchecked, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pool.scripts import Pool


def keep(
    folder: str, caller: Caller, claim: Claim, result: str, artifacts: Sequence[tuple[str, bytes]],
    evidence: dict[str, str] | None = None, passed: bool = False,
) -> str:  # fmt: skip
    """Keep a commit (the result is JSON text; ``passed``: its check has) in an outbox; the path.

    Raises:
        OSError: The disk cannot be written.
    """
    commit: dict[str, Any] = {
        "worker": caller.worker, "epoch": caller.epoch, "claim": str(claim), "result": result,
        "artifacts": [[name, binascii.b2a_base64(data, newline=False).decode()] for name, data in artifacts],
    }  # fmt: skip
    if evidence:
        commit["evidence"] = evidence
    if passed:
        commit["passed"] = True
    return local.save_commit(folder, str(claim), commit)


class Commit:
    """A commit as it was kept."""

    __slots__ = ("artifacts", "caller", "claim", "evidence", "passed", "result")

    def __init__(self, kept: dict[str, Any]) -> None:
        self.caller = Caller(str(kept["worker"]), str(kept["epoch"]))
        self.claim = Claim.parse(str(kept["claim"]))
        self.result = str(kept["result"])
        self.artifacts = [(str(name), binascii.a2b_base64(blob)) for name, blob in kept.get("artifacts", [])]
        self.evidence: dict[str, str] | None = kept.get("evidence")
        self.passed = bool(kept.get("passed"))


def read(path: str) -> Commit | None:
    """A commit that was kept; None if it is gone (another process sent it) or was set aside as damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            return Commit(jsonlite.loads(file.read()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, UsageError):
        os.replace(path, path + ".refused")
        return None


def flush(folder: str, pool: Pool) -> None:
    """Send the commits kept in a folder; a refused one is set aside as `.refused`.

    Raises:
        RedisAway: Redis does not take them now either.
    """
    for path in local.commits(folder):
        commit = read(path)
        if commit is None:
            continue
        try:
            send(pool, commit)
        except Unchecked:
            continue  # its session's Stop hook runs the check first
        except StaleClaim:
            os.replace(path, path + ".refused")  # too late: kept for people to look at
        else:
            local.forget(path)


def send(pool: Pool, commit: Commit) -> str:
    """Send one commit that was kept on disk; ``done`` or ``already``.

    Raises:
        StaleClaim: It came too late.
        Unchecked: The task has a check, and nobody knew of it while Redis was away.
        RedisAway: Redis does not take it now.
    """
    return pool.complete(
        commit.caller, commit.claim, commit.result, commit.artifacts, commit.evidence, commit.passed
    )
