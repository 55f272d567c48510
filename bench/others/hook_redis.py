"""A worker's Stop hook in plain Python on redis-py: one EVALSHA to claim, one to confirm."""

import json
import os
import sys
import zlib
from typing import Any

import redis


def session() -> dict[str, str]:
    """The worker's session by its process."""
    pid = os.environ["CLAUDE_PID"]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip().replace("-", "")[:12]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        start = file.read().rpartition(")")[2].split()[19]
    key = f"{boot}-{os.environ['BENCH_NAMESPACE']}-{pid}-{start}"
    with open(
        os.path.join(os.environ["COORD_HOME"], "sessions", key, "session.json"), encoding="utf-8"
    ) as file:
        found: dict[str, str] = json.load(file)
    return found


def main() -> None:
    """Read the payload, claim, print, confirm."""
    payload = json.load(sys.stdin)
    if payload["hook_event_name"] != "Stop" or payload.get("agent_id"):
        return
    me = session()
    connection: Any = redis.Redis(port=int(os.environ["BENCH_PORT"]))
    reply = connection.execute_command(
        "EVALSHA", os.environ["BENCH_CLAIM_SHA"], 0, me["worker"], me["epoch"], "new", os.urandom(8).hex(), 5
    )
    if reply[0] != b"task":
        return
    task, token, data = reply[2].decode(), reply[3].decode(), reply[5]
    fields = json.loads(zlib.decompress(data))[3]
    context = f'{fields["prompt"]}\nWhen done: coord-worker complete {task}.{token} --result "..."'
    print(
        json.dumps(
            {
                "decision": "block",
                "reason": f"Task {task} is yours.",
                "hookSpecificOutput": {"hookEventName": "Stop", "additionalContext": context},
            }
        ),
        flush=True,
    )
    connection.execute_command(
        "EVALSHA", os.environ["BENCH_CONFIRM_SHA"], 0, me["worker"], me["epoch"], task, token
    )


if __name__ == "__main__":
    main()
