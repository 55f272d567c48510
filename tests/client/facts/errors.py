"""What an error of the API does to a turn, to hooks and to the process."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from tests.client import replies
from tests.client.api import Request
from tests.client.facts.fact import Fact, Seen, observes
from tests.client.facts.lab import Lab, comes, newest, wait
from tests.client.frames import Frame
from tests.client.replies import Reply

#: HTTP status and type of each error that is tried.
ERRORS = {
    "billing": (400, "billing_error", "Your credit balance is too low to access the Anthropic API."),
    "bad_request": (400, "invalid_request_error", "scripted"),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "permission": (403, "permission_error", "scripted"),
    "no_model": (404, "not_found_error", "model: scripted"),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "server": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
}


@observes(
    Fact(
        "api_errors",
        "StopFailure's error, and the result, after each error of the API",
        "hooks/stop_failure.py",
    ),
    Fact("failure_hook", "What StopFailure is told", "hooks/stop_failure.py"),
    Fact(
        "lives_on",
        "A stream-json session lives on after an API error, and takes the next message",
        "a parked session needs no new process",
    ),
)
def api_errors(lab: Lab) -> Mapping[str, Seen]:
    """One stream-json session: a message for each error, then one that is answered."""

    def script(number: int, request: Request) -> Reply:
        asked = re.findall(r"provoke:(\w+)", newest(request))[-1]
        return replies.error(*ERRORS[asked]) if asked in ERRORS else replies.text("Done.")

    lab.script(script)
    lab.install({"Stop": lab.hook("stop"), "StopFailure": lab.hook("failure")})
    session = lab.home.open("", CLAUDE_CODE_MAX_RETRIES="0")
    seen: dict[str, Any] = {}
    for number, name in enumerate(ERRORS, 1):
        calls = len(lab.calls("failure"))
        session.send(f"provoke:{name}")
        result = session.frames.result(number)
        # (The result does not wait for the hook.)
        comes(lambda calls=calls: len(lab.calls("failure")) > calls, 3.0)  # type: ignore[misc]
        told = [each["payload"].get("error") for each in lab.calls("failure")[calls:]]
        seen[name] = {"hook": told, "is_error": result["is_error"], "status": result.get("api_error_status")}
    session.send("provoke:nothing")
    last = session.frames.result(len(ERRORS) + 1)
    session.end_input()
    code = lab.ended(session)
    return {
        "api_errors": seen,
        "failure_hook": {
            "fields": sorted(lab.calls("failure")[-1]["payload"]) if lab.calls("failure") else []
        },
        "lives_on": {"answered": last["result"], "stops": len(lab.calls("stop")), "exit": code},
    }


@observes(
    Fact(
        "rate_limit",
        "429: api_retry frames, then `claude -p` exits with 1",
        "a plain `claude -p` gives its task back",
    ),
    Fact(
        "failure_at_exit",
        "A plain `claude -p` that ends with an API error does not wait for its StopFailure hook",
    ),
    Fact("retry_after", "retry-after is waited for"),
)
def rate_limit(lab: Lab) -> Mapping[str, Seen]:
    """A plain ``claude -p`` whose API answers 429 with retry-after, with one retry."""
    lab.answers(replies.rate_limited(retry_after="1"))
    slow = lab.hook("failure", {"late": 2})
    lab.install({"Stop": lab.hook("stop"), "StopFailure": slow, "SessionEnd": lab.hook("end")})
    session = lab.run(CLAUDE_CODE_MAX_RETRIES="1")
    asked = lab.api.seen()
    result = session.frames.result()
    fields = ("attempt", "max_retries", "error_status", "error")
    return {
        "rate_limit": {
            "exit": session.process.returncode,
            "is_error": result["is_error"],
            "status": result.get("api_error_status"),
            "retries": [
                [each.get(name) for name in fields] for each in session.frames.of("system", "api_retry")
            ],
            "stops": len(lab.calls("stop")),
        },
        "failure_at_exit": {
            "to_its_end": comes(lambda: lab.noted("failure", "end"), 3.0),
            "session_end": len(lab.calls("end")),
        },
        "retry_after": {
            "requests": len(asked),
            "waited": len(asked) > 1 and asked[1].at - asked[0].at >= 1.0,
        },
    }


@observes(
    Fact(
        "retries",
        "After 429 the client tries again up to 10 times, more and more slowly",
        "who retries is not dead",
    ),
    Fact("overloaded", "After 529 it gives up sooner"),
)
def retries(lab: Lab) -> Mapping[str, Seen]:
    """The first retries of a session whose API answers 429; a session whose API answers 529."""
    lab.answers(replies.rate_limited())
    session = lab.home.headless("Go.")

    def told() -> list[Frame]:
        return session.frames.of("system", "api_retry")

    wait(lambda: len(told()) > 2, "three retries", 30)
    session.kill()
    delays = [each["retry_delay_ms"] for each in told()[:3]]
    before = lab.api.count()
    lab.answers(replies.error(529, "overloaded_error"))
    other = lab.run()
    return {
        "retries": {
            "of": told()[0]["max_retries"],
            "error": told()[0].get("error"),
            "grow": delays[0] < delays[2] < 10_000,
        },
        "overloaded": {"requests": lab.api.count() - before, "exit": other.process.returncode},
    }


@observes(
    Fact(
        "unified_limit",
        "A subscription's limit, told in headers: rate_limit_event, and no retry",
        "a quota's reset time",
    ),
)
def unified_limit(lab: Lab) -> Mapping[str, Seen]:
    """429 with the headers of a subscription's limit, to a session that logs in with a token."""
    reset = time.time() + 3600
    lab.answers(replies.rate_limited(**replies.unified(reset=reset)))
    lab.home.key = "sk-ant-oat01-made-up"
    session = lab.run(CLAUDE_CODE_MAX_RETRIES="1", ANTHROPIC_API_KEY="", CLAUDE_CODE_OAUTH_TOKEN=lab.home.key)
    info = [each["rate_limit_info"] for each in session.frames.of("rate_limit_event")]
    seen = {
        "events": [{**each, "resetsAt": each.get("resetsAt") == int(reset)} for each in info],
        "requests": lab.api.count(),
        "exit": session.process.returncode,
    }
    return {"unified_limit": seen}
