"""Hooks' JSON, the short form and the pool's events, in one form; nothing private is kept."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import signals
from pool import process


def hook(**fields: Any) -> dict[str, Any]:
    return {"session_id": "one", "hook_event_name": "PreToolUse", "cwd": "/a", **fields}


def test_a_hooks_own_json() -> None:
    found = signals.from_hook(
        hook(tool_name="Bash", tool_use_id="t1", tool_input={"command": "ls"}, permission_mode="auto"), 5.0
    )
    assert (found.kind, found.at, found.session, found.cwd) == ("PreToolUse", 5.0, "one", "/a")
    assert (found.tool, found.tool_use_id, found.permission_mode) == ("Bash", "t1", "auto")
    assert found.message == ""  # nobody is asked, so nothing of the input is kept


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ([], "no JSON object"),
        ("x", "no JSON object"),
        ({}, "hook_event_name"),
        ({"hook_event_name": "Stop"}, "session_id"),
        ({"hook_event_name": "Stop", "session_id": "a b"}, "session_id"),
        ({"hook_event_name": "Stop", "session_id": "x" * 300}, "session_id"),
        ({"hook_event_name": "../x", "session_id": "one"}, "hook_event_name"),
    ],
)
def test_what_is_no_hooks_json_is_named_in_one_line(payload: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        signals.from_hook(payload, 1.0)
    assert "\n" not in str(raised.value)


def test_only_a_question_to_a_person_keeps_a_line_of_the_input() -> None:
    asked = hook(hook_event_name="PermissionRequest", tool_name="Bash")
    found = signals.from_hook({**asked, "tool_input": {"command": "make\x1b[31m\nall"}}, 1.0)
    assert found.message == "Bash: make [31m all"
    long = signals.from_hook({**asked, "tool_input": {"command": "x" * 5000}}, 1.0)
    assert len(long.message) == signals.LINE and long.message.endswith("…")
    questions = {"questions": [{"question": "Which one?"}]}
    asks = signals.from_hook(hook(tool_name="AskUserQuestion", tool_input=questions), 1.0)
    assert asks.message == "AskUserQuestion: Which one?"


def test_secrets_are_hidden_in_it() -> None:
    given = {"command": "curl -H 'Authorization: Bearer abcdef0123456789abcdef' --password hunter2222"}
    found = signals.from_hook(
        hook(hook_event_name="PermissionRequest", tool_name="Bash", tool_input=given), 1.0
    )
    assert "abcdef0123456789" not in found.message and "hunter2222" not in found.message


def test_prompts_and_outputs_are_not_kept() -> None:
    names = ("prompt", "tool_response", "last_assistant_message", "custom_instructions", "error")
    private = {**dict.fromkeys(names, "PRIVATE"), "tool_input": {"command": "PRIVATE"}}
    for event in (
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PostToolUseFailure",
        "Stop",
        "PreCompact",
    ):
        found = signals.from_hook(hook(hook_event_name=event, tool_name="Bash", **private), 1.0)
        assert "PRIVATE" not in repr(found)


def test_the_sender_says_whose_process_it_is_and_when() -> None:
    mine = process.key(os.getpid())
    coord = {"process": mine, "pid": 7, "host": "here.example.org", "ancestors": ["p1", 2], "at": 99.5}
    found = signals.from_hook(hook(coord=coord), 100.0)
    assert (found.process, found.pid, found.host, found.ancestors) == (mine, 7, "here", ("p1",))
    assert found.at == 99.5
    elsewhere = signals.from_hook(hook(coord={**coord, "process": "other-1-2-3"}), 100.0)
    assert elsewhere.at == 100.0  # another machine's clock
    assert signals.from_hook(hook(coord={**coord, "at": 1.0}), 100.0).at == 100.0


@pytest.mark.parametrize("event", ["Stop", "stop", "STOP"])
def test_the_short_form(event: str) -> None:
    found = signals.from_short({"session_id": "one", "event": event, "cwd": "/a", "timestamp": 99}, 100.0)
    assert (found.kind, found.at, found.session, found.cwd) == ("Stop", 99.0, "one", "/a")


def test_the_short_forms_moment() -> None:
    def at(stamp: object) -> float:
        return signals.from_short({"session_id": "one", "event": "session-start", "timestamp": stamp}, 1e9).at

    assert at("2001-09-09T01:46:35Z") == 1e9 - 5 and at("999999999.5") == 1e9 - 0.5
    assert at(1e9 + 5) == at(0) == at(10**400) == at(None) == 1e9
    odd: list[object] = ["yesterday", "", [], True, {"a": 1}]
    for wrong in odd:
        with pytest.raises(ValueError, match="timestamp"):
            at(wrong)


def test_an_unknown_short_event_is_named() -> None:
    with pytest.raises(ValueError, match="'nonsense' is not known"):
        signals.from_short({"session_id": "one", "event": "nonsense"}, 1.0)


def test_every_event_has_a_route_and_back() -> None:
    assert signals.route("PostToolUseFailure") == "post-tool-use-failure"
    assert [signals.event_name(signals.route(each)) for each in signals.EVENTS] == list(signals.EVENTS)


def test_the_pools_events() -> None:
    row = {"id": "5000-1", "type": "claimed", "worker": "w1", "task": "T", "queue": "tasks", "detail": "1-ab"}
    found = signals.from_pool(row, title="A title")
    assert found is not None
    assert (found.kind, found.at, found.worker, found.task, found.title, found.entry) == (
        "pool:claimed", 5.0, "w1", "T", "A title", "5000-1",
    )  # fmt: skip
    for other in ({"type": "session"}, {"type": "submitted"}, {"type": "claimed", "worker": ""}):
        assert signals.from_pool({**row, **other}) is None
    rebound = signals.from_pool({**row, "type": "rebound", "detail": "two"})
    assert rebound is not None and rebound.session == "two"
    known = {"process": "p1", "session": "one", "pid": "7", "host": "h.example", "cwd": "/a"}
    registered = signals.from_pool({**row, "type": "registered"}, known)
    assert registered is not None
    assert (registered.process, registered.session, registered.pid, registered.host) == ("p1", "one", 7, "h")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "hook_event_name", "session_id", "cwd", "tool_name", "tool_input", "tool_use_id", "agent_id", "message",
    "notification_type", "source", "reason", "error", "coord", "background_tasks", "is_interrupt",
    "timestamp", "event", "model", "new_cwd", "session_title",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), anything))
def test_any_object_is_a_signal_or_one_line(payload: dict[str, Any]) -> None:
    for read in (signals.from_hook, signals.from_short):
        for given_ in (payload, {**payload, "session_id": "one", "hook_event_name": "Stop", "event": "stop"}):
            try:
                found = asdict(read(given_, 100.0))
            except ValueError as error:
                assert str(error).isprintable()
                continue
            for value in found.values():
                if isinstance(value, str):
                    assert value.isprintable() and len(value) <= signals.PATH
                    value.encode()
