"""The Grafana board and the alert rules: they parse, ask for what there is, and fire when they should."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from monitor import catalogue
from tests.monitor.running import PATIENCE, Running
from tests.server import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "monitor" / "grafana"
ALERTS = FOLDER / "alerts.yml"
TESTS = ROOT / "tests" / "monitor" / "alerts_test.yml"
BOARD: dict[str, Any] = json.loads((FOLDER / "coord.json").read_text(encoding="utf-8"))
#: Labels that Prometheus itself adds; metrics of its own, and of every process.
TARGET = {"job", "instance"}
USUAL = {"process_resident_memory_bytes", "process_cpu_seconds_total", "up", "ALERTS"}


def promtool(*argv: object) -> str:
    done = subprocess.run(["promtool", *map(str, argv)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def panels() -> list[dict[str, Any]]:
    return list(BOARD["panels"])


def board_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def alert_expressions() -> dict[str, str]:
    """Each alert's expression, by its name."""
    text = ALERTS.read_text(encoding="utf-8")
    found = re.findall(r"- alert: (\w+)\n +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", text)
    assert len(found) == text.count("- alert:")
    return {name: " ".join((block or line).split()) for name, block, line in found}


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that it is asked for."""
    for name, labels in re.findall(r"\b([a-zA-Z]\w*(?:_\w+)+|up|ALERTS)\b(?:\{([^}]*)\})?", expression):
        if name.startswith(("coord_", "process_")) or name in USUAL:
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))


def known(name: str) -> tuple[str, set[str]]:
    """A metric of the catalogue and its labels; a histogram's series are the histogram's."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and base in catalogue.METRICS and catalogue.METRICS[base].kind == "histogram":
            return base, {*catalogue.METRICS[base].labels, *(("le",) if suffix == "_bucket" else ())}
    return name, set(catalogue.METRICS[name].labels)


@pytest.mark.parametrize("where", ["board", "alerts"])
def test_every_metric_and_label_that_is_asked_for_exists(where: str) -> None:
    expressions = board_expressions() if where == "board" else list(alert_expressions().values())
    asked: set[str] = set()
    for expression in expressions:
        found = list(selectors(expression))
        assert found, expression
        for name, labels in found:
            if name not in USUAL:
                base, there = known(name)
                assert labels <= there | TARGET, (name, labels, expression)
                assert catalogue.METRICS[base].kind != "counter" or re.search(
                    rf"(?:rate|increase)\({name}", expression
                ), f"{name} is a counter: {expression}"
                asked.add(base)
    if where == "board":
        assert asked == catalogue.METRICS.keys() - {"coord_build_info"}, "the board shows every metric"


def test_every_expression_of_the_board_parses(tmp_path: Path) -> None:
    rules = []
    for number, expression in enumerate(board_expressions()):
        for name, text in {
            "$__rate_interval": "5m", "$__range": "6h", "$job": "coord", "$instance": "m", "$queue": ".*",
        }.items():  # fmt: skip
            expression = expression.replace(name, text)
        assert "$" not in expression, expression
        rules.append({"record": f"board:{number}", "expr": expression})
    file = tmp_path / "board.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))  # (JSON is YAML, too)
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", file)


def test_the_board_is_laid_out_well() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    titles = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert titles == ["Overview", "Queues", "Workers and sessions", "Latency", "Cost", "Health"]
    taken: Counter[tuple[int, int]] = Counter()
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0, panel["title"]
        taken.update(
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        )
    assert max(taken.values()) == 1, "no panel lies over another"
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "and there is no hole between them"
    variables = {each["name"] for each in BOARD["templating"]["list"]}
    assert variables == {"datasource", "job", "instance", "queue"}
    assert {panel["type"] for panel in panels()} <= {
        "row", "stat", "timeseries", "heatmap", "table", "state-timeline",
    }  # fmt: skip
    for panel in panels():
        if panel["type"] != "row":
            assert panel["title"] and panel["description"] and panel["targets"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "heatmap", panel["title"]
            refs = [target["refId"] for target in panel["targets"]]
            assert refs == list("ABCDEFGH"[: len(refs)])
    assert BOARD["id"] is None and BOARD["schemaVersion"] >= 36, "as one imports it"


def test_the_alert_rules_are_right() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", FOLDER / "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_each_alert_is_tested_both_ways_and_has_its_runbook() -> None:
    tested = TESTS.read_text(encoding="utf-8")
    page = (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8")
    text = ALERTS.read_text(encoding="utf-8")
    for name in alert_expressions():
        for outcome in ("fires", "is silent"):
            assert f"name: {name} {outcome}\n" in tested, f"{name}: nothing shows when it {outcome}"
        assert f"\n#### {name}\n" in page, f"docs/monitor.md says nothing of {name}"
        assert f"runbook: docs/monitor.md#{name.lower()}\n" in text
    for name in re.findall(r"^#### (Coord\w+)$", page, re.MULTILINE):
        assert name in alert_expressions(), f"docs/monitor.md tells of {name}, which is none"


def test_a_real_prometheus_scrapes_the_monitor_and_fires_an_alert(
    start: Callable[..., Running], conn: redis.Redis, tmp_path: Path
) -> None:
    """No coordinator acts: that alert fires, and others do not."""
    monitor = start()
    monitor.hook("UserPromptSubmit")
    at_once = re.sub(r"for: \d+[smh]", "for: 0s", ALERTS.read_text())
    (tmp_path / "alerts.yml").write_text(at_once)
    example = (FOLDER / "prometheus.yml").read_text().replace("127.0.0.1:5050", f"127.0.0.1:{monitor.port}")
    example = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \d+s", r"\1: 1s", example)
    (tmp_path / "prometheus.yml").write_text(example)
    port = free_port()

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    with (tmp_path / "prometheus.log").open("w") as log:
        server = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}",
             f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        firing: set[str] = set()
        end = time.monotonic() + 2 * PATIENCE
        while "CoordNoLeader" not in firing:
            assert time.monotonic() < end, (tmp_path / "prometheus.log").read_text()[-2000:]
            assert server.poll() is None, (tmp_path / "prometheus.log").read_text()[-2000:]
            with contextlib.suppress(OSError):  # it begins
                firing = {each["labels"]["alertname"] for each in ask("alerts")["alerts"]
                          if each["state"] == "firing"}  # fmt: skip
            time.sleep(0.1)
        assert not firing & {"CoordRedisDown", "CoordHooksSilent", "CoordIdleRequests"}, firing
        query = "query?query=coord_sessions%7Bstate%3D%22working%22%2Ckind%3D%22other%22%7D"
        (found,) = ask(query)["result"]
        assert found["value"][1] == "1" and found["metric"]["job"] == "coord"
        (target,) = ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
    finally:
        server.kill()
        server.wait()
