"""GET /metrics: what it says of a known story, its form, and what it costs."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from monitor import catalogue, metrics
from monitor.census import Labels, clean
from pool import keys, model, usage
from pool.claim import Caller, Claim
from pool.errors import StaleClaim
from pool.scripts import Pool
from pool.sessions import Session, State
from pool.settings import Settings
from tests.monitor.running import Running
from tests.server import Server

ROOT = Path(__file__).resolve().parent.parent.parent
Submit = Callable[..., str]
Register = Callable[..., Caller]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def known(*sessions: Session) -> metrics.Sources:
    """Sessions that a test makes up."""
    return metrics.Sources(
        lambda: sessions, lambda: 3, lambda: max((each.hooks_at for each in sessions), default=0.0)
    )


def scraped(settings: Settings, *sessions: Session) -> str:
    return generate_latest(metrics.registry(settings, known(*sessions))).decode()


def samples(text: str) -> Samples:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in plain(text)
        for each in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def claimed(pool: Pool, me: Caller) -> Claim:
    handed = pool.claim(me).handed
    assert handed is not None
    return handed.claim


@pytest.fixture
def story(pool: Pool, submit: Submit, register: Register, settings: Settings, conn: redis.Redis) -> Caller:
    """Tasks of queue `a` in every state, refused and lost claims, and what it cost."""
    me, other = register("w1", ("a",)), register("w2", ("b",))
    for n in range(6):
        submit(id=f"a{n}", queue="a", priority=("high", "normal", "low")[n % 3])
    pool.complete(me, claimed(pool, me), "1")
    pool.fail(me, claimed(pool, me), "no", retry=False)
    pool.release(me, claimed(pool, me), "later", delay=60.0)
    pool.cancel("a4", "why not")
    submit(id="b0", queue="b")
    late = claimed(pool, other)
    pool.deregister(other, died=True, why="killed")
    with pytest.raises(StaleClaim):
        pool.complete(other, late, "1")
    rows = [usage.Used("", "opus", 2, 10, 5, 100, 20, 1_500_000_000).row()]
    pool.charge(me, "s", 1, rows, settings.model_dump())
    conn.set("pool:leader", "x")
    return me


def test_a_known_story(story: Caller, settings: Settings) -> None:
    now = time.time()
    asks = Session("s-1", State.NEEDS_YOU, since=now - 30, hooks_at=now - 5, worker="w1")
    found = samples(scraped(settings, asks, Session("s-2", State.WORKING, hooks_at=now - 100)))
    for name, number in {
        "submitted": 6, "failed": 1, "canceled": 1, "completed": 1, "poisoned": 0,
    }.items():  # fmt: skip
        assert value(found, f"coord_tasks_{name}_total", queue="a") == number, name
    assert value(found, "coord_claims_total", queue="a") == 3
    assert value(found, "coord_claims_released_total", queue="a") == 1
    assert value(found, "coord_claims_lost_total", queue="b") == 1
    assert value(found, "coord_commits_refused_total", queue="b") == 1
    for queue, priority, state, number in (
        ("a", "high", "queued", 0), ("a", "low", "queued", 2), ("a", "normal", "scheduled", 1),
        ("a", "high", "failed", 1), ("b", "normal", "queued", 1), ("b", "normal", "started", 0),
    ):  # fmt: skip
        labels = {"queue": queue, "priority": priority, "state": state}
        assert value(found, "coord_queue_tasks", **labels) == number, labels
    assert value(found, "coord_workers", state="dead") == 1
    assert value(found, "coord_worker_deaths_total") == 1
    assert value(found, "coord_worker_registrations_total") == 2
    assert value(found, "coord_coordinator_leader") == 1 and value(found, "coord_redis_up") == 1
    of_model = {"account": "default", "model": "opus", "kind": "overhead"}
    assert value(found, "coord_model_requests_total", **of_model) == 2
    assert value(found, "coord_model_tokens_total", type="cache_read", **of_model) == 100
    assert value(found, "coord_model_cost_usd_total", **of_model) == 1.5
    assert value(found, "coord_cost_today_usd", account="default") == 1.5
    assert value(found, "coord_idle_requests_total") == 0
    assert value(found, "coord_sessions", state="needs-you", kind="worker") == 1
    assert 25 < value(found, "coord_sessions_needs_you_oldest_seconds") < 60
    assert value(found, "coord_monitor_last_hook_timestamp_seconds") == pytest.approx(now - 5)
    assert value(found, "coord_monitor_stream_clients") == 3


def test_histograms_are_cumulative_and_their_sums_exact(settings: Settings, conn: redis.Redis) -> None:
    conn.sadd(keys.templates()["queues"], keys.key("queue", "h"))
    conn.hset("pool:stats:h", mapping={"w0": 2, "w1": 1, "w40": 3, "w119": 1, "w": 123456})
    found = samples(scraped(settings))
    of = {
        dict(labels)["le"]: number
        for (name, labels), number in found.items()
        if name == "coord_task_wait_seconds_bucket" and dict(labels)["queue"] == "h"
    }
    bounds = sorted((math.inf if le == "+Inf" else float(le), number) for le, number in of.items())
    assert [number for _, number in bounds] == [2] + [3] * 9 + [6] * 14 + [7]
    assert bounds[0][0] == 0.01 and bounds[10][0] == pytest.approx(10.24)
    assert value(found, "coord_task_wait_seconds_count", queue="h") == 7
    assert value(found, "coord_task_wait_seconds_sum", queue="h") == 123.456
    assert value(found, "coord_task_run_seconds_count", queue="h") == 0


def test_promtool_has_nothing_against_it(story: Caller, settings: Settings) -> None:
    text = scraped(settings, Session("s-1", hooks_at=1.0))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_is_in_the_catalogue_and_the_other_way_round(
    story: Caller, settings: Settings, pool: Pool
) -> None:
    pool.account("park", "default", "+60", "quota", "operator")
    text = scraped(settings, Session("s-1", hooks_at=1.0))
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in plain(text)
        if family.name.startswith("coord_")
    }
    assert found.keys() == catalogue.METRICS.keys()
    for name, entry in catalogue.METRICS.items():
        assert found[name].type == entry.kind and found[name].documentation == entry.help
        assert found[name].samples, f"{name} has no value in a pool that has everything"
        for each in found[name].samples:
            assert each.labels.keys() - {"le"} == set(entry.labels), name


def test_the_page_of_documents_has_the_same_table() -> None:
    page = (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(coord_\w+)` \| (\w+) \| ([\w, ]*) \| (.+) \|$", page, re.MULTILINE)
    assert [tuple(row) for row in rows] == [
        (name, entry.kind, ", ".join(entry.labels), entry.help) for name, entry in catalogue.METRICS.items()
    ]


def test_the_service_answers_in_the_form_that_is_asked_for(
    story: Caller, start: Callable[..., Running]
) -> None:
    monitor = start()
    monitor.hook("UserPromptSubmit", session="a-session")
    with_client = monitor.stream()
    status, usual, headers = monitor.request("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=")
    found = samples(usual.decode())
    assert value(found, "coord_monitor_hook_events_total") == 1
    assert value(found, "coord_sessions", state="working", kind="other") == 1
    assert value(found, "coord_monitor_stream_clients") == 1
    assert ("process_start_time_seconds", ()) in found
    with_client.close()
    accept = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"
    _, modern, headers = monitor.request("GET", "/metrics", headers={"Accept": accept})
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in open_metrics(modern.decode())}  # type: ignore[no-untyped-call]
    assert {"coord_claims", "coord_task_wait_seconds", "coord_redis_up"} <= names
    monitor.kill()
    again = start()
    _, text, _ = again.request("GET", "/metrics")
    assert value(samples(text.decode()), "coord_monitor_hook_events_total") == 1, "a restart resets nothing"


def test_labels_are_bounded_and_a_label_stays(
    settings: Settings, conn: redis.Redis, pool: Pool, register: Register
) -> None:
    def queue(name: str, submitted: int) -> None:
        conn.sadd(keys.templates()["queues"], keys.key("queue", name))
        conn.hset(f"pool:stats:{name}", "submitted", submitted)

    for n in range(8):
        queue(f"q{n}", 10)
    few = settings.model_copy(update={"monitor_label_limit": 3})
    registry = metrics.registry(few, known())

    def counted() -> dict[str, float]:
        found = samples(generate_latest(registry).decode())
        return {
            dict(labels)["queue"]: n
            for (name, labels), n in found.items()
            if name == "coord_tasks_submitted_total"
        }

    assert counted() == {"q0": 10, "q1": 10, "q2": 10, "other": 50}
    queue("a-new-one", 7)  # it is before them by name, and takes no label away
    assert counted() == {"q0": 10, "q1": 10, "q2": 10, "other": 57}
    me = register("w1")
    rows = [usage.Used("", f"m{n}", 1, 1, 1, 0, 0, 0).row() for n in range(9)]
    pool.charge(me, "s", 1, rows, settings.model_dump())
    found = samples(generate_latest(registry).decode())
    models = {dict(labels)["model"] for name, labels in found if name == "coord_model_requests_total"}
    assert models == {"m0", "m1", "m2", "other"}


def test_labels_are_cleaned_and_stay_apart() -> None:
    assert clean('a"b\n\x1b[31m\u202e' + "x" * 200) == 'a"b [31m ' + "x" * 70 + "…"
    assert clean(" \n ") == "unknown"
    assert Labels(9).of(["a\nb", "a b", "c"]) == {"a\nb": "a b", "a b": "other", "c": "c"}


def test_nothing_that_people_wrote_is_shown(
    story: Caller, settings: Settings, submit: Submit, pool: Pool
) -> None:
    submit("SECRET prompt", id="p", title="SECRET title", cwd="/SECRET/folder", queue="a")
    pool.beat(story, claimed(pool, story), "SECRET progress")
    said = Session(
        "s-SECRET", State.NEEDS_YOU, since=1.0, title="SECRET", needs="SECRET", cwd="/SECRET", tool="SECRET",
        evidence="SECRET", transcript="/SECRET", host="SECRET",
    )  # fmt: skip
    assert "SECRET" not in scraped(settings, said)


def test_the_age_is_that_of_the_oldest_though_another_was_put_before_it(
    settings: Settings, conn: redis.Redis, submit: Submit, pool: Pool, register: Register
) -> None:
    submit(id="back")
    me = register()
    claimed(pool, me)
    submit(id="old")
    conn.hset(keys.key("job", "old"), "enqueued_at", model.utc(time.time() - 500) or "")
    pool.deregister(me, died=True, why="killed")  # `back` is put in front, and waits since now
    found = samples(scraped(settings))
    assert 490 < value(found, "coord_queue_oldest_age_seconds", queue="tasks", priority="normal") < 560
    assert value(found, "coord_queue_oldest_age_seconds", queue="tasks", priority="high") == 0


def test_redis_away_is_said_and_all_else_is_left_out(own_server: Server, settings: Settings) -> None:
    there = settings.model_copy(update={"redis_url": own_server.url})
    registry = metrics.registry(there, known(Session("s")))
    assert value(samples(generate_latest(registry).decode()), "coord_redis_up") == 1
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)  # it takes connections and answers nothing
    try:
        began = time.monotonic()
        found = samples(generate_latest(registry).decode())
        assert time.monotonic() - began < 8, "before Prometheus gives up"
    finally:
        own_server.process.send_signal(signal.SIGCONT)
    assert value(found, "coord_redis_up") == 0
    assert {name for name, _ in found if name.startswith("coord_")} == {
        "coord_redis_up", "coord_build_info", "coord_monitor_stream_clients", "coord_scrape_duration_seconds",
    }  # fmt: skip
    assert value(samples(generate_latest(registry).decode()), "coord_redis_up") == 1


def test_a_scrape_costs_the_same_whatever_waits(
    settings: Settings, conn: redis.Redis, pool: Pool, submit: Submit, register: Register
) -> None:
    """10,000 sessions, 1,000 workers and 50,000 tasks that wait, in a queue of each priority."""
    submit(id="t")
    pipe = conn.pipeline(transaction=False)
    for n in range(1000):
        pipe.hset(f"pool:worker:w{n}", mapping={"state": "waiting", "epoch": 1})
        pipe.zadd("pool:workers", {f"w{n}": time.time() + 1000})
    pipe.execute()
    sessions = [
        replace(Session(f"s-{n}"), state=list(State)[n % 12], since=float(n), hooks_at=float(n))
        for n in range(10_000)
    ]
    registry = metrics.registry(settings, known(*sessions))

    def best() -> float:
        times = []
        for _ in range(10):
            began = time.thread_time()  # (what others do meanwhile is not counted)
            generate_latest(registry)
            times.append(time.thread_time() - began)
        return min(times)

    few = best()
    for first in range(0, 50_000, 10_000):
        conn.rpush(keys.key("queue", "tasks"), *(f"x{n}" for n in range(first, first + 10_000)))
    many = best()
    print(f"scrape: {few * 1000:.1f} ms, with 50,000 tasks {many * 1000:.1f} ms")
    assert many < 0.05 and many < 2 * few + 0.01
