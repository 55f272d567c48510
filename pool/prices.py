"""What a model's tokens cost: list prices, and the operator's own. Standard library only: hooks import it.

The list prices are those that Claude Code 2.1.329 itself calculates with (November 2026), in USD for a
million tokens; the setting ``prices`` has the last word. A model that neither knows has no price: its tokens
are counted, its cost is said to be unknown.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Input, output, cache read, cache write (5 min), cache write (1 h).
Price = tuple[float, float, float, float, float]

_3_15: Price = (3, 15, 0.3, 3.75, 6)
_5_25: Price = (5, 25, 0.5, 6.25, 10)
_15_75: Price = (15, 75, 1.5, 18.75, 30)
_10_50: Price = (10, 50, 1, 12.5, 20)
_10_50_LESS: Price = (10, 50, 0.25, 12.5, 20)
_8_40: Price = (8, 40, 0.2, 10, 16)

LIST: dict[str, Price] = {
    "claude-3-5-haiku": (0.8, 4, 0.08, 1, 1.6),
    "claude-haiku-4-5": (1, 5, 0.1, 1.25, 2),
    "claude-3-5-sonnet": _3_15, "claude-3-7-sonnet": _3_15,
    "claude-sonnet-4": _3_15, "claude-sonnet-4-5": _3_15, "claude-sonnet-4-6": _3_15,
    "claude-sonnet-5": (2, 10, 0.2, 2.5, 4), "claude-sonnet-5-5": (2, 10, 0.1, 2.5, 4),
    "claude-opus-4": _15_75, "claude-opus-4-1": _15_75,
    "claude-opus-4-5": _5_25, "claude-opus-4-6": _5_25, "claude-opus-4-7": _5_25, "claude-opus-4-8": _5_25,
    "claude-opus-5": _5_25, "claude-opus-5-5": (4, 20, 0.2, 5, 8),
    "claude-fable-5": _10_50, "claude-fable-5-1": _10_50_LESS, "claude-fable-5-2": _8_40,
    "claude-mythos-5": _10_50, "claude-mythos-5-1": _10_50_LESS, "claude-mythos-5-2": _8_40,
}  # fmt: skip

#: Nanodollars for a token at one USD for a million.
NANO = 1000


def parse(text: str) -> tuple[str, Price]:
    """An entry of the setting ``prices``: ``MODEL=INPUT/OUTPUT[/CACHE READ[/CACHE WRITE[/1 H]]]``.

    What is left out is in the usual proportion to the input: 0.1, 1.25 and 2 times.

    Raises:
        ValueError: The text is no such entry.
    """
    model, mark, rest = text.partition("=")
    try:
        numbers = [float(part) for part in rest.split("/")]
    except ValueError:
        numbers = []
    if not mark or not model.strip() or not 2 <= len(numbers) <= 5 or not all(0 <= n < 1e6 for n in numbers):
        raise ValueError(f"{text[:60]!r} is not a price: write MODEL=INPUT/OUTPUT/CACHE READ/CACHE WRITE")
    first = numbers[0]
    usual = [first, 0.0, first * 0.1, first * 1.25, first * 2]
    full = [*numbers, *usual[len(numbers) :]]
    return model.strip(), (full[0], full[1], full[2], full[3], full[4])


def of(model: str, given: Sequence[str] = ()) -> Price | None:
    """A model's price by its id, with or without the date and the size of its context; None: unknown."""
    own = dict(parse(each) for each in given)
    name = model.partition("[")[0]
    for known in (own, LIST):
        if model in known or name in known:
            return known.get(model) or known[name]
        base, dash, date = name.rpartition("-")
        if dash and date.isdigit() and len(date) == 8:
            if base in known:
                return known[base]
            if base.endswith("-0") and base[:-2] in known:
                return known[base[:-2]]
        if name.endswith("-0") and name[:-2] in known:
            return known[name[:-2]]
    return None


def nano(price: Price, tokens: Sequence[int]) -> int:
    """What tokens cost in nanodollars: input, output, cache read, cache write (5 min), cache write (1 h)."""
    return round(sum(count * each * NANO for count, each in zip(tokens, price, strict=True)))
