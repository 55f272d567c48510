"""Hides secrets in what tools printed and prompts said: by their form, or because they are known.

Every pattern takes time in proportion to the text, whatever the text is: none of them tries a second way over
what it has read, and what fails to match is not read again from each of its characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pool import check

HIDDEN = "[redacted]"
#: A secret so short would be found everywhere.
SHORTEST = 8
#: Words in the names of variables and fields that hold secrets.
NAMES = (*check.SECRET_NAMES, "PASSPHRASE")
#: Values nested deeper than this are not shown at all.
_DEPTH = 32
#: A secret that is cut off by a limit is still known for what it is if so much of what follows is looked at.
_BEYOND = 8192

#: Where a word begins: not amid another, so that a long run of letters is looked at once.
_START = r"(?<![A-Za-z0-9_-])"
_TOKENS = re.compile(
    _START + r"(?:"
    r"sk-(?:ant-)?[A-Za-z0-9_-]{16,}+"  # Anthropic and others
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}+"  # Stripe
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_[A-Za-z0-9_]{16,}+"  # GitHub
    r"|gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_-]{16,}+"  # GitLab
    r"|xox[a-z]-[A-Za-z0-9-]{8,}+|xapp-[A-Za-z0-9-]{8,}+"  # Slack
    r"|AIza[A-Za-z0-9_-]{30,}+|ya29\.[A-Za-z0-9_-]{16,}+|GOCSPX-[A-Za-z0-9_-]{16,}+"  # Google
    r"|npm_[A-Za-z0-9]{30,}+|pypi-[A-Za-z0-9_-]{30,}+|hf_[A-Za-z0-9]{20,}+|dop_v1_[a-f0-9]{32,}+"
    r"|SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"  # SendGrid
    r"|eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++){1,4}+"  # JSON web tokens
    r")"
)
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [^-\n]{0,60}-----|\Z)"
)
_BEARER = re.compile(
    r"(?<![a-z0-9])((?:bearer|authorization\\?[\"']?[:=]\s{0,3}\\?[\"']?(?:basic|token|digest|apikey))\s{1,3})"
    r"[A-Za-z0-9._~+/=-]{8,}+",
    re.IGNORECASE,
)
_URL = re.compile(r"(://[^\s/@:\"'<>]{0,256}+:)[^\s/@\"'<>]{1,1024}+(?=@)")
_WORDS = (
    r"(?:password|passwd|passphrase|pwd|secret|token(?!s)|credentials?|api[_-]?key|access[_-]?key"
    r"|private[_-]?key)"
)
#: `password=x`, `"token": "x"`, `API_KEY_PROD='x'`, `--password x`; the value is quoted, or one word.
_ASSIGNED = re.compile(
    rf"((?<![a-z-])--[a-z-]{{0,40}}{_WORDS}\s{{1,3}}"
    rf"|{_WORDS}[_a-z0-9]{{0,20}}\\?[\"']?\s{{0,3}}(?::=|=>|[:=])\s{{0,3}})"
    r"(?:(\\?\")([^\"\\\n]{3,}+)|(\\?')([^'\\\n]{3,}+)|([^\s\"'&,;(){}\[\]<>\\]{3,}+)([(\[]?))",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"((?<![a-z-])(?:set-)?cookie:\s{0,3})[^\r\n\"']{8,}+", re.IGNORECASE)
_NAMED = re.compile("|".join(name.replace("_", "[_-]?") for name in NAMES) + r"|^pwd$|^authorization$", re.I)


class Known:
    """Secrets that are known, to be hidden wherever they stand. Those shorter than SHORTEST are not."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {each for each in secrets if len(each) >= SHORTEST}
        # As they are, and as they stand in JSON.
        found |= {json.dumps(each)[1:-1] for each in found} | {json.dumps(each, ensure_ascii=False)[1:-1]
                                                              for each in found}  # fmt: skip
        self._texts = sorted(found, key=len, reverse=True)
        self._bytes = [each.encode("utf-8", "surrogatepass") for each in self._texts]

    def text(self, text: str) -> str:
        """The text without them."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text

    def data(self, data: bytes) -> bytes:
        """The bytes without them."""
        for secret in self._bytes:
            data = data.replace(secret, HIDDEN.encode())
        return data


def of_environment(environ: Mapping[str, str]) -> list[str]:
    """The values of the variables that hold secrets, by their names."""
    return [value for name, value in environ.items() if is_secret(name) and not name.endswith("_FILE")]


def is_secret(name: str) -> bool:
    """Whether a variable or a field of this name holds a secret."""
    return len(name) <= 200 and _NAMED.search(name) is not None and not name.lower().endswith("tokens")


def text(found: str) -> str:
    """The text with what looks like a secret hidden."""
    found = _PRIVATE.sub(HIDDEN, found)
    found = _TOKENS.sub(HIDDEN, found)
    found = _URL.sub(rf"\1{HIDDEN}", found)
    found = _BEARER.sub(rf"\1{HIDDEN}", found)
    found = _COOKIE.sub(rf"\1{HIDDEN}", found)
    return _ASSIGNED.sub(_assignment, found)


#: What a variable of such a name is assigned in programs, and is no secret.
_HARMLESS = frozenset(
    ("none", "null", "nil", "true", "false", "str", "int", "bool", "bytes", "any", "string")
)


def _assignment(match: re.Match[str]) -> str:
    value = match[3] or match[5] or match[6]
    if match[7] or _harmless(value):  # (a call is assigned)
        return match[0]
    return match[1] + (match[2] or match[4] or "") + HIDDEN


def _harmless(value: str) -> bool:
    """Whether a value that is assigned is no secret: a type, a variable, or hidden already."""
    return value.lower() in _HARMLESS or value.startswith(("$", HIDDEN.rstrip("]")))


def cut(found: str, limit: int, known: Known | None = None) -> str:
    """The text without secrets, at most ``limit`` characters of it."""
    found = found[: limit + _BEYOND]
    found = text(known.text(found) if known else found)
    return found if len(found) <= limit else found[: max(0, limit - 1)] + "…"


def value(found: Any, known: Known | None = None, limit: int = 2**20, depth: int = _DEPTH) -> Any:
    """A value out of JSON with all texts in it so; a field named `password` is hidden, whatever it holds."""
    if isinstance(found, str):
        return cut(found, limit, known)
    if isinstance(found, (list, tuple)):
        return [value(each, known, limit, depth - 1) for each in found] if depth else HIDDEN
    if isinstance(found, dict):
        if not depth:
            return HIDDEN
        return {
            cut(str(name), limit, known): HIDDEN
            if isinstance(each, str) and len(each) >= 3 and is_secret(str(name)) and not _harmless(each)
            else value(each, known, limit, depth - 1)
            for name, each in found.items()
        }
    return found
