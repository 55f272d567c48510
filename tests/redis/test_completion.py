"""coord completion: real shells complete commands, options, and what is in Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pool.claim import Caller
from pool.scripts import Pool
from tests.redis.coord import COORD, Coord, Terminal

Register = Callable[..., Caller]
Submit = Callable[..., str]


@pytest.fixture
def env(coord: Coord, tmp_path: Path) -> dict[str, str]:
    """An environment in which `coord` is a command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "coord").write_text("#!/bin/sh\nexec " + " ".join(COORD) + ' "$@"\n', encoding="utf-8")
    (folder / "coord").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "xterm"}


@pytest.fixture
def story(pool: Pool, submit: Submit, register: Register, tmp_path: Path) -> Iterator[None]:
    me = register("worker-1")
    submit(id="task-done", title="It is done; $(touch ran) `touch ran`")
    handed = pool.claim(me).handed
    assert handed is not None
    pool.complete(me, handed.claim, "1")
    submit(id="task-open", queue="docs")
    submit(id="other")
    yield
    assert not (tmp_path / "ran").exists(), "a title is no command"


def bash(env: dict[str, str], *words: str) -> list[str]:
    """What bash's completion offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    script = (
        f'eval "$(coord completion bash)"; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; '
        'COMP_LINE="${COMP_WORDS[*]}"; _coord_completion coord; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_completes_commands_and_options(env: dict[str, str], story: None) -> None:
    assert bash(env, "coord", "ta") == ["task", "tasks"]
    assert "dead-letters" in bash(env, "coord", "")
    assert bash(env, "coord", "tasks", "--st") == ["--status"]
    assert bash(env, "coord", "tasks", "--status", "fi") == ["finished"]
    assert bash(env, "coord", "--ver") == ["--version"]
    assert bash(env, "coord", "hooks", "inst") == ["install"]


def test_bash_completes_what_is_in_redis(env: dict[str, str], story: None) -> None:
    assert bash(env, "coord", "task", "task-") == ["task-open", "task-done"]
    assert bash(env, "coord", "cancel", "") == ["other", "task-open"]
    assert bash(env, "coord", "cancel", "other", "") == ["task-open"]
    assert bash(env, "coord", "retry", "") == []
    assert bash(env, "coord", "drain", "w") == ["worker-1"]
    assert bash(env, "coord", "pause", "") == ["docs", "tasks"]
    assert bash(env, "coord", "stats", "-q", "d") == ["docs"]
    assert bash(env, "coord", "submit", "x", "--after", "task-d") == ["task-done"]


def test_bash_completes_schedules(env: dict[str, str], coord: Coord) -> None:
    coord("schedule", "add", "nightly", "tidy up", "--every", "1h")
    assert bash(env, "coord", "schedule", "remove", "") == ["nightly"]
    assert bash(env, "coord", "schedule", "add", "n") == []


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis://:secret@127.0.0.1:1/0", "nonsense://x", ""], ids=str
)
def test_without_redis_there_is_nothing_to_complete(env: dict[str, str], url: str) -> None:
    began = time.monotonic()
    assert bash({**env, "COORD_REDIS_URL": url}, "coord", "task", "t") == []
    assert bash({**env, "COORD_REDIS_URL": url}, "coord", "cance") == ["cancel"]
    assert time.monotonic() - began < 20


def test_a_redis_that_does_not_answer_is_not_waited_for(env: dict[str, str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        assert bash({**env, "COORD_REDIS_URL": url}, "coord", "task", "t") == []
        assert time.monotonic() - began < 10


def test_settings_that_are_wrong_break_no_prompt(env: dict[str, str], story: None) -> None:
    assert bash({**env, "COORD_NONSENSE": "1"}, "coord", "task", "t") == []


def test_completing_a_command_imports_no_command(env: dict[str, str]) -> None:
    argv = [*COORD[:-2], "-X", "importtime", "-m", COORD[-1]]
    asked = {"_COORD_COMPLETE": "bash_complete", "COMP_WORDS": "coord ta", "COMP_CWORD": "1"}
    loaded = subprocess.run(
        argv, env={**env, **asked}, capture_output=True, text=True, timeout=60, check=False
    )
    assert loaded.stdout == "plain,task\nplain,tasks\n"
    modules = {line.rpartition("|")[2].strip() for line in loaded.stderr.splitlines()}
    assert "click" in modules
    assert not modules & {"redis", "rq", "rich", "pydantic", "coordinator.commands.tasks"}


# -- as people type ------------------------------------------------------------------------------------


@pytest.fixture
def shell(env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(*argv: str) -> Terminal:
        made.append(Terminal(list(argv), tmp_path, 100, env))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_tab_in_bash(shell: Callable[..., Terminal], story: None) -> None:
    running = shell("bash", "--norc", "-i")
    running.type('PS1="ready-$((1+1)) "; eval "$(coord completion bash)"\n')
    running.until("ready-2 ")
    running.type("coord result task-d\t")
    running.until("task-done")
    running.type("\x15coord canc\t")
    running.until("coord cancel ")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_tab_in_zsh(shell: Callable[..., Terminal], story: None) -> None:
    running = shell("zsh", "-f", "-i")
    running.type(
        'PS1="ready-$((1+1)) "; autoload -U compinit; compinit -u -D; eval "$(coord completion zsh)"\n'
    )
    running.until("ready-2 ")
    running.type("echo coord-$((2+2)); coord result task-d\t")
    running.until("task-done")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(env: dict[str, str], story: None) -> None:
    def offered(line: str) -> list[list[str]]:
        script = f'coord completion fish | source; complete -C "{line}"'
        argv = ["fish", "--no-config", "-c", script]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [row.split("\t") for row in done.stdout.splitlines()]

    assert ["tasks", "List tasks."] in offered("coord ta")
    assert [row[0] for row in offered("coord task task-")] == ["task-done", "task-open"]
    assert offered("coord drain w")[0][0] == "worker-1"


# -- the command -----------------------------------------------------------------------------------------


def test_the_script_needs_neither_redis_nor_the_shell(coord: Coord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORD_REDIS_URL", "redis://127.0.0.1:1/0")
    for shell_name in ("bash", "zsh", "fish"):
        assert "_COORD_COMPLETE" in coord("completion", shell_name).out


def test_bad_input(coord: Coord) -> None:
    assert "'tcsh' is not one of" in coord.refused("completion", "tcsh")
    assert "Choose from: bash, zsh, fish" in coord.refused("completion")
