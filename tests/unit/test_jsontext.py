"""Edits of a JSON text: the value is as meant, and the rest of the text is as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks import jsontext

SAMPLES = {
    "two blanks": '{\n  "a": 1,\n  "b": {\n    "c": [\n      1,\n      2\n    ]\n  }\n}\n',
    "four blanks": '{\n    "a": 1,\n    "b": {"c": [1, 2]}\n}',
    "tabs": '{\n\t"a": 1,\n\t"b": {\n\t\t"c": [1, 2]\n\t}\n}\n',
    "one line": '{"a": 1, "b": {"c": [1, 2]}}',
    "minified": '{"a":1,"b":{"c":[1,2]}}',
    "windows": '{\r\n  "a": 1,\r\n  "b": {\r\n    "c": [1, 2]\r\n  }\r\n}\r\n',
    "byte order mark": '\ufeff{\n  "a": 1,\n  "b": {"c": [1, 2]}\n}\n',
    "odd": '\n {  "a" :1.50 ,\n"b": { "c"\n:[ 1 ,2 ] } }\n\n',
    "a name twice": '{\n  "b": 3,\n  "a": 1,\n  "b": {"c": [1, 2]}\n}\n',
}
ADDED: dict[str, Any] = {"x": [{"y": 'ä"\\\n'}, []]}


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("path", [(), ("b",), ("b", "c")], ids=["top", "object", "array"])
def test_what_is_added_and_taken_out_again_leaves_the_text_as_it_was(text: str, path: jsontext.Path) -> None:
    array = path == ("b", "c")
    more = jsontext.insert(text, path, "" if array else "new", ADDED)
    expected = jsontext.loads(text)
    there = expected["b"]["c"] if array else expected["b"] if path else expected
    if array:
        there.append(ADDED)
    else:
        there["new"] = ADDED
    assert jsontext.loads(more) == expected
    assert json.dumps(jsontext.loads(more)) == json.dumps(expected)  # in the same order
    assert jsontext.remove(more, (*path, 2 if array else "new")) == text


def test_what_is_added_takes_on_the_manner_of_its_neighbours() -> None:
    assert jsontext.insert(SAMPLES["minified"], (), "n", {"k": 1}) == '{"a":1,"b":{"c":[1,2]},"n":{"k":1}}'
    assert jsontext.insert(SAMPLES["one line"], ("b", "c"), "", 3) == '{"a": 1, "b": {"c": [1, 2, 3]}}'
    tabs = jsontext.insert(SAMPLES["tabs"], (), "n", {"k": 1})
    assert tabs.endswith('\t},\n\t"n": {\n\t\t"k": 1\n\t}\n}\n')
    windows = jsontext.insert(SAMPLES["windows"], (), "n", {"k": 1})
    assert windows.endswith('},\r\n  "n": {\r\n    "k": 1\r\n  }\r\n}\r\n')
    assert "\n" not in windows.replace("\r\n", "")
    assert jsontext.insert("{}\n", (), "n", {"k": 1}) == '{\n  "n": {\n    "k": 1\n  }\n}\n'
    assert jsontext.insert('{"a": {}}', ("a",), "n", {"k": 1}) == '{"a": {"n": {"k": 1}}}'
    assert jsontext.insert('{\n    "a": []\n}', ("a",), "", 1) == '{\n    "a": [\n        1\n    ]\n}'


def test_any_entry_can_be_taken_out() -> None:
    text = '{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}\n'
    assert jsontext.remove(text, ("a",)) == '{\n  "b": 2,\n  "c": 3\n}\n'
    assert jsontext.remove(text, ("b",)) == '{\n  "a": 1,\n  "c": 3\n}\n'
    assert jsontext.remove(text, ("c",)) == '{\n  "a": 1,\n  "b": 2\n}\n'
    assert jsontext.remove('{"a": [ 1 ]}', ("a", 0)) == '{"a": []}'


@pytest.mark.parametrize("text", ["", "{", "{]", '{"a": NaN}', "{} {}", "{'a': 1}", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


_objects = st.dictionaries(st.text(), _values, max_size=5)


@given(_objects, _values, st.sampled_from([None, 0, 1, 4, "\t"]), st.booleans())
def test_any_object_takes_a_member_and_gives_it_back(
    value: dict[str, Any], new: Any, indent: int | str | None, escaped: bool
) -> None:
    value.pop("new", None)
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    more = jsontext.insert(text, (), "new", new)
    assert json.loads(more) == {**value, "new": new}
    assert jsontext.remove(more, ("new",)) == text
    for key in value:
        rest = dict(value)
        del rest[key]
        assert json.loads(jsontext.remove(text, (key,))) == rest
