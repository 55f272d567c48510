"""Faults of Redis itself."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from coordinator.doctor import rights
from coordinator.doctor.patient import Patient
from pool import script_text
from pool import settings as settings_module
from tests.proxy import Proxy
from tests.redis.doctor.well import Well
from tests.redis.test_access import MONITOR_SCRIPTS
from tests.server import Server, free_port


def test_away(well: Well) -> None:
    well.server.kill()
    well.finds("redis.reach", seen="cannot be reached", remedy="start the one there")


def test_the_projects_own_has_ended(well: Well) -> None:
    well.monkeypatch.delenv("COORD_REDIS_URL")
    well.finds("redis.reach", "hooks.installed", remedy="coord up -d")


def test_an_imitation(well: Well) -> None:
    """`coord up` without a redis-server takes fakeredis: one warning says all that there is to say."""
    well.monkeypatch.delenv("COORD_REDIS_URL")
    programs = well.folder.parent / "programs"
    programs.mkdir()
    for name in ("sh", "python3"):
        (programs / name).symlink_to(shutil.which(name) or "")
    well.env(PATH=f"{well.client.parent}:{programs}", COORD_MONITOR_ENABLED="0")
    assert well.coord.process("up", "-d").code == 0
    try:
        well.coord("hooks", "install", "--worker")
        said = well.finds("redis.reach", seen="fakeredis", remedy="install redis-server")
        assert said.count("->") == 1
    finally:
        assert well.coord.process("down").code == 0


def test_a_server_that_accepts_and_never_answers(well: Well) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        well.env(COORD_REDIS_URL=f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        began = time.monotonic()
        well.finds("redis.reach", argv=("--only", "redis"), seen="cannot be reached")
        assert time.monotonic() - began < 60


def test_a_server_that_falls_silent(well: Well) -> None:
    """Each silence costs seconds: it is not asked for everything else, too."""
    proxy = Proxy(well.server.port)
    well.env(COORD_REDIS_URL=proxy.url)
    proxy.rewrite = lambda data: b"" if proxy.round_trips > 12 else data
    began = time.monotonic()
    found = well.findings("--no-fire", "--only", "redis", code=1)
    assert time.monotonic() - began < 60
    assert any("fell silent" in each["seen"] for each in found)
    proxy.close()


def replaced(pattern: bytes, make: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Rewrites what matches, to as many bytes."""

    def rewrite(data: bytes) -> bytes:
        def put(match: re.Match[bytes]) -> bytes:
            made = make(match[0])
            assert len(made) == len(match[0])
            return made

        return re.sub(pattern, put, data)

    return rewrite


@pytest.fixture
def proxied(well: Well) -> Callable[[Callable[[bytes], bytes]], None]:
    """Put a proxy that rewrites before the server."""

    def run(rewrite: Callable[[bytes], bytes]) -> None:
        proxy = Proxy(well.server.port)
        proxy.rewrite = rewrite
        well.env(COORD_REDIS_URL=proxy.url)
        well.coord("hooks", "install", "--worker")

    return run


def test_an_old_version(well: Well, proxied: Callable[[Callable[[bytes], bytes]], None]) -> None:
    old = replaced(rb"redis_version:[\d.]+", lambda text: b"redis_version:6.0." + b"9" * (len(text) - 18))
    proxied(old)
    well.finds("redis.version", seen="too old", remedy="install Redis 7")


def test_a_cluster(well: Well) -> None:
    other = Server(well.home / "cluster", appendonly=True, extra=("--cluster-enabled", "yes"))
    while other.port > 55_000:  # its second port lies 10,000 higher
        other.port = free_port()
    with other:
        well.env(COORD_REDIS_URL=other.url)
        found = {each["check"]: each for each in well.findings("--only", "redis", code=1)}
    assert "is a cluster" in found["redis.version"]["seen"]
    assert "COORD_REDIS_URL" in found["redis.version"]["remedy"]


@pytest.mark.parametrize(("seconds", "words"), [(300, "ahead of"), (-300, "behind")])
def test_a_clock_that_is_off(
    well: Well, proxied: Callable[[Callable[[bytes], bytes]], None], seconds: int, words: str
) -> None:
    def shift(text: bytes) -> bytes:
        return re.sub(rb"\d{10}", lambda number: b"%d" % (int(number[0]) + seconds), text)

    proxied(replaced(rb"^\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d+\r\n$", shift))
    well.finds("redis.clock", seen=f"{words} this machine's", remedy="timedatectl")


def test_no_append_only_file(well: Well) -> None:
    well.conn.config_set("appendonly", "no")
    well.finds("redis.aof", seen="append-only file is off", remedy="config set appendonly yes")


@pytest.mark.parametrize(("how", "words"), [("everysec", "the last second"), ("no", "half a minute")])
def test_appendfsync(well: Well, how: str, words: str) -> None:
    well.conn.config_set("appendfsync", how)
    well.finds("redis.fsync", seen=words, remedy="config set appendfsync always")
    level = {each["check"]: each["level"] for each in well.findings("--no-fire", code=1)}["redis.fsync"]
    assert level == ("warning" if how == "everysec" else "wrong")
    well.findings("--no-fire", "--fail-on", "wrong", code=0 if how == "everysec" else 1)


def test_eviction(well: Well) -> None:
    well.conn.config_set("maxmemory", "512mb")
    well.finds_nothing("--only", "redis")
    well.conn.config_set("maxmemory-policy", "allkeys-lru")
    well.finds("redis.memory", seen="tasks are thrown away", remedy="maxmemory-policy noeviction")


def test_little_memory_left(well: Well) -> None:
    used = int(well.conn.info("memory")["used_memory"])
    well.conn.config_set("maxmemory", int(used * 1.05))
    well.finds("redis.memory", argv=("--no-fire",), seen="are used", remedy="config set maxmemory")


def test_writes_that_fail(well: Well, proxied: Callable[[Callable[[bytes], bytes]], None]) -> None:
    proxied(lambda data: data.replace(b"aof_last_write_status:ok", b"aof_last_write_status:no"))
    well.finds("redis.writes", seen="write to the append-only file failed", remedy="log")


def test_a_replica(well: Well) -> None:
    with Server(well.home / "replica", appendonly=True) as other, redis.Redis.from_url(other.url) as replica:
        replica.replicaof("127.0.0.1", well.server.port)
        end = time.monotonic() + 30
        while replica.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < end
            time.sleep(0.02)
        well.env(COORD_REDIS_URL=other.url)
        found = well.findings("--only", "redis", code=1)
    wrong = {each["check"]: each for each in found if each["level"] in ("wrong", "warning")}
    assert set(wrong) == {"redis.role"}
    assert f"127.0.0.1:{well.server.port}" in wrong["redis.role"]["remedy"]


@pytest.mark.parametrize("well", [("--protected-mode", "no")], indirect=True)
def test_open_to_everybody(well: Well) -> None:
    well.finds_nothing("--only", "redis")
    well.conn.config_set("bind", "0.0.0.0")
    well.finds("redis.access", seen="0.0.0.0", remedy="requirepass")
    well.conn.config_set("protected-mode", "yes")
    well.finds_nothing("--only", "redis")


# -- rights --------------------------------------------------------------------------------------------------

ALL = ("on", ">of-the-user", "~rq:*", "~pool:*", "~claude-trigger*", "&claude-trigger", "+@all")
READS = ("on", ">of-the-user", "~rq:*", "~pool:*", "~claude-trigger*", "+@read", "+@connection", "+time",
         "+@transaction")  # fmt: skip


WRITES = tuple(f"+{name.lower()}" for name in rights.SCRIPTS)


def user(well: Well, *rules: str) -> None:
    """Be a user with these rights from now on."""
    well.ask("ACL", "SETUSER", "somebody", "reset", "resetchannels", *rules)
    well.env(COORD_REDIS_URL=f"redis://somebody:of-the-user@127.0.0.1:{well.server.port}/0")
    well.coord("hooks", "install", "--worker")


def test_a_login_of_another_part_is_told_what_to_ask(well: Well) -> None:
    """Its rights are few on purpose: nobody is to give it more."""
    rules = [rule for rule in ALL if not rule.startswith("~")]
    well.ask("ACL", "SETUSER", "worker", "reset", "resetchannels", *rules, "~rq:*", "~pool:*")
    well.env(COORD_REDIS_URL=f"redis://worker:of-the-user@127.0.0.1:{well.server.port}/0")
    bad = [each for each in well.findings("--only", "redis", code=1) if each["check"] == "redis.rights"]
    assert [each["remedy"] for each in bad] == ["coord doctor --as worker (a worker needs no more than that)"]


def test_a_user_with_all_rights(well: Well) -> None:
    user(well, *ALL)
    well.finds_nothing()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (("resetkeys", "~rq:*", "~claude-trigger*"), "'~pool:*'"),
        (("resetkeys", "~pool:*", "~rq:*"), "'~claude-triggers*'"),
        (("-blpop", "-hincrby"), "+blpop +hincrby"),
        (("-hkeys",), "+hkeys"),
        (("resetchannels",), "'&claude-trigger'"),
    ],
)
def test_a_user_that_lacks_a_right(well: Well, rules: tuple[str, ...], words: str) -> None:
    user(well, *ALL)
    well.ask("ACL", "SETUSER", "somebody", *rules)
    found = well.findings("--only", "redis", code=1)
    bad = [each for each in found if each["level"] in ("warning", "wrong")]
    assert [each["check"] for each in bad] == ["redis.rights"], bad
    assert bad[0]["remedy"].endswith(f"acl setuser somebody {words}"), bad
    text = well.coord("doctor", "--only", "redis", code=1).out
    assert bad[0]["remedy"] in text
    # The remedy is what one should type.
    given = [word.strip("'") for word in bad[0]["remedy"].partition("setuser somebody ")[2].split()]
    well.ask("ACL", "SETUSER", "somebody", *given)
    well.findings("--only", "redis", code=0)


def test_a_worker_needs_no_triggers(well: Well) -> None:
    user(well, *ALL, "resetkeys", "~rq:*", "~pool:*", "resetchannels", "-@admin", "-@dangerous", "+info")
    well.findings("--only", "redis", code=1)
    found = {each["check"]: each for each in well.findings("--only", "redis", "--as", "worker", code=0)}
    assert "all that a worker needs" in found["redis.rights"]["seen"]
    # What it may not see, nothing good is said of.
    assert found["redis.fsync"]["level"] == "unknown" and "not somebody" in found["redis.fsync"]["remedy"]
    well.findings("--only", "redis", "--as", "worker", "--fail-on", "unknown", code=1)


def test_a_viewer(well: Well) -> None:
    user(well, *READS)
    found = {each["check"]: each for each in well.findings("--as", "viewer", "--skip", "hooks", code=0)}
    assert found["redis.rights"]["level"] == "ok" and found["redis.scripts"]["level"] == "note"
    for check in ("redis.aof", "redis.fsync", "redis.writes", "redis.memory"):
        assert found[check]["level"] == "unknown", found[check]
    assert found["redis.version"]["level"] == "ok", "a greeting tells it"


#: What users are given who should be able to do no more than they must.
TIGHT = {
    "coordinator": (
        *WRITES,
        "+xgroup|create",
        "+xreadgroup",
        "+xautoclaim",
        "+xack",
        "+subscribe",
        "+publish",
    ),
    "worker": WRITES,
    "monitor": WRITES,
    "viewer": (),
}


def test_users_who_may_not_queue_commands_try_them(well: Well) -> None:
    for part, more in TIGHT.items():
        names = {name.lower() for name in rights.VIEWER} | {"ping", "hello", "info", "select", "config|get"}
        user(well, "on", ">of-the-user", "~rq:*", "~pool:*", "~claude-trigger*", "&claude-trigger", "-@all",
             *(f"+{name}" for name in names), *more)  # fmt: skip
        before = well.everything()
        found = {each["check"]: each for each in well.findings("--only", "redis", "--as", part, code=0)}
        assert found["redis.rights"]["level"] == "ok", found
        assert well.everything() == before


@pytest.mark.parametrize(
    ("part", "rules", "words"),
    [
        ("coordinator", ("-hincrby", "-sadd"), "+hincrby +sadd"),
        ("coordinator", ("resetchannels",), "'&claude-trigger'"),
        ("coordinator", ("resetkeys", "~pool:*", "~claude-trigger*"), "'~rq:*'"),
        ("coordinator", ("resetkeys", "~pool:*", "~rq:*"), "'~claude-triggers*'"),
        ("worker", ("-blpop", "-hkeys", "-xreadgroup"), "+blpop"),
        ("worker", ("-del",), "+del"),
        ("viewer", ("-hkeys", "-del"), "+hkeys"),
    ],
)
def test_what_such_a_user_lacks(well: Well, part: str, rules: tuple[str, ...], words: str) -> None:
    user(well, *ALL, "-multi", *rules)
    before = well.everything()
    found = [
        each for each in well.findings("--only", "redis", "--as", part, code=1) if each["level"] == "wrong"
    ]
    assert [each["remedy"].partition("setuser somebody ")[2] for each in found] == [words]
    assert well.everything() == before


def test_what_cannot_be_tried_is_said(well: Well) -> None:
    user(well, *ALL, "-multi", "-eval")
    found = [each for each in well.findings("--only", "redis", code=1) if each["check"] == "redis.rights"]
    assert {each["level"] for each in found} == {"wrong", "unknown"}
    assert "+eval" in found[0]["seen"] and "hset" in found[1]["seen"]


def test_a_worker_without_any_right_too_many_fires_hooks(well: Well) -> None:
    user(well, "on", ">of-the-user", "~rq:*", "~pool:*", "-@all", "+select", "+ping",
         *(f"+{name.lower()}" for name in rights.WORKER))  # fmt: skip
    before = well.everything()
    found = {each["check"]: each for each in well.findings("--as", "worker", "--slow", "60s", code=0)}
    assert found["hooks.fire"]["level"] == found["redis.rights"]["level"] == "ok", found
    assert found["leftovers.claims"]["level"] == found["leftovers.workers"]["level"] == "ok", found
    assert found["coordinator.leads"]["level"] == "note" and "leads" in found["coordinator.leads"]["seen"]
    assert "leftovers.triggers" not in found, "they are not a worker's business"
    assert well.everything() == before
    well.ask("ACL", "SETUSER", "somebody", "-select")
    found = {each["check"]: each for each in well.findings("--as", "worker", code=0)}
    assert found["hooks.fire"]["level"] == "unknown" and "+select" in found["hooks.fire"]["remedy"]


def test_strangers_who_may_do_little(well: Well) -> None:
    user(well, *ALL)
    well.ask(
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "resetchannels",
        "-@all",
        "+ping",
        "&claude-trigger",
        "+publish",
    )
    found = {each["check"]: each for each in well.findings("--only", "redis", code=0)}
    assert "neither read the pool" in found["redis.access"]["seen"]
    with redis.Redis.from_url(f"redis://somebody:of-the-user@127.0.0.1:{well.server.port}") as again:
        again.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")


def functions(text: str) -> dict[str, str]:
    """The local functions of a script's part."""
    found = {
        match[1]: match[0] for match in re.finditer(r"^local function (\w+)\(.*?^end", text, re.M | re.S)
    }
    return found | {match[1]: match[0] for match in re.finditer(r"^local function (\w+)\(.*end$", text, re.M)}


def commands(script: str) -> set[str]:
    """The commands that a script can run: its own, and those of the functions that it can reach."""
    folder = Path(script_text.FOLDER)
    body = (folder / f"{script}.lua").read_text()
    known: dict[str, str] = {}
    waiting = [body]
    for part in body.split("\n", 1)[0].removeprefix("-- include:").split():
        text = (folder / "lib" / f"{part}.lua").read_text()
        known |= functions(text)
        for each in functions(text).values():
            text = text.replace(each, "")
        waiting.append(text)
    found: set[str] = set()
    reached: set[str] = set()
    while waiting:
        text = waiting.pop()
        for call in re.findall(r"call\(([^)]*)", text):
            found.update(re.findall(r"(?:^|and |or )'([A-Z]+)'", call))
        new = {name for name in known if name not in reached and re.search(rf"\b{name}\b", text)}
        reached |= new
        waiting += [known[name] for name in new]
    return found


#: Whoever runs them: hooks, helpers, keepers, supervisors.
OF_WORKERS = (
    "register", "deregister", "claim", "confirm", "beat", "complete", "fail", "release", "park", "unpark",
    "remind", "note", "prompt", "leave", "judge", "summon", "supervise",
)  # fmt: skip


def test_the_commands_of_all_scripts_are_asked_for(well: Well) -> None:
    used = set().union(*(commands(name) for name in script_text.names()))
    assert len(used) > 30
    assert used <= {*rights.VIEWER, *rights.SCRIPTS}
    assert set().union(*(commands(name) for name in OF_WORKERS)) <= rights.WORKER
    assert set().union(*(commands(name) for name in MONITOR_SCRIPTS)) <= {*rights.VIEWER, *rights.MONITOR}
    patient = Patient(settings_module.load(), [])
    patient.connect()
    wanted = rights.needs(patient)
    assert rights.dry_run(patient, wanted) == [""] * len(wanted)
    for need in wanted:
        # Each is a command that could run, not one that would be refused anyhow.
        count: int = well.ask("COMMAND", "INFO", need.command[0])[need.command[0].lower()]["arity"]
        assert len(need.command) == count or len(need.command) >= -count > 0, need
    patient.close()


# -- secrets -------------------------------------------------------------------------------------------------


def test_no_password_is_shown(well: Well) -> None:
    well.conn.config_set("requirepass", "very-secret")
    for url in (f":very-secret@127.0.0.1:{well.server.port}", f":very-secret@127.0.0.1:{well.server.port}/99",
                "very-secret:very-secret@127.0.0.1:1"):  # fmt: skip
        well.env(COORD_REDIS_URL=f"redis://{url}")
        done = well.coord.process("doctor", "--slow", "60s")
        assert "very-secret" not in done.out.replace("very-secret:***", "") + done.err, done
        assert "Traceback" not in done.err
        done = well.coord.process("doctor", "--json", "--slow", "60s")
        assert ":very-secret" not in done.out and "very-secret@" not in done.out, done
