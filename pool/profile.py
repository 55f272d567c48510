"""What a task may ask of its session: model, effort, permissions, tools, budget, turns.

A task that asks for any of it needs a session that was started so. The *profile* is what is asked for, as
JSON in one order of keys; its name is a short hash of that.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pool import needs
from pool.errors import UsageError

#: The client's words for how it asks for permission.
PERMISSION_MODES = ("default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions")
BYPASS = "bypassPermissions"
EFFORTS = ("low", "medium", "high", "xhigh", "max")
#: US dollars, and turns: more is a slip.
MOST_USD, MOST_TURNS = 10_000.0, 100_000
#: Tools that are named at most, and characters of each rule.
_TOOLS, _RULE = 100, 500


class Profile(BaseModel):
    """What is asked of a session; what is empty or 0 is not asked for. Budget: US dollars."""

    model_config = ConfigDict(extra="forbid")

    model: str = ""
    effort: str = ""
    permission_mode: str = ""
    allowed_tools: list[str] = []
    disallowed_tools: list[str] = []
    max_turns: int = 0
    budget: float = 0.0

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        if len(value) > 200 or not value.isprintable() or value.startswith("-") or " " in value:
            raise ValueError(f"{value[:60]!r} is not the name of a model")
        return value

    @field_validator("effort")
    @classmethod
    def _effort(cls, value: str) -> str:
        return _one_of(value, EFFORTS)

    @field_validator("permission_mode")
    @classmethod
    def _permission_mode(cls, value: str) -> str:
        return _one_of(value, PERMISSION_MODES)

    @field_validator("allowed_tools", "disallowed_tools")
    @classmethod
    def _rules(cls, value: list[str]) -> list[str]:
        if len(value) > _TOOLS:
            raise ValueError(f"{_TOOLS} tools at most")
        for rule in value:
            if not rule.strip() or rule.startswith("-") or len(rule) > _RULE or not rule.isprintable():
                raise ValueError(f"{rule[:60]!r} is not a tool: write Edit or Bash(git *)")
        return value

    @field_validator("max_turns")
    @classmethod
    def _turns(cls, value: int) -> int:
        if not 0 < value <= MOST_TURNS:
            raise ValueError(f"it must be between 1 and {MOST_TURNS:,}")
        return value

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: float) -> float:
        if not 0 < value <= MOST_USD:
            raise ValueError(f"it must be more than 0 and at most {MOST_USD:,.0f} (US dollars)")
        return value

    def asked(self) -> dict[str, Any]:
        """What is asked for, in one order of keys; {} for nothing."""
        return {name: value for name, value in sorted(self.model_dump().items()) if value}

    @property
    def name(self) -> str:
        """Eight hexadecimal digits; '' when nothing is asked for."""
        asked = self.asked()
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8] if asked else ""

    @property
    def tokens(self) -> list[str]:
        """The tokens that a task of this profile needs (pool/needs.py)."""
        bypass = [needs.BYPASS] if self.permission_mode == BYPASS else []
        return [*bypass, needs.PROFILE + self.name] if self.name else []

    @property
    def once(self) -> bool:
        """Whether its limits are spent by one task: the client counts them for the whole session."""
        return bool(self.budget or self.max_turns)

    def argv(self) -> list[str]:
        """The options that start the client so."""
        given = (
            ("--model", self.model), ("--effort", self.effort), ("--permission-mode", self.permission_mode),
            ("--max-turns", str(self.max_turns or "")),
            ("--max-budget-usd", f"{self.budget:g}" if self.budget else ""),
        )  # fmt: skip
        found = [f"{option}={value}" for option, value in given if value]
        # (One argument each: a rule may hold commas and spaces.)
        found += [f"--allowed-tools={rule}" for rule in self.allowed_tools]
        return found + [f"--disallowed-tools={rule}" for rule in self.disallowed_tools]

    def over(self, own: Profile) -> Profile:
        """This profile over a worker's own: what is not asked for is the worker's; forbidden tools add up."""
        forbidden = [*own.disallowed_tools, *self.disallowed_tools]
        merged = {**own.asked(), **self.asked(), "disallowed_tools": list(dict.fromkeys(forbidden))}
        for name in ("budget", "max_turns"):  # an operator's limit is not widened by a task
            both = [each for each in (getattr(own, name), getattr(self, name)) if each]
            if both:
                merged[name] = min(both)
        return Profile(**merged)


#: The fields of a task that make up its profile.
FIELDS = tuple(Profile.model_fields)


def parse(asked: Any, where: str) -> Profile:
    """A profile out of Redis or of settings, checked.

    Raises:
        UsageError: One line that names the field and what is wrong with it.
    """
    try:
        return Profile(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {name}: {message[:1].lower()}{message[1:]}") from None
    except TypeError:
        raise UsageError(f"{where}: its profile is not an object with names") from None


def _one_of(value: str, known: tuple[str, ...]) -> str:
    if value and value not in known:
        raise ValueError(f"{value[:60]!r} is not one of {', '.join(known)}")
    return value
