"""Facts about Claude Code, and the experiments that observe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.client.facts.lab import Lab

#: What was seen of a fact: JSON.
Seen = Any
Look = Callable[[Lab], Mapping[str, Seen]]


@dataclass(frozen=True)
class Fact:
    """One fact. ``relies``: the part of coord that goes wrong when it changes ('' none: good to know)."""

    name: str
    says: str
    relies: str = ""


@dataclass(frozen=True)
class Experiment:
    """What observes some facts at once."""

    name: str
    facts: tuple[Fact, ...]
    look: Look

    def run(self, claude: str, patience: float = 4.0) -> dict[str, Seen]:
        """Look at that CLI: each fact's name and what was seen of it.

        Raises:
            Unobserved: Something did not come.
            RuntimeError: It saw other facts than it is registered with.
        """
        with Lab(claude, patience) as lab:
            seen = dict(self.look(lab))
        if set(seen) != (names := {fact.name for fact in self.facts}):
            raise RuntimeError(f"{self.name} saw {sorted(seen)}, not {sorted(names)}")
        return seen


EXPERIMENTS: list[Experiment] = []


def observes(*facts: Fact) -> Callable[[Look], Look]:
    """Register the function as what observes these facts."""

    def register(look: Look) -> Look:
        EXPERIMENTS.append(Experiment(getattr(look, "__name__", "?"), facts, look))
        return look

    return register
