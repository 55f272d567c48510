"""Ctrl-C while `coord` is being started."""

from __future__ import annotations

import subprocess
import sys

import pytest

_STORY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from coordinator.cli import main
main(["accounts"])
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("click", "coord: interrupted\n"),
        ("pool.errors", "coord: interrupted\n"),
        ("coordinator.commands.accounts", ""),
    ],
)
def test_an_interrupt_while_it_imports_prints_no_traceback(name: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STORY.format(name=name)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", said.strip())
