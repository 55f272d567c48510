"""What an API error means: by fields, never by text. The frames are what Claude Code 2.1.329 printed."""

from __future__ import annotations

from typing import Any

import pytest

from pool import apierror
from pool.apierror import Frames, Verdict

ASSISTANT: dict[str, Any] = {"type": "assistant", "parent_tool_use_id": None, "message": {}}
REJECTED = {
    "type": "rate_limit_event",
    "rate_limit_info": {"status": "rejected", "resetsAt": 1795232157, "rateLimitType": "five_hour"},
}
RESULT = {"type": "result", "subtype": "success", "is_error": True, "terminal_reason": "api_error"}


def retry(error: str, status: int, attempt: int = 1) -> dict[str, Any]:
    return {"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 10,
            "retry_delay_ms": 500, "error_status": status, "error": error}  # fmt: skip


def test_a_quota_of_a_login_parks_until_its_reset() -> None:
    frames = [ASSISTANT, REJECTED, {**ASSISTANT, "error": "rate_limit"}, {**RESULT, "api_error_status": 429}]
    verdict = apierror.of_frames(frames)
    assert verdict is not None
    assert (verdict.action, verdict.error, verdict.resets_at) == ("park", "rate_limit", 1795232157.0)


def test_a_quota_of_a_key_has_no_reset_in_its_frames() -> None:
    verdict = apierror.of_frames(
        [retry("rate_limit", 429), {**ASSISTANT, "error": "rate_limit"}, {**RESULT, "api_error_status": 429}]
    )
    assert verdict is not None and (verdict.action, verdict.resets_at) == ("park", None)


def test_a_retry_is_no_verdict_and_ends_with_the_answer() -> None:
    frames = Frames()
    assert frames.feed(retry("rate_limit", 429, 3)) is None
    assert frames.retrying == "rate_limit, attempt 3 of 10"
    assert frames.feed(ASSISTANT) is None
    assert frames.retrying == ""
    assert frames.feed({**RESULT, "is_error": False, "api_error_status": None}) is None


def test_a_limit_that_was_lifted_again_is_not_remembered() -> None:
    lifted = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}}
    error = [{**ASSISTANT, "error": "rate_limit"}, {**RESULT, "api_error_status": 429}]
    verdict = apierror.of_frames([REJECTED, lifted, *error])
    assert verdict is not None and verdict.resets_at is None


def test_a_subagents_error_is_not_the_sessions() -> None:
    mine = {**ASSISTANT, "parent_tool_use_id": "tu1", "error": "rate_limit"}
    assert apierror.of_frames([mine, {**RESULT, "is_error": False}]) is None


def test_other_ends_of_a_turn_are_no_api_errors() -> None:
    assert apierror.of_frames([ASSISTANT, {**RESULT, "subtype": "error_max_turns"}]) is None
    assert apierror.of_frames([]) is None


def test_a_refused_login_is_known_before_the_client_gives_up() -> None:
    follower = apierror.Frames()

    def retry(error: str, attempt: int) -> dict[str, Any]:
        return {"type": "system", "subtype": "api_retry", "error": error, "attempt": attempt}

    assert [follower.feed(retry("authentication_failed", n)) for n in (1, 2)] == [None, None]
    verdict = follower.feed(retry("authentication_failed", apierror.PATIENCE))
    assert verdict is not None and (verdict.error, verdict.action) == ("authentication_failed", "stop")
    assert [follower.feed(retry("rate_limit", n)) for n in range(1, 11)] == [None] * 10


@pytest.mark.parametrize(
    ("error", "action"),
    [("rate_limit", "park"), ("overloaded", "pause"), ("server_error", "pause"), ("unknown", "pause"),
     ("authentication_failed", "stop"), ("oauth_org_not_allowed", "stop"), ("account_on_hold", "stop"),
     ("billing_error", "stop"), ("cloud_credential_error", "stop"), ("model_not_found", "give-back"),
     ("invalid_request", "give-back"), ("max_output_tokens", "go-on"), ("invented_tomorrow", "pause")],
)  # fmt: skip
def test_every_error_of_the_client_has_its_action(error: str, action: str) -> None:
    assert Verdict(error).action == action
    assert action in apierror.ACTIONS


def test_a_stopped_account_says_what_to_do() -> None:
    assert Verdict("billing_error").reason == "API error: billing_error; settle its bill"
    assert Verdict("authentication_failed").reason == "API error: authentication_failed; renew its login"


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, "rate_limit"), (401, "authentication_failed"), (403, "authentication_failed"),
     (402, "billing_error"), (404, "model_not_found"), (400, "invalid_request"), (500, "server_error"),
     (529, "overloaded"), (418, "unknown"), (None, "unknown"), (True, "unknown"), ("429", "unknown")],
)  # fmt: skip
def test_a_status_is_the_fallback(status: object, error: str) -> None:
    assert apierror.of_status(status) == error


@pytest.mark.parametrize(
    "record",
    [{"quotaLimits": {"status": "rejected", "resetsAt": 100}},
     {"apiErrorParams": {"rate_limit_info": {"status": "rejected", "resetsAt": 100}}},
     {"error": {"status": 429, "rateLimits": {"rateLimitType": "five_hour", "resetsAt": 100}}}],
)  # fmt: skip
def test_a_transcript_tells_the_reset(record: dict[str, Any]) -> None:
    assert apierror.reset_in(record) == 100.0


@pytest.mark.parametrize(
    "record",
    [{}, {"quotaLimits": None}, {"quotaLimits": {"status": "allowed", "resetsAt": 100}},
     {"quotaLimits": {"status": "rejected", "resetsAt": "soon"}}, {"error": "rate_limit"},
     {"quotaLimits": {"resetsAt": True}}, {"quotaLimits": {"resetsAt": 1e300}}],
)  # fmt: skip
def test_what_is_no_reset_is_none(record: dict[str, Any]) -> None:
    assert apierror.reset_in(record) is None
