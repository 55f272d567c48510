"""coord itself: `submit` through its API (one by one, or as one batch), and what a worker says to Redis.

    coord_peer produce [--batch]     enqueue as told on standard input
    coord_peer work NAME [--hook] [--eight]    claim and complete for ever: all that a worker does, but
                                     for the model

With --hook each task is handed over as by the Stop hook: claimed provisionally, then confirmed. With
--eight the process is eight workers, a thread each: as many tasks in flight as threaded peers have.
"""

from __future__ import annotations

import select
import sys
import threading

from bench.peers.common import URL, mark, produce
from pool import compiled, scripts, wire
from pool.claim import Caller

#: A waiting worker looks again after so long (seconds), as the setting `recheck` has it.
RECHECK = 5.0


def enqueue(batch: bool) -> None:
    """Enqueue through coord's own API."""
    from pool import connect, model
    from pool import settings as settings_module
    from pool.operate import submission

    settings = settings_module.load()
    pool = connect.pool(settings)

    def spec() -> model.TaskSpec:
        return model.parse_spec({"prompt": "noop", "title": "noop"})

    def one_by_one(count: int) -> None:
        for _ in range(count):
            submission.submit(pool, settings, [spec()])

    def at_once(count: int) -> None:
        submission.submit(pool, settings, [spec() for _ in range(count)])

    pool.connection.execute_command("PING")
    produce(at_once if batch else one_by_one)


def work(settings: compiled.Compiled, name: str, hook: bool) -> None:
    """Claim and complete until ended by a signal."""
    connection = wire.Connection(URL)
    pool = scripts.Pool(connection, settings.values, settings.templates)
    verdict, caller = pool.register(
        name, "", "", "bench", 1, settings["queues"], 1e6, 0, "/", (settings.rq_version, "3", "0")
    )
    if verdict != "new":
        raise SystemExit(f"{name} is {verdict}")
    ticket = "new" if hook else ""
    while True:
        look = pool.claim(caller, ticket, RECHECK)
        if look.handed is None:
            wait(connection, caller, look.ticket)
            ticket = look.ticket if hook else ""
            continue
        if hook:
            pool.confirm(caller, look.handed.claim)
            ticket = "new"
        mark_task = look.handed.fields["prompt"] == "noop"
        pool.complete(caller, look.handed.claim, '"ok"')
        if mark_task:
            mark()


def wait(connection: wire.Connection, caller: Caller, ticket: str) -> None:
    """Block on the worker's doorbell, as the Stop hook does."""
    bell = f"pool:bell:{caller.worker}:{ticket}"
    connection.wait_command(
        RECHECK + 2,
        lambda left: bool(select.select([connection.fileno()], [], [], left)[0]),
        "BLPOP",
        bell,
        f"{RECHECK:.3f}",
    )


def main(argv: list[str]) -> None:
    """Be what the arguments say."""
    if argv[0] == "produce":
        enqueue("--batch" in argv)
        return
    settings = compiled.load()
    if "--eight" in argv:
        for number in range(8):
            threading.Thread(target=work, args=(settings, f"{argv[1]}-{number}", False)).start()
    else:
        work(settings, argv[1], "--hook" in argv)


if __name__ == "__main__":
    main(sys.argv[1:])
