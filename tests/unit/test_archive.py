"""A line of an exported file is untrusted: whatever it holds, it is a record or a clear refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import archive
from pool.errors import UsageError
from pool.settings import Settings

SETTINGS = Settings()
GOOD: dict[str, Any] = {
    "version": 1, "id": "t", "status": "finished", "queue": "tasks:high", "task": {"prompt": "do it"},
    "made": 1.5, "at": 2.0, "ttl": 3.0, "parents": ["p"],
    "fields": {"created_at": "2026-01-01T00:00:00.000000Z", "timeout": "60", "dependency_ids": '["p"]'},
    "results": [["1-1", {"type": "1", "return_value": "MQ=="}]], "artifacts": {"a": "YQ=="},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def refused_or_taken(line: Any) -> None:
    try:
        found = archive.record(line, SETTINGS)
    except UsageError as error:
        assert len(str(error)) < 300
    else:
        assert found.id and found.data


def test_a_good_line_is_taken() -> None:
    found = archive.record(GOOD, SETTINGS)
    assert (found.id, found.status, found.queue, found.parents) == ("t", "finished", "tasks:high", ["p"])
    assert not found.live


@given(JSON)
def test_any_json_is_a_record_or_refused(line: Any) -> None:
    refused_or_taken(line)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_value_in_any_place_is_taken_or_refused(name: str, value: Any) -> None:
    refused_or_taken({**GOOD, name: value})


@given(st.sampled_from(sorted(archive.FIELDS)), st.text(max_size=40) | JSON)
def test_any_value_of_any_field_is_taken_or_refused(name: str, value: Any) -> None:
    refused_or_taken({**GOOD, "fields": {name: value}})


@given(
    st.lists(st.lists(JSON, max_size=3) | st.tuples(st.text(max_size=5), st.dictionaries(st.text(), JSON)))
)
def test_any_results_are_taken_or_refused(results: Any) -> None:
    refused_or_taken({**GOOD, "results": json.loads(json.dumps(results))})


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_json_or_refused(raw: bytes | str) -> None:
    try:
        archive.parse(raw)
    except UsageError:
        return
    json.loads(raw)


@pytest.mark.parametrize(
    "line", [{"version": 1, "end": True}, {"version": 1, "end": -1}, {"end": 1}, [], 1, {}]
)
def test_what_is_no_end(line: Any) -> None:
    assert archive.end(line) is None
    assert archive.end({"version": 1, "end": 3}) == 3
