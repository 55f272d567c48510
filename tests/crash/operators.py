"""Every command of the operator's and the coordinator's side, as real `coord` processes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

from pool import schedule, script_text
from pool.schedule import Entry
from tests.crash.bench import Bench, Process
from tests.crash.commands import BACK, FAILED, HELD, Command, Step, enrolled, nothing

#: More than `coord submit` sends at once, in two chunks: parents, then children.
BATCH = 520


def batch_file(bench: Bench) -> None:
    """Half of the tasks wait for another."""
    lines: list[dict[str, object]] = [{"prompt": "do it", "id": f"t{n}"} for n in range(BATCH // 2)]
    lines += [{"prompt": "then it", "id": f"kid{n}", "after": [f"t{n}"]} for n in range(BATCH // 2)]
    (bench.folder / "batch.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")


def queued(bench: Bench) -> None:
    bench.submit()


def held(bench: Bench) -> None:
    bench.enroll()
    bench.submit()
    bench.submit("kid", after=["t"])
    bench.take()


def failed(bench: Bench) -> None:
    held(bench)
    bench.pool.fail(bench.caller, bench.claim, "no", retry=False)


def ended(bench: Bench) -> None:
    """A finished task, a cancelled one and one that waits."""
    bench.enroll()
    bench.submit()
    bench.take()
    bench.pool.complete(bench.caller, bench.claim, "1", [("a", b"a")])
    bench.submit("off")
    bench.pool.cancel("off", "no")
    bench.submit("next")


def export_file(bench: Bench) -> None:
    """What was exported from another pool: a parent, its child and a finished one."""
    line = {"version": 1, "queue": "tasks", "task": {"prompt": "do it"}, "made": 1.0, "fields": {}}
    child = {"status": "deferred", "parents": ["t"], "fields": {"dependency_ids": '["t"]'}}
    old = {"status": "finished", "results": [["1-1", {"type": "1", "return_value": "MQ=="}]]}
    tasks = [
        {**line, "id": "t", "status": "queued"},
        {**line, "id": "kid", **child},
        {**line, "id": "old", **old},
    ]
    text = "".join(json.dumps(each) + "\n" for each in [*tasks, {"version": 1, "end": 3}])
    (bench.folder / "pool.jsonl").write_text(text, encoding="utf-8")


def later(bench: Bench) -> None:
    bench.submit(run_in=3600.0)


def silent(bench: Bench) -> None:
    """Its lease has run out and nobody has noticed."""
    held(bench)
    for key, member in (("pool:leases", "t"), ("pool:workers", "w1")):
        bench.conn.zadd(key, {member: 0})


# -- the coordinator: a whole tick of it -----------------------------------------------------------------


def overdue(bench: Bench) -> None:
    """A hand-over that was never confirmed, and a task whose time has come."""
    bench.enroll()
    bench.submit()
    bench.take("new")
    bench.conn.zadd("pool:leases", {"t": 0})
    bench.submit("due", run_in=3600.0)
    bench.conn.zadd("rq:scheduled:tasks", {"due": 0})


def triggered(bench: Bench) -> None:
    """A durable trigger."""
    bench.conn.xadd("claude-triggers", {"task": "do it"}, id="1-1")


#: A tick of long ago, the next in a hundred years, and the task that it becomes.
LONG_AGO, TICKED = Entry(every=3e9, task={"prompt": "do it"}), "s-20010909T014640Z"


def scheduled(bench: Bench) -> None:
    """A schedule whose tick has come."""
    text = LONG_AGO.model_dump_json(exclude_defaults=True)
    assert bench.pool.schedule("s", "r", text, LONG_AGO.times, 1e9, False) == ("new", 1e9)


def yearly(bench: Bench) -> None:
    """A schedule whose tick is to come."""
    entry = Entry(cron="@yearly", task={"prompt": "do it"})
    text = entry.model_dump_json(exclude_defaults=True)
    assert bench.pool.schedule("s", "r", text, entry.times, 5e9, False) == ("new", 5e9)


def resting(bench: Bench) -> None:
    yearly(bench)
    assert bench.pool.hold("s") == "paused"


def serve_again(bench: Bench) -> Process:
    """Another coordinator; what the last one has read and not acknowledged is not waited for."""
    if bench.conn.exists("claude-triggers") and bench.conn.xinfo_groups("claude-triggers"):
        pending: Any = bench.conn.xpending_range("claude-triggers", "coord", "-", "+", 10)
        for entry in pending:
            who, what = entry["consumer"], [entry["message_id"]]
            bench.conn.xclaim("claude-triggers", "coord", who, 0, what, idle=60_000, justid=True)
    return bench.coord("serve")


def end_when(statuses: dict[str, str]) -> Step:
    """The coordinator is asked to end when the tasks are so and its first tick is over."""

    def look(bench: Bench) -> None:
        ledger = bench.ledger()
        if not bench.done and ledger.statuses() == statuses and "SUBSCRIBE" in bench.trips():
            bench.done = True
            bench.reached = len(bench.trips())
            bench.process.send_signal(signal.SIGTERM)

    return look


def paused(bench: Bench) -> None:
    queued(bench)
    bench.pool.pause("tasks", True)


def required(bench: Bench) -> bool:
    return bench.conn.get("pool:floor") == str(script_text.VERSION).encode()


def drains(bench: Bench) -> bool:
    return bench.conn.hget("pool:worker:w1", "draining") == b"1"


def said(bench: Bench) -> list[bytes]:
    """The messages that wait for the worker's session."""
    found: Any = bench.conn.lrange("pool:words:w1", 0, -1)
    return list(found)


def schedules(bench: Bench) -> dict[str, tuple[str, str]]:
    """Each schedule's state, and when it ticks."""
    return {each.name: (each.state, each.when) for each in schedule.all_of(bench.conn)}


def fired_once(bench: Bench) -> bool:
    events: Any = bench.conn.xrange("pool:events")
    fired = [each for _, each in events if each[b"type"] == b"cron-fired"]
    return len(fired) == 1 and bench.conn.zscore(schedule.INDEX, "s") == 4e9


def every_hour(bench: Bench) -> bool:
    return schedules(bench) == {"s": ("waiting", "every 1h")}


def as_it_was(bench: Bench) -> bool:
    return schedules(bench) == {"s": ("waiting", "@yearly")}


def held_back(bench: Bench) -> bool:
    return schedules(bench) == {"s": ("paused", "@yearly")}


def forgotten(bench: Bench) -> bool:
    return schedules(bench) == {} and not bench.conn.exists("pool:schedule:s")


def parked_with_task(bench: Bench) -> None:
    """It holds t, and its account has no quota left."""
    held(bench)
    bench.pool.account("park", until="+3600", reason="quota", caller=bench.caller)


def account_state(bench: Bench) -> bytes | None:
    return bench.conn.hget("pool:account:default", "state")  # type: ignore[return-value]


def parked_account(bench: Bench) -> bool:
    return account_state(bench) == b"parked" and bench.conn.hget("pool:worker:w1", "state") == b"parked"


def stopped_account(bench: Bench) -> bool:
    return account_state(bench) == b"stopped"


def usual_account(bench: Bench) -> bool:
    return account_state(bench) is None and bench.conn.hget("pool:worker:w1", "state") == b"working"


def coord(*words: str) -> Callable[[Bench], Process]:
    """The operator's command line."""
    return lambda bench: bench.coord(*words)


CANCELED = {"t": "canceled", "kid": "deferred"}
MOVED = {"t": "queued", "due": "queued"}
MADE = {"trigger-1-1": "queued"}
IMPORTED = {"t": "queued", "kid": "deferred", "old": "finished"}
#: A repeated call may say that there is nothing to do any more.
EITHER = (0, 2)

OPERATORS = [
    Command("coord submit", ("submit",), nothing, coord("submit", "do it", "--id", "t"), {"t": "queued"},
            codes=EITHER, reads=True),
    Command("coord submit --from, staged", ("stage", "submit"), batch_file,
            coord("submit", "--from", "batch.jsonl"), codes=EITHER, batch=BATCH, reads=True),
    Command("coord cancel, queued", ("cancel",), queued, coord("cancel", "t"), {"t": "canceled"},
            {"t": "canceled"}, codes=EITHER, reads=True),
    Command("coord cancel, running", ("cancel",), held, coord("cancel", "t"), CANCELED, CANCELED,
            codes=EITHER, reads=True),
    Command("coord retry", ("requeue",), failed, coord("retry", "t"), BACK, codes=EITHER, reads=True,
            untouched=FAILED),
    Command("coord requeue, running", ("requeue",), held, coord("requeue", "t"), BACK, codes=EITHER,
            reads=True),
    Command("coord requeue, scheduled", ("requeue",), later, coord("requeue", "t"), {"t": "queued"},
            codes=EITHER, reads=True),
    Command("coord drain", ("tune",), enrolled, coord("drain", "w1"), codes=EITHER, reads=True, check=drains),
    # Repeated, it is said twice: nobody knows that the first was heard.
    Command("coord tell", ("tell",), held, coord("tell", "t", "use the other branch"), HELD, reads=True,
            check=lambda b: 1 <= len(said(b)) <= 2),
    Command("coord resume", ("pause",), paused, coord("resume", "tasks"), {"t": "queued"}, reads=True,
            ways=("repeated",)),
    Command("coord versions --require", ("floor",), queued,
            coord("versions", "--require", str(script_text.VERSION)), {"t": "queued"}, reads=True,
            check=required),
    Command("coord schedule add", ("schedule",), nothing, coord("schedule", "add", "s", "--every", "1h", "x"),
            codes=EITHER, reads=True, check=every_hour),
    Command("coord schedule add --replace", ("schedule",), yearly,
            coord("schedule", "add", "s", "--every", "1h", "x", "--replace"), reads=True, check=every_hour),
    Command("coord schedule pause", ("hold",), yearly, coord("schedule", "pause", "s"), reads=True,
            check=held_back),
    Command("coord schedule resume", ("hold",), resting, coord("schedule", "resume", "s"), reads=True,
            check=as_it_was),
    Command("coord schedule remove", ("unschedule",), yearly, coord("schedule", "remove", "s"), codes=EITHER,
            reads=True, check=forgotten),
    Command("coord reap --expired", ("reap",), silent, coord("reap", "--expired"), BACK, reads=True),
    Command("coord import", ("restore",), export_file, coord("import", "pool.jsonl"), IMPORTED, reads=True,
            batch=3),
    Command("coord purge", ("purge",), ended, coord("purge", "--older-than=0", "--yes"), {"next": "queued"},
            {"off": "canceled"}, reads=True, untouched={"off": "canceled"}),
    Command("coord accounts park", ("account",), held, coord("accounts", "park", "default", "--for", "1h"),
            HELD, reads=True, check=parked_account),
    Command("coord accounts stop", ("account",), queued, coord("accounts", "stop", "default"),
            {"t": "queued"}, reads=True, check=stopped_account),
    Command("coord accounts resume", ("account",), parked_with_task, coord("accounts", "resume", "default"),
            HELD, reads=True, codes=(0, 1), check=usual_account),
    Command("coord serve, something to take back and something due",
            ("lead", "reap", "promote", "thaw", "today", "sweep"), overdue,
            serve_again, MOVED, meanwhile=end_when(MOVED), reads=True, ways=("repeated",)),
    Command("coord serve, a durable trigger", ("lead", "reap", "promote", "thaw", "today", "submit", "sweep"),
            triggered, serve_again, MADE, meanwhile=end_when(MADE), reads=True, ways=("repeated",)),
    Command("coord serve, a schedule's tick", ("lead", "reap", "promote", "thaw", "today", "fire", "sweep"),
            scheduled, serve_again, {TICKED: "queued"}, meanwhile=end_when({TICKED: "queued"}), reads=True,
            ways=("repeated",), check=fired_once),
]  # fmt: skip
