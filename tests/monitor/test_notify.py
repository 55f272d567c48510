"""Notifications: once, whoever looks; not lost; not too many; nothing in them that does not belong there."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from monitor import channels, notify
from monitor.message import Writer
from monitor.redact import Redactor
from pool.claim import Caller
from pool.errors import SettingsError
from pool.scripts import Pool
from pool.sessions import Session, State
from pool.settings import Settings
from tests.monitor.receiver import PATIENCE, Answer, Desktop, Receiver
from tests.monitor.running import Running
from tests.redis.coord import Coord
from tests.server import free_port

Submit = Callable[..., str]
Register = Callable[..., Caller]


class World:
    """Sessions, notifiers that look at them, and what they log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sessions: dict[str, Session] = {}
        self.lines: list[str] = []
        self.running: list[notify.Notifier] = []

    def start(self, **given: Any) -> notify.Notifier:
        settings = self.settings.model_copy(update={"monitor_notify_after": 0.0, **given})
        made = notify.Notifier(settings, lambda: list(self.sessions.values()), self.lines.append)
        made.start()
        self.running.append(made)
        return made

    def asks(self, name: str, since: float | None = None, **given: Any) -> None:
        self.sessions[name] = Session(
            name, State.NEEDS_YOU, since=time.time() if since is None else since, **given
        )

    def until(self, check: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not check():
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)

    def close(self) -> None:
        for each in self.running:
            each.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and tries without long pauses; no proxy of the machine's."""
    monkeypatch.setattr(notify, "LOOK", 0.05)
    monkeypatch.setattr(notify, "LONGEST", 0.1)
    monkeypatch.setattr(channels, "TIMEOUT", 1.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def world(settings: Settings, conn: redis.Redis) -> Iterator[World]:
    made = World(settings)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def run(*answers: Answer, port: int = 0) -> Receiver:
        made.append(Receiver(*answers, port=port))
        return made[-1]

    yield run
    for each in made:
        each.close()


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    made = Desktop(tmp_path / "desktop")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made


def fail(pool: Pool, me: Caller, why: str) -> None:
    handed = pool.claim(me).handed
    assert handed is not None
    pool.fail(me, handed.claim, why, retry=False)


def totals(conn: redis.Redis) -> dict[str, int]:
    raw: Any = conn.hgetall("pool:totals")
    return {k.decode(): int(v) for k, v in raw.items() if k.startswith(b"notified")}


# -- when ----------------------------------------------------------------------------------------------


def test_a_session_that_waits_is_told_of_once_each_time(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis
) -> None:
    hook = receiver()
    web = {"monitor_notify": ["webhook"], "monitor_notify_webhook": hook.url}
    world.asks("w1", worker="w1", task="t", title="Fix the cache", needs="permission: Bash rm -r build")
    world.start(**web)
    headers, said = hook.next()
    assert said["kind"] == "needs-you" and said["title"] == "Fix the cache waits for you"
    assert said["text"].startswith("Fix the cache waits for you\npermission: Bash rm -r build\nt · w1\nhttp")
    assert said["url"].endswith("/sessions/w1") and headers["idempotency-key"] == said["id"]
    (item,) = said["items"]
    assert (item["task"], item["session"], item["asks"]) == ("t", "w1", "permission: Bash rm -r build")
    assert hook.none(0.5), "the same occasion again"
    world.sessions["w1"] = Session("w1", State.WORKING)
    world.asks("w1", since=time.time() + 0.001)
    assert hook.next()[1]["id"] != said["id"], "it asks anew"
    world.until(lambda: totals(conn) == {"notified webhook sent": 2})


def test_a_session_that_waits_for_a_moment_only_is_not_told_of(
    world: World, receiver: Callable[..., Receiver]
) -> None:
    hook = receiver()
    world.asks("brief")
    world.asks("long", since=time.time() - 3600)
    world.asks("ancient", since=time.time() - 2 * notify.HISTORY)
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url, monitor_notify_after=60.0)
    assert hook.next()[1]["items"][0]["session"] == "long"
    assert hook.none(0.3)


def test_a_task_that_fails_for_good_is_told_of_and_what_failed_before_is_not(
    world: World, receiver: Callable[..., Receiver], pool: Pool, submit: Submit, register: Register
) -> None:
    hook, me = receiver(), register()
    submit("the prompt", id="before")
    fail(pool, me, "long ago")
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    world.until(lambda: pool.connection.execute_command("HGET", "pool:notify", "webhook"))
    submit("PROMPT of the task", id="again", title="Again", retries=1)
    handed = pool.claim(me).handed
    assert handed is not None
    pool.fail(me, handed.claim, "the first attempt")  # is tried again: nobody needs to know
    submit("PROMPT of the task", id="bad", title="Build it", priority="high")
    fail(pool, me, "exit code 2")
    _, said = hook.next()
    assert (said["kind"], said["title"]) == ("failed", "Build it failed for good")
    assert said["items"][0]["asks"] == "exit code 2" and said["url"].endswith("/tasks/bad")
    assert "PROMPT" not in json.dumps(said)
    fail(pool, me, "the second attempt")
    assert hook.next()[1]["items"][0]["task"] == "again"


def test_of_a_job_of_another_program_only_the_id_goes_out(
    world: World, receiver: Callable[..., Receiver], pool: Pool, register: Register, conn: redis.Redis
) -> None:
    hook, me = receiver(), register()
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    world.until(lambda: conn.hlen("pool:notify"))
    job = Queue("tasks", connection=conn, serializer=JSONSerializer).enqueue("theirs.send", "PRIVATE")
    assert pool.claim(me).handed is None  # it looked at the job, and put it among the dead letters
    _, said = hook.next()
    assert said["items"][0]["task"] == job.id and said["title"] == f"{job.id} failed for good"
    assert "PRIVATE" not in json.dumps(said)


# -- not lost, and once ----------------------------------------------------------------------------------


def test_what_failed_while_no_monitor_ran_is_told_of_afterwards_and_what_was_told_is_not(
    world: World, receiver: Callable[..., Receiver], pool: Pool, submit: Submit, register: Register
) -> None:
    hook, me = receiver(), register()
    web = {"monitor_notify": ["webhook"], "monitor_notify_webhook": hook.url}
    first = world.start(**web)
    world.asks("s")
    assert hook.next()[1]["kind"] == "needs-you"
    first.stop()
    submit(id="meanwhile")
    fail(pool, me, "no")
    world.start(**web)
    assert hook.next()[1]["items"][0]["task"] == "meanwhile"
    assert hook.none(0.5)


def test_what_a_killed_monitor_had_taken_is_sent_by_another(
    world: World, receiver: Callable[..., Receiver], pool: Pool, conn: redis.Redis
) -> None:
    pool.notice("webhook", 60, 10, [("asks-x", json.dumps({"kind": "needs-you", "session": "x"}))])
    assert pool.deliver("webhook", 6, 0.3, 10) is not None  # ... and died
    hook = receiver()
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    assert hook.next()[0]["idempotency-key"] == "asks-x"
    world.until(lambda: not conn.exists("pool:notices:webhook"))


def test_who_has_lost_a_notification_settles_nothing(pool: Pool, conn: redis.Redis) -> None:
    pool.notice("webhook", 60, 10, [("a", "{}")])
    first = pool.deliver("webhook", 6, 0.0, 10)
    second = pool.deliver("webhook", 6, 60.0, 10)
    assert first is not None and second is not None and (first[0], first[1] + 1) == (second[0], second[1])
    assert pool.delivered("webhook", "a", first[1], "sent") is False
    assert conn.zcard("pool:notices:webhook") == 1
    assert pool.delivered("webhook", "a", second[1], "sent") is True
    assert pool.delivered("webhook", "a", second[1], "sent") is False
    assert totals(conn) == {"notified webhook sent": 1}


def test_two_monitors_tell_each_thing_once(
    world: World, receiver: Callable[..., Receiver], desktop: Desktop, pool: Pool, submit: Submit,
    register: Register, conn: redis.Redis,
) -> None:  # fmt: skip
    hook, me = receiver(), register()
    both = {"monitor_notify": ["webhook", "desktop"], "monitor_notify_webhook": hook.url,
            "monitor_notify_rate": 100}  # fmt: skip
    world.start(**both)
    world.start(**both)
    world.until(lambda: conn.hlen("pool:notify") == 2)
    for n in range(8):
        submit(id=f"t{n}")
        fail(pool, me, "no")
        world.asks(f"s{n}")
    world.until(lambda: totals(conn) == {"notified webhook sent": 16, "notified desktop sent": 16})
    assert len(hook.got) == 16 and len({headers["idempotency-key"] for _, headers, _ in hook.got}) == 16
    assert len(desktop.calls()) == 16


def test_the_service_tells_also_of_what_happened_while_it_was_away(
    start: Callable[..., Running], receiver: Callable[..., Receiver], pool: Pool, submit: Submit,
    register: Register, conn: redis.Redis,
) -> None:  # fmt: skip
    hook, me = receiver(), register()
    web = {"COORD_MONITOR_NOTIFY": "webhook", "COORD_MONITOR_NOTIFY_WEBHOOK": hook.url,
           "COORD_MONITOR_NOTIFY_AFTER": "0.2s"}  # fmt: skip
    monitor = start(**web)
    monitor.hook("UserPromptSubmit", prompt="PROMPT")
    name = monitor.hook("Notification", notification_type="permission_prompt", message="Claude needs Bash")
    _, said = hook.next()
    assert said["items"][0]["session"] == name["agent_id"] and "Claude needs Bash" in said["text"]
    assert said["url"] == f"{monitor.url}/sessions/{name['agent_id']}" and "PROMPT" not in json.dumps(said)
    monitor.kill()
    submit(id="meanwhile", title="Meanwhile")
    fail(pool, me, "no")
    start(**web)
    assert hook.next()[1]["title"] == "Meanwhile failed for good"
    assert hook.none(1.5), "the session that waits still was told of before"


# -- the webhook -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [Answer(500), Answer(429, {"Retry-After": "1"}), Answer(after=3.0), Answer(drip=True), Answer(404)],
    ids=["500", "429", "slow", "drips", "404"],
)
def test_what_does_not_go_out_is_tried_again_with_the_same_key(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis, trouble: Answer
) -> None:
    hook = receiver(trouble, Answer())
    world.asks("s")
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    first, again = hook.next(), hook.next()
    assert first[0]["idempotency-key"] == again[0]["idempotency-key"] and first[1] == again[1]
    world.until(lambda: totals(conn) == {"notified webhook sent": 1})
    assert len(world.lines) == 1 and "tried again: 127.0.0.1" in world.lines[0]
    assert "SECRETPATH" not in "".join(world.lines)


def test_a_receiver_that_was_away_gets_it_when_it_is_back(
    world: World, receiver: Callable[..., Receiver]
) -> None:
    port = free_port()
    world.asks("s")
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=f"http://127.0.0.1:{port}/x")
    world.until(lambda: world.lines)
    assert "127.0.0.1 cannot be reached: Connection refused" in world.lines[0]
    assert receiver(port=port).next()[1]["kind"] == "needs-you"


def test_after_enough_tries_it_is_given_up_and_said(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(notify.TRIES, "webhook", 3)
    hook = receiver(Answer(503))
    world.asks("s")
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    world.until(lambda: totals(conn) == {"notified webhook failed": 1})
    assert len(hook.got) == 3 and "given up after 3 tries: 127.0.0.1 answered 503" in world.lines[-1]
    assert not conn.keys("pool:notice:*") and not conn.exists("pool:notices:webhook")


def test_redirects_are_followed_on_the_same_host_only(
    receiver: Callable[..., Receiver], world: World
) -> None:
    elsewhere = receiver()
    here = receiver(
        Answer(307, {"Location": "/moved"}), Answer(200), Answer(308, {"Location": elsewhere.url}),
        Answer(302, {"Location": "/x"}), Answer(307, {"Location": "/loop"}),
    )  # fmt: skip
    settings = world.settings.model_copy(update={"monitor_notify_webhook": here.url})
    send, message = channels.Webhook(settings), notify.writer(settings).message("k", [{"kind": "test"}])
    assert send(message) == "127.0.0.1 answered 200"
    assert here.got[1][0] == "/moved" and here.got[1][2] == here.got[0][2]
    for _ in range(2):
        with pytest.raises(channels.Undelivered, match="redirects to elsewhere are not followed"):
            send(message)
    with pytest.raises(channels.Undelivered):
        send(message)
    assert elsewhere.got == []


def test_a_post_is_signed_with_the_secret(
    receiver: Callable[..., Receiver], world: World, tmp_path: Path
) -> None:
    hook = receiver()
    (tmp_path / "url").write_text(f"{hook.url}\n")
    (tmp_path / "secret").write_text("shared secret\n")
    given = {"monitor_notify_webhook_file": str(tmp_path / "url"),
             "monitor_notify_secret_file": str(tmp_path / "secret")}  # fmt: skip
    settings = world.settings.model_copy(update=given)
    channels.Webhook(settings)(notify.writer(settings).message("k", [{"kind": "test"}]))
    _, headers, body = hook.got[0]
    moment, mac = (part.partition("=")[2] for part in headers["coord-signature"].split(","))
    made = hmac.new(b"shared secret", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(mac, made) and abs(time.time() - int(moment)) < 60


@pytest.mark.parametrize(
    "url", ["", "ftp://h/x", "file:///etc/passwd", "https://", "http://u:pw@h/x", "http://h/ x", "http://[x/"]
)
def test_a_webhook_that_is_none_is_said_in_a_line_without_it(settings: Settings, url: str) -> None:
    given = {"monitor_notify": ["webhook"], "monitor_notify_webhook": url}
    with pytest.raises(SettingsError) as error:
        notify.Notifier(settings.model_copy(update=given), list, print)
    assert "monitor_notify_webhook" in str(error.value) and (not url or url not in str(error.value))


# -- the desktop, and the pages ------------------------------------------------------------------------------


def test_the_desktop_gets_arguments_and_never_a_command(world: World, desktop: Desktop) -> None:
    world.asks(
        "s", title='--help $(touch x) `id` "; rm <b>big</b>', needs="\x1b[31m<a href='x'>&amp;" + "y" * 900
    )
    world.start(monitor_notify=["desktop"])
    (call,) = desktop.wait(1)
    assert call[:4] == ["--urgency=critical", "--app-name=coord", "--category=im.received", "--"]
    title, text = call[4:]
    assert title == '--help $(touch x) `id` "; rm <b>big</b> waits for you'
    assert text.startswith("[31m&lt;a href='x'&gt;&amp;amp;yyy") and len(text) < 500 and "/sessions/s" in text
    assert "\x1b" not in title + text


def test_a_machine_without_a_desktop_says_so_once_and_keeps_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conn: redis.Redis
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    world.asks("s")
    world.start(monitor_notify=["desktop", "browser"])
    world.until(lambda: totals(conn) == {"notified browser sent": 1})
    assert len(world.lines) == 1 and "no notify-send" in world.lines[0]
    assert not conn.exists("pool:notices:desktop")


def test_a_desktop_that_fails_is_given_up_soon(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conn: redis.Redis
) -> None:
    monkeypatch.setenv("PATH", f"{Desktop(tmp_path / 'broken', code=1).folder}:/bin:/usr/bin")
    world.asks("s")
    world.start(monitor_notify=["desktop"])
    world.until(lambda: totals(conn) == {"notified desktop failed": 1})
    assert "notify-send ended with 1: no desktop" in world.lines[-1]


def test_osascript_gets_the_texts_as_its_arguments(settings: Settings) -> None:
    made = notify.writer(settings).message(
        "k", [{"kind": "failed", "task": "t", "title": '" & do shell script "x'}]
    )
    call = channels.arguments("/usr/bin/osascript", made)
    script = [text for flag, text in itertools.pairwise(call) if flag == "-e"]
    assert script == list(channels._SCRIPT) and call[-2] == '" & do shell script "x failed for good'


def test_pages_are_told_by_an_event(world: World, conn: redis.Redis) -> None:
    world.asks("s", title="<script>alert(1)</script>", needs="a question")
    world.start(monitor_notify=["browser"])
    world.until(lambda: totals(conn) == {"notified browser sent": 1})
    entries: Any = conn.xrevrange("pool:events", count=20)
    (detail,) = [fields[b"detail"] for _, fields in entries if fields[b"type"] == b"notify"]
    said = json.loads(detail)
    assert said["title"] == "<script>alert(1)</script> waits for you" and said["text"].startswith(
        "a question"
    )
    assert (
        said["kind"] == "needs-you"
        and said["url"].endswith("/sessions/s")
        and said["id"].startswith("asks-s-")
    )


# -- not too many ----------------------------------------------------------------------------------------


def test_never_more_than_so_many_a_minute_and_the_rest_in_one(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis, pool: Pool
) -> None:
    hook = receiver()
    for n in range(40):
        world.asks(f"s{n:02d}", title=f"Task {n:02d}", needs="a question")
    web = {"monitor_notify": ["webhook"], "monitor_notify_webhook": hook.url, "monitor_notify_rate": 2}
    world.start(**web)
    _, said = hook.next()
    assert said["title"] == "40 sessions wait for you" and len(said["items"]) == 40
    assert said["text"].count("\n") == 22 and "and 20 more" in said["text"]
    world.asks("more")
    assert hook.next()[1]["title"] == "more waits for you"
    world.until(lambda: totals(conn) == {"notified webhook sent": 2})
    for n in range(3):
        world.asks(f"late{n}")
    world.until(lambda: conn.zcard("pool:notices:webhook") == 3)
    assert hook.none(0.5), "a third one in this minute"
    begun: Any = conn.zrange("pool:notices:webhook:begun", 0, -1)
    conn.zadd("pool:notices:webhook:begun", dict.fromkeys(begun, time.time() - 59.9))  # a minute later
    assert hook.next()[1]["title"] in ("3 sessions wait for you", "late0 waits for you")


def test_what_is_over_is_not_told_any_more(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis
) -> None:
    hook = receiver()
    web = {"monitor_notify": ["webhook"], "monitor_notify_webhook": hook.url, "monitor_notify_rate": 1}
    world.asks("first")
    world.start(**web)
    hook.next()
    world.until(lambda: totals(conn) == {"notified webhook sent": 1})
    world.asks("second")
    world.until(lambda: conn.zcard("pool:notices:webhook") == 1)
    world.sessions["second"] = Session("second", State.WORKING)  # somebody has answered
    conn.delete("pool:notices:webhook:begun")
    world.until(lambda: not conn.exists("pool:notices:webhook"))
    assert hook.none(0.2) and totals(conn) == {"notified webhook sent": 1}


def test_what_waits_is_bounded(pool: Pool, conn: redis.Redis) -> None:
    for n in range(12):
        pool.notice("webhook", 60, 10, [(f"a{n}", "{}")])
    assert conn.zcard("pool:notices:webhook") == 10 and len(conn.keys("pool:notice:*")) == 10
    assert totals(conn) == {"notified webhook dropped": 2}


def test_redis_away_for_a_while_costs_nothing_but_the_while(
    world: World, receiver: Callable[..., Receiver], conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "AGAIN", 0.05)
    hook = receiver()
    world.start(monitor_notify=["webhook"], monitor_notify_webhook=hook.url)
    world.until(lambda: conn.hlen("pool:notify"))
    conn.set("pool:floor", 99)  # scripts are refused
    world.until(lambda: world.lines)
    world.asks("s")
    assert hook.none(0.3) and len(world.lines) == 1
    conn.delete("pool:floor")
    assert hook.next()[1]["items"][0]["session"] == "s"


# -- what is in them ---------------------------------------------------------------------------------------


def test_secrets_and_control_characters_do_not_go_out(settings: Settings) -> None:
    write = Writer(Redactor(settings, more=["hush-hush-42"]), "http://h:5050")
    item = {"kind": "needs-you", "session": "s/../x", "title": "\x1b]0;t\x07 <!channel> hush-hush-42",
            "asks": "curl -H 'Authorization: Bearer abcdefghijklmnop' " + "x" * 999,
            "at": "nan", "task": 7}  # fmt: skip
    message = write.message("k", [item])
    data = json.loads(channels.payload(message))
    assert "hush" not in str(data) and "abcdefghijklmnop" not in str(data) and "\x1b" not in data["text"]
    assert "<!channel>" not in data["text"] and "&lt;!channel&gt;" in data["text"]
    assert len(message.items[0]["asks"]) <= 200 and message.url == "http://h:5050/sessions/s%2F..%2Fx"
    assert message.items[0]["task"] == "" and message.items[0]["at"] is None


# -- coord notify ------------------------------------------------------------------------------------------


def test_coord_notify_sends_a_test_by_each_way_and_says_how_that_went(
    conn: redis.Redis, receiver: Callable[..., Receiver], desktop: Desktop, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    coord = Coord(tmp_path)
    monkeypatch.setenv("COORD_MONITOR_NOTIFY", "desktop,browser,webhook")
    hook = receiver(Answer(), Answer(500))
    monkeypatch.setenv("COORD_MONITOR_NOTIFY_WEBHOOK", hook.url)
    assert [(each["way"], each["sent"]) for each in coord.json("notify")] == [
        ("desktop", True), ("browser", True), ("webhook", True),
    ]  # fmt: skip
    assert hook.got and len(desktop.calls()) == 1 and conn.zcard("pool:notices:browser") == 1
    done = coord("notify", "--by", "webhook", code=1)
    assert "127.0.0.1 answered 500" in done.out and "SECRETPATH" not in done.out + done.err
    monkeypatch.setenv("COORD_MONITOR_NOTIFY_WEBHOOK", "")
    assert "set monitor_notify_webhook" in coord.refused("notify")
    monkeypatch.setenv("COORD_MONITOR_NOTIFY", "pigeon")
    assert "'pigeon' is not one of desktop, browser, webhook and none" in coord.refused("notify")
    monkeypatch.setenv("COORD_MONITOR_NOTIFY", "none")
    assert "no way is on" in coord.refused("notify")


def test_coord_settings_shows_no_secret(
    conn: redis.Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    coord = Coord(tmp_path)
    monkeypatch.setenv("COORD_MONITOR_NOTIFY_WEBHOOK", "https://hooks.example/T0/SECRETPATH")
    monkeypatch.setenv("COORD_MONITOR_NOTIFY_SECRET", "hush-hush")
    for argv in (("settings",), ("settings", "--json")):
        done = coord(*argv)
        assert "SECRETPATH" not in done.out and "hush-hush" not in done.out


def test_a_monitor_with_a_webhook_that_is_none_says_so_and_does_not_start(
    conn: redis.Redis, tmp_path: Path
) -> None:
    done = Coord(tmp_path).process("monitor", "--port", free_port(), COORD_MONITOR_NOTIFY="webhook")
    assert done.code == 2
    assert done.line().startswith("coord: monitor_notify names webhook: set monitor_notify_webhook")
