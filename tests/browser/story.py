"""A pool as it looks on a busy day, for pictures: real tasks and reports, a history written as counters."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import redis

from pool import connect, model
from pool.claim import Caller
from pool.settings import Settings
from tests.monitor.running import Running

TITLES = (
    "Fix the flaky test in tests/test_cache.py", "<script>window.pwned = 1; alert(1)</script>",
    "Обновить документацию к релизу 4.2", "ترجمة صفحة المساعدة إلى العربية", "Measure start-up time",
    "Upgrade the payment service to the new client library, keep the old endpoints alive for one release, "
    "and write down in the migration guide what callers have to change before the winter freeze",
    "Refactor the parser", "Find out why nightly builds take 40 minutes", "Μετάφραση των μηνυμάτων σφάλματος",
    "Remove the feature flag new-checkout", "Write tests for the rate limiter",
)  # fmt: skip
ASKS = (
    "Claude needs your permission to use Bash: git push --force-with-lease origin release/4.2",
    "Which of the two database schemas shall I keep: the normalised one, or the one with the JSON column?",
)
TRACEBACK = """Traceback (most recent call last):
  File "/work/docs/build.py", line 31, in main
ValueError: no such table: users"""
FOLDERS = ("/home/anna/src/shop", "/srv/checkouts/payment-service/worktrees/feature-new-client", "/work/docs")
PARTS = {
    "all=": 1.0, "account=default": 0.7, "account=team-b": 0.3, "model=claude-opus-5": 0.8,
    "model=claude-sonnet-5": 0.2, "kind=task": 1.0,
}  # fmt: skip
_MODELS = ("claude-opus-5", "claude-sonnet-5")


def tell(settings: Settings, connection: redis.Redis, monitor: Running, sessions: int) -> list[str]:
    """Make tasks, workers and sessions; ids of a finished task, of a failed one, and of a session."""
    chance = random.Random(4)
    history(connection, chance)
    pool = connect.pool(settings, connection)
    workers = [_worker(settings, connection, f"worker-{number}", chance) for number in range(1, 9)]
    made = [_task(settings, connection, chance) for _ in range(90)]
    ended = _work(settings, connection, workers[:4], 40, chance)
    for caller in workers[:6]:
        handed = pool.claim(caller).handed
        if handed is not None:
            pool.confirm(caller, handed.claim)
            pool.beat(caller, handed.claim, chance.choice(("reading the code", "2 of 5 tests pass")))
    pool.tune(workers[3].worker, "draining", "1")
    pool.deregister(workers[5], died=True, why="its process is gone")
    pool.claim(workers[6], "ticket", 5.0)
    parent = _task(settings, connection, chance)
    _task(settings, connection, chance, after=[parent])
    pool.pause("docs", True)
    names = [_session(monitor, f"session-{number}", number, chance) for number in range(sessions)]
    assert made
    return [*ended, names[0]]


def _worker(settings: Settings, connection: redis.Redis, name: str, chance: random.Random) -> Caller:
    queues, versions = ["tasks", "docs", "ci"], ("2.12", "3.11", "0.1")
    pool = connect.pool(settings, connection)
    host, cwd = chance.choice(("build-07", "ci-runner-a.example")), chance.choice(FOLDERS)
    return pool.register(name, "", f"client-{name}", host, chance.randint(900, 9000), queues, 600.0, 0, cwd,
                         versions, mode="hook")[1]  # fmt: skip


def _task(
    settings: Settings, connection: redis.Redis, chance: random.Random, after: Sequence[str] = ()
) -> str:
    fields = {
        "prompt": "Find the cause, mend it, and say what it was.\n\nDo not change the public API.",
        "title": chance.choice(TITLES), "queue": chance.choice(("tasks", "tasks", "docs", "ci")),
        "priority": chance.choice(("high", "normal", "normal", "low")), "after": list(after),
    }  # fmt: skip
    task_id, record = model.record(model.parse_spec(fields), settings, time.time())
    assert connect.pool(settings, connection).submit([record])[0] == "ok"
    return task_id


def _work(
    settings: Settings, connection: redis.Redis, workers: Sequence[Caller], count: int, chance: random.Random
) -> list[str]:
    """Do so many tasks; ids of one that was finished, and one that failed."""
    pool, ended = connect.pool(settings, connection), {}
    for number in range(count):
        caller = workers[number % len(workers)]
        handed = pool.claim(caller).handed
        if handed is None:
            continue
        pool.confirm(caller, handed.claim)
        if number % 8 == 5:
            text = (
                'Traceback (most recent call last):\n  File "x.py", line 3\nValueError: no such table: users'
            )
            pool.fail(caller, handed.claim, text, retry=False)
            ended["failed"] = handed.claim.task_id
            continue
        check = {
            "command": "pytest -q",
            "passed": True,
            "code": 0,
            "seconds": 3.2,
            "output": "....\n4 passed",
        }
        patch = "--- a/cache.py\n+++ b/cache.py\n@@ -1,2 +1,2 @@\n-ttl = 0\n+ttl = 60\n"
        pool.complete(
            caller, handed.claim, json.dumps({"summary": "The cache never expired", "files": ["cache.py"]}),
            artifacts=[("report.md", b"# Report\n")], evidence={"check": json.dumps(check), "patch": patch},
        )  # fmt: skip
        ended["finished"] = handed.claim.task_id
    return [ended["finished"], ended["failed"]]


def _session(monitor: Running, client: str, number: int, chance: random.Random) -> str:
    """A session of no pool, in a state that its number says; its id here."""
    cwd = chance.choice(FOLDERS)
    name = monitor.hook("SessionStart", client, source="startup", model=chance.choice(_MODELS), cwd=cwd)
    kind = number % 6
    if kind:
        monitor.hook("UserPromptSubmit", client, prompt="go on", cwd=cwd)
    if kind in (2, 3):
        tool = chance.choice(("Bash", "Edit", "WebFetch"))
        monitor.hook("PreToolUse", client, cwd=cwd, tool_name=tool, tool_input={}, tool_use_id=f"t{number}")
    if kind == 3 and number < 30:
        ask = ASKS[number // 6 % len(ASKS)]
        monitor.hook("Notification", client, notification_type="permission_prompt", message=ask, cwd=cwd)
    if kind == 4:
        monitor.hook("Stop", client, cwd=cwd)
    if kind == 5:
        monitor.hook("SessionEnd", client, reason="prompt_input_exit", cwd=cwd)
    return str(name["agent_id"])


def history(connection: redis.Redis, chance: random.Random) -> None:
    """What counters and costs of the last weeks would have left: nothing can be made to happen earlier."""
    now, base, waits, runs = int(time.time()), 10**6, (8, 12, 20, 28, 34, 40), (40, 44, 48)
    names = [*(f"w{each}" for each in waits), *(f"r{each}" for each in runs), "failed", "submitted"]
    for queue in ("tasks", "docs", "ci"):
        totals = dict.fromkeys(names, base)
        connection.hset(f"pool:stats:{queue}", mapping={name: str(value) for name, value in totals.items()})
        for back in range(24 * 30):
            busy = 8 <= (now // 3600 - back) % 24 <= 18
            for _ in range(chance.randint(0, 4) + 9 * busy):
                for name in (f"w{chance.choice(waits)}", f"r{chance.choice(runs)}", "submitted"):
                    totals[name] -= 1
            totals["failed"] -= back % 9 == 0
            text = " ".join(f"{name} {value}" for name, value in totals.items())
            connection.set(f"pool:stats:{queue}:hour:{now // 3600 - back}", text)
    for back in range(30):
        day = (datetime.now(UTC) - timedelta(days=back)).date().isoformat()
        usd = chance.random() * (40 if back % 7 not in (1, 2) else 3)
        amounts = {
            "requests": 300.0,
            "input": 1e6,
            "output": 2e5,
            "read": 9e6,
            "write": 4e5,
            "nano": usd * 1e9,
        }
        for what, part in PARTS.items():
            for measure, amount in amounts.items():
                connection.hset(f"pool:cost:day:{day}", f"{what}:{measure}", str(int(amount * part)))
    for back in range(24 * 60):
        minute = now // 60 - back
        numbers = [chance.choice(each) for each in ((2, 3, 4, 6), (0,) * 8 + (1,), (0, 0, 0, 1), (0, 1, 3))]
        text = " ".join(map(str, numbers))
        if not 300 < back < 360:
            connection.hset(f"pool:activity:{minute // 1440}", str(minute % 1440), text)
