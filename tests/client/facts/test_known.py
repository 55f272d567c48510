"""What is known of Claude Code's versions, and the command that compares."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

from tests.client import client
from tests.client.facts.fact import EXPERIMENTS
from tests.client.facts.known import FILE, Known, experiments, version
from tests.client.releases import OLDER
from tests.conftest import ROOT


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tools.client_facts", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_fact_is_known_and_named_once() -> None:
    names = [fact.name for each in EXPERIMENTS for fact in each.facts]
    assert len(set(names)) == len(names)
    known = Known()
    assert set(known.expected(known.reference)) == set(names)


def test_the_older_version_is_more_than_two_months_older() -> None:
    known = Known()
    origins = {name: each["whence"] for name, each in known.data["versions"].items()}
    older = next(each for each in origins.values() if f" {OLDER}," in each)
    days = date.fromisoformat(origins[known.reference][-10:]) - date.fromisoformat(older[-10:])
    assert days.days >= 61


def test_an_unknown_version_is_compared_with_the_reference(tmp_path: Path) -> None:
    known = Known(_copy(tmp_path))
    assert known.compared("9.9.9") == known.reference
    (experiment,) = experiments(("approve",))
    seen = {"approve": {"stops": 1, "exit": 0}, "let_go": {"stops": 7}}
    same, changed = known.rows("9.9.9", experiment, seen)
    assert not same.changed and changed.breaks
    (nothing, _) = known.rows("9.9.9", experiment, {**seen, "approve": None})
    assert nothing.changed is None and not nothing.breaks


def test_what_is_recorded_is_expected_and_a_new_reference_keeps_the_others(tmp_path: Path) -> None:
    file = _copy(tmp_path)
    known = Known(file)
    before = {name: known.expected(name) for name in known.data["versions"]}
    known.record("9.9.9", {**before[known.reference], "approve": {"stops": 2}}, {"whence": "somewhere"}, True)
    again = Known(file)
    assert again.reference == "9.9.9" and again.expected("9.9.9")["approve"] == {"stops": 2}
    assert {name: again.expected(name) for name in before} == before


def test_the_command_names_what_has_changed(tmp_path: Path) -> None:
    file = _copy(tmp_path)
    known = Known(file)
    cli = version(client.program())
    known.record(cli, {"approve": {"stops": 2, "exit": 0}}, {"whence": "nowhere"})
    done = command("--only", "approve", "--json", "--expected", str(file))
    assert done.returncode == 1, done.stderr
    facts = {each["fact"]: each for each in json.loads(done.stdout)["facts"]}
    assert facts["approve"]["changed"] and facts["approve"]["seen"] == {"stops": 1, "exit": 0}
    assert not facts["let_go"]["changed"]


def test_wrong_words_are_told_in_a_line() -> None:
    for words, told in (
        (("--claude", "/bin/true"), "/bin/true is no Claude Code"),
        (("--claude", "/no/such"), "/no/such does not run"),
        (("--only", "nonsense"), "there is no fact 'nonsense'"),
        (("--sdk", "0.0.0.1"), "claude-agent-sdk 0.0.0.1 cannot be had"),
    ):
        done = command(*words)
        assert done.returncode == 2 and told in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def _copy(folder: Path) -> Path:
    file = folder / "expected.json"
    file.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    return file
