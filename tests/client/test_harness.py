"""The harness itself: what the other tests in this folder stand on."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.client import models, replies
from tests.client.api import Api
from tests.client.client import Home
from tests.client.conftest import NETWORK
from tests.client.replies import Usage
from tests.session import eventually


def test_a_session_calls_tools_as_the_script_says_and_its_requests_are_told_apart(
    api: Api, home: Home
) -> None:
    api.script(
        models.in_order(
            replies.agent("look around").with_(usage=Usage(input=100, output=20, cache_read=7)),
            replies.bash("echo from the sub-agent"),
            replies.text("seen"),
            replies.bash("echo one; exit 3"),
            replies.text("over"),
        ),
        key=home.key,
    )
    session = home.headless("hello")
    assert session.end() == 0
    result = session.frames.result()
    assert (result["result"], result["is_error"]) == ("over", False)
    kinds = [each.kind for each in api.seen("") if each.kind != "side"]
    assert kinds == ["main", "sub", "sub", "main", "main"]
    main = api.seen("main", key=home.key)
    assert "hello" in main[0].new() and "seen" in main[1].new()
    assert "one" in main[2].results()[0] and main[2].session == result["session_id"]
    assert result["usage"]["cache_read_input_tokens"] == 7
    assert not home.processes()


def test_errors_and_a_broken_line_reach_the_client_and_it_tries_again(api: Api, home: Home) -> None:
    api.script(
        models.in_order(
            replies.error(529, "overloaded_error", retry_after="0"),
            replies.text("").with_(drop="before"),
            replies.text("said after all"),
        )
    )
    session = home.headless("hello")
    assert session.end() == 0
    assert session.frames.result()["result"] == "said after all"
    assert session.frames.of("system", "api_retry") and api.count() >= 3


def test_a_session_takes_messages_while_its_input_is_open(api: Api, home: Home) -> None:
    gate = threading.Event()
    api.script(models.in_order(replies.text("first").with_(gate=gate), replies.text("second")))
    session = home.open("one")
    api.wait(lambda request: "one" in request.new())
    assert not session.frames.of("result")  # it thinks
    gate.set()
    assert session.frames.result(1)["result"] == "first"
    session.send("two")
    assert session.frames.result(2)["result"] == "second"
    session.end_input()
    assert session.end() == 0


def test_a_session_in_a_terminal_shows_what_the_model_says(api: Api, home: Home) -> None:
    api.script(models.in_order(replies.text("good morning")))
    terminal = home.terminal()
    terminal.wait("\u276f")
    terminal.type("hello there")
    terminal.wait("good morning")
    assert home.processes()
    terminal.close()
    eventually(lambda: not home.processes(), what="the end of all that it started")


def test_nothing_leaves_loopback(request: pytest.FixtureRequest) -> None:
    why = request.config.stash[NETWORK]
    if why:
        pytest.skip(f"there is no network namespace here: {why}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="unreachable"):
            sock.connect(("192.0.2.1", 9))
        sock.connect(("127.0.0.1", 9))


def test_requests_are_counted_in_a_window(api: Api, home: Home) -> None:
    api.script(models.in_order(replies.text("x")))
    home.headless("hello").end()
    assert api.count() == 1 and api.count(since=time.monotonic()) == 0
