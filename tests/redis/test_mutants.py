"""Broken variants of the scripts, each of which the model machine must catch: it looks where it should.

A variant is a change of the Lua text, applied as Redis gets it. The fence has redundant facts (worker and
epoch, token, status, RQ's started registry): a check that another one covers is removed with that other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import hypothesis
import pytest
import redis
from hypothesis.stateful import run_state_machine_as_test

from pool import keys
from pool.script_text import ScriptTexts, names
from pool.settings import Settings
from tests.redis.model.bench import Patient
from tests.redis.model.machine import PoolMachine

#: Examples after which a variant counts as not caught. Each is caught in far fewer.
EXAMPLES, STEPS = 1500, 50


@dataclass(frozen=True)
class Mutant:
    """A broken variant: what is replaced by what, in which scripts (all of them unless named)."""

    name: str
    edits: tuple[tuple[str, str], ...]
    scripts: tuple[str, ...] = ()


MUTANTS = (
    # The token is compared nowhere: neither with the job's nor, through the run's name, in RQ's registry.
    Mutant(
        "no token check",
        (
            ("token ~= '' and f[1] == token and f[4] == worker", "token ~= '' and f[4] == worker"),
            ("call('ZSCORE', K.started(f[6]), id .. ':' .. token)", "f[1]"),
        ),
    ),
    # A leftover shell of an earlier registration is taken for its successor, with the token or bare.
    Mutant("no epoch check", ((" and f[5] == epoch", ""),)),
    # A deleted job is still no task; anything else in a list is claimed, be it running or cancelled.
    Mutant("no status check", (("if j[1] ~= 'queued' or", "if not j[1] or"),), ("claim",)),
    Mutant("reap without detach", (("      detach(id, f[2], f[1])\n", ""),), ("reap",)),
    # The scripts agree with each other, but not with RQ, which has two colons there.
    Mutant("wrong dependency key", (("'rq:job::' .. a .. ':dep", "'rq:job:' .. a .. ':dep"),)),
    # The fence trusts the token alone: neither the status nor RQ's registry is asked.
    Mutant(
        "no status in the fence",
        (
            (" and f[2] == 'started'", ""),
            ("call('ZSCORE', K.started(f[6]), id .. ':' .. token)", "true"),
        ),
    ),
    Mutant("no replay", (("if token ~= '' and f[3] == token then return 2, token, f[8] end\n", ""),)),
    Mutant("claim without a lease", (("  call('ZADD', 'pool:leases', stamp(lease), id)\n", ""),), ("claim",)),
    Mutant("a claim that forgets what it holds", (("if f[7] then\n", "if false then\n"),), ("claim",)),
    Mutant("wake any child", ((" and met(child, c[3], id, status) then", " then"),)),
    Mutant("a unique key is kept", (("then call('DEL', 'pool:unique:' .. key) end", "then return end"),)),
    Mutant(
        "a loss costs a retry",
        (
            (
                "lose_task(id, f[2], 'worker ' .. f[4] .. ' was not heard of')",
                "fail_task(id, f[2], L.timeout_text, L.timeout_b64, f[4], f[1], started, true)",
            ),
        ),
        ("reap",),
    ),
    Mutant("a late end", (("caller(worker, ARGV[2])", "caller(worker, '')"),), ("deregister",)),
)


class Broken(ScriptTexts):
    """The scripts' texts with a mutant's edits."""

    mutant: ClassVar[Mutant]

    def text(self, name: str) -> str:
        if name not in self._texts:
            text = super().text(name)
            if name in (self.mutant.scripts or (name,)):
                for old, new in self.mutant.edits:
                    text = text.replace(old, new)
            self._texts[name] = text
        return self._texts[name]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_variant_is_caught(mutant: Mutant, conn: redis.Redis, settings: Settings) -> None:
    sound = ScriptTexts(settings.model_dump(), keys.templates())
    for old, _ in mutant.edits:
        assert any(old in sound.text(name) for name in mutant.scripts or names()), f"no script has {old!r}"

    class Texts(Broken):
        pass

    Texts.mutant = mutant

    class Transitions(Patient):
        def __init__(self, conn: redis.Redis, values: dict[str, Any], templates: dict[str, str]) -> None:
            super().__init__(conn, values, templates)
            self.texts = Texts(values, templates)

    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            PoolMachine.on(conn, settings, Transitions),
            settings=hypothesis.settings(
                max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, database=None,
                deadline=None, phases=(hypothesis.Phase.generate,), report_multiple_bugs=False,
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
        )  # fmt: skip
