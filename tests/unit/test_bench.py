"""The benchmark's own rules: what counts as missed, and that the page says what was measured."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from bench import charts, goals, report, stats
from bench.peers import catalogue


@pytest.fixture
def latest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report.LATEST.read_text(encoding="utf-8"))
    found["goals"] = goals.judge(found["parts"])
    return found


def test_the_page_and_its_pictures_are_made_from_the_json(latest: dict[str, Any]) -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.page(latest), "run python -m bench.report"
    for name, text in charts.draw(latest["parts"]).items():
        assert (report.PICTURES / name).read_text(encoding="utf-8") == text, "run python -m bench.report"


def test_a_miss_is_a_miss(latest: dict[str, Any]) -> None:
    parts = copy.deepcopy(latest["parts"])
    for program in parts["a"]["programs"]:
        program["median"] = 10.0 if program["name"] == "bare" else 30.1
    parts["c"]["death_s"]["high"] = 2.5
    judged = {goal["name"]: goal for goal in goals.judge(parts)}
    assert not judged["hook"]["met"]
    assert not judged["claim"]["met"]
    assert not judged["death"]["met"]
    text = report.page({**latest, "parts": parts, "goals": list(judged.values())})
    assert "| MISSED |" in text
    assert "* **Missed**: death to claimable again, the slowest (2.50 s)." in text


def test_a_part_that_was_not_measured_is_said_to_be_missing(latest: dict[str, Any]) -> None:
    parts = {"c": latest["parts"]["c"]}
    assert "Not measured in this run." in report.page({**latest, "parts": parts, "goals": goals.judge(parts)})
    assert [goal["part"] for goal in goals.judge(parts)] == ["c", "c", "c"]


def test_the_99th_percentile_is_a_value_that_was_seen() -> None:
    found = stats.summary([float(value) for value in range(1, 301)])
    assert found["p99"] == 297.0
    assert found["median"] == 150.5
    assert stats.summary([7.0])["p99"] == 7.0


def test_peers_are_told_apart() -> None:
    names = [peer.name for peer in catalogue.PEERS]
    assert len(set(names)) == len(names)
    assert set(names) >= catalogue.OURS
    for peer in catalogue.PEERS:
        assert bool(peer.environment) == bool(peer.requirements) == (peer.name not in catalogue.OURS)
