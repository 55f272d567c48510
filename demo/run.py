"""`make demo`: the main job, end to end, on the embedded Redis, in under a minute.

Real: Redis, the coordinator, the hooks, the helper scripts, the keepers, the kill. Played: the model.
It works in a folder of its own, which it removes, and ends every process that it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from coordinator import embedded
from coordinator.commands import common
from coordinator.commands.workers import workers_table
from demo.watched import Watched
from pool import connect, model, view
from pool import settings as settings_module
from pool.settings import Settings

#: The demo ends by itself, whatever happens (seconds).
LIMIT = 58.0
IDLE = 4

CONFIG = f"""\
# Shortened for the demo: an idle worker may stop after {IDLE} s (default: 10 minutes).
idle_limit = "{IDLE}s"
recheck = "1s"
beat = "1s"
lease = "10s"
played = true
"""

FLAKY = (
    "n=$(($(cat flaky.count 2>/dev/null || echo 0) + 1)); echo $n > flaky.count; "
    "echo attempt $n; test $n -ge 3"
)

#: id, command, further fields.
TASKS: list[tuple[str, str, dict[str, object]]] = [
    ("docs-low", "echo 'docs written, at low priority'", {"priority": "low"}),
    ("build", "sleep 0.5; echo built", {"priority": "high"}),
    ("unit-tests", "sleep 0.3; echo 40 passed", {"after": ["build"]}),
    ("package", "echo packaged", {"after": ["build", "unit-tests"]}),
    ("flaky", FLAKY, {"retries": 2, "backoff": [1]}),
    ("long", "sleep 3; echo 'done in the end'", {"priority": "high"}),
    ("lint", "echo no findings", {}),
    ("types", "echo no findings", {}),
    ("changelog", "echo changelog written", {}),
    ("later", "echo 'not before its time'", {"run_in": 3}),
    (
        "cleanup-low",
        "rm -f flaky.count; echo clean",
        {"priority": "low", "after": ["flaky"], "allow_failure": True},
    ),
]


class Demo:
    """The play: its processes, its tables, its verdict."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".coord"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.killed = ""
        self.killed_at = 0.0
        self.back_after = 0.0
        self.notes: list[str] = []
        self.began = time.monotonic()
        self.watched = Watched(str(self.home))

    def run(self) -> int:
        """Play it; 0 when everything that it promises was seen."""
        self.folder.joinpath("coord.toml").write_text(CONFIG, encoding="utf-8")
        os.chdir(self.folder)
        os.environ["COORD_HOME"] = str(self.home)
        self.home.mkdir()
        for name in ("coordinator", "hooks", "monitor", "pool", "workers"):
            # A project may have folders of these names; whoever imports them by mistake is told.
            own = self.folder / name
            own.mkdir()
            own.joinpath("__init__.py").write_text(
                "raise ImportError('this is the project, not coord')\n", encoding="utf-8"
            )
        server = embedded.start(self.home)
        self.note(f"Redis ({server.kind}) at {server.url}")
        if server.kind == "fakeredis":
            self.note("(fakeredis: an imitation in memory, because no redis-server was found)")
        self.coord("hooks", "install", "--worker")
        self.note("hooks installed in a new project (coord hooks install --worker)")
        settings = settings_module.load()
        coord = [sys.executable, "-P", "-m", "coordinator.cli"]
        self.start([*coord, "serve"], "coordinator")
        self.start([*coord, "monitor", "--elsewhere"], "monitor")
        self.watched.start()
        self.note(
            "(the project has folders coordinator/, hooks/, monitor/, pool/ and workers/ of its own, "
            "as a project may)"
        )
        self.note("The MODEL IS PLAYED by a script that runs the command each task gives; all else is real.")
        connection = connect.client(settings)
        with connection, Live(console=common.console, refresh_per_second=4, transient=False) as live:
            self.submit(settings)
            for name in ("ada", "bob"):
                self.worker(name)
            while time.monotonic() - self.began < LIMIT:
                self.step(connection, settings)
                live.update(self.picture(connection))
                if self.over(connection):
                    break
                time.sleep(0.1)
            live.update(self.picture(connection))
        with connect.client(settings) as last:
            return self.verdict(last)

    # -- the play ----------------------------------------------------------------------------------------

    def submit(self, settings: Settings) -> None:
        """Eleven tasks by `coord submit`, the twelfth published."""
        for task_id, command, fields in TASKS:
            argv = ["submit", f"run: {command}", "--id", task_id, "--title", task_id]
            for name, value in fields.items():
                option = "--" + name.replace("_", "-")
                if value is True:
                    argv.append(option)
                elif isinstance(value, list) and name == "after":
                    argv += [part for each in value for part in (option, str(each))]
                else:
                    argv += [option, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
            self.coord(*argv)
        message = "run: echo heard"
        cli = shutil.which("redis-cli")
        port = str(settings_module.redis_url(settings)).rsplit(":", 1)[1].partition("/")[0]
        end = time.monotonic() + 10
        while (
            time.monotonic() < end
        ):  # a publish that nobody hears is lost: the coordinator is still starting
            if cli:
                done = subprocess.run(
                    [cli, "-p", port, "publish", settings.trigger_channel, message],
                    capture_output=True,
                    check=False,
                )
                heard = done.stdout.strip() not in (b"", b"0")
            else:
                heard = self.coord("trigger", "--publish", message, check=False) == 0
            if heard:
                at = "" if port == str(embedded.DEFAULT_PORT) else f" -p {port}"
                how = (
                    f"redis-cli{at} publish {settings.trigger_channel}" if cli else "coord trigger --publish"
                )
                self.note(f'published: {how} "{message}"')
                return
            time.sleep(0.1)

    def step(self, connection: redis.Redis, settings: Settings) -> None:
        """Kill the worker that holds `long`, half-way; put another in its place."""
        long = view.tasks(connection, ["long"])
        if not self.killed and long and long[0].status == "started" and long[0].worker in self.workers:
            started = float(connection.hget("pool:worker:" + str(long[0].worker), "active_at") or 0)
            if view.server_time(connection) - started > 1.2:
                self.killed = str(long[0].worker)
                self.killed_at = time.monotonic()
                self.workers[self.killed].send_signal(signal.SIGKILL)
                self.workers[self.killed].wait()
                self.note(f"SIGKILL to worker {self.killed}, in the middle of the task `long`")
        if self.killed and not self.back_after and long and long[0].losses:
            self.back_after = time.monotonic() - self.killed_at
            self.note(f"the task `long` was back in its queue {self.back_after * 1000:.0f} ms later")
            self.worker("eve")

    def over(self, connection: redis.Redis) -> bool:
        """All tasks have ended and no worker is live."""
        states = {each.status for each in self.tasks(connection)}
        return (
            bool(self.back_after)
            and states <= {"finished", "failed", "canceled"}
            and all(child.poll() is not None for child in self.workers.values())
        )

    def tasks(self, connection: redis.Redis) -> list[view.TaskView]:
        """Every task, in the order of submission."""
        return view.tasks(connection, view.latest_ids(connection, 0, -1)[::-1])

    # -- processes ---------------------------------------------------------------------------------------

    def coord(self, *argv: str, check: bool = True) -> int:
        """Run the `coord` command as a user would."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "coordinator.cli", *argv],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"coord {' '.join(argv)}: {done.stderr.strip()}")
        return done.returncode

    def start(self, argv: list[str], name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to a log."""
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env}
            )
        self.processes.append(child)
        return child

    def worker(self, name: str) -> None:
        """Start a played session."""
        self.workers[name] = self.start(
            [sys.executable, "-P", "-m", "workers.played"],
            name,
            COORD_WORKER_ID=name,
            TMPDIR=str(self.folder),
        )
        self.note(f"worker {name} started")

    def close(self) -> None:
        """End what was started."""
        if self.watched.is_alive():
            self.watched.end()
        for child in self.processes:
            if child.poll() is None:
                child.terminate()
        for child in self.processes:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.home.exists():
            embedded.stop(self.home)

    # -- what is shown -------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line of what happened; at once where there is no live picture."""
        line = f"{time.monotonic() - self.began:5.1f} s  {text}"
        self.notes.append(line)
        if not common.console.is_terminal:
            print(line, flush=True)

    def picture(self, connection: redis.Redis) -> Group:
        """Tasks, workers and what happened."""
        made = common.table("id", "status", "priority", "worker", "tries", "losses", "note")
        for each in self.tasks(connection):
            result = view.result(connection, each.id) if each.status == "finished" else None
            note = (
                str(result).replace("\n", " / ")
                if result is not None
                else ", ".join(each.after) and f"after {', '.join(each.after)}"
            )
            made.add_row(
                common.cell(each.id), common.state(each.status),
                common.cell("" if each.priority == "normal" else each.priority), common.cell(each.worker),
                str(each.attempts), str(each.losses), common.cell((note or "")[:50]),
            )  # fmt: skip
        happened = Text("\n".join(self.notes))
        parts: list[Table | Panel] = [made, workers_table(view.workers(connection))]
        if common.console.is_terminal:
            parts.append(Panel(happened, title="what happened", title_align="left"))
        return Group(*parts)

    def verdict(self, connection: redis.Redis) -> int:
        """What was seen, and what it proves."""
        tasks = {each.id: each for each in self.tasks(connection)}
        workers = {each.id: each for each in view.workers(connection)}
        commits = {each: connection.xlen(f"rq:results:{each}") for each in tasks}
        published = [each for each in tasks if each not in {task_id for task_id, _, _ in TASKS}]
        ended = {each.id: each.ended_at or "" for each in tasks.values()}
        started = {each.id: each.started_at or "" for each in tasks.values()}
        seconds = time.monotonic() - self.began
        done = [task.status == model.Status.FINISHED for task in tasks.values()]
        idle = [each for each in workers.values() if each.state == "stopped" and "idle" in each.evidence]
        later, long = tasks["later"], tasks["long"]
        page = self.watched.get("/")
        seen_dead = self.watched.seen.get("dead", 0.0) - self.killed_at
        checks = [
            (
                f"{len(tasks)} tasks, all finished, each with one committed result",
                len(tasks) == len(TASKS) + 1 and all(done) and set(commits.values()) == {1},
            ),
            (
                "priorities: `build` (high) began before `docs-low`, though submitted after it",
                started["build"] < started["docs-low"],
            ),
            (
                "dependencies: `unit-tests` began after `build` had ended",
                ended["build"] <= started["unit-tests"],
            ),
            ("retries: `flaky` failed twice and then succeeded", tasks["flaky"].attempts == 3),
            (
                "run-in: `later` began 3 s after it was submitted, or more",
                (later.started_at or "") > _plus(later.created_at, 2.9),
            ),
            (
                f"a killed worker's task was claimable again in {self.back_after:.2f} s and done by another",
                0 < self.back_after < 2 and long.losses == 1 and long.worker != self.killed,
            ),
            ("a published message became a task", len(published) == 1),
            (
                "both remaining workers were stopped by their idle clock",
                len(idle) == 2 and workers[self.killed].state == "dead",
            ),
            (
                "the monitor's page (http://127.0.0.1:5050 by default) showed the workers waiting, working, "
                f"and dead {max(seen_dead, 0.0) * 1000:.0f} ms after the kill",
                all(name in page for name in ("<title>", *self.workers))
                and {"waiting", "working", "dead"} <= set(self.watched.seen)
                and 0 < seen_dead < 2,
            ),
            (f"all in {seconds:.0f} s", seconds < 60),
        ]
        print("\nWhat this showed (the model was played by a script; all else was real):")
        for text, seen in checks:
            print(f"  {'yes' if seen else 'NO '}  {text}")
        if not all(seen for _, seen in checks):
            print("\nlogs:")
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}")
            return 1
        return 0


def _plus(iso: str | None, seconds: float) -> str:
    from pool import clock

    return clock.iso((clock.parse_iso(iso or "") or 0.0) + seconds)


def main() -> int:
    """Play the demo in a folder of its own."""
    for name in [name for name in os.environ if name.startswith(("COORD_", "CLAUDE_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="coord-demo-") as folder:
        demo = Demo(Path(folder).resolve())
        here = Path.cwd()
        try:
            return demo.run()
        except KeyboardInterrupt:
            return 130
        finally:
            demo.close()
            os.chdir(here)


if __name__ == "__main__":
    sys.exit(main())
