"""What the documents name exists: files, tests, commands, settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coordinator.cli import COMMANDS
from pool.compiled import PROCESS_VARIABLES
from pool.settings import Settings
from workers.helper import OPTIONS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "workers" / "CLAUDE.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_what_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tests|docs|pool|hooks|workers|coordinator|tools)/[\w./*-]*)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"
    for command in re.findall(r"`coord ([a-z][a-z-]*)", text):
        assert command in COMMANDS, f"{page.name} names coord {command}"
    for command in re.findall(r"coord-worker ([a-z]+)\b", text):
        assert command in OPTIONS, f"{page.name} names coord-worker {command}"
    for variable in re.findall(r"\bCOORD_([A-Z_]+)\b", text):
        known = variable.lower() in Settings.model_fields or f"COORD_{variable}" in PROCESS_VARIABLES
        assert known or variable == "NAME", f"{page.name} names COORD_{variable}"
    for target in re.findall(r"`make ([a-z]+)`", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
