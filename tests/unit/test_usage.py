"""What a session has used: prices, transcripts, frames, budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pool import prices, transcript, usage

MODEL = "claude-opus-5-5"


def line(
    at: str, answer: str = "msg_1", request: str = "r1", model: str = MODEL,
    tokens: tuple[int, ...] = (10, 5), **more: Any,
) -> str:  # fmt: skip
    """A line as Claude Code 2.1.329 writes it."""
    used = {"input_tokens": tokens[0], "output_tokens": tokens[1], "cache_read_input_tokens": 3000,
            "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0}}  # fmt: skip
    message = {"id": answer, "type": "message", "model": model, "content": [], "usage": used}
    return json.dumps(
        {"type": "assistant", "timestamp": at, "requestRef": request, "message": message, **more}
    )


def test_the_list_prices_are_the_clients() -> None:
    price = prices.of(MODEL)
    assert price is not None
    assert prices.nano(price, (10, 5, 3000, 200, 0)) == 1_740_000, "0.00174 USD, as the client said"
    assert prices.of("claude-opus-4-5-20251101") == prices.LIST["claude-opus-4-5"]
    assert prices.of("claude-sonnet-4-5-20250929[1m]") == prices.LIST["claude-sonnet-4-5"]
    assert prices.of("claude-opus-4-0") == prices.LIST["claude-opus-4"] == prices.of("claude-opus-4-20250514")
    assert prices.of("claude-unheard-of") is None


def test_the_operators_prices_have_the_last_word() -> None:
    assert prices.of(MODEL, ["claude-opus-5-5=1/2"]) == (1, 2, 0.1, 1.25, 2)
    assert prices.of("mine", ["mine=1/2/3/4/5"]) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("text", ["x", "x=1", "=1/2", "x=1/b", "x=-1/2", "x=1/2/3/4/5/6", "x=nan/1"])
def test_a_wrong_price_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        prices.parse(text)


def test_an_answer_is_read_from_its_line() -> None:
    found = transcript.answer(line("2026-11-21T03:33:47.246Z").encode())
    assert found is not None
    assert (found.at, found.key, found.model) == ("2026-11-21T03:33:47.246Z", "msg_1 r1", MODEL)
    assert found.tokens == (10, 5, 3000, 200, 0)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", '{"type": "user", "usage": "assistant"}', '{"type":"assistant","message":{"usage":1}}',
        '{"type":"assistant","message":[],"usage":{}}', line("x", model="<synthetic>"),
        line("x", isApiErrorMessage=True),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_skipped(text: str) -> None:
    assert transcript.answer(text.encode()) is None


def test_lines_are_read_from_where_they_were_left_off(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"one\ntwo\nhal")
    assert list(transcript.lines(str(path), 0)) == [(4, b"one"), (8, b"two")]
    path.write_bytes(b"one\ntwo\nhalf\n")
    assert list(transcript.lines(str(path), 8)) == [(13, b"half")]
    assert list(transcript.lines(str(tmp_path / "none"), 0)) == []


def test_the_reset_is_in_the_transcripts_tail(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    told = {
        "type": "assistant",
        "quotaLimits": {"status": "rejected", "resetsAt": 2000},
        "error": "rate_limit",
    }
    path.write_text("x" * 300_000 + "\n" + json.dumps(told) + "\n")
    assert transcript.reset(str(path), 1000.0) == 2000.0
    assert transcript.reset(str(path), 3000.0) is None, "one of long ago"
    assert transcript.reset(str(tmp_path / "none"), 0.0) is None


def test_a_sessions_last_error_is_in_its_transcript(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    failed = json.dumps(
        {"type": "assistant", "isApiErrorMessage": True, "error": "rate_limit", "message": {}}
    )
    path.write_text(f"{line('a')}\n{failed}\n" + '{"type":"last-prompt","x":"assistant"}\n')
    assert transcript.last_error(str(path)) == "rate_limit"
    path.write_text(f"{failed}\n{line('a')}\n")
    assert transcript.last_error(str(path)) == "", "it went on after that"
    assert transcript.last_error(str(tmp_path / "none")) == ""


def test_frames_are_booked_by_the_clients_own_figures() -> None:
    meter = usage.Meter()
    assistant = {"type": "assistant", "message": {"id": "msg_1", "model": MODEL}}
    result: dict[str, Any] = {
        "type": "result",
        "modelUsage": {MODEL: {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 3000,
                               "cacheCreationInputTokens": 200, "costUSD": 0.00174}},
    }  # fmt: skip
    assert meter.feed(assistant) == [] and meter.feed(assistant) == []
    (first,) = meter.feed(result, "t")
    assert first.row() == ["t", MODEL, 1, 10, 5, 3000, 200, 1_740_000]
    assert meter.feed(result, "t") == [], "nothing since"
    result["modelUsage"][MODEL] = {**result["modelUsage"][MODEL], "outputTokens": 15, "costUSD": 0.00194}
    meter.feed({"type": "assistant", "message": {"id": "msg_2", "model": MODEL}})
    (second,) = meter.feed(result, "u")
    assert second.row() == ["u", MODEL, 1, 0, 10, 0, 0, 200_000]


def test_the_clients_totals_may_begin_anew() -> None:
    meter = usage.Meter()
    result = {"type": "result", "modelUsage": {MODEL: {"inputTokens": 10, "outputTokens": 0, "costUSD": 1}}}
    meter.feed(result)
    meter.feed({"type": "system", "subtype": "conversation_reset"})
    (again,) = meter.feed(result)
    assert again.input == 10


def test_budgets_of_a_day() -> None:
    assert usage.day_budgets([], "default") == ("", "")
    assert usage.day_budgets(["20", "work=1.5"], "work") == ("1500000000", "20000000000")
    assert usage.day_budgets(["work=1.5"], "default") == ("", "")
    for wrong in ("x", "=1", "a=", "0", "-1", "a=b=c"):
        with pytest.raises(ValueError, match="is not a budget"):
            usage.day_budgets([wrong], "default")


def test_a_moment_compares_as_transcripts_do() -> None:
    assert usage.moment(0.0425) == "1970-01-01T00:00:00.042Z"
    assert usage.moment(1.0) > usage.moment(0.999)
