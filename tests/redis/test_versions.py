"""Versions side by side: who leads, who may act, and what an upgrade of the files does to what runs."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pool import __version__, compiled, keys, script_text, view
from pool import settings as settings_module
from pool.claim import Caller
from pool.errors import Outdated
from pool.scripts import Pool
from pool.settings import Settings
from tests.redis.coord import Coord
from tests.session import ROOT, Session, eventually

Register = Callable[..., Caller]
Submit = Callable[..., str]
MINE = script_text.VERSION


def of_version(number: int, settings: Settings, conn: redis.Redis) -> Pool:
    """The transitions as another version has them."""
    made = Pool(conn, settings.model_dump(), keys.templates())
    mine, theirs = f"local VERSION = {MINE}\n", f"local VERSION = {number}\n"
    assert mine in made.texts._header
    made.texts._header = made.texts._header.replace(mine, theirs)
    return made


@pytest.fixture
def older(settings: Settings, conn: redis.Redis) -> Pool:
    return of_version(MINE - 1, settings, conn)


@pytest.fixture
def newer(settings: Settings, conn: redis.Redis) -> Pool:
    return of_version(MINE + 1, settings, conn)


# -- coordinators ------------------------------------------------------------------------------------------


def test_one_of_the_newest_leads(pool: Pool, newer: Pool, conn: redis.Redis) -> None:
    assert pool.lead("one", 30.0)[0]
    assert not newer.lead("two", 30.0)[0], "the lock is held"
    assert not pool.lead("one", 30.0)[0], "it sees a newer one, and steps back"
    assert newer.lead("two", 30.0)[0]
    assert not pool.lead("one", 30.0)[0]
    assert [(each.id, each.leads, each.scripts) for each in view.coordinators(conn)] == [
        ("two", True, MINE + 1), ("one", False, MINE),
    ]  # fmt: skip


def test_an_older_one_leads_when_the_newer_is_gone(pool: Pool, newer: Pool, conn: redis.Redis) -> None:
    assert newer.lead("two", 30.0)[0]
    assert not pool.lead("one", 30.0)[0]
    assert not newer.lead("two", 30.0, step_down=True)[0]
    assert pool.lead("one", 30.0)[0]


def test_one_that_died_is_forgotten(pool: Pool, newer: Pool, conn: redis.Redis) -> None:
    assert newer.lead("two", 0.05)[0]
    eventually(lambda: pool.lead("one", 30.0)[0])
    assert [each.id for each in view.coordinators(conn)] == ["one"]


# -- the floor ---------------------------------------------------------------------------------------------


def test_what_is_older_than_required_changes_nothing(
    pool: Pool, older: Pool, register: Register, submit: Submit, conn: redis.Redis
) -> None:
    submit(id="t")
    me = register()
    assert pool.floor(MINE) == []
    before = {key: conn.dump(key) for key in conn.scan_iter("*")}
    for change in (
        lambda: older.claim(me), lambda: older.cancel("t", "no"), lambda: older.lead("old", 5.0),
        lambda: older.floor(MINE - 1),
    ):  # fmt: skip
        with pytest.raises(Outdated, match=f"upgrade it.*version {MINE - 1}; the pool asks for {MINE}"):
            change()
    assert {key: conn.dump(key) for key in conn.scan_iter("*")} == before
    assert pool.claim(me).verdict == "task"
    assert pool.floor(0) == []
    assert older.claim(me).verdict == "held", "it may act again"


def test_a_version_is_not_required_while_older_ones_work(pool: Pool, older: Pool, conn: redis.Redis) -> None:
    older.register("w", "", "", "host", 1, ["tasks"], 600.0, 0, "/", ("2.12", "3.11", "0.0"))
    older.lead("old", 30.0)
    wanted = [f"worker w ({MINE - 1})", f"coordinator old ({MINE - 1})"]
    assert pool.floor(MINE) == wanted
    assert conn.get("pool:floor") is None
    assert pool.floor(MINE, force=True) == []
    assert conn.get("pool:floor") == str(MINE).encode()


def test_nobody_shuts_himself_out(pool: Pool, conn: redis.Redis) -> None:
    assert pool.floor(MINE + 1, force=True) == [f"this very coord ({MINE})"]
    assert conn.get("pool:floor") is None


def test_versions_command(
    coord: Coord, pool: Pool, older: Pool, register: Register, conn: redis.Redis
) -> None:
    register("new")
    older.register("old", "", "", "host", 1, ["tasks"], 600.0, 0, "/", ("2.12", "3.11", "0.0"))
    pool.lead("here-1", 30.0)
    assert [(each.id, each.coord) for each in view.coordinators(conn)] == [("here-1", __version__)]
    shown = coord.json("versions")
    assert shown["own"] == {"coord": __version__, "scripts": MINE}
    assert shown["required"] == 0
    assert [(row["what"], row["id"], row["scripts"]) for row in shown["running"]] == [
        ("coordinator", "here-1", MINE), ("worker", "new", MINE), ("worker", "old", MINE - 1),
    ]  # fmt: skip
    assert "versions are mixed" in coord("versions").err
    assert coord.refused("versions", "--require", MINE) == (
        f"coord: older than {MINE}: worker old ({MINE - 1}); end them, or give --force; nothing was changed"
    )
    coord("versions", "--require", MINE, "--force")
    assert "upgrade it first" in coord.refused("versions", "--require", MINE + 1)
    assert "--require" in coord.refused("versions", "--force")


def test_a_hook_that_is_too_old_lets_its_session_stop(
    session: Callable[..., Session], pool: Pool, conn: redis.Redis
) -> None:
    one = session("w1")
    one.start()
    hook = one.start_hook("Stop")
    eventually(lambda: conn.hget("pool:worker:w1", "state") == b"waiting")
    conn.set("pool:floor", MINE + 1)
    conn.rpush("pool:bell:w1:1", "look")
    said = hook.end()
    assert said["systemMessage"].startswith(
        "coord: worker w1 stops: This coord is too old for its pool: upgrade"
    )
    assert "decision" not in said
    told = one.bash("coord-worker heartbeat")
    assert (told.returncode, told.stdout) == (5, "")
    assert "too old for its pool" in told.stderr and told.stderr.count("\n") == 1


# -- an upgrade of the files ---------------------------------------------------------------------------------


def test_what_runs_outlives_the_files_it_came_from(
    settings: Settings, conn: redis.Redis, pool: Pool, submit: Submit, tmp_path: Path
) -> None:
    """A waiting hook and a keeper go on by what they have read, when the installation is replaced."""
    root = tmp_path / "installed"
    for part in ("hooks", "pool", "workers"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    one = Session(settings, tmp_path, "w1")
    try:
        one.root = root
        one.start()
        hook = one.start_hook("Stop")
        eventually(lambda: conn.hget("pool:worker:w1", "state") == b"waiting")
        assert one.keeper()
        for path in (root / "pool" / "lua").rglob("*.lua"):
            path.write_text("this is not what it was", encoding="utf-8")
        for name in ("scripts", "claim", "brief", "payload", "local"):
            (root / "pool" / f"{name}.py").write_text("raise SystemExit('replaced')", encoding="utf-8")
        conn.script_flush()  # so that they must send the texts they have
        task = submit(id="t", title="after the upgrade")
        said = hook.end()
        assert said["reason"].startswith("Task t") or "after the upgrade" in said["reason"]
        assert conn.hget(f"rq:job:{task}", "pool_provisional") is None, "it was confirmed"
        one.signal(signal.SIGKILL)
        eventually(lambda: conn.hget(f"rq:job:{task}", "status") == b"queued", what="the keeper reports it")
    finally:
        one.close()


def test_settings_of_another_release_are_compiled_anew(settings: Settings, tmp_path: Path) -> None:
    path = settings_module.compile_settings(settings)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["coord"] = "0.0.1"
    del data["values"]["lease"]
    path.write_text(json.dumps(data), encoding="utf-8")
    assert compiled.load(str(path)).values["lease"] == settings.lease
    assert json.loads(path.read_text(encoding="utf-8"))["coord"] == __version__


def test_the_version_is_the_package_s(coord: Coord) -> None:
    assert coord("--version").out == f"coord, version {__version__}\n"
