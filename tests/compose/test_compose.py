"""`docker compose up`, and what may happen: workers killed and cut off, Redis killed, scaled under load.

The tests of a generation share one stack and run in this order; the last takes the players away.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compose.conftest import GENERATIONS
from tests.compose.stack import Stack, run, until
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(600)


def test_the_file_is_valid(generation: str) -> None:
    run(*GENERATIONS[generation], "config", "-q", cwd=ROOT)


def test_it_comes_up_confined(stack: Stack) -> None:
    for service, count in (("redis", 1), ("coordinator", 1), ("monitor", 1), ("worker", 3)):
        stack.all_healthy(service, count)
        for each in stack.ids(service):
            found = stack.inspect(each)
            host = found["HostConfig"]
            assert found["Config"]["User"].split(":")[0].isdigit() and not found["Config"]["User"].startswith(
                "0"
            )
            assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Init"] and host["Memory"]
            assert any("no-new-privileges" in option for option in host["SecurityOpt"])
            assert run("docker", "exec", each, "id", "-u").strip() != "0"
            wrote = subprocess.run(
                ["docker", "exec", each, "touch", "/usr/x"], capture_output=True, check=False
            )
            assert wrote.returncode != 0
    stack.exec(
        "worker",
        "bash",
        "-c",
        "touch ~/x /tmp/x x && [ ! -w /run/login ] && claude --version && git --version",
    )


def test_each_login_is_its_roles_and_nowhere_else(stack: Stack) -> None:
    assert "Permission denied" in run(
        "sh",
        "-c",
        f"docker exec -u 10002:10002 {stack.ids('coordinator')[0]} cat /run/login/redis.url 2>&1 || true",
    )
    worker = stack.exec("worker", "sh", "-c", "cat /run/login/*").strip()
    assert worker.startswith("redis://worker:") and "\n" not in worker
    monitor = stack.exec("monitor", "cat", "/run/login/redis.url").strip()
    logins = (worker, monitor, stack.url(), stack.url("viewer.url"))
    secrets = {url.split(":")[2].split("@")[0] for url in logins}
    secrets |= set(stack.exec("monitor", "sh", "-c", "cat /var/lib/monitor/*.token /run/report/*").split())
    assert len(secrets) == 7 and all(len(secret) == 64 for secret in secrets)
    shown = stack.compose("logs") + stack.compose("config")
    for service in ("redis", "coordinator", "monitor", "worker"):
        shown += json.dumps(stack.inspect(stack.ids(service)[0]))
        shown += run("docker", "exec", stack.ids(service)[0], "env")
    assert not [secret for secret in secrets if secret in shown]


def test_coord_in_the_container_and_on_the_host(stack: Stack) -> None:
    task = stack.exec("coordinator", "coord", "submit", "run: echo hello").strip()
    assert stack.exec("coordinator", "coord", "wait", task, "--timeout", "60").split()[-1] == "finished"
    assert stack.coord("result", task).stdout.strip() == "hello"


def test_a_stranger_publishes_as_the_readme_types_it(stack: Stack) -> None:
    typed = next(
        line.strip() for line in (ROOT / "README.md").read_text().splitlines() if "redis-cli publish" in line
    )
    before = set(row["id"] for row in json.loads(stack.coord("tasks", "--json").stdout))
    answer = run("sh", "-c", typed.replace("redis-cli", f"redis-cli -p {stack.port}", 1))
    assert int(answer) >= 1, "a coordinator heard it"

    def made() -> list[str]:
        rows: list[dict[str, Any]] = json.loads(stack.coord("tasks", "--json").stdout)
        return [row["title"] for row in rows if row["id"] not in before]

    assert until(made, "a task of the published message") == ["Build and test suite"]
    for words in ("get pool:leader", "keys *", "flushall", "config get *", "xread STREAMS claude-triggers 0",
                  "publish elsewhere x", "eval 'return 1' 0", "subscribe claude-trigger"):  # fmt: skip
        assert "NOPERM" in run(
            "sh", "-c", f"redis-cli -p {stack.port} {words.replace('*', chr(92) + '*')} 2>&1"
        )


def test_the_monitor_asks_for_a_token_and_shows_what_workers_do(stack: Stack) -> None:
    viewer = stack.exec("monitor", "cat", "/var/lib/monitor/viewer.token").strip()
    hook = stack.exec("worker", "cat", "/run/report/hook.token").strip()
    assert "denied" in stack.compose(
        "exec", "-T", "worker", "sh", "-c", "echo x >/run/report/x 2>&1 || echo denied"
    )
    assert [stack.monitor("/", token)[0] for token in ("", "no-such-token-at-all", hook, viewer)] == [
        401, 401, 403, 200
    ]  # fmt: skip
    assert stack.monitor("/", Accept="text/html")[0] == 303, "a browser is sent to where it can log in"
    gate = "/work/project/watched"
    (task,) = stack.submit(f"until [ -e {gate} ]; do sleep 0.2; done")

    def seen() -> dict[str, Any] | None:
        status, text = stack.monitor("/api/v1/sessions", viewer)
        found = json.loads(text)["sessions"] if status == 200 else []
        return next((each for each in found if each["task"] == task and each["hooks_at"]), None)

    working = until(seen, "the monitor shows the worker at its task, and has heard its hooks")
    assert working["worker"] and working["state"] in ("working", "tool")
    (container,) = stack.ids("monitor")
    count = stack.inspect(container)["RestartCount"]
    stack.kill(container)
    until(lambda: stack.inspect(container)["RestartCount"] == count + 1, "the monitor is started again")
    again = until(seen, "it knows what it knew")
    assert (again["id"], again["worker"]) == (working["id"], working["worker"])
    stack.exec("worker", "touch", gate)
    stack.all_done([task])
    stack.all_healthy("monitor", 1)


def test_the_viewer_cannot_write(stack: Stack) -> None:
    url = stack.url("viewer.url")
    assert stack.coord("workers", url=url).stdout.count("\n") >= 2
    refused = stack.coord("submit", "no", url=url, check=False)
    assert refused.returncode == 5 and "NOPERM" in refused.stderr


def test_one_worker_killed_and_one_cut_off_while_they_work(stack: Stack) -> None:
    gate = "/work/project/gate"
    (slow,) = stack.submit(f"until [ -e {gate} ]; do sleep 0.2; done; echo slow")
    until(lambda: stack.statuses([slow]) == ["started"], "the slow task is started")

    def holder() -> str:
        return str(json.loads(stack.coord("task", slow, "--json").stdout)["worker"])

    cut = holder()
    (cut_id,) = [each for each in stack.ids("worker") if each.startswith(cut)]
    tasks = stack.batch(24, "sleep 0.4")
    run("docker", "network", "disconnect", stack.network, cut_id)
    victim = until(
        lambda: [each["worker"] for each in stack.events()
                 if each["type"] == "claimed" and each["worker"] != cut and each["task"] in tasks],
        "another worker works",
    )[0]  # fmt: skip
    (victim_id,) = [each for each in stack.ids("worker") if victim.startswith(each[:12])]
    stack.kill(victim_id)
    until(lambda: stack.inspect(victim_id)["RestartCount"] == 1, "the killed worker is started again")
    # The task of the one that is cut off is another's, and stays so when it is back and commits.
    until(lambda: holder() not in (cut, ""), "the slow task is another worker's")
    until(lambda: stack.inspect(cut_id)["State"]["Health"]["Status"] == "unhealthy", "cut off, so unhealthy")
    run("docker", "network", "connect", stack.network, cut_id)
    until(lambda: stack.inspect(cut_id)["State"]["Health"]["Status"] == "healthy", "back, so healthy")
    stack.exec("redis", "true")
    run("docker", "exec", cut_id, "touch", gate)
    stack.all_done([slow, *tasks])
    until(
        lambda: [row for row in stack.events() if row["type"] == "refused" and row["task"] == slow
                 and row["worker"].startswith(cut)],
        "the late commit is refused",
    )  # fmt: skip
    until(
        lambda: f"{slow} is not yours any more" in run("docker", "exec", cut_id, "coord", "logs", cut),
        "its session is told",
    )
    stack.all_healthy("worker", 3)


def test_redis_killed_under_load(stack: Stack) -> None:
    tasks = stack.batch(20, "sleep 0.3")
    (server,) = stack.ids("redis")
    count = stack.inspect(server)["RestartCount"]
    stack.kill(server)
    until(lambda: stack.inspect(server)["RestartCount"] == count + 1, "Redis is started again")
    stack.all_done(tasks)
    stack.all_healthy("redis", 1)
    stack.all_healthy("coordinator", 1)
    stack.all_healthy("worker", 3)


def test_scaled_under_load(stack: Stack) -> None:
    tasks = stack.batch(60, "sleep 0.5")
    stack.compose("up", "-d", "--no-recreate", "--scale", "worker=5")
    assert len(stack.ids("worker")) == 5
    stack.note_volumes()
    until(
        lambda: (
            len(
                {
                    row["worker"]
                    for row in stack.events()
                    if row["task"] in tasks and row["type"] == "finished"
                }
            )
            > 3
        ),
        "the new workers work, too",
    )
    stack.compose("up", "-d", "--no-recreate", "--scale", "worker=2")
    assert len(stack.ids("worker")) == 2
    stack.all_done(tasks)


def test_a_worker_without_a_login_says_so_once_and_stays_up(stack: Stack, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    stack.note_volumes()
    stack.environ |= {"COORD_PLAYED": "0", "POOL_WORKERS": "1", "POOL_CREDENTIALS": str(tmp_path)}
    stack.compose("up", "-d", "--no-deps", "--scale", "worker=1", "worker")
    (worker,) = stack.ids("worker")
    stack.submit("echo nobody does it")
    until(lambda: stack.inspect(worker)["State"]["Health"]["Status"] == "unhealthy", "unhealthy")
    found = stack.inspect(worker)
    assert found["State"]["Running"] and found["RestartCount"] == 0
    said = subprocess.run(["docker", "logs", worker], capture_output=True, text=True, check=True)
    first, *lines = (said.stdout + said.stderr).splitlines()
    assert "a session is started when a task waits" in first
    assert len(lines) == 1 and "no credentials for Claude Code: set one of ANTHROPIC_API_KEY" in lines[0], (
        lines
    )
