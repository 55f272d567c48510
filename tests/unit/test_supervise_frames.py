"""What a stream-json session's frames say about its turn."""

from __future__ import annotations

from typing import Any

from workers.supervise.frames import Turn

RUNNING = {"type": "system", "subtype": "session_state_changed", "state": "running"}
IDLE = {"type": "system", "subtype": "session_state_changed", "state": "idle"}


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": "", **fields}


def said(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": list(blocks)}, **fields}


def feed(turn: Turn, *frames: dict[str, Any]) -> list[bool]:
    return [turn.see(frame) for frame in frames]


def test_a_turn_ends_when_no_further_one_is_owed() -> None:
    turn = Turn()
    turn.begin()
    # Between the result and `idle` a background agent's report may begin another turn.
    assert feed(turn, RUNNING, result(result="one"), RUNNING, result(result="two"), IDLE) == [
        False, False, False, False, True,
    ]  # fmt: skip
    assert (turn.running, turn.message) == (False, "two")


def test_the_end_is_told_once() -> None:
    turn = Turn()
    turn.begin()
    assert feed(turn, RUNNING, result(), IDLE, IDLE) == [False, False, True, False]


def test_an_older_client_tells_no_state_and_a_result_ends_its_turn() -> None:
    turn = Turn()
    turn.begin()
    assert feed(turn, result(result="done")) == [True]
    assert turn.message == "done"


def test_a_turn_that_nobody_asked_for_is_one() -> None:
    turn = Turn()
    assert feed(turn, RUNNING) == [False]
    assert turn.running
    assert feed(turn, result(), IDLE) == [False, True]


def test_tool_calls_of_the_session_count_and_not_those_of_its_sub_agents() -> None:
    turn = Turn()
    tool = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    feed(turn, said(tool, tool), said(tool, parent_tool_use_id="t1"), said({"type": "text", "text": "so"}))
    assert (turn.tools, turn.message) == (2, "so")


def test_background_tasks_are_counted_without_the_ambient_ones() -> None:
    turn = Turn()
    shell = {"task_id": "b1", "task_type": "local_bash"}
    changed = {"type": "system", "subtype": "background_tasks_changed"}
    feed(turn, {**changed, "tasks": [shell, {**shell, "ambient": True}]})
    assert turn.background == 1
    feed(turn, {**changed, "tasks": []})
    assert turn.background == 0


def test_a_limit_and_an_api_error_are_known_until_the_next_turn() -> None:
    turn = Turn()
    turn.begin()
    feed(turn, result(subtype="error_max_turns", is_error=True))
    assert turn.limit == "its limit of turns is reached" and turn.error is None
    turn.begin()
    assert turn.limit == ""
    feed(turn, result(is_error=True, api_error_status=429))
    assert turn.error is not None and turn.error.action == "park"
    turn.begin()
    assert turn.error is None


def test_frames_of_another_shape_change_nothing() -> None:
    turn = Turn()
    odd: list[dict[str, Any]] = [
        {}, {"type": "assistant"}, {"type": "assistant", "message": {"content": "text"}},
        {"type": "assistant", "message": {"content": [1, {"type": "tool_use"}]}},
        {"type": "system", "subtype": "background_tasks_changed", "tasks": 7},
    ]  # fmt: skip
    assert feed(turn, *odd) == [False] * len(odd)
    assert (turn.tools, turn.background, turn.running) == (1, 0, False)
