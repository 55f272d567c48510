"""What is known of which version: expected.json."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.client.facts import course, endings, errors, options, reports, stops, streams, terminals
from tests.client.facts.fact import EXPERIMENTS, Experiment, Fact, Seen

FILE = Path(__file__).with_name("expected.json")
#: Expected of what that version does now so, now otherwise (its end comes first, or its hook).
VARIES = "varies"
#: All of them (the modules register what they observe).
MODULES = (stops, endings, course, errors, streams, options, terminals, reports)


def experiments(names: tuple[str, ...] = ()) -> list[Experiment]:
    """Those that observe the facts (or are the experiments) of these names; all when there is none.

    Raises:
        ValueError: There is no such fact.
    """
    for name in names:
        if not any(name in _names(each) for each in EXPERIMENTS):
            raise ValueError(f"there is no fact {name!r}")
    return [each for each in EXPERIMENTS if not names or _names(each) & set(names)]


def _names(experiment: Experiment) -> set[str]:
    return {experiment.name, *(fact.name for fact in experiment.facts)}


def version(claude: str) -> str:
    """What that Claude Code says it is (2.1.329).

    Raises:
        ValueError: It is no Claude Code.
    """
    try:
        done = subprocess.run([claude, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"{claude} does not run: {error}") from None
    number, _, rest = done.stdout.partition(" ")
    if "Claude Code" not in rest:
        raise ValueError(f"{claude} is no Claude Code: --version says {done.stdout.strip()[:60]!r}")
    return number


@dataclass(frozen=True)
class Row:
    """One fact of one CLI. ``changed`` is None where it could not be observed here, or varies."""

    fact: Fact
    expected: Seen
    seen: Seen
    changed: bool | None

    @property
    def breaks(self) -> bool:
        """Whether coord relies on it and it has changed."""
        return bool(self.changed and self.fact.relies)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "fact": self.fact.name,
            "says": self.fact.says,
            "relies": self.fact.relies,
            "expected": self.expected,
            "seen": self.seen,
            "changed": self.changed,
        }


class Known:
    """The data file: all facts of the reference, and of the other versions what differs from it."""

    def __init__(self, file: Path = FILE) -> None:
        self.file = file
        self.data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))

    @property
    def reference(self) -> str:
        """The version that coord was built on."""
        return str(self.data["reference"])

    def compared(self, cli: str) -> str:
        """The version with which that one is compared: itself, or the reference."""
        return cli if cli in self.data["versions"] else self.reference

    def expected(self, cli: str) -> dict[str, Seen]:
        """Each fact of that version, of the reference when it is not known."""
        versions = self.data["versions"]
        return {**versions[self.reference]["facts"], **versions[self.compared(cli)]["facts"]}

    def rows(self, cli: str, experiment: Experiment, seen: Mapping[str, Seen]) -> list[Row]:
        """What was seen, beside what was expected."""
        expected = self.expected(cli)
        return [
            Row(
                fact,
                was := expected.get(fact.name),
                now := seen[fact.name],
                None if now is None or was == VARIES else json.loads(json.dumps(now)) != was,
            )
            for fact in experiment.facts
        ]

    def record(
        self, cli: str, seen: Mapping[str, Seen], about: Mapping[str, str], reference: bool = False
    ) -> None:
        """Keep what was seen as what is known of that version (``about``: where it comes from)."""
        whole = {name: self.expected(name) for name in self.data["versions"]}
        noted = {name: dict(each) for name, each in self.data["versions"].items()}
        names = {fact.name for each in EXPERIMENTS for fact in each.facts}
        whole[cli] = {**whole.get(cli, {}), **{name: each for name, each in seen.items() if each is not None}}
        noted[cli] = {**noted.get(cli, {}), **about}
        first = cli if reference else self.reference
        for name, facts in whole.items():
            noted[name]["facts"] = {
                fact: value
                for fact, value in sorted(facts.items())
                if fact in names and (name == first or whole[first].get(fact) != value)
            }
        self.data = {"reference": first, "versions": noted}
        self.file.write_text(_text(self.data), encoding="utf-8")


def _text(data: Mapping[str, Any]) -> str:
    """The file's text: a line for each fact."""
    versions = []
    for name, each in sorted(data["versions"].items(), reverse=True):
        facts = [f"        {json.dumps(fact)}: {json.dumps(seen)}" for fact, seen in each["facts"].items()]
        about = [
            f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in each.items() if key != "facts"
        ]
        versions.append(
            f"    {json.dumps(name)}: {{\n"
            + ",\n".join([*about, '      "facts": {\n' + ",\n".join(facts) + "\n      }"])
            + "\n    }"
        )
    return (
        f'{{\n  "reference": {json.dumps(data["reference"])},\n  "versions": {{\n'
        + ",\n".join(versions)
        + "\n  }\n}\n"
    )
