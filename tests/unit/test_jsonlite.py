"""pool.jsonlite reads and writes what the json module does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import jsonlite

ROOT = Path(__file__).resolve().parent.parent.parent
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_it_writes_what_json_reads_and_reads_what_json_writes(value: object) -> None:
    assert json.loads(jsonlite.dumps(value)) == value
    assert jsonlite.loads(json.dumps(value)) == value
    assert jsonlite.loads(json.dumps(value, indent=1, ensure_ascii=False).encode()) == value


@given(st.text())
def test_what_json_refuses_it_refuses(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            jsonlite.loads(text)
    else:
        assert jsonlite.loads(text) == expected or expected != expected


WRONG = [
    "",
    "  ",
    "{",
    "[1,",
    '{"a"}',
    "nul",
    "1 2",
    '"\\x"',
    '"open',
    "{" * 5000,
    "[" * 100_000,
    "\x00",
    "'a'",
]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_texts_are_value_errors_in_a_fresh_interpreter(text: str) -> None:
    # Without json.decoder imported, the C scanner reports errors in another way.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pool import jsonlite\n"
        "try: jsonlite.loads(sys.stdin.read())\nexcept ValueError: sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], input=text, text=True, check=False
    )
    assert done.returncode == 7


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        jsonlite.dumps({"a": object()})
