"""Accounts as people and programs look at them: whose quota is used up, who is stopped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from pool import model, units, view
from pool.errors import UsageError

#: Stands for every account.
ALL = "*"


@dataclass
class AccountView:
    """An account as it stands. ``state`` is ok, parked or stopped; the rest says why and until when."""

    name: str
    state: str
    reason: str | None
    #: When it is parked no more; None: no end is known (a person resumes it), or it is not parked.
    until: str | None
    #: Seconds until then.
    left: float | None
    since: str | None
    #: The worker whose session had the error, ``budget`` or ``operator``.
    source: str | None
    #: Live workers, and how many of them wait.
    workers: int
    parked: int


def check_name(name: str) -> None:
    """Raise UsageError unless the text may name an account, or is ``*``."""
    if name != ALL and not units.is_worker_id(name):
        raise UsageError(f"{name[:60]!r} is not an account: letters, digits, '.', '_' and '-' ('*': all)")


def read(connection: redis.Redis) -> list[AccountView]:
    """Every account that is or was in use, by name."""
    now = view.server_time(connection)
    live = view.workers(connection, departed=False)
    counts = Counter(each.account for each in live)
    parked = Counter(each.account for each in live if each.state == "parked")
    raw: Any = connection.smembers("pool:accounts")
    names = sorted({*counts, *(_text(name) for name in raw)})
    found = []
    for account in states(connection, names, now):
        name = account.name
        account.workers, account.parked = counts[name], parked[name]
        if name == ALL:
            account.workers, account.parked = len(live), sum(parked.values())
        if name != ALL or account.state != "ok":
            found.append(account)
    return found


def states(connection: redis.Redis, names: Sequence[str], now: float) -> list[AccountView]:
    """Each of these accounts as it stands, without a look at its workers (0, here)."""
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(f"pool:account:{name}")
    return [
        _account(name, {_text(key): _text(value) for key, value in fields.items()}, now)
        for name, fields in zip(names, pipe.execute(), strict=True)
    ]


def barred(connection: redis.Redis) -> list[AccountView]:
    """The accounts with which nothing is done now."""
    return [each for each in read(connection) if each.state != "ok"]


def _account(name: str, f: dict[str, str], now: float) -> AccountView:
    until = _number(f.get("until", ""))
    state = f.get("state", "ok")
    if state == "parked" and 0 < until <= now:
        state = "ok"
    if state == "ok":
        return AccountView(name, "ok", None, None, None, None, None, 0, 0)
    return AccountView(
        name, state, f.get("reason") or None, model.utc(until) if until > 0 else None,
        max(0.0, until - now) if until > 0 else None, model.utc(_number(f.get("since", "")) or None),
        f.get("source") or None, 0, 0,
    )  # fmt: skip


def line(each: AccountView) -> str:
    """One line about an account that is barred: what, until when, why, and what to type."""
    resume = f"`coord accounts resume {each.name if each.name != ALL else repr(ALL)}`"
    who = "every account" if each.name == ALL else f"account {each.name}"
    if each.state == "stopped":
        return f"{who} is stopped: {each.reason}; then {resume}"
    until = f"for {units.span(each.left)} more" if each.left is not None else f"until {resume}"
    return f"{who} is parked {until}: {each.reason}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
