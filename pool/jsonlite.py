"""JSON without the price of importing ``json``.

``import json`` costs a hook about 6 ms (it pulls in ``re``), as much as the bare interpreter; its C
parts alone cost nothing. Where they are missing (another Python), or the text is wrong, the real
module does the work. tests/unit/test_jsonlite.py compares the two.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_make_scanner: Any
_quote: Callable[[str], str]
try:
    from _json import encode_basestring_ascii as _quote
    from _json import make_scanner as _make_scanner
except ImportError:  # another implementation of Python
    import json

    _quote, _make_scanner = json.dumps, None

_SPACE = " \t\n\r"


class _Context:
    """What the C scanner wants to know: the defaults of ``json.JSONDecoder``."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod({"-Infinity": -1e999, "Infinity": 1e999, "NaN": None}.get)
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own protocol


_scan = _make_scanner(_Context()) if _make_scanner is not None else None


def loads(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: The text is not JSON.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if _scan is None:
        import json

        return json.loads(text)
    start, end = 0, len(text)
    while start < end and text[start] in _SPACE:
        start += 1
    try:
        value, stop = _scan(text, start)
    except (StopIteration, SystemError):
        # SystemError: the C scanner found an error, and json.decoder, which holds its class, is not imported.
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    if text[stop:].strip(_SPACE):
        raise ValueError("not JSON: something follows the value")
    return value


def dumps(value: Any) -> str:
    """The compact JSON text of dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: The value holds something else.
    """
    if isinstance(value, str):
        return _quote(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if value - value == 0 else "null"  # as JSON.stringify has it
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(str(k))}:{dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([dumps(v) for v in value]) + "]"
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
