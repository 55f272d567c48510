"""The lint of the scripts finds what is planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import lua_lint

GOOD = """\
-- include: base
-- Do it.
-- ARGV: 1 what
-- Returns {'ok'}.
local what = ARGV[1]
event('x', what)
return {'ok'}
"""
PARTS = {"base": {"event", "call"}}


def lint(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(lua_lint, "FOLDER", folder)
    path = folder / "x.lua"
    path.write_text(text)
    return list(lua_lint.problems(path, PARTS))


def test_a_good_script_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lint(GOOD, tmp_path, monkeypatch) == []


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        (GOOD.replace("return {'ok'}", "return {"), "parse"),
        (GOOD.replace("local what = ARGV[1]", "local what = wath"), "wath"),
        (GOOD.replace("-- include: base\n", ""), "includes"),
        (GOOD.replace("-- include: base", "-- include: base nothing"), "nothing"),
        (GOOD.replace("event('x', what)", "call('SET', what, 1)"), "event"),
        (GOOD.replace("-- Returns {'ok'}.\n", ""), "Returns"),
        (GOOD.replace("event('x', what)", "event('rq:job:1', what)"), "RQ's keys"),
        (GOOD.replace("event('x', what)", "local idle = 1\nevent('x', what)"), "never used"),
        (GOOD.replace("event('x', what)", "function helper() end\nevent('x', what)"), "global function"),
        (GOOD.replace("event('x', what)", "call('LMPOP', 1)\nevent('x', what)"), "6.2"),
        (GOOD.replace("event('x', what)", "event('x', what) -- " + "x" * 120), "longer"),
    ],
)
def test_planted_faults_are_found(
    planted: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(word in problem for problem in lint(planted, tmp_path, monkeypatch))
