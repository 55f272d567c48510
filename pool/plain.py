"""Texts that others wrote, made harmless to look at: no control characters, no bidirectional overrides.

What is shown instead is a middle dot, so that one sees that there was something. Standard library only.
"""

from __future__ import annotations

import unicodedata

#: Invisible, and needed to write Persian, Hindi or a family of emoji: they stay.
_JOINERS = "\u200c\u200d"


def clean(text: str) -> str:
    """The text; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _instead(c) for c in text)


def line(text: str) -> str:
    """The text on one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else _instead(c) for c in text)


def _instead(char: str) -> str:
    if char in _JOINERS:
        return char
    return " " if unicodedata.category(char) == "Zs" else "·"
